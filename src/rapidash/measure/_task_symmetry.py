"""Does the pose of the data carry information about the target? A predictor that sees nothing but the pose."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.groups import SO, Scalar
from rapidash.measure._norms import real_rows, refuse_not_finite, unit_of
from rapidash.measure._report import Report

NUM_CANONICALIZERS = 3
_HIDDEN = 32
_SAME = 1e-12  # targets that differ less, relative to their size, differ by rounding
_LOOKS = 30  # at the validation loss


@dataclass(frozen=True)
class TaskSymmetryBreaking:
    """Loss of predicting the target from a randomly turned pose over that from the pose of the data.

    Args:
        ratio: 1 where the pose of a cloud says nothing about its target; above 1 where it does.
        standard_error: of the ratio, from the test samples, the random turns and the training.
        p_value: one-sided permutation test of ratio 1: the share of random turns, the data's own pose among them, whose
            loss is not above that of the data. Its least value is 1 / (num_turns + 1).
        loss, turned_loss: on the test samples, from the pose of the data, and the mean over the random turns.
        num_test, num_turns: test samples; sets of random turns, each with a predictor of its own.
        steps: training budget; the ratio depends on it, so report both.
        group: name of the group.
    """

    ratio: float
    standard_error: float
    p_value: float
    loss: float
    turned_loss: float
    num_test: int
    num_turns: int
    steps: int
    group: str

    @property
    def z(self) -> float:
        """log(ratio) in units of its standard error, as the ratio is skewed where the loss is small; 0 without one."""
        return math.log(self.ratio) * self.ratio / self.standard_error if self.standard_error > 0 else 0.0

    def report(self) -> Report:
        """One row."""
        row = {
            "ratio": self.ratio,
            "stderr": self.standard_error,
            "z": self.z,
            "p": self.p_value,
            "loss": self.loss,
            "turned": self.turned_loss,
            "test": self.num_test,
        }
        notes = {"group": self.group, "steps": self.steps, "turns": self.num_turns}
        return Report("task symmetry breaking", (row,), notes)


def task_symmetry_breaking(
    data: Float[Tensor, "B N D"] | CloudDataset,
    target: Tensor | str,
    *,
    steps: int = 200,
    num_turns: int = 19,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> TaskSymmetryBreaking:
    r"""Measure how much the pose of a cloud tells about an invariant target: t = L_rot / L.

    L is the test loss of a small network that predicts the target y from c(x) alone, where c is the orientation that a
    random, untrained, SO(D)-equivariant network gives to the cloud, c(g x) = g c(x); the mean over three of them.
    L_rot is the same for c(g x), with a random g for every cloud that is fixed during training. If the distribution of
    (x, y) does not change under rotations of x, both have the same distribution, and t is 1 up to chance. If t > 1, the
    pose carries information about the target (directly, or since shapes of different targets are stored in different
    poses), which augmentation and invariance remove. The score of the data alone, `symmetry_breaking_score`, says
    nothing about the target.

    t is a lower bound: it depends on what the canonicalizer and the predictor can see, and a cloud that is symmetric
    itself has no orientation. A quarter of the training samples stops every predictor where it begins to overfit, so
    that one that has nothing to learn from stays at the loss of a constant.

    Args:
        data: clouds of one size (B, N, D), D = 2 or 3, or a `CloudDataset`.
        target: (B,) classes (integers; cross-entropy, nats), or (B,) or (B, K) numbers that rotations do not change
            (mean squared error in units of their variance). For a `CloudDataset` the name of such a field.
        steps: optimizer steps (Adam) of every predictor.
        num_turns: sets of random turns, at least 2.
        batch_size: samples per step.
        learning_rate: of Adam, decayed to 0 on a cosine.
        test_fraction: share of the samples that are tested on.
        seed: of everything.
    Raises: ValueError for fewer than 8 samples, sizes or a fraction out of range, another dimension, targets that are
        all equal, not finite or not one per cloud; TypeError for a field that rotations change.
    Source: Lawrence, Hofgard, Portilheiro, Chen, Smidt, Walters, "To Augment or Not to Augment?", arXiv 2510.01349.
    """
    pos, batch, sizes = _points(data)
    num, dim = len(sizes), pos.shape[1]
    if num < 8 or not 0 < test_fraction < 1 or min(steps, batch_size) < 1 or num_turns < 2:
        raise ValueError(
            "need at least 8 samples, a test_fraction in (0, 1), steps and batch_size >= 1 and num_turns >= 2, got "
            f"{num} samples, {test_fraction=}, {steps=}, {batch_size=}, {num_turns=}"
        )
    if dim not in (2, 3):
        raise ValueError(f"the clouds must be in 2 or 3 dimensions, got {dim}")
    wanted = _targets(data, target, num)
    group = SO(dim)
    turns = group.sample(num * num_turns, generator=seeded(seed, "turns"))[:, :dim, :dim]
    turns = turns.reshape(num_turns, num, dim, dim)
    frames = [
        orientations(pos, batch, num, generator=seeded(seed, "canonicalizer", k)) for k in range(NUM_CANONICALIZERS)
    ]
    poses = torch.stack([torch.cat([own[None], turns @ own]) for own in frames])  # canonicalizers, turns, clouds
    order = torch.randperm(num, generator=seeded(seed, "split"))
    num_test = min(max(2, round(test_fraction * num)), num - 4)
    test, train = order[:num_test], order[num_test:]
    with torch.random.fork_rng(devices=[]):
        losses = _test_losses(
            poses.flatten(0, 1).flatten(2).float(),
            wanted,
            train,
            test,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
        )
    return _score(losses.reshape(NUM_CANONICALIZERS, 1 + num_turns, -1).mean(dim=0), steps, group.name)


def orientations(
    pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"], num_clouds: int, *, generator: torch.Generator
) -> Float[Tensor, "B D D"]:
    """The orientations that a random equivariant network gives to clouds: rotations with c(g x) = g c(x), g in SO(D).

    It sums the displacements from the centroid, weighted by random functions of their length relative to the
    size of the cloud; Gram-Schmidt makes D - 1 such vectors orthonormal, and the last one makes it a rotation.
    """
    dim = pos.shape[1]
    sizes = torch.bincount(batch, minlength=num_clouds).to(pos)[:, None]
    mean = pos.new_zeros(num_clouds, dim).index_add(0, batch, pos) / sizes
    offset = pos - mean[batch]
    square = offset.square().sum(dim=1, keepdim=True)
    scale = (pos.new_zeros(num_clouds, 1).index_add(0, batch, square) / sizes).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)  # all points in one place
    length = square.sqrt() / scale[batch]
    shapes = (1, _HIDDEN), (1, _HIDDEN), (_HIDDEN, dim - 1)
    frequency, phase, weight = (torch.randn(*shape, generator=generator).to(pos) for shape in shapes)
    weights = torch.sin(2 * length * frequency + 2 * phase) @ weight  # (N, D - 1)
    summed = torch.einsum("nv,nd->nvd", weights, offset / scale[batch])
    vectors = pos.new_zeros(num_clouds, *summed.shape[1:]).index_add(0, batch, summed)
    return _gram_schmidt(vectors)


def _gram_schmidt(vectors: Float[Tensor, "*B V D"]) -> Float[Tensor, "*B D D"]:
    """Rotations whose first columns span the D - 1 vectors."""
    first = nn.functional.normalize(vectors[..., 0, :], dim=-1)
    if vectors.shape[-1] == 2:
        return torch.stack([first, torch.stack([-first[..., 1], first[..., 0]], dim=-1)], dim=-1)
    second = vectors[..., 1, :]
    second = nn.functional.normalize(second - (second * first).sum(dim=-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def _points(data: Tensor | CloudDataset) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of all points in float64, the cloud of each, and the number of points of each cloud."""
    if isinstance(data, Tensor):
        if data.dim() != 3:
            raise ValueError(f"clouds of one size have the shape (B, N, D), got {tuple(data.shape)}")
        sizes = torch.full((len(data),), data.shape[1])
        pos = data.reshape(-1, data.shape[2])
    else:
        sizes, pos = data.num_points, data.tensors["pos"]
    refuse_not_finite("a position of the clouds", pos, "leave out samples that failed")
    pos = pos.detach().cpu().double()
    return pos / unit_of(pos.abs()), torch.repeat_interleave(torch.arange(len(sizes)), sizes), sizes


def _targets(data: Tensor | CloudDataset, target: Tensor | str, num: int) -> Tensor:
    """(B,) int64 classes, or (B, K) float32 of mean 0 and variance 1."""
    if isinstance(target, str):
        if isinstance(data, Tensor) or target not in data.fields:
            known = [] if isinstance(data, Tensor) else sorted(data.fields)
            raise ValueError(f"target {target!r} is no field of the data, which has {known}: give one, or a tensor")
        if not isinstance(data.fields[target].representation, Scalar):
            raise TypeError(
                f"target {target!r} transforms as {data.fields[target].representation}: the score is for targets that "
                "rotations do not change, such as its norm"
            )
        target = data.tensors[target]
    if len(target) != num or target.dim() > 2:
        raise ValueError(f"expected a target (B,) or (B, K) for {num} clouds, got the shape {tuple(target.shape)}")
    values = target.detach().cpu()
    if not values.is_floating_point() and (values.dim() == 1 or values.shape[1] == 1):
        found, classes = values.flatten().unique(return_inverse=True)
        if len(found) < 2:
            raise ValueError("all targets are equal: there is nothing to predict")
        return classes
    values = real_rows(values)
    is_finite = bool(torch.isfinite(values).all())
    values = values / torch.stack([unit_of(column.abs()) for column in values.T])
    spread = values.std(dim=0)
    if not is_finite or not bool((spread > _SAME * values.abs().amax(dim=0)).all()):
        raise ValueError("the targets are not finite, or all equal: there is nothing to predict")
    return ((values - values.mean(dim=0)) / spread).float()


def _test_losses(
    poses: Float[Tensor, "T B F"],
    target: Tensor,
    train: Tensor,
    test: Tensor,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> Float[Tensor, "T n"]:
    """The loss of every test sample for a predictor of each row of poses, all trained side by side.

    Each row's are those of the moment with the least loss on a quarter of the training samples, the start among them.
    """
    num_val = max(1, len(train) // 4)
    val, fit = train[:num_val], train[num_val:]
    predictors = _Predictors(poses, target, fit, seed)
    optimizer = torch.optim.Adam(predictors.parameters(), lr=learning_rate)
    best = torch.full((len(poses),), math.inf)
    found = torch.zeros(len(poses), len(test))
    with torch.enable_grad():
        for step in range(steps + 1):
            if step % max(1, steps // _LOOKS) == 0 or step == steps:
                with torch.no_grad():
                    now = predictors(val).mean(dim=1)
                    found = torch.where((now < best)[:, None], predictors(test), found)
                    best = torch.minimum(now, best)
            picked = fit[torch.randint(len(fit), (batch_size,), generator=seeded(seed, "step", step))]
            optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / (steps + 1)))
            optimizer.zero_grad()
            predictors(picked).mean(dim=1).sum().backward()
            optimizer.step()
    return found.double()


class _Predictors(nn.Module):
    """Losses of as many MLPs as there are rows of poses; at first each is the best constant."""

    def __init__(self, poses: Float[Tensor, "T B F"], target: Tensor, fit: Tensor, seed: int) -> None:
        super().__init__()
        self.poses, self.target, self.is_class = poses, target, not target.is_floating_point()
        width = int(target.max()) + 1 if self.is_class else target.shape[1]
        rng, sizes = seeded(seed, "predictors"), [poses.shape[2], _HIDDEN, _HIDDEN, width]
        shapes = [(len(poses), *pair) for pair in pairwise(sizes)]
        scales = [(2 / sizes[0]) ** 0.5, (2 / _HIDDEN) ** 0.5, 0.0]
        self.weights = nn.ParameterList([a * torch.randn(*shape, generator=rng) for a, shape in zip(scales, shapes)])
        self.biases = nn.ParameterList([torch.zeros(len(poses), 1, shape[2]) for shape in shapes])
        if self.is_class:
            counts = torch.bincount(target[fit], minlength=width) + 1.0
            constant = (counts / counts.sum()).log()
        else:
            constant = target[fit].mean(dim=0)
        self.biases[-1].data += constant

    def forward(self, indices: Int[Tensor, " n"]) -> Float[Tensor, "T n"]:
        hidden = self.poses[:, indices]
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden.relu() if place else hidden, weight)
        wanted = self.target[indices].expand(len(hidden), *self.target[indices].shape)
        if self.is_class:
            return cross_entropy(hidden.flatten(0, 1), wanted.flatten(), reduction="none").reshape(len(hidden), -1)
        return mse_loss(hidden, wanted, reduction="none").mean(dim=2)


def _score(losses: Float[Tensor, "T n"], steps: int, group: str) -> TaskSymmetryBreaking:
    """The ratio with its standard error by the delta method; row 0 of the losses is the data, the others are turned."""
    num_test, num_turns = losses.shape[1], len(losses) - 1
    own, turned = losses[0], losses[1:]
    loss, turned_loss = float(own.mean()), float(turned.mean())
    ratio = turned_loss / loss
    by_sample = turned.mean(dim=0) / turned_loss - own / loss
    by_turn = turned.mean(dim=1) / turned_loss
    variance = float(by_sample.var()) / num_test + float(by_turn.var()) * (1 + 1 / num_turns)
    beaten = int((turned.mean(dim=1) <= loss).sum())
    return TaskSymmetryBreaking(
        ratio=ratio,
        standard_error=ratio * math.sqrt(variance),
        p_value=(1 + beaten) / (1 + num_turns),
        loss=loss,
        turned_loss=turned_loss,
        num_test=num_test,
        num_turns=num_turns,
        steps=steps,
        group=group,
    )
