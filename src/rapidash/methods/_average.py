"""Averages of predictions over a group at test time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash._seed import seeded
from rapidash.data import Batch, Field
from rapidash.groups import Group, MatrixGroup, enumerated, parse_group
from rapidash.methods._method import Method
from rapidash.symmetry import Ledger, averaged_symmetry

AVERAGED = "averaged"  # the name of the view whose predictions are averaged
DEFAULT_ELEMENTS = 16  # random ones, of a group that is not finite


@dataclass(frozen=True)
class OrbitAverage:
    r"""The average (1/K) sum_k rho_out(g_k)^{-1} f(g_k x), over random elements for each sample, or all of a group.

    Args:
        group: where the elements come from.
        num: K; 0: all elements of a finite group, which makes the average exactly equivariant.
    Raises: ValueError for a negative number, or 0 with a group that is not finite.
    """

    group: MatrixGroup
    num: int

    def __post_init__(self) -> None:
        if self.num < 0:
            raise ValueError(f"num must be at least 0, got {self.num}")
        if self.num == 0 and enumerated(self.group) is None:
            raise ValueError(
                f"num=0 averages over all elements, of which {self.group.name} has too many: give a number"
            )

    @classmethod
    def over(cls, group: MatrixGroup, num: int | None = None) -> "OrbitAverage":
        """The average over a number of random elements, or over all of a finite group that has no more than so many.

        None: all of a finite group, 16 random ones of any other.
        Raises: ValueError for a number below 1.
        """
        everything = enumerated(group)
        if num is None:
            return cls(group, DEFAULT_ELEMENTS if everything is None else 0)
        if num < 1:
            raise ValueError(f"the number of elements must be at least 1, got {num}")
        return cls(group, num if everything is None or num < len(everything) else 0)

    @property
    def count(self) -> int:
        """K, the number of elements."""
        everything = None if self.num else enumerated(self.group)
        return self.num if everything is None else len(everything)

    def __str__(self) -> str:
        """In words, e.g. ``16 random elements of SO(3)`` or ``all 24 elements of O``."""
        number = f"{self.num} random elements" if self.num else f"all {self.count} elements"
        return f"{number.removesuffix('s') if self.count == 1 else number} of {self.group.name}"

    def elements(self, size: int, seed: int) -> Iterator[Float[Tensor, "size n n"]]:
        """For each k the element g_k of every sample, one k after another; a function of the seed and of ``size``."""
        if self.num:
            for k in range(self.num):
                yield self.group.sample(size, generator=seeded(seed, "tta", k))
            return
        everything = enumerated(self.group)
        assert everything is not None
        for g in everything:
            yield g.expand(size, *g.shape)


def orbit_predictions(
    model: nn.Module, batch: Batch, output: Field, elements: Iterable[Float[Tensor, "B n n"]], group: MatrixGroup
) -> Iterator[Tensor]:
    """rho_out(g_k)^{-1} f(g_k x) for each k, one k after another, with an element for each sample and k."""
    for g in elements:
        yield batch.act(output, group.inverse(g), model(batch.transform(g)))


def orbit_average(
    model: nn.Module, batch: Batch, output: Field, elements: Iterable[Float[Tensor, "B n n"]], group: MatrixGroup
) -> Tensor:
    """(1/K) sum_k rho_out(g_k)^{-1} f(g_k x): the mean of `orbit_predictions`, of which one at a time is held."""
    return mean_of(orbit_predictions(model, batch, output, elements, group))


def mean_of(predictions: Iterable[Tensor]) -> Tensor:
    """The mean of tensors that come one after another. Raises: ValueError for none."""
    total: Tensor | None = None
    count = 0
    for prediction in predictions:
        total, count = prediction if total is None else total + prediction, count + 1
    if total is None:
        raise ValueError("an average needs at least one element of the group, got none")
    return total / count


class AveragedModel(nn.Module):
    """A model whose predictions are averaged, over the same elements in every call: one pass for each element.

    Args:
        model: called with a batch.
        output: representation and level of its prediction.
        average: over what.
        seed: of random elements.
    """

    def __init__(self, model: nn.Module, output: Field, average: OrbitAverage, *, seed: int = 0) -> None:
        super().__init__()
        self.model, self.output, self.average, self.seed = model, output, average, seed

    def forward(self, batch: Batch) -> Tensor:
        """The average of the predictions."""
        elements = self.average.elements(batch.num_samples, self.seed)
        return orbit_average(self.model, batch, self.output, elements, self.average.group)


@dataclass(frozen=True)
class Average(Method):
    """Averages predictions over a group at test time; the training is that without it.

    Translations of a group are drawn from a normal distribution, which is not uniform: the average has those of the
    model only, and the ledger adds the rotations and reflections of the group about the origin.

    Args:
        group: name of the group, e.g. ``"SO(3)"``.
        num: random elements for each sample; 0: all elements of a finite group.
    Raises: ValueError for an unknown group, a negative number, or 0 with a group that is not finite.
    """

    group: str
    num: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        self.average()

    def average(self) -> OrbitAverage:
        """The average over the group that predictions take."""
        return OrbitAverage(parse_group(self.group), self.num)

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The average has the symmetry of its group, exactly if it is over all elements; see `averaged_symmetry`."""
        if view != AVERAGED:
            return before
        over = parse_group(self.group).without_translations()
        if not isinstance(before.effective, Group):
            raise ValueError(f"an average over {over} is for clouds: the ledger says {before.effective.name}")
        if over.dim != before.effective.dim:
            raise ValueError(
                f"group {self.group!r} acts on R^{over.dim}, the model on R^{before.effective.dim}"
                + ("; C4(z) is C4 about an axis" if over.dim == 2 else "")
            )
        found, reason = averaged_symmetry(before.effective, over)
        exactly = None
        if self.num == 0:
            kept = before.claimed_exactly
            exactly = averaged_symmetry(kept, over)[0] if isinstance(kept, Group) else over
        is_exact = exactly is not None and found.is_subgroup(exactly)
        exact_part = None if is_exact else exactly
        how = "all elements" if self.num == 0 else f"{self.num} random elements, so approximately"
        reasons = (*before.reasons, f"predictions are averaged over {how} of {self.group}: {reason}")
        return replace(before, effective=found, reasons=reasons, exact=is_exact, exact_part=exact_part)
