"""The symmetry of a trained generator: what breaking it costs at each noise level, and whether samples keep it."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from rapidash.data import CloudBatch, Dataset
from rapidash.generate._asked import Asked
from rapidash.generate._denoiser import Denoiser
from rapidash.generate._levels import LogNormalLevels
from rapidash.generate._measure import generating_task
from rapidash.generate._network import denoising_part
from rapidash.generate._noise import numbered_noise
from rapidash.generate._objective import in_canonical_pose
from rapidash.generate._samplers import HeunSampler
from rapidash.generate._sampling import guided_network
from rapidash.generate._task import DenoisingTask
from rapidash.groups import SO
from rapidash.measure import Action, draw_elements, symmetry_cost
from rapidash.methods import Measurement, Subject

BANDS = 8  # of the noise level: eighths of the law in which validation sees it
LOSS, MOVED, SHARE, COUPLED = (
    "denoising loss",
    "error of symmetry",
    "share of the loss due to broken symmetry",
    "samples from moved noise",
)
_CLOUDS, _SAMPLES, _STEPS, _TURNS = 256, 8, 10, 4


def measure_generator_symmetry(subject: Subject) -> Iterator[Measurement]:
    """Of a trained generator, by noise level and of whole samples, on a float64 copy.

    For each eighth of the law of noise levels, on at most 256 noisy validation clouds and 16 random rotations: the
    denoising loss in the pose of the data, the root mean square by which the output of the network moves about its mean
    over rotations (in units in which its target has variance 1), and the share of the loss over all rotations that
    averaging over them would remove, see `rapidash.measure.symmetry_cost`.

    For samples: the largest relative distance of sample(g noise) from g sample(noise), of the positions of 8 clouds
    that Heun's method with added noise makes in 10 steps, where g is one of 4 random rotations, or a mirror; None where
    a sample is not finite. The poses and hands of samples are among the figures of `measure_samples`.

    Raises: ValueError for a task that does not generate.
    """
    task = generating_task(subject)
    if subject.moment == "before":
        return
    model = copy.deepcopy(subject.model).to(device="cpu", dtype=torch.float64).eval()
    kept = torch.linspace(0, len(subject.data) - 1, min(_CLOUDS, len(subject.data))).long()
    data: Dataset = subject.data.subset(kept)
    if denoising_part(model).turns_samples:
        data = in_canonical_pose(data, task.space.dim)
    dim = task.space.dim
    for figure in _by_level(model, task, data, subject.seed):
        yield replace(figure, group=f"SO({dim})", view=subject.view, better="lower")
    turns = draw_elements(SO(dim), _TURNS, seed=subject.seed)[:, :dim, :dim].double()
    mirror = torch.diag(torch.tensor([-1.0, *[1.0] * (dim - 1)])).double()
    for name, moves in ((f"SO({dim})", turns), ("a mirror", mirror[None])):
        value = coupled_error(model, task, moves, seed=subject.seed)
        yield Measurement(COUPLED, value, "1", name, view=subject.view, better="lower")


def _by_level(model: nn.Module, task: DenoisingTask, data: Dataset, seed: int) -> Iterator[Measurement]:
    batch = data.batch(torch.arange(len(data))).to(dtype=torch.float64)
    action = Action(SO(task.space.dim), outputs=task.output)
    cost = symmetry_cost(model, batch, task.errors, action, seed=seed)
    edges = LogNormalLevels().quantile(torch.linspace(0, 1, BANDS + 1, dtype=torch.float64))
    place = torch.searchsorted(edges[1:-1].contiguous(), (4 * batch["level"][:, 0]).exp(), right=True)
    for band in range(BANDS):
        inside = place == band
        level = band_name(band)
        total, lost, own = cost.total[inside], cost.cost[inside], cost.own[inside]
        has_any = bool(inside.any())
        moved = float(lost.mean().clamp(min=0).sqrt()) if has_any else None
        yield Measurement(f"{LOSS}{level}", float(own.mean()) if has_any else None)
        yield Measurement(f"{MOVED}{level}", moved)
        yield Measurement(f"{SHARE}{level}", 100 * float(lost.sum() / total.sum()) if has_any else None, "%")


def band_name(band: int) -> str:
    """The levels of an eighth in words, e.g. ", sigma 0.13 to 0.21"."""
    low, high = LogNormalLevels().quantile(torch.tensor([band, band + 1], dtype=torch.float64) / BANDS).tolist()
    if band in (0, BANDS - 1):
        return f", sigma below {high:.2g}" if band == 0 else f", sigma above {low:.2g}"
    return f", sigma {low:.2g} to {high:.2g}"


@torch.no_grad()
def coupled_error(
    model: nn.Module, task: DenoisingTask, moves: Tensor, *, seed: int = 0, sampler: HeunSampler | None = None
) -> float | None:
    """The largest relative distance of sample(g noise) from g sample(noise) over some motions.

    Args:
        model: in float64, on the CPU.
        task: which generates.
        moves: (G, D, D) orthogonal matrices.
        seed: of the samples.
        sampler: default: Heun's method in 10 steps, with added noise.
    Returns: relative to the root mean square of the positions; None where a sample is not finite.
    """
    network, sampler = denoising_part(model), sampler or HeunSampler(steps=_STEPS)
    space, indices = network.space, torch.arange(_SAMPLES)
    given = task.templates(indices, seed, network.constants.double(), Asked())
    batch: CloudBatch = given.batch(indices).to(dtype=torch.float64)
    noise = numbered_noise(space, given.num_points.tolist(), indices.tolist(), sampler.num_draws, seed)
    denoiser = Denoiser(guided_network(model, batch), space.spreads(noise))

    def end(turn: Tensor) -> Tensor:
        moved = torch.cat([noise[..., : space.dim] @ turn.T, noise[..., space.dim :]], dim=-1)
        state = sampler.sample(denoiser, moved, lambda z: space.project(z, batch.batch, batch.num_clouds))
        return state[:, : space.dim]

    plain = end(torch.eye(space.dim, dtype=torch.float64))
    size = plain.square().mean().sqrt()
    found = max(float((end(turn) - plain @ turn.T).square().mean().sqrt() / size) for turn in moves)
    return found if math.isfinite(found) else None
