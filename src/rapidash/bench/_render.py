"""Benchmark results as text, markdown and a plot."""

from collections.abc import Sequence
from pathlib import Path

import torch

from rapidash._files import atomic_write
from rapidash._machine import processor_name
from rapidash.bench._cases import CASES
from rapidash.bench._growth import SWEEPS, GrowthRow
from rapidash.bench._measure import BenchResult
from rapidash.ops import product_kind

HEADER = (
    "case", "products", "product error", "definition", "fast", "ratio", "floor", "fast / floor", "limit",
    "recompute", "inference", "memory", "recompute memory", "in matrix products", "table error",
)  # fmt: skip
ABOUT = """\
Seconds are medians of whole training steps (edges, forward, backward, no optimizer), all columns and rows of a case in
turn in one process, those that take less than a second up to five times in each turn. *products*: the library of the
matrix products of float32, the same for every column of a row. *torch* is torch's default. With *onednn* the definition
runs under `torch.set_float32_matmul_precision("medium")`, as the released scripts do, and the channel MLPs call oneDNN
themselves, as they do by default where it is the faster of the two. *product error*: of one product relative to
float64; where it is above 1e-6, that flag makes torch and oneDNN round operands to bfloat16, which this processor
multiplies (AMX), and the row is not of float32. *definition*: kernels at every edge, gather, multiply, scatter in plain
torch, as the released network does. *fast*: tabulated kernels and fused convolutions. *floor*: the matrix products of
the channel MLPs alone, all 6 of every block; the fast network does without 3 of the last block's, which it merges with
the readout. *limit*: definition / floor, which no implementation with all these products can pass. *recompute*,
*inference* and the memory columns are ratios: recompute / fast in time; definition / fast in time without gradients;
peak memory of a step above that before it, definition / fast and definition / recompute, each in a process of its own.
*table error*: relative difference of the outputs with tables from those with exact kernels, in float64.
"""
GROWTH_ABOUT = (
    "A training step of 3 layers, 128 channels, O = 8, one size varied at a time: seconds, and peak memory above that "
    "before the step. Fixed are, for "
    + "; ".join(f"*{sweep.name}*: {sweep.about}" for sweep in SWEEPS)
    + ". The definition is left out where it would need many gigabytes."
)


def machine(device: str) -> str:
    """The processor by its name, with the number of threads or the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    return f"{processor_name()}, {torch.get_num_threads()} of its threads"


def table_rows(results: Sequence[BenchResult]) -> list[list[str]]:
    """A row of cells for each result and library of products, in the order of `HEADER`."""
    return [
        [
            result.case,
            library,
            f"{times.product_error:.1e}",
            f"{times.definition:.3g} s",
            f"{times.fast:.3g} s",
            f"{times.definition / times.fast:.1f} x",
            f"{times.floor:.3g} s",
            f"{times.fast / times.floor:.2f}",
            f"{times.definition / times.floor:.1f} x",
            f"{times.recompute / times.fast:.2f}",
            f"{times.definition_inference / times.fast_inference:.1f} x",
            f"1/{result.memory['definition'] / result.memory['fast']:.1f}",
            f"1/{result.memory['definition'] / result.memory['recompute']:.1f}",
            f"{100 * result.shares['matrix products']:.0f} %",
            f"{result.table_error:.1e}",
        ]
        for result in results
        for library, times in result.times.items()
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
        "## Where the time of a step goes",
        f"Shares of the fast training step's time, by torch's profiler, with products through {product_kind()}.",
        _shares_table(results),
    ]
    if growth:
        figure = f"growth-{kind}.svg"
        _plot(directory / figure, growth)
        parts += ["## Growth", GROWTH_ABOUT, f"![Growth of time and memory of a step]({figure})", _growth_table(growth)]
    path = directory / ("RESULTS.md" if kind == "cpu" else "RESULTS-gpu.md")
    atomic_write(path, "\n\n".join(parts) + "\n")
    return path


def _shares_table(results: Sequence[BenchResult]) -> str:
    parts = list(results[0].shares)
    rows = [["case", *parts], ["---"] * (len(parts) + 1)]
    rows += [[result.case, *(f"{100 * result.shares[part]:.1f} %" for part in parts)] for result in results]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _growth_table(growth: Sequence[GrowthRow]) -> str:
    head = "what grows | size | definition, s | fast, s | definition, MB | fast, MB"
    lines = [f"| {head} |", "| " + " | ".join(["---"] * (head.count("|") + 1)) + " |"]
    for row in growth:
        seconds = ["–" if value is None else f"{value:.4f}" for value in (row.definition, row.fast)]
        memory = ["–" if value is None else f"{value / 1e6:.0f}" for value in (row.definition_memory, row.fast_memory)]
        lines.append("| " + " | ".join([row.sweep, str(row.size), *seconds, *memory]) + " |")
    return "\n".join(lines)


def _plot(path: Path, growth: Sequence[GrowthRow]) -> None:
    import io

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('the plot of growth needs matplotlib: pip install "rapidash[study]"') from error

    sweeps = list(dict.fromkeys(row.sweep for row in growth))
    figure = Figure(figsize=(2.4 * len(sweeps), 5), layout="constrained")
    grid = figure.subplots(2, len(sweeps), sharey="row", sharex="col", squeeze=False)
    for column, sweep in enumerate(sweeps):
        rows = [row for row in growth if row.sweep == sweep]
        for axes, (suffix, unit) in zip(grid[:, column], (("", 1.0), ("_memory", 1e6))):
            for name, color in (("definition", "#b3432b"), ("fast", "#2458a8")):
                values = [(row.size, getattr(row, name + suffix)) for row in rows]
                known = [(size, value / unit) for size, value in values if value is not None]
                axes.loglog(*zip(*known) if known else ((), ()), "o-", color=color, label=name, markersize=4)
            axes.set_xticks([row.size for row in rows], labels=[_short(row.size) for row in rows], minor=False)
            axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
            axes.grid(alpha=0.3)
        grid[1, column].set_xlabel(sweep)
    grid[0, 0].set_ylabel("seconds per step")
    grid[1, 0].set_ylabel("peak memory of a step, MB")
    grid[0, 0].legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    atomic_write(path, drawn.getvalue())


def _short(size: int) -> str:
    return f"{size // 1000}k" if size >= 1000 else str(size)
