"""The parts of a plot, in per cent of its axes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rapidash.report._scale import Scale


@dataclass(frozen=True)
class Mark:
    """One value on a row: a dot per seed, a filled or hollow mark for a mean."""

    x: float
    kind: str  # "seed", "mean", "hollow" or "diamond"
    tip: str


@dataclass(frozen=True)
class Span:
    """A line on a row, from ``left`` to ``right``; an end that leaves the axis is open."""

    left: float
    right: float
    kind: str  # "interval" or "link"
    open_left: bool = False
    open_right: bool = False


@dataclass(frozen=True)
class Row:
    """One line of a row chart: label, marks, and the value in words."""

    color: int
    letter: str
    label: str
    value: str
    marks: tuple[Mark, ...]
    spans: tuple[Span, ...] = ()
    note: str = ""
    continued: bool = False  # a further row of the variant above


@dataclass(frozen=True)
class RowChart:
    """Rows on one common horizontal axis."""

    slug: str
    title: str
    lead: str
    rows: tuple[Row, ...]
    scale: Scale
    axis: str
    key: tuple[tuple[str, str], ...]  # (kind of mark, its meaning)
    zero: float | None = None

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Ticks of the axis."""
        return self.scale.ticks


@dataclass(frozen=True)
class Point:
    """A mean in an XY chart; positions from the left and from the top in per cent.

    ``shift`` pixels to the side keep it off a point that lies at the same place. ``letter`` is that of its row, where
    it is not that of the series.
    """

    x: float
    y: float
    low: float
    high: float
    tip: str
    shift: int = 0
    letter: str = ""


@dataclass(frozen=True)
class Series:
    """One variant in an XY chart: points, and where present a line through them and a band around it."""

    color: int
    letter: str
    label: str
    value: str
    line: str = ""
    band: str = ""
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class XYChart:
    """Series over two axes."""

    slug: str
    title: str
    lead: str
    series: tuple[Series, ...]
    x: Scale
    y: Scale
    x_axis: str
    y_axis: str
    readout: Mapping[str, object] = field(
        default_factory=dict
    )  # values under the pointer: name of x, its range, series


@dataclass(frozen=True)
class Drawing:
    """A picture of another kind than a chart, drawn already: a whole SVG file of a fixed size."""

    slug: str
    title: str
    lead: str
    svg: str
