"""The section of a study of generators: figures of the samples of every variant and of data, and some to look at."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from rapidash.generate import FLOOR, SAMPLES
from rapidash.generate.metrics import DEVIATIONS
from rapidash.report import _format as fmt
from rapidash.report._phrases import estimate_text, means
from rapidash.report._scene_drawing import scene_drawing
from rapidash.report._sections import Section
from rapidash.study import Estimate, StudySummary, VariantSummary

_ABSENT = "not defined"
_MOST_COLUMNS = 8  # figures; more are rows, with the variants as columns
_NEEDS_RDKIT = "sound (perceived)"
_COPYING = -3.0  # standard deviations below 50 %


class _Found(NamedTuple):
    """A figure over seeds, its unit, the mean ends of its intervals over samples, and the seeds that have no value."""

    value: Estimate
    unit: str
    ends: str
    lost: int = 0


def samples_section(summary: StudySummary) -> Section | None:
    """Figures of generated clouds, by variant; None for a study that did not measure them."""
    found = {variant.name: _figures(variant, SAMPLES) for variant in summary.variants}
    data: dict[str, _Found] = {}
    for variant in summary.variants:
        for name, one in _figures(variant, FLOOR).items():
            data.setdefault(name, one._replace(value=replace(one.value, low=None, high=None)))  # the same for all seeds
    if not any(found.values()):
        return None
    rows = {"training data": data, **{name: figures for name, figures in found.items() if figures}}
    names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    units = {name: one.unit for figures in rows.values() for name, one in figures.items()}
    titles = [f"{name} ({units[name]})" if units[name] not in ("", "1") else name for name in names]
    if len(names) <= _MOST_COLUMNS:
        head = ("", *titles)
        table = [(name, *(_cell(figures, figure) for figure in names)) for name, figures in rows.items()]
    else:
        head = ("", *rows)
        table = [(title, *(_cell(figures, name) for figures in rows.values())) for title, name in zip(titles, names)]
    drawing = scene_drawing(summary)
    return Section(
        "Samples",
        "Clouds that each trained network generates, against test data; what is said of the training data is how near "
        "as many training clouds come to them. The weights were selected by the denoising loss, never by these "
        "figures, and samples that are not finite are counted: they stay in the denominators of shares, and a figure "
        f"that needs all samples is not defined where one of them is lost. {means(summary)}; after "
        "a semicolon the mean 95 % interval over the samples of a run, which is blind to the seed. The order of poses "
        "is 0 where the longest axes of clouds prefer no direction, and a small p-value of turned copies says that "
        "they do; of clouds that differ from their mirror images half are right-handed where left and right are alike.",
        head,
        table,
        list(_notes(summary)),
        drawings=[] if drawing is None else [drawing],
    )


def _notes(summary: StudySummary) -> Iterator[str]:
    """Sentences where figures are missing since RDKit was, and where samples are copies."""
    values = [
        entry["value"]
        for run in summary.study.runs
        for entry in run.measurements
        if entry["name"] in (f"{SAMPLES}{_NEEDS_RDKIT}", f"{FLOOR}{_NEEDS_RDKIT}")
    ]
    if values and all(value is None for value in values):
        yield (
            "Validity, soundness, uniqueness and novelty are absent: they need RDKit, which was not there "
            "(pip install 'rapidash[mol]')."
        )
    for variant in summary.variants:
        copied = [name for name, one in _figures(variant, SAMPLES).items() if _is_copying(name, one)]
        if copied:
            yield (
                f"Samples of {variant.name} are copies: their 1-NNA lies more than 3 standard deviations below 50 % "
                f"({'; '.join(name.partition('(')[2].removesuffix(')') for name in copied)}), so they are nearer to "
                "single test clouds than these are to each other."
            )


def _is_copying(name: str, one: _Found) -> bool:
    return name.startswith(DEVIATIONS) and one.value.mean < _COPYING


def _figures(variant: VariantSummary, prefix: str) -> dict[str, _Found]:
    """By name, the figures with a prefix after training."""
    ends: dict[str, list[tuple[float, float]]] = {}
    lost: dict[str, set[int]] = {}
    for run in variant.finished:
        for entry in run.measurements:
            if entry["value"] is None:
                lost.setdefault(entry["name"], set()).add(run.seed)
            if entry.get("low") is not None and entry.get("high") is not None:
                ends.setdefault(entry["name"], []).append((entry["low"], entry["high"]))
    return {
        figure.name.removeprefix(prefix): _Found(
            figure.moments["after"],
            figure.unit,
            _interval(ends.get(figure.name, [])),
            len(lost.get(figure.name, set()) - figure.moments["after"].by_seed.keys()),
        )
        for figure in variant.figures
        if figure.name.startswith(prefix) and not figure.view and "after" in figure.moments
    }


def _interval(ends: list[tuple[float, float]]) -> str:
    if not ends:
        return ""
    low, high = (sum(column) / len(ends) for column in zip(*ends))
    return fmt.interval(low, high)


def _cell(figures: Mapping[str, _Found], name: str) -> str:
    if name not in figures:
        return _ABSENT
    value, _, ends, lost = figures[name]
    seeds = lost + len(value.by_seed)
    left_out = f"; {_ABSENT} with {lost} of {seeds} seeds, which are left out" if lost else ""
    return estimate_text(value) + (f"; {ends}" if ends else "") + left_out
