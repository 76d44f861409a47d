"""Which figures of generated molecules and point clouds see which errors: real data with errors of known size.

    RAPIDASH_DATA=DIR python benchmarks/generate_figures.py [molecules | clouds]

"molecules" needs ``qm9_geometry.npz``, RDKit and half a minute, "clouds" ``shapes69.npz`` and two minutes of one core.
Prints the tables and writes docs/generate_figures_molecules.txt and docs/generate_figures_clouds.txt.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rapidash._files import atomic_write
from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.datasets import qm9_dataset, shapes69_dataset
from rapidash.generate.metrics import (
    Stability,
    chamfer_matrix,
    controls_table,
    coverage,
    earth_mover_matrix,
    figure_controls,
    figures_table,
    molecule_figures,
    nearest_neighbor_accuracy,
    stability,
)
from rapidash.groups import SO

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOISE = (0.005, 0.01, 0.02, 0.03, 0.05)
MARGINS = ((15.0, 5.0, 3.0), (5.0, 5.0, 3.0), (10.0, 3.0, 3.0), (10.0, 8.0, 3.0))
SIZES = ((1, 13), (14, 16), (17, 19), (20, 22), (23, 29))


def with_noise(data: CloudDataset, sigma: float, *keys: str | int) -> CloudDataset:
    """Gaussian noise on every coordinate."""
    pos = data.tensors["pos"]
    moved = pos + sigma * torch.randn(pos.shape, generator=seeded("benchmark", *keys), dtype=pos.dtype)
    return CloudDataset({**data.tensors, "pos": moved}, data.fields, data.num_points)


def drawn(data: CloudDataset, num: int) -> CloudDataset:
    return data.subset(torch.randperm(len(data), generator=seeded("benchmark"))[:num])


def stability_lines() -> Iterator[str]:
    """Stability by the lookup: of the file, by size, by noise and by margin."""
    found, sizes = [], []
    for split in ("train", "val", "test"):
        data = qm9_dataset(split, source="geometry")
        found.append(stability(data))
        sizes.append(data.num_points.numpy())
    whole = Stability(*(np.concatenate(columns) for columns in zip(*map(_columns, found))))
    size = np.concatenate(sizes)
    yield f"{'molecules':<44} {'atom stable %':>13} {'stable %':>9} {'number':>7}"
    yield _row("all of the file", whole.atoms, whole.molecules)
    for name, part in zip(("training", "validation", "test"), found):
        yield _row(f"{name} molecules", part.atoms, part.molecules)
    of_atom = np.repeat(size, size)
    for low, high in SIZES:
        inside, atoms = (size >= low) & (size <= high), (of_atom >= low) & (of_atom <= high)
        yield _row(f"of {low} to {high} atoms", whole.atoms[atoms], whole.molecules[inside])
    for sigma in NOISE:
        noisy = stability(with_noise(data, sigma, "stability", str(sigma)))
        yield _row(f"test, noise of {sigma} angstrom", noisy.atoms, noisy.molecules)
    for margins in MARGINS:
        other = stability(data, margins=margins)
        yield _row(
            f"test, margins of {', '.join(f'{margin:g}' for margin in margins)} pm", other.atoms, other.molecules
        )


def _columns(found: Stability) -> tuple[np.ndarray, ...]:
    return found.atoms, found.molecules, found.owner, found.z


def _row(name: str, atoms: np.ndarray, molecules: np.ndarray) -> str:
    return f"{name:<44} {100 * atoms.mean():>13.2f} {100 * molecules.mean():>9.2f} {len(molecules):>7}"


def molecules() -> Iterator[str]:
    yield from stability_lines()
    test = qm9_dataset("test", source="geometry")
    yield from ("", controls_table(figure_controls(test, num=2000)), "")
    yield "1,000 validation molecules with noise of 0.02 angstrom as samples, the test molecules as reference"
    samples = with_noise(drawn(qm9_dataset("val", source="geometry"), 1000), 0.02, "report")
    yield figures_table(molecule_figures(samples, test, training=qm9_dataset("train", source="geometry")))


class Sets(NamedTuple):
    """Samples and references, clouds of all their points."""

    name: str
    samples: Tensor
    references: Tensor


def changes(first: Tensor, second: Tensor) -> Iterator[Sets]:
    """Half of a class as samples, with errors, and the other half as references; (B, 1024, 3), unit radius."""
    points, others = first[:, :512], second[:, :512]
    yield Sets("the other half of the class", points, others)
    yield Sets("the references, other points of them", second[:, 512:], others)
    for sigma in (0.01, 0.03, 0.05):
        noise = torch.randn(points.shape, generator=seeded("benchmark", str(sigma)), dtype=points.dtype)
        yield Sets(f"noise of {sigma}", points + sigma * noise, others)
    for scale in (1.05, 1.1):
        yield Sets(f"scaled by {scale}", scale * points, others)
    turns = SO(3).sample(len(points), generator=seeded("benchmark", "turns")).to(points.dtype)[:, :3, :3]
    yield Sets("each turned at random", torch.einsum("bij,bnj->bni", turns, points), others)
    yield Sets("three times as dense on one side", torch.stack([_denser(cloud) for cloud in first]), others)


def _denser(cloud: Tensor) -> Tensor:
    """512 points: 384 of the side of larger x, and 128 of the other, drawn again where there are too few."""
    order = cloud[:, 0].argsort(descending=True)
    large, small = order[: len(order) // 2], order[len(order) // 2 :]
    return cloud[torch.cat([large[:384], small[torch.arange(128) * 4]])]


def clouds(num_points: int = 128) -> Iterator[str]:
    jets = []
    for split in ("train", "val", "test"):
        data = shapes69_dataset(split, dtype=torch.float64)
        label = data.info["class_names"].index("Jet")
        of_class = torch.nonzero(data.tensors["label"].flatten() == label).flatten()
        jets.append(data.subset(of_class).tensors["pos"].unflatten(0, (-1, 1024)))
    every = torch.cat(jets)
    every = every[torch.randperm(len(every), generator=seeded("benchmark", "halves"))]
    half = len(every) // 2
    yield f"{half} samples and {half} references of class Jet, 512 points (earth mover: {num_points}), unit sphere"
    head = ("samples", "1-NNA chamfer", "(null sd)", "COV chamfer", "1-NNA earth mover")
    yield f"{head[0]:<38} {head[1]:>13} {head[2]:>10} {head[3]:>12} {head[4]:>18}"
    for name, samples, references in changes(every[:half], every[half : 2 * half]):
        joint = chamfer_matrix(torch.cat([samples, references]))
        drawn_points = torch.randperm(512, generator=seeded("benchmark", "points"))[:num_points]
        moved = earth_mover_matrix(torch.cat([samples, references])[:, drawn_points])
        found, other = nearest_neighbor_accuracy(joint), nearest_neighbor_accuracy(moved)
        covered = 100 * coverage(joint[:half, half:])
        yield (
            f"{name:<38} {100 * found.value:>13.1f} {100 * found.null_error:>10.1f} {covered:>12.1f} "
            f"{100 * other.value:>18.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=["molecules", "clouds"], default=["molecules", "clouds"])
    torch.set_num_threads(1)
    for name in parser.parse_args().tables:
        begin, lines = time.process_time(), []
        for line in {"molecules": molecules, "clouds": clouds}[name]():
            print(line, flush=True)
            lines.append(line)
        print(f"{time.process_time() - begin:.0f} s\n")
        atomic_write(DOCS / f"generate_figures_{name}.txt", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
