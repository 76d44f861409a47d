"""The rule that names a variant from a race and what was found in the data: a small, frozen piece.

Its coefficients are data, with the place where they were chosen. The cells on which they were chosen, and those on
which the rule was tried afterwards, are in `rapidash.advise._cells`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rapidash.advise._outlook import probability_of_best

Values = NDArray[np.float64]
Preference = Literal["never", "uniform", "silent", "always"]
"""When more symmetry is preferred among variants that cannot be told apart: never; where poses are uniform; where the
pose is not seen to tell about the target beyond the shape; always."""


@dataclass(frozen=True)
class Rule:
    """The variant with the least expected error, unless one of the last round is as good and more symmetric.

    Those that left earlier cannot be as good: their errors are so uncertain that most of them would be.

    Args:
        ties: standard errors of the difference from the least error within which a variant is as good.
        prefers: when the most symmetric of those is named.
        transfer: standard deviation by which the logarithm of a ratio of errors changes from one round to the next.
        fitted_on: where the coefficients were chosen.
    """

    ties: float
    prefers: Preference
    transfer: float
    fitted_on: str

    def name(
        self,
        draws: Mapping[str, Values],
        symmetry: Mapping[str, float],
        says: Mapping[str, str],
        finalists: Collection[str],
    ) -> str:
        """The variant to train.

        Args:
            draws: by variant, draws of the logarithm of its error, see `rapidash.advise.expected_errors`.
            symmetry: by variant, how much of it is built in.
            says: by question, the answer of the diagnosis.
            finalists: the variants of the last round.
        Raises: ValueError for no variant.
        """
        if not draws:
            raise ValueError("the rule needs at least one variant")
        means = {name: float(values.mean()) for name, values in draws.items()}
        best = min(means, key=lambda name: means[name])
        if not self._prefers_symmetry(says):
            return best
        equal = [name for name in draws if name in finalists and self._is_as_good(draws[name], draws[best])]
        return max([best, *equal], key=lambda name: (symmetry[name], -means[name]))

    def _is_as_good(self, values: Values, best: Values) -> bool:
        difference = values - best
        return float(difference.mean()) <= self.ties * float(difference.std())

    def _prefers_symmetry(self, says: Mapping[str, str]) -> bool:
        match self.prefers:
            case "never":
                return False
            case "uniform":
                return says.get("pose") == "no"
            case "silent":
                return "yes" not in (says.get("pose beyond shape"), says.get("vertical"), says.get("direction"))
            case _:
                return True


RULE: Final = Rule(
    ties=0.0,
    prefers="never",
    transfer=0.3,
    fitted_on=(
        "12 cells of 5 data sets, trainings of 8 s (rapidash advise --trial fit): none "
        "of 13 had less regret; logarithms of ratios changed by 0.26 and 0.41 over one and two rounds"
    ),
)


def runner_up(draws: Mapping[str, Values], named: str) -> str | None:
    """The variant beside the named one that is most often the best; None where there is no other."""
    others = {name: share for name, share in probability_of_best(draws).items() if name != named}
    return max(others, key=lambda name: (others[name], -float(draws[name].mean())), default=None)
