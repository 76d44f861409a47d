"""The section of a study of autoencoders on images with known factors: scores, traversals, and motions of latents."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rapidash.learn import (
    ACTIVE,
    DCI_NAMES,
    EXPLAINED,
    FACTOR_VAE,
    HESSIAN,
    MIG,
    MOTION_UNITS,
    MOTIONS,
    NEXT_IMAGE,
    PERIODICITY,
    TRAVERSALS,
    WHOLE_TURN,
    by_latent_of,
)
from rapidash.report import _format as fmt
from rapidash.report._chart_types import Drawing
from rapidash.report._figure_table import Figures, against_neighbors, figure_table, variants_with
from rapidash.report._phrases import means
from rapidash.report._sections import Section
from rapidash.report._svg import document, svg_head, svg_line, svg_text
from rapidash.study import Estimate, Run, StudySummary, VariantSummary

RECONSTRUCTION, DIVERGENCE = "reconstruction (nats)", "KL (nats)"  # of `rapidash.learn.VariationalBound`
_TITLES = {
    MIG: "MIG",
    FACTOR_VAE: FACTOR_VAE,
    **{name: name for name in DCI_NAMES},
    ACTIVE: "active latents",
    RECONSTRUCTION: RECONSTRUCTION,
    DIVERGENCE: DIVERGENCE,
    HESSIAN: HESSIAN,
}
_CELL, _ARROWS, _REACH, _ZOOM = 130.0, (-4.0, -2.0, 0.0, 2.0, 4.0), 6.0, 2
_INK = "#16191d"


class _Drawn(NamedTuple):
    """A variant, the run of it that is drawn, its figures after training by name, and its picture."""

    variant: VariantSummary
    run: Run
    figures: Mapping[str, float]
    png: str


def lie_vae_section(summary: StudySummary) -> Section | None:
    """Disentanglement, traversals and the motions of latents; None for a study that did not measure them."""
    known = variants_with(summary, MIG)
    if not known:
        return None
    return Section(
        "Factors and latents",
        "How the mean codes of training and validation images, together, go with the factors from which the images "
        "were made: MIG is how far the first latent is ahead of the second in what it knows of a factor, the FactorVAE "
        "score and the three of DCI (from random forests) are shares, all 1 at best. Reconstruction and divergence "
        f"from the prior are those of test images. {means(summary)}.",
        *figure_table(summary, known, _TITLES),
        [*_untrained(summary), *against_neighbors(summary, known, MIG, "MIG"), *_periods(summary, known)],
        drawings=[drawing for runs in _levels(summary).values() for drawing in (_traversals(runs), _motions(runs))],
    )


def _untrained(summary: StudySummary) -> Iterator[str]:
    """The score of random codes, which few samples and many bins make more than 0."""
    values = {
        variant.name: figure.moments["before"].mean
        for variant in summary.variants
        for figure in variant.figures
        if figure.name == MIG and not figure.view and "before" in figure.moments
    }
    if values:
        low, high = min(values.values()), max(values.values())
        yield f"Untrained networks have a MIG of {fmt.number(low)} to {fmt.number(high)}."


def _periods(summary: StudySummary, known: Figures) -> Iterator[str]:
    """The image after as many steps as a periodic factor has levels."""
    for name, figures in known.items():
        for figure, turn in figures.items():
            if not figure.startswith(f"{WHOLE_TURN}, "):
                continue
            factor = figure.removeprefix(f"{WHOLE_TURN}, ")
            step, period = (figures.get(f"{what}, {factor}") for what in (NEXT_IMAGE, PERIODICITY))
            text = f"{name}: the code moved by a step of {factor} misses the image there by {_mean(step)} deviations, "
            text += f"by a whole turn its own by {_mean(turn)}"
            text += f"; the learned element of a whole turn is {_mean(period)} of the way off" if period else ""
            yield f"{text}."


def _mean(found: Estimate | None) -> str:
    return fmt.NOTHING if found is None else fmt.number(found.mean, 2)


def _levels(summary: StudySummary) -> dict[str, list[_Drawn]]:
    """By level in words, for every variant its first run that has a picture."""
    found: dict[str, list[_Drawn]] = {}
    for variant in summary.variants:
        for run in sorted(variant.finished, key=lambda run: run.seed):
            pictures = run.get("pictures")
            named = [one for one in pictures or () if one.get("name") == TRAVERSALS and one.get("moment") == "after"]
            if named:
                figures = {m["name"]: m["value"] for m in run.measurements if m["moment"] == "after"}
                found.setdefault(variant.level_text, []).append(_Drawn(variant, run, figures, "".join(named[0]["png"])))
                break
    return found


def _title(what: str, runs: Sequence[_Drawn]) -> tuple[str, str]:
    """Slug and title of a drawing of a level."""
    level = runs[0].variant.level_text
    title = f"{what}, {level}" if level else what
    return "".join(sign if sign.isalnum() else "-" for sign in f"lie vae {title}".lower()), title


def _traversals(runs: Sequence[_Drawn]) -> Drawing:
    """The pictures of the records side by side."""
    slug, title = _title("Traversals", runs)
    lead = (
        "A row for each latent, the one that varies most first: the image of one code of the data with this latent at "
        "seven places from its least to its largest value, and the derivative there (gray: no change). The first "
        "seed of each variant."
    )
    width, height = (_ZOOM * size for size in _png_size(runs[0].png))
    columns = max(1, int(960 / (width + 24)))
    y, parts = svg_head(title, lead)
    for place, run in enumerate(runs):
        x, top = 10 + (place % columns) * (width + 24), y + (place // columns) * (height + 34)
        parts.append(svg_text(x, top + 14, f"{run.variant.letter} {run.variant.variant}, seed {run.run.seed}"))
        parts.append(
            f'<image x="{x:g}" y="{top + 20:g}" width="{width}" height="{height}" style="image-rendering:pixelated" '
            f'href="data:image/png;base64,{run.png}"/>'
        )
    bottom = y + math.ceil(len(runs) / columns) * (height + 34)
    return Drawing(slug, title, lead, document(title, 1000, bottom + 10, parts))


def _png_size(png: str) -> tuple[int, int]:
    """Width and height of a picture in base64."""
    header = base64.b64decode(png[:32])
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


def _motions(runs: Sequence[_Drawn]) -> Drawing:
    """The mean vector field about the shape's middle of the latent that knows most of each factor."""
    slug, title = _title("Motions of the image plane", runs)
    lead = (
        "The affine vector field about the middle of the shape that the change of the image looks most like, for the "
        "latent that knows most of each factor; 8 x 8 pixels, each field on a scale of its own. Below it its largest "
        "motion per unit of the latent, and the share of the change that affine motions explain. The first seed of "
        "each variant."
    )
    start = by_latent_of(EXPLAINED, "")
    factors = list(dict.fromkeys(n.removeprefix(start) for run in runs for n in run.figures if n.startswith(start)))
    y, parts = svg_head(title, lead)
    parts += [svg_text(230 + _CELL * place, y + 12, factor, bold=True) for place, factor in enumerate(factors)]
    y += 18
    for row, run in enumerate(runs):
        top = y + row * (_CELL + 44)
        parts.append(svg_text(10, top + _CELL / 2, f"{run.variant.letter} {run.variant.variant}"))
        for place, factor in enumerate(factors):
            speeds = [run.figures.get(by_latent_of(name, factor)) for name in MOTIONS]
            if None in speeds:
                continue
            known = [float(speed) for speed in speeds if speed is not None]
            parts += _field(known, 230 + _CELL * (place + 0.42), top + _CELL / 2)
            parts += [
                svg_text(230 + _CELL * place, top + _CELL + 14 + 14 * line, text, size=10)
                for line, text in enumerate(_words(known, run.figures.get(by_latent_of(EXPLAINED, factor))))
            ]
    width = max(760.0, 250 + _CELL * len(factors))
    return Drawing(slug, title, lead, document(title, width, y + len(runs) * (_CELL + 44) + 10, parts))


def velocity(speeds: Sequence[float], x: float, y: float) -> tuple[float, float]:
    """The field of `rapidash.learn.affine_transport` at a place relative to the middle of the shape."""
    along_x, along_y, turn, scaling, stretch, shear = speeds
    return (
        along_x - turn * y + (scaling + stretch) * x + shear * y,
        along_y + turn * x + (scaling - stretch) * y + shear * x,
    )


def _field(speeds: Sequence[float], x: float, y: float) -> list[str]:
    """Arrows on a grid, the longest as long as the grid is wide."""
    places = [(right, down) for down in _ARROWS for right in _ARROWS]
    found = [velocity(speeds, *place) for place in places]
    longest = max(math.hypot(*one) for one in found)
    pixel = 0.45 * _CELL / _REACH
    parts = []
    for (right, down), (u, v) in zip(places, found):
        scale = 1.8 * pixel / longest if longest > 0 else 0.0
        left, top = x + pixel * right, y + pixel * down
        parts.append(svg_line(left, left + scale * u, top, top + scale * v, _INK, width=1.4))
        parts.append(f'<circle cx="{left + scale * u:.1f}" cy="{top + scale * v:.1f}" r="1.8" fill="{_INK}"/>')
    return parts


def _words(speeds: Sequence[float], explained: float | None) -> tuple[str, str]:
    """The motion that moves the rim of the shape most, and the explained share."""
    reach = (1.0, 1.0, 4.0, 4.0, 4.0, 4.0)  # a radian moves a point that is 4 pixels out by 4 pixels
    largest = max(range(len(MOTIONS)), key=lambda index: abs(speeds[index]) * reach[index])
    unit = "" if MOTION_UNITS[largest] == "1" else f" {MOTION_UNITS[largest]}"
    share = fmt.NOTHING if explained is None else fmt.percent(explained)
    return f"{MOTIONS[largest]} {fmt.signed(speeds[largest], 2)}{unit}", f"explained {share}"
