"""The picture of a study for a README or a paper: test error, rotated test data and equivariance in one row."""

from pathlib import Path
from typing import Any, Final

from rapidash.report._format import unit
from rapidash.report._records import read_study
from rapidash.report._summary import Estimate, StudySummary, VariantSummary, summarize

COLORS: Final = ("#1f5fbf", "#b3410e", "#17734a", "#7b3fc4", "#a8236d", "#6b6000", "#0b6f82", "#5c5f66")
FORMATS: Final = (".svg", ".png", ".pdf")


def figure(study_dir: Path, path: Path) -> Path:
    """Draw the study in ``study_dir`` into ``path``: error by variant with 95 % intervals, rotated data, equivariance.

    Args:
        study_dir: directory with ``study.json`` and ``records/*.json``.
        path: file to write; ``.svg``, ``.png`` or ``.pdf`` by its ending.
    Returns: ``path``.
    Raises: ValueError for another ending, or if no run has a finite test error; ImportError if matplotlib is missing.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"path must end in one of {FORMATS}, got {path.name!r}")
    summary = summarize(read_study(Path(study_dir)))
    shown = [variant for variant in summary.variants if variant.test is not None]
    if not shown:
        raise ValueError(f"{study_dir} has no finished run to draw: look at its report.html for the reasons")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the figure needs matplotlib: pip install 'rapidash[study]'") from error
    with matplotlib.rc_context({"font.size": 9, "svg.hashsalt": "rapidash", "axes.spines.right": False}):
        canvas = Figure(figsize=(10.5, 1.3 + 0.42 * len(shown)), layout="constrained")
        axes = canvas.subplots(1, 3, sharey=True, width_ratios=(1.3, 1, 1))
        for axis in axes:
            axis.grid(axis="x", color="0.9")
            axis.set_axisbelow(True)
            axis.spines["top"].set_visible(False)
        _draw_error(axes[0], summary, shown)
        _draw_rotated(axes[1], shown)
        _draw_equivariance(axes[2], shown)
        axes[0].set_yticks(range(len(shown)), [variant.name for variant in shown])
        axes[0].invert_yaxis()
        metadata = {"Date": None} if path.suffix == ".svg" else None
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, dpi=150, metadata=metadata)
    return path


def _draw_error(axis: Any, summary: StudySummary, shown: list[VariantSummary]) -> None:
    values = [value for variant in shown for value in _values(variant.test)]
    for row, variant in enumerate(shown):
        color, test = _color(variant), variant.test
        axis.plot(_values(test), [row] * len(_values(test)), "o", color=color, alpha=0.4, markersize=4)
        if test is not None and test.low is not None and test.high is not None:
            axis.plot(
                [max(test.low, min(values) / 4 if min(values) > 0 else test.low), test.high], [row, row], color=color
            )
        axis.plot(_mean(test), row, "D", color=color, markersize=6)
    _scale(axis, values)
    axis.set_xlabel(f"{summary.metric} ({unit(summary.unit)})" if summary.unit else summary.metric)
    axis.set_title("Test error, 95 % interval over seeds", fontsize=9, loc="left")


def _draw_rotated(axis: Any, shown: list[VariantSummary]) -> None:
    values = []
    for row, variant in enumerate(shown):
        if variant.rotated is None:
            continue
        pair = [_mean(variant.test), variant.rotated.mean]
        values += pair
        axis.plot(pair, [row, row], color=_color(variant), alpha=0.5)
        axis.plot(pair[0], row, "D", color=_color(variant), markersize=6)
        axis.plot(pair[1], row, "o", color=_color(variant), markerfacecolor="white", markersize=6)
    _scale(axis, values)
    axis.set_title("Test data as they are ◆, rotated ○", fontsize=9, loc="left")


def _draw_equivariance(axis: Any, shown: list[VariantSummary]) -> None:
    for row, variant in enumerate(shown):
        moments = next(iter(variant.equivariance.values()), {})
        ends = [moments[moment].mean for moment in ("before", "after") if moment in moments]
        axis.plot(ends, [row] * len(ends), color=_color(variant), alpha=0.5)
        for moment, mark, face in (("before", "o", "white"), ("after", "D", _color(variant))):
            if moment in moments:
                axis.plot(moments[moment].mean, row, mark, color=_color(variant), markerfacecolor=face, markersize=6)
    axis.set_xscale("log")
    axis.set_title("Equivariance error before ○, after training ◆", fontsize=9, loc="left")


def _scale(axis: Any, values: list[float]) -> None:
    if values and min(values) > 0 and max(values) / min(values) > 10:
        axis.set_xscale("log")


def _values(estimate: Estimate | None) -> list[float]:
    return [] if estimate is None else estimate.values


def _mean(estimate: Estimate | None) -> float:
    return float("nan") if estimate is None else estimate.mean


def _color(variant: VariantSummary) -> str:
    return COLORS[variant.index % len(COLORS)]
