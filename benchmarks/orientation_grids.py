"""Equivariance error of Rapidash on R^3 x S^2 against the number of orientations and the grid.

    python benchmarks/orientation_grids.py            # writes docs/orientation_grids.{rst,svg}; about 3 minutes
    python benchmarks/orientation_grids.py --check    # a few seconds, writes nothing

Untrained, calibrated networks with random weights, 8 clouds of 12 points, float64. For each grid and number of
orientations: the relative error over 16 random rotations and the Lie derivative over the three rotation generators, of
a scalar and of a vector output, mean and range over random initializations.
"""

import argparse
import statistics
import textwrap
from pathlib import Path
from typing import NamedTuple

import torch

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import SO, Position, Scalar, Vector
from rapidash.measure import Action, equivariance_error, local_equivariance_error
from rapidash.models import Rapidash

DOCS = Path(__file__).parents[1] / "docs"
SIZES = {"fibonacci": (4, 8, 12, 20, 32, 60), "repulsion": (4, 8, 12, 20, 32, 60), "platonic": (4, 6, 8, 12, 20)}
OUTPUTS = {"scalars": Scalar(), "vectors": Vector()}
CHANNELS, LAYERS, CLOUDS, POINTS, ELEMENTS = 32, 3, 8, 12, 16


class Cell(NamedTuple):
    """Errors of one grid: a value for each seed."""

    grid: str
    num_orientations: int
    finite: dict[str, list[float]]
    slope: dict[str, list[float]]


def clouds() -> CloudBatch:
    rng = seeded("orientation grids")
    tensors = {
        "pos": torch.randn(CLOUDS * POINTS, 3, generator=rng, dtype=torch.float64),
        "x": torch.randn(CLOUDS * POINTS, 2, generator=rng, dtype=torch.float64),
        "v": torch.randn(CLOUDS * POINTS, 1, 3, generator=rng, dtype=torch.float64),
    }
    fields = {"pos": Field(Position()), "x": Field(Scalar()), "v": Field(Vector())}
    return CloudBatch(tensors, fields, torch.arange(CLOUDS).repeat_interleave(POINTS), CLOUDS)


def measured(grid: str, num_orientations: int, seeds: int, batch: CloudBatch) -> Cell:
    finite: dict[str, list[float]] = {name: [] for name in OUTPUTS}
    slope: dict[str, list[float]] = {name: [] for name in OUTPUTS}
    fields = {name: Field(rep, level="cloud") for name, rep in OUTPUTS.items()}
    action = Action(SO(3), outputs=fields)
    for seed in range(seeds):
        torch.manual_seed(seed)
        model = Rapidash(
            symmetry="E(3)", grid=grid, num_orientations=num_orientations, in_scalars=2, in_vectors=1, out_scalars=4,
            out_vectors=4, channels=CHANNELS, num_layers=LAYERS, basis_dim=64, basis_hidden_dim=64, pool="mean",
        ).double().eval()  # fmt: skip
        model.calibrate(batch.pos, batch.batch, scalars=batch["x"], vectors=batch["v"])

        def run(cloud: CloudBatch, model: Rapidash = model) -> object:
            return model(cloud.pos, cloud.batch, scalars=cloud["x"], vectors=cloud["v"])

        error = equivariance_error(run, batch, action, num_elements=ELEMENTS, normalization="variance")
        local = local_equivariance_error(run, batch, action, relative=True)
        for name in OUTPUTS:
            finite[name].append(error.fields[name].mean)
            slope[name].append(local.total(name))
    return Cell(grid, num_orientations, finite, slope)


INTRODUCTION = (
    "On :math:`R^3 \\times S^2` a network with E(3)-invariant kernels is equivariant to rotations up to its grid "
    "of orientations. Written by ``python benchmarks/orientation_grids.py``: {layers} layers, {channels} "
    "channels, random weights ({seeds} initializations), 8 clouds of 12 points, float64. The *error* is the norm "
    "of the defect over 16 random rotations, the *slope* the Lie derivative per radian; both are relative to the "
    "deviation of the output over the data. Mean over initializations, least and largest in brackets. With a "
    "Platonic grid the network is exactly equivariant to the rotations of the solid; for other rotations it has "
    "the errors below."
)


def page(cells: list[Cell], seeds: int) -> str:
    title = "How many orientations?"
    lines = [
        title,
        "=" * len(title),
        "",
        *textwrap.wrap(INTRODUCTION.format(layers=LAYERS, channels=CHANNELS, seeds=seeds), 118),
        "",
        ".. image:: orientation_grids.svg",
        "   :alt: Error against the number of orientations, one line for each grid",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
    ]
    header = ("grid", "orientations", "scalar error", "vector error", "scalar slope", "vector slope")
    rows = [header]
    for cell in cells:
        values = (cell.finite["scalars"], cell.finite["vectors"], cell.slope["scalars"], cell.slope["vectors"])
        rows.append((cell.grid, str(cell.num_orientations), *map(_entry, values)))
    for row in rows:
        lines += [f"   {'*' if index == 0 else ' '} - {value}" for index, value in enumerate(row)]
    return "\n".join(lines) + "\n"


def _entry(values: list[float]) -> str:
    return f"{statistics.mean(values):.2g} [{min(values):.2g}, {max(values):.2g}]"


def figure(cells: list[Cell], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "rapidash", "font.size": 9}
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(1, 2, figsize=(7.5, 3.2), sharey=True, layout="constrained")
    for axis, name in zip(axes, OUTPUTS):
        for index, grid in enumerate(SIZES):
            mine = [cell for cell in cells if cell.grid == grid]
            x = [cell.num_orientations for cell in mine]
            color = ("#1f5fbf", "#b3410e", "#17734a")[index]
            axis.fill_between(
                x, [min(c.finite[name]) for c in mine], [max(c.finite[name]) for c in mine], color=color, alpha=0.15
            )
            means = [statistics.mean(c.finite[name]) for c in mine]
            axis.plot(x, means, color=color, marker="os^"[index], markersize=4, label=grid)
        axis.set(xscale="log", yscale="log", xlabel="orientations", title=f"{name[:-1]} output")
        axis.set_xticks([4, 8, 12, 20, 32, 60], [str(n) for n in (4, 8, 12, 20, 32, 60)], minor=False)
        axis.minorticks_off()
        axis.grid(color="#e4e7eb")
    axes[0].set_ylabel("relative equivariance error")
    axes[0].legend(frameon=False)
    drawing.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="a small run that checks that more orientations help")
    parser.add_argument("--seeds", type=int, default=3, help="random initializations")
    options = parser.parse_args()
    batch = clouds()
    if options.check:
        coarse, fine = (measured("fibonacci", num, 1, batch) for num in (8, 20))
        for name in OUTPUTS:
            assert coarse.finite[name][0] > fine.finite[name][0] > 0, (coarse, fine)
        print("ok: the error falls with the number of orientations")
        return
    cells = []
    for grid, sizes in SIZES.items():
        for num in sizes:
            cells.append(measured(grid, num, options.seeds, batch))
            print(grid, num, {name: _entry(values) for name, values in cells[-1].finite.items()}, flush=True)
    figure(cells, DOCS / "orientation_grids.svg")
    (DOCS / "orientation_grids.rst").write_text(page(cells, options.seeds), encoding="utf-8")


if __name__ == "__main__":
    main()
