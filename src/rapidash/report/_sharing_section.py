"""The section on learned sharing: how often the planted partition is found, and the first ones drawn as matrices."""

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidash.learn.sharing import DISTANCE, FIRST, GRADIENT, KNOWN, RECOVERED
from rapidash.report import _format as fmt
from rapidash.report._chart_types import Point, Series, XYChart
from rapidash.report._phrases import estimate_text, means
from rapidash.report._scale import Scale
from rapidash.report._sections import Section
from rapidash.study import Estimate, StudySummary, VariantSummary

_HEAD = ("variant", "test error", "partition distance", "exact recovery (%)", "known group (%)", "gradient norm")
_CASE, _MAPS = "task.case", "/"  # rows of a map stand apart in the text of a sharing


def sharing_section(summary: StudySummary) -> Section | None:
    """The found sharing beside the planted one; None for a study that did not look for any."""
    rows = [row for variant in summary.variants if (row := _row(variant))]
    if not rows:
        return None
    return Section(
        "Learned sharing",
        "Partition distance: how many weights have to be taken away until the sharing that was found and the one that "
        "was planted agree, mean over trials; exact recovery: the share of trials where it is 0. Known group: the "
        "share of trials whose sharing follows the orbits of the group that the problem has; only these are "
        "equivariant, and a sharing close to one is not. Gradient norm: the largest of the training loss where "
        "parameters were fitted; where it is not small a fit has not converged, and its sharing was judged too early. "
        f"{means(summary)}.",
        _HEAD,
        rows,
        (),
        tuple(_charts(summary)),
    )


def _row(variant: VariantSummary) -> tuple[str, ...] | None:
    figures = {figure.name: figure.moments.get("after") for figure in variant.figures if not figure.view}
    if figures.get(DISTANCE) is None:
        return None
    shown = (variant.test, *(figures.get(name) for name in (DISTANCE, RECOVERED, KNOWN)))
    cells = (fmt.NOTHING if found is None else estimate_text(found) for found in shown)
    gradient = figures.get(GRADIENT)
    return (
        f"{variant.letter} {variant.name}",
        *cells,
        fmt.NOTHING if gradient is None else fmt.power_of_ten(max(gradient.values)),
    )


@dataclass(frozen=True)
class _Blocks(Scale):
    """An axis of blocks side by side, each with its name in the middle."""

    names: tuple[tuple[float, str], ...] = ()

    @property
    def labelled_values(self) -> list[tuple[float, str]]:
        """The names in their places."""
        return list(self.names)


def _charts(summary: StudySummary) -> Iterator[XYChart]:
    """For each case whose weights are a map, the sharing of the first trial of the first seed, variant by variant."""
    for case in dict.fromkeys(variant.level.get(_CASE) for variant in summary.variants):
        found = [
            (variant, first)
            for variant in summary.variants
            if variant.level.get(_CASE) == case and _MAPS in (first := _first(variant))
        ]
        if found:
            yield _chart(str(case), found)


def _first(variant: VariantSummary) -> str:
    """The sharing of the first trial of the lowest seed, as a text; empty where the records have none."""
    by_seed: dict[int, str] = {}
    for figure in variant.figures:
        after: Estimate | None = figure.moments.get("after")
        if figure.name == FIRST and not figure.view and after is not None:
            by_seed.update(dict.fromkeys(after.by_seed, figure.group))
    return by_seed[min(by_seed)] if by_seed else ""


def _chart(case: str, found: Sequence[tuple[VariantSummary, str]]) -> XYChart:
    """One matrix for each variant, out x in; a color and a letter for each parameter."""
    matrices = [_numbers(text) for _, text in found]
    height, width = max(map(len, matrices)), max(len(row) for matrix in matrices for row in matrix)
    names = tuple(((width + 1) * place + (width - 1) / 2, variant.letter) for place, (variant, _) in enumerate(found))
    x = _Blocks(-1.0, (width + 1.0) * len(matrices) - 1.0, False, names)
    y = _Blocks(-0.7, height - 0.3, False, tuple((height - 1.0 - row, str(row)) for row in range(height)))
    points: dict[int, list[Point]] = {}
    for place, ((variant, _), matrix) in enumerate(zip(found, matrices)):
        for row, numbers in enumerate(matrix):
            for column, number in enumerate(numbers):
                at = 100 - y(height - 1.0 - row)
                tip = f"{variant.name}: weight {row}, {column} uses parameter {_name(number)}"
                points.setdefault(number, []).append(Point(x((width + 1) * place + column), at, at, at, tip))
    series = tuple(
        Series(number, _name(number), f"parameter {_name(number)}", "", points=tuple(points[number]))
        for number in sorted(points)
    )
    blocks = "; ".join(f"{variant.letter} {variant.variant or variant.name}" for variant, _ in found)
    return XYChart(
        slug=f"sharing-{'-'.join(case.lower().replace(',', '').split())}",
        title=f"The sharing that was found first: {case}",
        lead="The map of the first trial of the lowest seed, a matrix for each variant: weights with the same letter "
        f"share a parameter. Parameters are numbered by their first weight. {blocks}.",
        series=series,
        x=x,
        y=y,
        x_axis="input, variant by variant",
        y_axis="output",
    )


def _name(parameter: int) -> str:
    """A small letter; variants have capital ones."""
    return string.ascii_lowercase[parameter % 26]


def _numbers(text: str) -> list[list[int]]:
    """The rows of `rapidash.learn.sharing.sharing_text`."""
    return [[int(number) for number in (row.split() if " " in row else row)] for row in text.split(_MAPS)]
