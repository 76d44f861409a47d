"""The table, the values and the plot of error against time, from what time_to_accuracy.py has measured."""

import csv
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from rapidash._files import atomic_write
from rapidash._machine import processor_name

Row = dict[str, Any]
SMALL, LARGE = 1, 100  # clouds of an inference
NAMES = {"nbody": "N-body, positions", "qm9": "QM9, dipole vector", "md": "ethanol, forces"}
MISSING = {"NequIP": "nequip", "MACE": "mace"}  # networks that users ask for, and the modules of their libraries
COLORS = ("#1f5fbf", "#b3410e", "#17734a", "#7a3fa0", "#8a6d00", "#555f6d")
NOTE = """Errors are of test data, with the weights that validation chose; in brackets the seconds of the processor that
the whole training took, validations included. *first step* has building, calibration and all that is compiled or read
in a fresh process (kernels that an earlier process has compiled are read from the disk); *step* is the median of those
after it, of a batch as in the training. *inference* is without gradients by the weights; of forces it includes the
gradient of the energy. All networks have the optimizer, batch size, schedule and learning rate of the full design of
the task, which were chosen with Rapidash or EGNN; the sizes of PaiNN and SchNet are not tuned."""


def write(speeds: list[Row], trainings: list[Row], folder: Path, *, command: str) -> None:
    """Write time_to_accuracy.md, .csv and .svg to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "time_to_accuracy.md", table(speeds, trainings, command))
    atomic_write(folder / "time_to_accuracy.csv", values(trainings))
    figure(trainings, folder / "time_to_accuracy.svg")


def points(trainings: list[Row], task: str, network: str) -> list[tuple[float, float, float]]:
    """By budget, the means over the seeds of seconds and of the test error at the rate that validation chose."""
    found = []
    mine = [row for row in trainings if (row["task"], row["network"]) == (task, network)]
    for budget in sorted({row["budget"] for row in mine}):
        by_rate: dict[float, list[Row]] = {}
        for row in mine:
            if row["budget"] == budget:
                by_rate.setdefault(row["rate"], []).append(row)
        best = min(by_rate.values(), key=lambda rows: mean(row["val_error"] for row in rows))
        found.append((budget, mean(row["seconds"] for row in best), mean(row["test_error"] for row in best)))
    return found


def table(speeds: list[Row], trainings: list[Row], command: str) -> str:
    """The page: a table for each task."""
    seeds, rates = (sorted({row[name] for row in trainings}) for name in ("seed", "rate"))
    lines = ["# Error against time on one core", ""]
    lines += [f"Machine: {processor_name()}, one thread. torch {torch.__version__}. Command: `{command}`.", ""]
    lines += [NOTE, f"Seeds: {_list(seeds)}. Multiples of the learning rate: {_list(rates)}.", _missing(), ""]
    lines += ["![Test error against seconds of the processor](time_to_accuracy.svg)", ""]
    for task in dict.fromkeys(row["task"] for row in speeds):
        mine = [row for row in speeds if row["task"] == task]
        budgets = sorted({row["budget"] for row in trainings if row["task"] == task})
        unit = next(row["unit"] for row in trainings if row["task"] == task)
        head = ["network", "parameters", "samples / s in training", "first step, s", "step, ms"]
        head += [f"inference of {SMALL}, ms", f"of {LARGE}, ms", *(f"{unit} after {b:g} s" for b in budgets)]
        lines += [f"## {NAMES[task]}", "", _line(head), _line(["---"] * len(head))]
        for row in mine:
            times = [
                row["samples_per_second"],
                row["first_step"],
                *(1e3 * row[name] for name in ("step", "small", "large")),
            ]
            cells = [row["network"], f"{row['parameters']:,}", *(f"{time:.3g}" for time in times)]
            errors = {b: f"{error:.3g} ({took:.0f} s)" for b, took, error in points(trainings, task, row["network"])}
            lines.append(_line([*cells, *(errors[b] for b in budgets)]))
        lines.append("")
    return "\n".join(lines)


def values(trainings: list[Row]) -> str:
    """Every training, a line each."""
    text = StringIO()
    writer = csv.DictWriter(text, list(trainings[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(trainings)
    return text.getvalue()


def figure(trainings: list[Row], path: Path) -> None:
    """A panel for each task, a line for each network."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "rapidash", "font.size": 9}
    from matplotlib import pyplot, ticker

    tasks, networks = (list(dict.fromkeys(row[name] for row in trainings)) for name in ("task", "network"))
    drawing, axes = pyplot.subplots(1, len(tasks), figsize=(3.6 * len(tasks), 3.9), layout="constrained", squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        for index, network in enumerate(networks):
            _, seconds, errors = zip(*points(trainings, task, network), strict=True)
            axis.plot(seconds, errors, color=COLORS[index], marker="os^Dvx"[index], markersize=4, label=network)
        unit = next(row["unit"] for row in trainings if row["task"] == task)
        axis.set(xscale="log", yscale="log", xlabel="seconds of one core", ylabel=f"test error ({unit})")
        axis.set_title(NAMES[task])
        for line in (axis.xaxis, axis.yaxis):
            line.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            line.set_major_formatter("{x:g}")
            line.set_minor_formatter(ticker.NullFormatter())
        axis.grid(color="#e4e7eb", which="both")
    handles, labels = axes[0][0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=min(2 * len(tasks), len(labels)), frameon=False)
    drawing.savefig(path, metadata={"Date": None})


def _missing() -> str:
    """What is not in the table, and why."""
    said = [f"{name} ({'not measured' if find_spec(module) else 'not installed'})" for name, module in MISSING.items()]
    return f"Not in the table: {', '.join(said)}."


def _list(numbers: list[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
