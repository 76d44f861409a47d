"""The picture of a study for a README or a paper: test error, rotated test data and equivariance in one row."""

from pathlib import Path
from typing import Any, Final

from rapidash.report._charts import error_scale
from rapidash.report._colors import COLORS
from rapidash.report._format import one_line
from rapidash.report._phrases import metric_with_unit
from rapidash.report._scale import Scale, scale_for
from rapidash.study import Estimate, StudySummary, VariantSummary, read_study, summarize

FORMATS: Final = (".svg", ".png", ".pdf")


def figure(study_dir: Path, path: Path) -> Path:
    """Draw the study in ``study_dir`` into ``path``: error by variant with 95 % intervals, rotated data, equivariance.

    Without errors on rotated test data there is no panel of them.

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
        canvas = Figure(figsize=(11.5, 1.0 + 0.36 * len(shown)), layout="constrained")
        panels = [_draw_rotated] if any(variant.rotated is not None for variant in shown) else []
        panels.append(_draw_equivariance)
        axes = canvas.subplots(1, 1 + len(panels), sharey=True, width_ratios=(1.3, *(1.0 for _ in panels)))
        for axis in axes:
            axis.grid(axis="x", color="0.9")
            axis.set_axisbelow(True)
            axis.spines[["top", "left"]].set_visible(False)
            axis.tick_params(axis="y", length=0)
        _draw_error(axes[0], summary, shown)
        for axis, draw in zip(axes[1:], panels, strict=True):
            draw(axis, shown)
        axes[0].set_yticks(range(len(shown)), [one_line(variant.name) for variant in shown], parse_math=False)
        axes[0].invert_yaxis()
        metadata = {"Date": None} if path.suffix == ".svg" else None
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, dpi=150, metadata=metadata)
    return path


def _draw_error(axis: Any, summary: StudySummary, shown: list[VariantSummary]) -> None:
    scale = error_scale([variant.test for variant in shown if variant.test is not None])
    for row, variant in enumerate(shown):
        color, test = _color(variant), variant.test
        if test is not None and test.low is not None and test.high is not None:
            axis.plot([max(test.low, scale.low), min(test.high, scale.high)], [row + 0.12] * 2, color=color)
        axis.plot(_values(test), [row - 0.2] * len(_values(test)), "o", color=color, alpha=0.7, markersize=3)
        axis.plot(_mean(test), row + 0.12, "D", color=color, markersize=6, markeredgecolor="white")
    _set_scale(axis, scale)
    axis.set_xlabel(one_line(metric_with_unit(summary)), parse_math=False)
    axis.set_title("test error: seeds ●, mean ◆, 95 % interval", fontsize=9, loc="left")


def _draw_rotated(axis: Any, shown: list[VariantSummary]) -> None:
    pairs = [(_mean(v.test), v.rotated.mean) if v.rotated is not None else None for v in shown]
    for row, (variant, pair) in enumerate(zip(shown, pairs, strict=True)):
        if pair is not None:
            _draw_pair(axis, row, variant, solid=pair[0], hollow=pair[1])
    _set_scale(axis, scale_for([value for pair in pairs if pair is not None for value in pair]))
    axis.set_title("test data as they are ◆, rotated ○", fontsize=9, loc="left")


def _draw_equivariance(axis: Any, shown: list[VariantSummary]) -> None:
    values = []
    for row, variant in enumerate(shown):
        moments = next(iter(variant.equivariance.values()), {})
        before, after = (_mean(moments.get(moment)) for moment in ("before", "after"))
        _draw_pair(axis, row, variant, solid=after, hollow=before)
        values += [value for value in (before, after) if value > 0]
    _set_scale(axis, scale_for(values or [1e-16, 1.0], log=True))
    axis.set_title("equivariance error: before ○, after ◆", fontsize=9, loc="left")


def _draw_pair(axis: Any, row: int, variant: VariantSummary, *, solid: float, hollow: float) -> None:
    color = _color(variant)
    axis.plot([solid, hollow], [row, row], color=color, alpha=0.5)
    axis.plot(hollow, row, "o", color=color, markerfacecolor="white", markersize=7)
    axis.plot(solid, row, "D", color=color, markersize=5)


def _set_scale(axis: Any, scale: Scale) -> None:
    """The same axis and ticks as on the page."""
    if scale.is_log:
        axis.set_xscale("log")
    axis.set_xlim(scale.low, scale.high)
    axis.minorticks_off()
    axis.set_xticks([value for value, _ in scale.labelled_values], [label for _, label in scale.labelled_values])


def _values(estimate: Estimate | None) -> list[float]:
    return [] if estimate is None else estimate.values


def _mean(estimate: Estimate | None) -> float:
    return float("nan") if estimate is None else estimate.mean


def _color(variant: VariantSummary) -> str:
    return COLORS[variant.index % len(COLORS)]
