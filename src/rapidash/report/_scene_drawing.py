"""Samples as a picture that can be turned: an SVG of its own, which the script of the page turns under the pointer."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from rapidash.generate import SHOWN_DATA, SHOWN_SAMPLES
from rapidash.report._chart_types import Drawing
from rapidash.report._svg import document, svg_head, svg_text
from rapidash.study import Run, StudySummary

_CELL, _LEFT, _MOST, _FEW_POINTS = 150.0, 190.0, 6, 64
_INK, _BOND = "#16191d", "#8a929b"
_ELEMENTS: Final = {  # color and radius in angstrom
    "H": ("#ffffff", 0.28),
    "C": ("#4a4f57", 0.42),
    "N": ("#2f5fd0", 0.42),
    "O": ("#d03030", 0.42),
    "F": ("#2f9e44", 0.40),
}
_OTHER: Final = ("#1f5fbf", 0.42)


def scene_drawing(summary: StudySummary) -> Drawing | None:
    """The first samples of the first run of every variant, below some training data; None where records have none."""
    rows = list(_rows(summary))
    if not rows:
        return None
    data = next((clouds for run in summary.study.runs for clouds in [_clouds(run, SHOWN_DATA)] if clouds), [])
    rows = [("training data", data), *rows] if data else rows
    lead = "The first finite samples of the first seed, not the best. Lines between atoms are bonds by length."
    y, parts = svg_head("Samples", lead)
    reach = max(abs(value) for _, clouds in rows for cloud in clouds for point in cloud["points"] for value in point)
    width = _LEFT + _CELL * max(len(clouds) for _, clouds in rows)
    for name, clouds in rows:
        parts += [svg_text(10, y + _CELL / 2 + 14 * place, line) for place, line in enumerate(_lines(name))]
        for place, cloud in enumerate(clouds):
            parts.append(_cloud(cloud, _LEFT + _CELL * (place + 0.5), y + _CELL / 2, 0.46 * _CELL / max(reach, 1e-9)))
        y += _CELL
    told = "Drag, or use the arrow keys, to turn all of them together."
    return Drawing("samples", "Samples to turn", told, document("Samples", width + 10, y + 10, parts))


def _rows(summary: StudySummary) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    for variant in summary.variants:
        for run in sorted(variant.finished, key=lambda run: run.seed):
            if clouds := _clouds(run, SHOWN_SAMPLES):
                yield f"{variant.letter} {variant.name}", clouds
                break


def _clouds(run: Run, name: str) -> list[Mapping[str, Any]]:
    for scene in run.get("scenes") or ():
        if scene.get("name") == name and scene.get("clouds"):
            clouds = [cloud for cloud in scene["clouds"] if cloud.get("points")]
            few = max(len(cloud["points"]) for cloud in clouds) > _FEW_POINTS if clouds else False
            return clouds[: _MOST // 2 if few else _MOST]
    return []


def _lines(name: str, most: int = 24) -> list[str]:
    lines = [""]
    for word in name.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if len(longer) <= most else [*lines, word]
    return lines


def _cloud(cloud: Mapping[str, Any], x: float, y: float, scale: float) -> str:
    """A group of lines and disks at the pose of the data, and what the script needs to draw it at another one."""
    points: Sequence[Sequence[float]] = cloud["points"]
    elements = list(cloud.get("elements") or [])
    looks = [_ELEMENTS.get(element, _OTHER) for element in elements] or [_OTHER] * len(points)
    bonds = [pair for pair in cloud.get("bonds") or [] if len(pair) == 2 and max(pair) < len(points)]
    size = 1.0 if elements else 0.35
    spots: list[tuple[Any, ...]] = [
        (*point[:3], look[0], size * look[1]) for point, look in zip(points, looks, strict=False)
    ]
    given = {
        "points": [list(spot[:3]) for spot in spots],
        "colors": [spot[3] for spot in spots],
        "radii": [round(spot[4], 3) for spot in spots],
        "bonds": bonds,
        "scale": round(scale, 4),
    }
    drawn = [(spots[i][2] / 2 + spots[j][2] / 2 - 1e-3, _line(spots[i], spots[j], scale)) for i, j in bonds]
    drawn += [(spot[2], _disk(spot, scale)) for spot in spots]
    shapes = "".join(shape for _, shape in sorted(drawn, key=lambda one: one[0]))
    place = f'transform="translate({x:.1f} {y:.1f})"'
    return f'<g class="turns" {place} data-cloud={quoteattr(json.dumps(given, separators=(",", ":")))}>{shapes}</g>'


def _line(one: Sequence[Any], other: Sequence[Any], scale: float) -> str:
    ends = f'x1="{scale * one[0]:.1f}" y1="{-scale * one[1]:.1f}" x2="{scale * other[0]:.1f}"'
    return f'<line {ends} y2="{-scale * other[1]:.1f}" stroke="{_BOND}" stroke-width="{max(1.0, 0.14 * scale):.1f}"/>'


def _disk(spot: Sequence[Any], scale: float) -> str:
    at = f'cx="{scale * spot[0]:.1f}" cy="{-scale * spot[1]:.1f}" r="{max(1.5, scale * spot[4]):.1f}"'
    return f'<circle {at} fill="{spot[3]}" stroke="{_INK}" stroke-width="0.7"/>'
