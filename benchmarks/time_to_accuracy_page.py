"""The table, the values and the plot of error against time, from what time_to_accuracy.py has measured."""

import csv
import math
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import torch

from rapidash._files import atomic_write
from rapidash._machine import processor_name

Row = dict[str, Any]
SMALL, LARGE = 1, 100  # clouds of an inference
NAMES = {
    "nbody": "N-body, positions",
    "qm9": "QM9, dipole vector",
    "md": "ethanol, forces",
    "modelnet10-poses": "ModelNet10, as posed",
}
MISSING = {"NequIP": "nequip", "MACE": "mace"}  # networks that users ask for, and the modules of their libraries
COLORS = ("#1f5fbf", "#b3410e", "#17734a", "#7a3fa0", "#8a6d00", "#555f6d", "#c2185b", "#00838f", "#5d4037", "#9e9d24")
NOTE = """Errors are of test data, with the weights that validation chose, means over seeds with standard errors; in
brackets the seconds of the processor that the whole training took, validations included. *first step* has building,
calibration and all that is compiled or read in a fresh process (kernels that an earlier process has compiled are read
from the disk); *step* is the median of those after it, of a batch as in the training. *inference* is without gradients
by the weights; of forces it includes the gradient of the energy. All networks have the optimizer, batch size and
schedule of the full design of the task, which were chosen with Rapidash or EGNN, and a multiple of its learning rate;
of several, validation chooses on the first seed, for each network and length, and goes on to twice the largest or half
the least as long as that gains a twentieth."""


def write(
    speeds: list[Row], trainings: list[Row], folder: Path, *, command: str, name: str = "time_to_accuracy"
) -> None:
    """Write a table (md), the values (csv) and a plot (svg) to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / f"{name}.md", table(speeds, trainings, command, name))
    atomic_write(folder / f"{name}.csv", values(trainings))
    figure(trainings, folder / f"{name}.svg")


class Point(NamedTuple):
    """The trainings of a network for one budget: means over seeds, and the standard error of that of the test error."""

    budget: float
    seconds: float
    error: float
    standard_error: float | None


def points(trainings: list[Row], task: str, network: str) -> list[Point]:
    """By budget, at the rate that validation chose on the seed that comes first."""
    found = []
    mine = [row for row in trainings if (row["task"], row["network"]) == (task, network)]
    for budget in sorted({row["budget"] for row in mine}):
        rows = [row for row in mine if row["budget"] == budget]
        tried = [row for row in rows if row["seed"] == rows[0]["seed"]]
        rate = min(tried, key=lambda row: row["val_error"])["rate"]
        best = [row for row in rows if row["rate"] == rate]
        errors = [row["test_error"] for row in best]
        spread = stdev(errors) / math.sqrt(len(errors)) if len(errors) > 1 and all(map(math.isfinite, errors)) else None
        found.append(Point(budget, mean(row["seconds"] for row in best), mean(errors), spread))
    return found


def table(speeds: list[Row], trainings: list[Row], command: str, name: str) -> str:
    """The page: a table for each task."""
    seeds, rates = (sorted({row[name] for row in trainings}) for name in ("seed", "rate"))
    lines = ["# Error against time on one core", ""]
    lines += [f"Machine: {processor_name()}, one thread. torch {torch.__version__}. Command: `{command}`.", ""]
    names = {row["network"] for row in speeds}
    others = [_others(names)] if "SchNet" in names else []
    lines += [NOTE, f"Seeds: {_list(seeds)}. Multiples of the learning rate: {_list(rates)}.", *others, ""]
    lines += [f"![Test error against seconds of the processor]({name}.svg)", ""]
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
            errors = {point.budget: _in_words(point) for point in points(trainings, task, row["network"])}
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
    lines = {}
    for axis, task in zip(axes[0], tasks, strict=True):
        for index, network in enumerate(networks):
            found = points(trainings, task, network)
            seconds, errors = [point.seconds for point in found], [point.error for point in found]
            (line,) = axis.plot(seconds, errors, color=COLORS[index], marker="os^Dvx<>ph"[index], markersize=4)
            if found:  # a task may not have every network
                lines[network] = line
        unit = next(row["unit"] for row in trainings if row["task"] == task)
        axis.set(xscale="log", yscale="log", xlabel="seconds of one core", ylabel=f"test error ({unit})")
        axis.set_title(NAMES[task])
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            scale.set_major_formatter("{x:g}")
            scale.set_minor_formatter(ticker.NullFormatter())
        axis.grid(color="#e4e7eb", which="both")
    columns = min(2 * len(tasks), len(lines))
    drawing.legend([*lines.values()], [*lines], loc="outside lower center", ncols=columns, frameon=False)
    drawing.savefig(path, metadata={"Date": None})


def _others(names: set[str]) -> str:
    """How other networks were treated: which are not in the table, and why."""
    why = {name: "not measured" if find_spec(module) else "not installed" for name, module in MISSING.items()}
    missing = [f"{name} ({said})" for name, said in why.items() if not any(own.startswith(name) for own in names)]
    untuned = ["PaiNN and SchNet are the package's, on its edges; SchNet's blocks are those of torch_geometric."]
    if any(own.startswith("NequIP") for own in names):
        untuned += [f"NequIP is {version('nequip')} of its authors, 32 channels, 3 layers, not compiled, and predicts"]
        untuned += ["energies only."]
    untuned += ["Their sizes are not tuned."]
    return " ".join([*untuned, *([f"Not in the table: {', '.join(missing)}."] if missing else [])])


def _in_words(point: Point) -> str:
    if not math.isfinite(point.error):
        return f"diverged ({point.seconds:.0f} s)"
    spread = "" if point.standard_error is None else f" ± {point.standard_error:.2g}"
    return f"{point.error:.3g}{spread} ({point.seconds:.0f} s)"


def _list(numbers: list[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
