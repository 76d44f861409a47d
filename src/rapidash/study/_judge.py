"""The winner of a study and the clear differences: the one definition of both, for whatever shows a study.

Two variants are compared over the seeds that both have, and every comparison of a study (of a variant with its
neighbor, and of every other variant with the best) gets one p-value, of one test for all variants that are judged
together: those of one level of the factors. Levels with other numbers of seeds may have another test. It is the exact
sign-flip test where that could find a single difference among all comparisons, that is, where its least value,
2^(1 - n) for the fewest seeds n of a comparison, times the number of comparisons is at most 5 %. With fewer seeds it is
the paired t-test, which rests on differences that are normal over seeds. All p-values are adjusted together (Benjamini
and Hochberg), and a difference is clear where the adjusted one is at most 5 %.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal

from rapidash.study._statistics import (
    CONFIDENCE,
    false_discovery,
    paired_difference,
    paired_t_p_value,
    ratio_interval,
    sign_flip_p_value,
    smallest_p_value,
)

Errors = Mapping[str, Mapping[int, float]]
Pair = tuple[str, str]
Test = Literal["sign-flip test", "t-test"]
RATE: Final = round(1 - CONFIDENCE, 9)


@dataclass(frozen=True)
class Comparison:
    """Error of ``name`` minus error of ``other``, paired by seed; None where one seed allows no interval and no test.

    Args:
        difference, low, high: mean over the common seeds and its 95 % interval.
        ratio, ratio_low, ratio_high: of the means over the common seeds; None where an error of ``other`` is 0.
        p_value, p_adjusted: of the test of the judgment, for itself and among all comparisons of the judgment.
    """

    name: str
    other: str
    num_seeds: int
    difference: float
    low: float | None
    high: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    p_value: float | None
    p_adjusted: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the variants can be told apart."""
        return self.p_adjusted is not None and self.p_adjusted <= RATE


@dataclass(frozen=True)
class Judgment:
    """The best variant, and every comparison.

    Args:
        best: has the lowest mean error over the seeds that all variants with the most seeds share; None without errors.
        num_seeds: over which the best was chosen.
        tied: variants that are not clearly worse than the best.
        fewer: variants with fewer seeds than the best: none of them can win, whatever its mean.
        test: of every p-value.
        comparisons: by the names of the two variants.
    """

    best: str | None
    num_seeds: int
    tied: tuple[str, ...]
    fewer: tuple[str, ...]
    test: Test
    comparisons: Mapping[Pair, Comparison]


def judge(errors: Errors, *, neighbors: Iterable[Pair] = (), excluded: Collection[str] = ()) -> Judgment:
    """The best of some variants, and every other compared with it.

    Args:
        errors: by name of the variant, the error of each seed.
        neighbors: further pairs to compare, a variant and its neighbor.
        excluded: variants that cannot win; they are compared all the same.
    """
    known = {name: by_seed for name, by_seed in errors.items() if by_seed}
    candidates = [name for name in known if name not in excluded]
    most = max((len(known[name]) for name in candidates), default=0)
    eligible = [name for name in candidates if len(known[name]) == most]
    common = set.intersection(*(set(known[name]) for name in eligible)) if eligible else set()
    means = {name: fmean(known[name][seed] for seed in common or known[name]) for name in eligible}
    best = min(means, key=lambda name: means[name], default=None)
    pairs = [pair for pair in neighbors if pair[0] != pair[1] and set(pair) <= known.keys()]
    if best is not None:
        pairs += [(name, best) for name in known if name != best]
    test, compared = compare(known, pairs)
    tied = [
        name
        for name in candidates
        if name != best and ((c := compared.get((name, str(best)))) is None or not c.is_clear or c.difference <= 0)
    ]
    fewer = tuple(name for name in candidates if name not in means)
    return Judgment(best, len(common) or most, tuple(tied), fewer, test, compared)


def compare(errors: Errors, pairs: Iterable[Pair]) -> tuple[Test, dict[Pair, Comparison]]:
    """The test that the numbers of seeds allow, and the pairs with a common seed; each pair counts once."""
    shared = {pair: len(errors[pair[0]].keys() & errors[pair[1]].keys()) for pair in dict.fromkeys(pairs)}
    family = {frozenset(pair): pair for pair, count in shared.items() if count > 1}
    fewest = min((shared[pair] for pair in family.values()), default=1)
    is_exact = smallest_p_value(fewest) * len(family) <= RATE and bool(family)
    p_value = sign_flip_p_value if is_exact else paired_t_p_value
    p_values = {key: p_value(errors[a], errors[b]) for key, (a, b) in family.items()}
    adjusted = dict(zip(p_values, false_discovery(list(p_values.values())), strict=True))
    compared = {
        (a, b): _comparison(errors, a, b, p_values.get(frozenset((a, b))), adjusted.get(frozenset((a, b))))
        for (a, b), count in shared.items()
        if count
    }
    return ("sign-flip test" if is_exact else "t-test"), compared


def _comparison(errors: Errors, name: str, other: str, p_value: float | None, p_adjusted: float | None) -> Comparison:
    first, second = errors[name], errors[other]
    shared = first.keys() & second.keys()
    mean, low, high = paired_difference(first, second)
    ratio = ratio_interval(first, second) if all(second[seed] > 0 for seed in shared) else None
    if ratio is not None and all(first[seed] >= 0 for seed in shared):
        ratio = ratio.within(0.0)
    top, least, most = (None, None, None) if ratio is None else ratio
    return Comparison(name, other, len(shared), mean, low, high, top, least, most, p_value, p_adjusted)
