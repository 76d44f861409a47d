"""Advice as a value: the variant to train, and why."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from rapidash._plain import to_plain
from rapidash._version import __version__
from rapidash.advise._finding import Finding
from rapidash.advise._numbers import duration, number, unit_words
from rapidash.advise._outlook import Curve, Range
from rapidash.advise._rule import Rule
from rapidash.advise._words import Said, depends_on_place, in_words

SCHEMA: Final = 1


@dataclass(frozen=True)
class Row:
    """A variant in the race.

    Args:
        name: of the variant.
        group: the symmetry that it keeps with its inputs and methods.
        symmetry: how much of it, see `rapidash.advise.amount_of_symmetry`.
        by_round: mean validation error in each round, None where it was not raced.
        expected: after a training as long as the last ones, on all data; None for one that was not raced.
        probability: of having the least error among all.
        turned: expected error on turned validation clouds.
        seconds_per_step: of a training.
        steps: of its longest training.
        note: when and why it left; empty for one of the last round.
    """

    name: str
    group: str
    symmetry: float
    by_round: tuple[float | None, ...] = ()
    expected: Range | None = None
    probability: float = 0.0
    turned: Range | None = None
    seconds_per_step: float = 0.0
    steps: int = 0
    note: str = ""


@dataclass(frozen=True)
class Advice:
    """The variant to train, and why.

    Args:
        task, metric, unit, target: of what is learned.
        minutes, seconds: asked for, and used.
        num_train, num_val, num_points: clouds, and the sizes of the training clouds in words.
        findings: of the diagnosis.
        rounds: share of the data in each round.
        rows: the variants, the best first.
        variant: the advice.
        probability: that it has the least error of all.
        runner_up: the variant that is next most often the best; None where only one was raced.
        same: the variants that cannot be told from it.
        measured: expected error after a training as long as the last of the race.
        expected: after one that is `LONGER` times as long, on all data.
        train_seconds, steps: of that training.
        best_turned: the variant with the least error on turned clouds.
        data_curves, time_curves: of the two best variants.
        changes: what would change the advice.
        cautions: what these data and this race do not show.
        rule: which rule named the variant.
        settings: of the training.
        constant: the error of a prediction that sees no cloud; None where the task does not say it.
    """

    task: str
    metric: str
    unit: str
    target: str
    minutes: float
    seconds: float
    num_train: int
    num_val: int
    num_points: str
    findings: tuple[Finding, ...]
    rounds: tuple[float, ...]
    rows: tuple[Row, ...]
    variant: str
    probability: float
    runner_up: str | None
    same: tuple[str, ...]
    measured: Range
    expected: Range
    train_seconds: float
    steps: int
    best_turned: str
    data_curves: tuple[Curve, ...]
    time_curves: tuple[Curve, ...]
    changes: tuple[Said, ...]
    cautions: tuple[str, ...]
    rule: Rule
    settings: Mapping[str, Any]
    constant: float | None = None

    def __getitem__(self, name: str) -> Row:
        """The row of a variant. Raises: KeyError for another name."""
        return {row.name: row for row in self.rows}[name]

    @property
    def headline(self) -> str:
        """The advice in a few sentences; first of all what makes it none: nothing learned, or nothing told apart."""
        if self.constant is None or self.measured.high < self.constant:
            return self._advised
        nothing = f"a prediction that sees no cloud does about as well ({number(self.constant)})"
        if depends_on_place(self.findings):
            return (
                "The target depends on the absolute position of the clouds, which no network of the race sees, and "
                f"{nothing}: give it to a network as an input (in the documentation: A position that matters). Of "
                f"those raced: {self._advised}"
            )
        return f"Nothing is clearly learned in {self.minutes:g} min: {nothing}. {self._advised}"

    @property
    def _advised(self) -> str:
        unit = f" {unit_words(self.unit)}".rstrip()
        expected = (
            f"expect {self.metric} {in_words(self.expected)}{unit} on new clouds after "
            f"{duration(self.train_seconds)} of training on all {self.num_train} clouds."
        )
        if self.runner_up is None:
            return (
                f"Only {self.variant} could be raced in {self.minutes:g} min, so nothing is compared; the reasons "
                f"stand beside the other variants. Of this one {expected}"
            )
        num = sum(row.expected is not None for row in self.rows)
        trained = f"{self[self.variant].steps} steps" if self[self.variant].steps else "the race"
        chance = f"In trainings of {trained} it is the best of {num} with probability {self.probability:.2f}"
        if len(self.same) == num - 1:
            return (
                f"No variant can be told from another by {self.num_val} validation clouds in {self.minutes:g} min. "
                f"If one must be trained, take {self.variant}: {expected} Next is {self.runner_up}; what other data of "
                "this kind want stands in the documentation (From kind of data to variant)."
            )
        first = f"Train {self.variant}: {expected}"
        if self.same:
            others = f"{len(self.same)} other{'s' if len(self.same) > 1 else ''} cannot be told from it"
            return f"{first} {chance}; {others} by {self.num_val} validation clouds; next is {self.runner_up}."
        return f"{first} {chance}, before {self.runner_up}."

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in ``advice.json``."""
        return {"schema": SCHEMA, "rapidash": __version__, "headline": self.headline, **plain_values(asdict(self))}


def plain_values(value: Any) -> Any:
    """Plain JSON values: keys as text, and None for a number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return to_plain(value)
