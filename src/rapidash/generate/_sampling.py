"""Clouds drawn from a trained denoiser: functions of the seed and their number, whatever else is drawn."""

import math
import warnings
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.generate._asked import Asked
from rapidash.generate._denoiser import Denoiser, ScaledNetwork
from rapidash.generate._network import denoising_part, with_state
from rapidash.generate._noise import numbered_noise
from rapidash.generate._pose import random_turns
from rapidash.generate._samplers import Sampler
from rapidash.generate._state import check_sizes
from rapidash.generate._task import DenoisingTask
from rapidash.groups import SO, Scalar
from rapidash.methods import in_eval_mode

_FAR = 10.0  # a coordinate of a network input, whose variance is 1: beyond, a sampler has diverged
_BLOCK = 64  # clouds at a time, always: matrix products of another number of rows are rounded in another way


@torch.no_grad()
def sample_clouds(
    model: nn.Module,
    task: DenoisingTask,
    num: int,
    *,
    seed: int = 0,
    sampler: Sampler | None = None,
    guidance: float = 0.0,
    condition: Float[Tensor, "num 1"] | None = None,
    num_points: Int[Tensor, " num"] | None = None,
    advance: Callable[[int], object] | None = None,
) -> CloudDataset:
    """Clouds 0 to num - 1 of a seed, in the unit of the task's data; generated scalars are their field ``features``.

    A cloud depends on the seed and its number alone, bit for bit on the CPU: clouds are drawn in blocks of 64, each of
    the same numbers however many are asked for, and the rest of the last block is thrown away. A cloud that diverges
    has positions that are not finite, and is returned like the others: count it.

    Args:
        model: of the task, on its device and in its dtype; it is used in eval mode.
        task: what is given of the clouds.
        num: at least 1.
        seed: of the noise.
        sampler: default: that of the task's figures.
        guidance: w in D(c) + w (D(c) - D(none)); 0: the condition alone.
        condition: asked for, in place of that of the task's templates; NaN for none.
        num_points: of each cloud, in place of the law of the training data; sizes that it does not have are allowed.
        advance: called with the number of clouds after every block.
    Warns: for a condition outside the range of the training data.
    Raises: ValueError for a number below 1, a guidance that is not finite, guidance or a condition for a task without
        conditions, or numbers of points that the task does not have.
    """
    if num < 1 or not math.isfinite(guidance):
        raise ValueError(f"num must be at least 1 and guidance finite, got {num=}, {guidance=}")
    network, sampler = denoising_part(model), sampler or task.sampler
    whole = -(-num // _BLOCK) * _BLOCK
    asked, constants = Asked(condition, num_points), network.constants.double().cpu()
    asked.check(num)
    given = task.templates(torch.arange(whole), seed, constants, asked.padded(whole))
    check_sizes(given.num_points)
    if "condition" not in given.tensors and (guidance or condition is not None):
        raise ValueError(f"task {task.name!r} has no condition to ask for, or to be guided by")
    if "condition" in given.tensors:
        _check_range(given.tensors["condition"][:num], network.constants)
    states = []
    with in_eval_mode(model):
        for indices in torch.arange(whole).split(_BLOCK):
            states.append(_sampled(model, given, indices, sampler, seed, guidance).cpu())
            if advance is not None:
                advance(min(_BLOCK, num - int(indices[0])))
    z, dim = torch.cat(states), network.space.dim
    if network.turns_samples:
        turns = random_turns(dim, range(whole), seed).to(z).repeat_interleave(given.num_points, 0)
        z = _moved(turns, z)
    made, fields = {"pos": z[:, :dim] * network.unit_length}, dict(given.fields)
    if network.space.num_scalars:
        made["features"], fields["features"] = z[:, dim:], Field(Scalar())
    samples = CloudDataset({**given.tensors, **made}, fields, given.num_points).subset(torch.arange(num))
    return task.decoded(samples, constants)


def is_finite(samples: CloudDataset) -> Tensor:
    """(size,) whether all positions of a cloud are finite."""
    batch = torch.repeat_interleave(torch.arange(len(samples)), samples.num_points)
    bad = (~torch.isfinite(samples.tensors["pos"])).any(-1).double()
    return torch.zeros(len(samples), dtype=torch.float64).index_add(0, batch, bad) == 0


def _sampled(
    model: nn.Module, given: CloudDataset, indices: Tensor, sampler: Sampler, seed: int, guidance: float
) -> Tensor:
    """The states of some samples."""
    space = denoising_part(model).space
    like = next(model.parameters())
    batch = given.batch(indices).to(like.device, like.dtype)
    sizes = given.num_points[indices].tolist()
    noise = numbered_noise(space, sizes, indices.tolist(), sampler.num_draws, seed).to(like)
    network = guided_network(model, batch, guidance)
    if denoising_part(model).turns_states:
        network = turned_network(network, space.dim, batch.batch, [seeded(seed, "state", int(i)) for i in indices])
    denoiser = Denoiser(network, space.spreads(like))
    return sampler.sample(denoiser, noise, lambda z: space.project(z, batch.batch, batch.num_clouds))


def turned_network(
    network: ScaledNetwork, dim: int, batch: Tensor, streams: Sequence[torch.Generator]
) -> ScaledNetwork:
    """R^T F(R z) with a new random rotation R of every cloud in every call, each cloud from a stream of its own.

    A step of a sampler is then as likely as the same step of a turned state, whatever F is.
    """
    drawn: list[Tensor] = []

    def turned(seen: Tensor, code: float) -> Tensor:
        if not drawn:  # many at a time: one takes as long
            several = [SO(dim).sample(_BLOCK, generator=stream)[:, :dim, :dim] for stream in streams]
            drawn.extend(torch.stack(several, dim=1).to(seen))
        turns = drawn.pop(0)[batch]
        found = network(_moved(turns, seen), code)
        return _moved(turns.mT, found)

    return turned


def _moved(turns: Tensor, state: Tensor) -> Tensor:
    """The state with its positions turned, (N, D, D), (N, W)."""
    dim = turns.shape[1]
    return torch.cat([torch.einsum("nij,nj->ni", turns, state[:, :dim]), state[:, dim:]], dim=1)


def guided_network(model: nn.Module, batch: CloudBatch, guidance: float = 0.0) -> Callable[[Tensor, float], Tensor]:
    """The network F of clouds of which ``batch`` has what is given, as a function of state and code of the level.

    With guidance w it is F(c) + w (F(c) - F(none)), so that D is D(c) + w (D(c) - D(none)). Clouds that are not finite
    or far off are seen as points at the origin, and get an output that is not finite: others do not notice them.
    """
    space = denoising_part(model).space
    free = batch if not guidance else batch.with_tensor("condition", torch.full_like(batch["condition"], torch.nan))

    def network(seen: Tensor, code: float) -> Tensor:
        off = (~(seen.abs() < _FAR)).any(-1).to(seen)
        lost = (seen.new_zeros(batch.num_clouds).index_add(0, batch.batch, off) > 0)[batch.batch, None]
        seen = seen.masked_fill(lost, 0.0)
        codes = seen.new_full((batch.num_clouds, 1), code)
        found: Tensor = model(with_state(batch, space, seen, codes))
        if guidance:
            found = found + guidance * (found - model(with_state(free, space, seen, codes)))
        return found.masked_fill(lost, torch.nan)

    return network


def _check_range(condition: Tensor, constants: Tensor) -> None:
    low, high = (float(value) for value in constants[3:5])
    asked = condition[torch.isfinite(condition)]
    if len(asked) and not (low <= float(asked.min()) and float(asked.max()) <= high):
        warnings.warn(
            f"the condition goes from {float(asked.min()):.4g} to {float(asked.max()):.4g}, in training from {low:.4g} "
            f"to {high:.4g}: beyond that the model guesses",
            stacklevel=3,
        )
