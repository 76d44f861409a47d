"""The plots of the page as files: standalone SVG of a fixed size, with its labels, its legend and its own colors."""

import re
import textwrap
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from rapidash.report._chart_types import Mark, Row, RowChart, Span, XYChart
from rapidash.report._colors import COLORS

_LABEL, _PLOT, _VALUE = 230.0, 420.0, 230.0  # widths of the columns of a row chart
_LEFT, _WIDTH, _HEIGHT = 70.0, 640.0, 340.0  # of the plot with two axes
_LINE: Final = 15.0  # height of a line of text
_CHARACTERS: Final = 32  # of a line in the columns of text
_SOFT, _GRID, _INK = "#565d66", "#e4e7eb", "#16191d"
_DASHES: Final = ("", "7 4", "2 3")
_CONTROL: Final = re.compile(r"[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML cannot hold


def row_svg(chart: RowChart) -> str:
    """A row chart as SVG: label, marks and value of every row on one axis."""
    y, parts = svg_head(chart.title, chart.lead)
    x0 = 10 + _LABEL
    parts.append(_key(chart.key, y))
    y += 1.6 * _LINE
    top = y
    for row in chart.rows:
        label = [] if row.continued else _wrapped(row.label)
        note, value = _wrapped(row.note), _wrapped(row.value)
        height = max(30.0, _LINE * max(len(label) + len(note), len(value)) + 8)
        color, middle = _color(row.color), y + height / 2
        if not row.continued:
            parts += [svg_line(10, x0 + _PLOT + _VALUE, y, y, _GRID), _badge(18, y + 14, row.letter, color)]
        parts += [svg_text(32, y + 18 + _LINE * place, line) for place, line in enumerate(label)]
        parts += [
            svg_text(32, y + 18 + _LINE * (len(label) + place), line, fill=_SOFT, size=11)
            for place, line in enumerate(note)
        ]
        parts += [svg_text(x0 + _PLOT + 14, y + 18 + _LINE * place, line, size=11) for place, line in enumerate(value)]
        parts.append(_marks(row, x0, middle, color))
        y += height
    ends = (top, y)
    grid = [svg_line(x0 + _PLOT * x / 100, x0 + _PLOT * x / 100, *ends, _GRID) for x, _ in chart.ticks]
    if chart.zero is not None:
        grid.append(svg_line(x0 + _PLOT * chart.zero / 100, x0 + _PLOT * chart.zero / 100, *ends, _INK))
    parts += [svg_text(x0 + _PLOT * x / 100, y + 16, label, anchor="middle", fill=_SOFT) for x, label in chart.ticks]
    parts.append(svg_text(x0 + _PLOT / 2, y + 34, chart.axis, anchor="middle", fill=_SOFT))
    return document(chart.title, x0 + _PLOT + _VALUE + 10, y + 46, [*grid, *parts])


def xy_svg(chart: XYChart) -> str:
    """A chart over two axes as SVG: lines, bands and points, and below them its legend with the values."""
    y, parts = svg_head(chart.title, chart.lead)
    parts.append(svg_text(10, y, chart.y_axis, fill=_SOFT))
    top = y + 0.8 * _LINE
    bottom, right = top + _HEIGHT, _LEFT + _WIDTH
    for at, label in chart.y.ticks:
        place = bottom - _HEIGHT * at / 100
        parts += [
            svg_line(_LEFT, right, place, place, _GRID),
            svg_text(_LEFT - 8, place + 4, label, anchor="end", fill=_SOFT),
        ]
    for at, label in chart.x.ticks:
        place = _LEFT + _WIDTH * at / 100
        parts += [
            svg_line(place, place, top, bottom, _GRID),
            svg_text(place, bottom + 18, label, anchor="middle", fill=_SOFT),
        ]
    parts += [svg_line(_LEFT, right, bottom, bottom, _SOFT), svg_line(_LEFT, _LEFT, top, bottom, _SOFT)]
    for s in chart.series:
        color, dash = _color(s.color), _DASHES[(s.color // len(COLORS)) % len(_DASHES)]
        if s.band:
            parts.append(f'<path d="{_scaled(s.band, top)}" fill="{color}" fill-opacity="0.13"/>')
        if s.line:
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            parts.append(f'<path d="{_scaled(s.line, top)}" fill="none" stroke="{color}" stroke-width="2"{dashed}/>')
    intervals, badges = [], []
    for s in chart.series:
        for point in s.points:
            x = _LEFT + _WIDTH * point.x / 100 + point.shift
            low, mean, high = (top + _HEIGHT * value / 100 for value in (point.low, point.y, point.high))
            intervals.append(svg_line(x, x, low, high, _color(s.color), width=2))
            badges.append(_badge(x, mean, point.letter or s.letter, _color(s.color), tip=point.tip))
    parts += [*intervals, *badges]
    parts.append(svg_text(_LEFT + _WIDTH / 2, bottom + 38, chart.x_axis, anchor="middle", fill=_SOFT))
    y = bottom + 64
    for s in chart.series:
        lines = textwrap.wrap(_clean(f"{s.label}: {s.value}" if s.value else s.label), 90)
        parts.append(_badge(_LEFT + 8, y - 4, s.letter, _color(s.color)))
        parts += [svg_text(_LEFT + 24, y + _LINE * place, line) for place, line in enumerate(lines)]
        y += _LINE * len(lines) + 6
    return document(chart.title, right + 30, y, parts)


def svg_head(title: str, lead: str) -> tuple[float, list[str]]:
    """Title and lead, and where what follows begins."""
    lines = textwrap.wrap(_clean(lead), 120)
    parts = [svg_text(10, 22, _clean(title), size=15, bold=True)]
    parts += [svg_text(10, 42 + _LINE * place, line, fill=_SOFT, size=11) for place, line in enumerate(lines)]
    return 48 + _LINE * len(lines), parts


def _key(key: Sequence[tuple[str, str]], y: float) -> str:
    x, parts = 18.0, []
    for kind, meaning in key:
        parts += [_shape(kind, x + 6, y, _SOFT), svg_text(x + 24, y + 4, meaning, fill=_SOFT, size=11)]
        x += 40 + 6.2 * len(meaning)
    return "".join(parts)


def _marks(row: Row, x0: float, middle: float, color: str) -> str:
    has_seeds = any(mark.kind == "seed" for mark in row.marks)
    y = middle + (5 if has_seeds else 0)
    parts = [_span(span, x0, y, color) for span in row.spans]
    parts += [_mark(mark, x0, middle - 8 if mark.kind == "seed" else y, color, row.label) for mark in row.marks]
    return "".join(parts)


def _span(span: Span, x0: float, y: float, color: str) -> str:
    left, right = (x0 + _PLOT * end / 100 for end in (span.left, span.right))
    if span.kind != "interval":
        return svg_line(left, right, y, y, color, width=2, opacity=0.55)
    ends = [
        f'<path d="M{x + bend:.1f} {y - 5:.1f}L{x:.1f} {y:.1f}L{x + bend:.1f} {y + 5:.1f}" fill="none" '
        f'stroke="{color}" stroke-width="2"/>'
        for x, bend in ((left, 5 if span.open_left else 0), (right, -5 if span.open_right else 0))
    ]
    return svg_line(left, right, y, y, color, width=2) + "".join(ends)


def _mark(mark: Mark, x0: float, y: float, color: str, label: str) -> str:
    shape = _shape(mark.kind, x0 + _PLOT * mark.x / 100, y, color)
    return f"<g><title>{escape(_clean(f'{label}: {mark.tip}'))}</title>{shape}</g>"


def _shape(kind: str, x: float, y: float, color: str) -> str:
    if kind == "seed":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}" fill-opacity="0.7"/>'
    if kind == "hollow":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="#ffffff" stroke="{color}" stroke-width="2.2"/>'
    if kind == "interval":
        return svg_line(x - 9, x + 9, y, y, color, width=2)
    return f'<path d="M{x:.1f} {y - 7:.1f}l6 7-6 7-6-7Z" fill="{color}" stroke="#ffffff"/>'


def _badge(x: float, y: float, letter: str, color: str, tip: str = "") -> str:
    title = f"<title>{escape(_clean(tip))}</title>" if tip else ""
    text = svg_text(x, y + 4, letter, anchor="middle", fill="#ffffff", size=11, bold=True)
    return f'<g>{title}<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="{color}" stroke="#ffffff"/>{text}</g>'


def svg_line(x1: float, x2: float, y1: float, y2: float, color: str, *, width: float = 1, opacity: float = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width:g}" '
        f'stroke-opacity="{opacity:g}"/>'
    )


def svg_text(
    x: float, y: float, text: str, *, anchor: str = "start", fill: str = _INK, size: int = 12, bold: bool = False
) -> str:
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}"{weight}>'
        f"{escape(_clean(text))}</text>"
    )


def document(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    name = quoteattr(_clean(title))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={name} font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def _scaled(path: str, top: float) -> str:
    """A path in per cent of the plot in the units of the file."""

    def moved(found: re.Match[str]) -> str:
        return f"{_LEFT + _WIDTH * float(found[1]) / 100:.2f} {top + _HEIGHT * float(found[2]) / 100:.2f}"

    return re.sub(r"(-?[\d.]+) (-?[\d.]+)", moved, path)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(_clean(text), _CHARACTERS)


def _clean(text: str) -> str:
    """A text without what XML cannot hold."""
    return _CONTROL.sub("", text)


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]
