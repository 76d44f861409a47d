"""Three sentences on a broken symmetry: its size against the error of the model, whether it matters, what to do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rapidash.measure import CostJudgment, judge_cost
from rapidash.report import _format as fmt

LEFT_OVER: Final = 0.05  # of the error of the whole average, what the advised number of elements may leave
MOST_ELEMENTS: Final = 1000


@dataclass(frozen=True)
class CostFigures:
    """The figures that the sentences say: those of a `rapidash.measure.SymmetryCost`, or their means over seeds.

    Args:
        group: name of the group.
        moved, moved_unit: how far predictions move, root mean square, and the unit of the output.
        relative: ``moved`` over the size of the predictions.
        metric, unit: the error of the task, in words.
        error: over the group.
        cost: what averaging over the whole group would take off it.
        share, low, high: cost over error with its 95 % interval, None without one.
        own: the error in the pose that the data have; ``pose_helps``: whether it is clearly below that of the average.
        elements, is_complete, is_squared: how it was measured, see `rapidash.measure.SymmetryCost`.
        over: what the interval is over, ``"clouds"`` or ``"seeds"``.
    """

    group: str
    moved: float
    moved_unit: str
    relative: float
    metric: str
    unit: str
    error: float
    cost: float
    share: float
    low: float | None
    high: float | None
    own: float
    pose_helps: bool
    elements: int
    is_complete: bool
    is_squared: bool
    over: str

    @classmethod
    def of(cls, found: Mapping[str, Any], *, moved_unit: str, metric: str, unit: str, over: str) -> "CostFigures":
        """From `rapidash.measure.SymmetryCost.to_dict`, units, and what the interval is over."""
        return cls(
            group=found["group"],
            moved=found["moved"],
            moved_unit=moved_unit,
            relative=math.inf if found["relative"] is None else found["relative"],
            metric=metric,
            unit=unit,
            error=found["error"],
            cost=found["cost"],
            share=found["share"],
            low=found["low"],
            high=_at_most_all(found["high"], found["share"]),
            own=found["own_pose"],
            pose_helps=found["pose_helps"],
            elements=found["elements"],
            is_complete=found["complete"],
            is_squared=found["squared"],
            over=over,
        )

    @property
    def judgment(self) -> CostJudgment:
        """Whether it matters."""
        return judge_cost(self.low, self.high, self.relative)

    @property
    def averaged(self) -> float:
        """The error of the average over the group."""
        return self.error - self.cost

    @property
    def enough_elements(self) -> int | None:
        """How many elements leave at most 5 % of the error of the whole average on top of it.

        Of a squared error, K random elements leave cost / K; of another one as many are said as were measured. None
        where it takes more than 1000.
        """
        if self.is_complete or not self.is_squared:
            return self.elements
        if not self.averaged > 0:
            return None
        needed = math.ceil(self.cost / (LEFT_OVER * self.averaged) - 1e-9)  # 5.000000001 is 5
        return max(needed, 2) if needed <= MOST_ELEMENTS else None


def _at_most_all(high: float | None, share: float) -> float | None:
    """The end of an interval of a share: at most 1, since an average has an error of at least 0."""
    return None if high is None else max(share, min(1.0, high))


def cost_sentences(found: CostFigures, remedy: str = "") -> tuple[str, str, str]:
    """The symmetry error against the error of the model, whether it matters, and what to do.

    Args:
        found: the figures.
        remedy: a model that has the symmetry, in words, which is then named where that helps.
    """
    return _size(found), _weight(found), advice(found, remedy)


def _size(found: CostFigures) -> str:
    moved = f"{fmt.number(found.moved)} {_unit(found.moved_unit)}".strip()
    error = f"{fmt.number(found.error)} {_unit(found.unit)}".strip()
    said = f"Under {found.group} the predictions move by {moved} (root mean square; {_relative(found)} of their size)"
    if found.judgment == "exact":
        return f"{said}, which is rounding; the error ({found.metric}) is {error}."
    bounds = f" {_bounds(found)}" if found.low is not None else ""
    return f"{said}, and {fmt.percent(found.share)}{bounds} of the error of {error} ({found.metric}) comes with that."


def _weight(found: CostFigures) -> str:
    over, kept = f"averaging over {found.group}", f"{fmt.number(found.averaged)} {_unit(found.unit)}".strip()
    match found.judgment:
        case "exact":
            return "It does not matter: the model has this symmetry, to rounding."
        case "negligible":
            return f"It does not matter: the whole 95 % interval over {found.over} is below 5 %."
        case "undecided":
            why = f"the 95 % interval over {found.over} reaches to both sides of 5 %"
            why = why if found.low is not None else f"there is no interval over {found.over}"
            return f"Whether it matters cannot be told: {why}."
        case "matters":
            said = f"It matters: {over} would lower the error to {kept}, which is more than 5 %"
        case "dominates":
            said = f"It dominates: {over} would more than halve the error, to {kept}"
    if found.pose_helps:
        own = f"{fmt.number(found.own)} {_unit(found.unit)}".strip()
        return f"{said}; but in the pose that the data have the error is {own}, which is lower still."
    return f"{said}."


def advice(found: CostFigures, remedy: str = "") -> str:
    """The third sentence: nothing, measure more, average, or another model."""
    if found.judgment in ("exact", "negligible"):
        return "Nothing is to be done."
    if found.judgment == "undecided":
        return f"Measure more {found.over} before anything is done."
    train = f"use {remedy}" if remedy else f"train on samples that are moved by {found.group}, or a network that has it"
    posed = "Where new data come in the pose of these, nothing is to be done; else " if found.pose_helps else ""
    number = found.enough_elements
    if number is None:
        said = f"{train}: an average would need more than {MOST_ELEMENTS} elements"
    else:
        count = f"all {number} elements" if found.is_complete else f"{number} elements"
        option = "" if found.is_complete else f" --elements {number}"
        average = f"average at test time (rapidash predict MODEL FILES --average {_word(found.group)}{option})"
        price = f"{count}, so {number} passes for each prediction"
        average = f"{average}: {price}"
        said = "; or ".join((train, average) if found.judgment == "dominates" else (average, train))
    said = f"{posed}{said}."
    return said[:1].upper() + said[1:]


def _relative(found: CostFigures) -> str:
    return fmt.relative_error(found.relative) if math.isfinite(found.relative) else "more than any multiple"


def _bounds(found: CostFigures) -> str:
    assert found.low is not None
    assert found.high is not None
    return f"[{fmt.percent(found.low)}, {fmt.percent(found.high)}]"


def _unit(text: str) -> str:
    return "" if text in ("", "1") else fmt.unit(text)


def _word(name: str) -> str:
    """As one word of a shell."""
    return f'"{name}"' if set(name) & set(" ()") else name
