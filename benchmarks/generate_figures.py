"""Which figures of generated molecules and point clouds see which errors, and what generating and figures cost.

    RAPIDASH_DATA=DIR python benchmarks/generate_figures.py [molecules | clouds]
    RAPIDASH_DATA=DIR python benchmarks/generate_figures.py speed [--small]

"molecules" needs ``qm9_geometry.npz``, RDKit and half a minute, "clouds" ``shapes69.npz`` and two minutes of one core.
They print tables and write docs/generate_figures_molecules.txt and docs/generate_figures_clouds.txt.

"speed" needs ``qm9_geometry.npz`` and three minutes of one core, prints and writes docs/generate_figures_speed.txt: a
step of sampling over one pass of the network (at most 1.1), a step of training by denoising over one of the same
network with fixed noise (at most 1.1), stability of 10,000 molecules (at most 2 s), and 1-NNA by Chamfer distance of
2 x 500 clouds of 512 points (at most 180 s). With ``--small`` networks and sets are smaller, to see that it runs.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rapidash._files import atomic_write
from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset
from rapidash.datasets import qm9_dataset, shapes69_dataset
from rapidash.generate import Denoiser, DenoisingTask, HeunSampler, guided_network, random_noise
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
from rapidash.methods import Objective, Supervised, Variant, build_model
from rapidash.study import get_design
from rapidash.tasks import get_task

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


def seconds(run: Callable[[], object], repeats: int) -> list[float]:
    """Of the processor, for each of several runs after one that does not count."""
    run()
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        run()
        found.append(time.process_time() - begin)
    return found


def ratio_of(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median seconds of the second, and the median ratio of runs side by side."""
    pairs = [(seconds(first, 1)[0], seconds(second, 1)[0]) for _ in range(repeats)]
    return median(b for _, b in pairs), median(a / b for a, b in pairs)


def generator(small: bool) -> tuple[DenoisingTask, Variant, nn.Module]:
    """The first variant of the study of molecules, calibrated."""
    design = get_design("qm9-gen")
    task, variant = get_task("qm9-gen", **design.task_options), design.variants[0]
    if small:
        variant = replace(variant, model=replace(variant.model, channels=16, num_layers=2))
    model = build_model(task, variant)
    model.calibrate(task.dataset("train").batch(torch.arange(64)))
    return task, variant, model


def speed(small: bool) -> Iterator[str]:
    """The four limits, and seconds per step of the variants of the study."""
    task, variant, model = generator(small)
    data, repeats = task.dataset("train"), 3 if small else 9
    batch, steps = data.batch(torch.arange(64)), 4
    sampler = HeunSampler(steps=steps)
    space = task.space
    noise = torch.stack([random_noise(space, batch.batch, 64, seeded(k)) for k in range(sampler.num_draws)]).float()
    denoiser = Denoiser(guided_network(model, batch), space.spreads(noise))

    @torch.no_grad()
    def sample() -> None:
        sampler.sample(denoiser, noise, lambda z: space.project(z, batch.batch, 64))

    @torch.no_grad()
    def passes() -> None:
        for _ in range(2 * steps - 1):
            model(batch)

    model.eval()
    second, ratio = ratio_of(sample, passes, repeats)
    second /= 2 * steps - 1
    yield f"a call of the network in sampling over one pass of it ({1e3 * second:.0f} ms): {ratio:.3f}"
    model.train()
    control, objective, plain = variant.objective.control(model, 1), variant.objective, Supervised()

    def step(noisy: CloudBatch, goal: Objective) -> None:
        model.zero_grad(set_to_none=True)
        goal.step(model, task, noisy, seeded(0)).loss.backward()

    drawn = itertools.count()
    second, ratio = ratio_of(
        lambda: step(control.batch(batch, seeded(next(drawn))), objective), lambda: step(batch, plain), repeats
    )
    yield f"a step of denoising over one of a regression ({1e3 * second:.0f} ms): {ratio:.3f}"
    clouds = qm9_dataset("train", source="geometry").subset(torch.arange(1000 if small else 10_000))
    (second,) = seconds(lambda: stability(clouds), 1)
    yield f"stability of {len(clouds):,} molecules: {second:.2f} s"
    num, points = (50, 128) if small else (500, 512)
    sets = torch.randn(2 * num, points, 3, generator=seeded("speed"), dtype=torch.float64)
    begin = time.process_time()
    nearest_neighbor_accuracy(chamfer_matrix(sets))
    yield f"1-NNA by Chamfer distance, 2 x {num} clouds of {points} points: {time.process_time() - begin:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["molecules", "clouds", "speed"]
    parser.add_argument("tables", nargs="*", choices=known, default=["molecules", "clouds"])
    parser.add_argument("--small", action="store_true", help="of speed: smaller networks and sets")
    torch.set_num_threads(1)
    options = parser.parse_args()
    for name in options.tables:
        begin, lines = time.process_time(), []
        tables = {"molecules": molecules, "clouds": clouds, "speed": lambda: speed(options.small)}
        for line in tables[name]():
            print(line, flush=True)
            lines.append(line)
        print(f"{time.process_time() - begin:.0f} s\n")
        if not options.small:
            atomic_write(DOCS / f"generate_figures_{name}.txt", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
