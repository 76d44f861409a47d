"""The page about one model's symmetry: errors by group, over axes and angles, and at every point of a cloud."""

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._files import atomic_write
from rapidash._version import __version__
from rapidash.measure import Portrait, Report
from rapidash.report import _format as fmt
from rapidash.report._page import _asset

COLORS: Final = ("#30123b", "#4669db", "#26bce1", "#3ff58b", "#a2fc3c", "#eecf3a", "#fb8022", "#c52c0c", "#7a0403")
SIGNED_COLORS: Final = ("#174a99", "#5f9ddb", "#b9bdc4", "#eb9a53", "#a8380a")  # negative, zero, positive
AXES: Final = (  # name, azimuth, elevation
    ("−x", -180.0, 0.0), ("−y", -90.0, 0.0), ("x", 0.0, 0.0), ("y", 90.0, 0.0), ("z", 0.0, 90.0), ("−z", 0.0, -90.0)
)  # fmt: skip
_FLOOR: Final = 1e-12  # relative errors below are rounding: drawn as zero


def write_measurement(portrait: Portrait, path: Path | str) -> Path:
    """Write the page of a portrait: one file that opens without a network.

    Raises: ImportError naming the extra to install if Jinja2 is missing; OSError if the file cannot be written.
    """
    path = Path(path)
    atomic_write(path, measurement_page(portrait))
    return path


def measurement_page(portrait: Portrait) -> str:
    """The page as one string.

    Raises: ImportError naming the extra to install if Jinja2 is missing.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise ImportError("the page needs Jinja2: pip install 'rapidash[study]'") from error
    environment = Environment(
        loader=PackageLoader("rapidash.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    context = {
        "title": portrait.title,
        "version": __version__,
        "facts": list(portrait.facts.items()),
        "headline": _headline(portrait),
        "sentences": portrait.sentences,
        "source": portrait.source,
        "num_clouds": len(portrait.clouds),
        "unexplained": fmt.percent(portrait.unexplained),
        "severity_note": _severity_note(portrait),
        "clouds": [f"cloud {index} ({len(cloud.points)} points)" for index, cloud in enumerate(portrait.clouds)],
        "is_flat": len(portrait.pitches) == 1,
        "has_point_outputs": portrait.has_point_outputs,
        "has_shares": any(cloud.shares is not None for cloud in portrait.clouds),
        "signed_gradient": ", ".join(SIGNED_COLORS),
        "severity": _severity(portrait),
        "metric": fmt.unit(portrait.metric),
        "unit": portrait.unit,
        "sphere": None if portrait.sphere is None else _sphere(portrait),
        "curve": _curve(portrait),
        "tables": [_table(report) for report in portrait.tables],
        "spectra": [_spectrum(report) for report in portrait.spectra],
        "bars": [_bars(report) for report in portrait.tables if "layer" in report.columns],
        "gradient": ", ".join(COLORS),
        "style": Markup(_asset("style.css") + _asset("measurement.css")),
        "script": Markup(_asset("measurement.js")),
        "data": Markup(_data(portrait)),
    }
    return environment.get_template("measurement.html.j2").render(context)


def _headline(portrait: Portrait) -> str:
    largest = max(portrait.curve.high)
    if largest < _FLOOR:
        return "Under rotations the model is equivariant to rounding: its defect is zero at every angle measured."
    worst = portrait.curve.degrees[portrait.curve.high.index(largest)]
    return (
        f"When the input turns, the output misses the turned output by up to {fmt.relative_error(largest)} of its size "
        f"(at {fmt.fixed(worst)}°, over {fmt.count(len(portrait.clouds))} {portrait.source})."
    )


def _sphere(portrait: Portrait) -> dict[str, Any]:
    sphere = portrait.sphere
    assert sphere is not None
    values = sphere.error.tolist()
    largest = max(max(row) for row in values)
    cells = [
        {
            "x": column,
            "y": row,
            "color": color(value / largest if largest > _FLOOR else 0.0),
            "tip": f"axis at azimuth {fmt.fixed(azimuth)}°, elevation {fmt.fixed(elevation)}°: "
            f"{fmt.relative_error(value)}",
        }
        for row, elevation in enumerate(sphere.elevations)
        for column, azimuth in enumerate(sphere.azimuths)
        for value in [values[row][column]]
    ]
    step = 180.0 / len(sphere.elevations)
    marks = [{"name": name, "x": (a + 180) / step, "y": (90 - e) / step} for name, a, e in AXES]
    return {
        "degrees": fmt.fixed(sphere.degrees),
        "rows": len(sphere.elevations),
        "columns": len(sphere.azimuths),
        "cells": cells,
        "marks": marks,
        "least": fmt.relative_error(min(min(row) for row in values)),
        "largest": fmt.relative_error(largest),
        "flat": largest <= _FLOOR,
    }


def _curve(portrait: Portrait) -> dict[str, Any]:
    curve, is_polar = portrait.curve, len(portrait.pitches) == 1
    top = max(max(curve.high), _FLOOR)
    place = _polar if is_polar else _cartesian
    points = [place(angle, value / top) for angle, value in zip(curve.degrees, curve.mean)]
    lower = [place(angle, value / top) for angle, value in zip(curve.degrees, curve.low)]
    upper = [place(angle, value / top) for angle, value in zip(curve.degrees, curve.high)]
    return {
        "is_polar": is_polar,
        "line": _path(points, closed=is_polar),
        "band": "" if is_polar else _path([*upper, *reversed(lower)], closed=True),
        "dots": [
            {
                "x": x,
                "y": y,
                "tip": f"{fmt.fixed(angle)}°: mean {fmt.relative_error(mean)}, largest {fmt.relative_error(high)}",
            }
            for (x, y), angle, mean, high in zip(points, curve.degrees, curve.mean, curve.high)
        ],
        "top": fmt.relative_error(top if max(curve.high) > _FLOOR else 0.0),
        "half": fmt.relative_error(0.5 * top if max(curve.high) > _FLOOR else 0.0),
    }


def _severity(portrait: Portrait) -> list[dict[str, Any]]:
    """A small plot per corruption on a common axis; the band is that of the rise, 95 % over clouds."""
    top = max((value for curve in portrait.severity for value in curve.error), default=0.0) or 1.0
    panels = []
    for curve in portrait.severity:
        x = [300 * severity / curve.severities[-1] for severity in curve.severities]
        half = [1.96 * error if math.isfinite(error) else 0.0 for error in curve.rise_standard_error]
        ends = [
            [
                (at, 120 * (1 - min(max(value + sign * wide, 0.0), 1.15 * top) / top))
                for at, value, wide in zip(x, curve.error, half)
            ]
            for sign in (1, -1)
        ]
        points = [(at, 120 * (1 - value / top)) for at, value in zip(x, curve.error)]
        panels.append(
            {
                "name": curve.name,
                "line": _path(points, closed=False),
                "band": _path([*ends[0], *reversed(ends[1])], closed=True),
                "dots": [
                    {"x": x_, "y": y, "tip": f"severity {severity}: {fmt.number(value)}"}
                    for (x_, y), severity, value in zip(points, curve.severities, curve.error)
                ],
                "top": fmt.number(top),
                "half": fmt.number(top / 2),
                "ends": f"{fmt.number(curve.error[0])} {fmt.ARROW} {fmt.number(curve.error[-1])}",
            }
        )
    return panels


def _severity_note(portrait: Portrait) -> str:
    """A note on the errors against severity: how many clouds they are of, and the error without corruption."""
    if not portrait.severity:
        return ""
    first = portrait.severity[0]
    text = f"{fmt.count(first.num_clouds)} {portrait.source}" if first.num_clouds else portrait.source
    if first.standard_error and math.isfinite(first.standard_error[0]):
        text += f"; as they are, {fmt.number(first.error[0])} ± {fmt.number(first.standard_error[0])} (standard error)"
    return text


def _cartesian(angle: float, share: float) -> tuple[float, float]:
    return 300 * angle / 180, 120 * (1 - share)


def _polar(angle: float, share: float) -> tuple[float, float]:
    turn = math.radians(angle)
    return 100 + 90 * share * math.cos(turn), 100 - 90 * share * math.sin(turn)


def _path(points: Sequence[tuple[float, float]], *, closed: bool) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) + ("Z" if closed else "")


def _table(report: Report) -> dict[str, Any]:
    rows = [[_cell(row.get(name)) for name in report.columns] for row in report.rows]
    notes = ", ".join(f"{name} {_cell(value)}" for name, value in report.metadata.items())
    return {"title": report.title, "notes": notes, "columns": report.columns, "rows": rows}


def _bars(report: Report) -> dict[str, Any]:
    """The signed share of each layer, which add up, as bars from a common zero; its size where there are no shares."""
    rows = [row for row in report.rows if row["layer"] != "total"]
    has_shares = bool(rows) and all(row.get("share") is not None for row in rows)
    values = [float(row["share" if has_shares else "contribution"]) for row in rows]
    low, high = min([0.0, *values]), max([0.0, *values])
    span = (high - low) or 1.0
    bars = [
        {
            "name": row["layer"],
            "kind": row.get("class") or "",
            "left": 100 * (min(value, 0.0) - low) / span,
            "width": 100 * abs(value) / span,
            "sign": "less" if value < 0 else "more",
            "value": fmt.percent(value) if has_shares else fmt.number(value),
            "size": fmt.number(float(row["contribution"])) if has_shares else "",
        }
        for row, value in zip(rows, values, strict=True)
    ]
    total = next((row for row in report.rows if row["layer"] == "total"), None)
    return {
        "bars": bars,
        "zero": 100 * -low / span,
        "has_shares": has_shares,
        "total": fmt.percent(sum(values)) if has_shares else "",
        "total_size": "" if total is None else fmt.number(float(total["contribution"])),
        "clouds": report.metadata.get("clouds", ""),
        "unit": report.metadata.get("unit", ""),
    }


def _spectrum(report: Report) -> dict[str, Any]:
    """A map of layers and irreps: each share as a percentage and as the strength of a color, and what breaks."""
    beside = ("layer", "class", "size", "outside", "breaking")
    irreps = [name for name in report.columns if name not in beside]
    rows = []
    for row in report.rows:
        shares = [row.get(name) for name in irreps]
        rows.append(
            {
                "name": row["layer"],
                "kind": row["class"],
                "size": _cell(row["size"]),
                "cells": [(_share(value), round(60 * min(1.0, value or 0.0))) for value in shares],
                "breaking": [_share(row.get(name)) for name in ("outside", "breaking")],
            }
        )
    return {"irreps": irreps, "rows": rows, **{name.replace(" ", "_"): _cell(v) for name, v in report.metadata.items()}}


def _share(value: float | None) -> str:
    if value is None:
        return fmt.NOTHING
    return "0" if value < _FLOOR else fmt.percent(value) if value >= 0.001 else fmt.number(value)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return fmt.number(value) if math.isfinite(value) else fmt.NOTHING
    return fmt.NOTHING if value is None else str(value)


def _data(portrait: Portrait) -> str:
    """Points and defects for the script; defects as bytes, 255 for the largest of the cloud."""
    clouds = []
    for cloud in portrait.clouds:
        centered = cloud.points.double() - cloud.points.double().mean(dim=0)
        radius = float(centered.norm(dim=1).max()) or 1.0
        largest = float(cloud.defect.max())
        has_defect = largest > _FLOOR * max(cloud.output_norm, 1e-300)
        bytes_ = (cloud.defect / (largest if has_defect else math.inf) * 255).round().to(torch.uint8)
        clouds.append(
            {
                "points": _rounded(centered / radius),
                "defect": base64.b64encode(bytes_.numpy().tobytes()).decode(),
                "largest": largest if has_defect else 0.0,
                "norm": cloud.output_norm,
                "shares": None if cloud.shares is None else _signed(cloud.shares),
            }
        )
    payload = {"clouds": clouds, "yaws": portrait.yaws, "pitches": portrait.pitches, "unit": portrait.unit}
    return json.dumps(payload | {"colors": COLORS, "signed": SIGNED_COLORS}).replace("<", "\\u003c")


def _signed(shares: Float[Tensor, "yaw pitch N"]) -> dict[str, Any]:
    """Contributions as bytes, 128 for 0 and 255 for the largest size."""
    largest = float(shares.abs().max())
    bytes_ = (128 + 127 * shares / (largest or math.inf)).round().to(torch.uint8)
    return {
        "bytes": base64.b64encode(bytes_.contiguous().numpy().tobytes()).decode(),
        "largest": largest,
        "rows": shares.shape[0],
        "columns": shares.shape[1],
    }


def _rounded(points: Tensor) -> list[list[float]]:
    return [[round(value, 4) for value in point] for point in points.tolist()]


def color(share: float) -> str:
    """A color for a share in [0, 1] of the largest value."""
    position = min(max(share, 0.0), 1.0) * (len(COLORS) - 1)
    index = min(int(position), len(COLORS) - 2)
    low, high = (tuple(int(code[k : k + 2], 16) for k in (1, 3, 5)) for code in COLORS[index : index + 2])
    mixed = (round(a + (b - a) * (position - index)) for a, b in zip(low, high))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
