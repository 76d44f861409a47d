"""Benchmark results as text, markdown and a plot."""

import platform
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from rapidash._files import atomic_write
from rapidash.bench._cases import CASES
from rapidash.bench._growth import GrowthRow
from rapidash.bench._measure import BenchResult

HEADER = (
    "case", "definition", "fast", "ratio", "floor", "fast / floor", "limit", "recompute", "inference", "memory",
    "recompute memory", "in matrix products", "table error",
)  # fmt: skip
ABOUT = """\
Seconds are medians of whole training steps (edges, forward, backward, no optimizer), all columns in turn in one
process. *definition*: kernels at every edge, gather, multiply, scatter in plain torch, as the released network
does. *fast*: tabulated kernels and fused convolutions. *floor*: the matrix products of the channel MLPs alone. *limit*:
definition / floor, what no implementation with these products can pass. *recompute*, *inference* and the memory columns
are ratios: recompute / fast in time; definition / fast in time without gradients; peak memory of a step above that
before it, definition / fast and definition / recompute, each in a process of its own. *table error*: relative
difference of the outputs with tables from those with exact kernels, in float64.
"""


def machine(device: str) -> str:
    """The processor by its name, with the number of threads or the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} of its threads"


def table_rows(results: Sequence[BenchResult]) -> list[list[str]]:
    """One row of cells for each result, in the order of `HEADER`."""
    return [
        [
            result.case,
            f"{result.definition:.3g} s",
            f"{result.fast:.3g} s",
            f"{result.definition / result.fast:.1f} x",
            f"{result.floor:.3g} s",
            f"{result.fast / result.floor:.2f}",
            f"{result.definition / result.floor:.1f} x",
            f"{result.recompute / result.fast:.2f}",
            f"{result.definition_inference / result.fast_inference:.1f} x",
            f"1/{result.memory['definition'] / result.memory['fast']:.1f}",
            f"1/{result.memory['definition'] / result.memory['recompute']:.1f}",
            f"{100 * result.matrix_share:.0f} %",
            f"{result.table_error:.1e}",
        ]
        for result in results
    ]


def text_table(results: Sequence[BenchResult]) -> str:
    """The table for a terminal."""
    rows = [list(HEADER), *table_rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)


def write_results(
    directory: Path, results: Sequence[BenchResult], growth: Sequence[GrowthRow], *, device: str, command: str
) -> Path:
    """Write ``RESULTS-<device>.md``, and beside it the plot of the growth, if it was measured."""
    kind = "gpu" if device.startswith("cuda") else "cpu"
    rows = [list(HEADER), ["---"] * len(HEADER), *table_rows(results)]
    parts = [
        f"# Speed and memory against the definition ({kind.upper()})",
        f"Machine: {machine(device)}. torch {torch.__version__}. Command: `{command}`.",
        ABOUT,
        "\n".join("| " + " | ".join(row) + " |" for row in rows),
        "\n".join(f"- {result.case}: {CASES[result.case].about}" for result in results),
    ]
    if growth:
        figure = f"growth-{kind}.svg"
        _plot(directory / figure, growth)
        lines = [f"| {row.sweep} | {row.size} | {row.definition:.4f} | {row.fast:.4f} |" for row in growth]
        head = "| what grows | size | definition, s | fast, s |\n| --- | --- | --- | --- |"
        about = (
            "Seconds per training step: 3 layers, 128 channels, O = 8, clouds of 18 points, one size varied at a time."
        )
        parts += ["## Growth", about, f"![Growth of the time of a step]({figure})", "\n".join([head, *lines])]
    path = directory / ("RESULTS.md" if kind == "cpu" else "RESULTS-gpu.md")
    atomic_write(path, "\n\n".join(parts) + "\n")
    return path


def _plot(path: Path, growth: Sequence[GrowthRow]) -> None:
    import io

    from matplotlib.figure import Figure

    sweeps = list(dict.fromkeys(row.sweep for row in growth))
    figure = Figure(figsize=(3 * len(sweeps), 3), layout="constrained")
    for axes, sweep in zip(figure.subplots(1, len(sweeps), sharey=True, squeeze=False)[0], sweeps):
        rows = [row for row in growth if row.sweep == sweep]
        for name, color in (("definition", "#b3432b"), ("fast", "#2458a8")):
            axes.loglog([row.size for row in rows], [getattr(row, name) for row in rows], "o-", color=color, label=name)
        axes.set_xlabel(sweep)
        axes.set_xticks([row.size for row in rows], labels=[str(row.size) for row in rows], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("seconds per step")
    figure.axes[0].legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    atomic_write(path, drawn.getvalue())
