"""Random classification tasks: what a network in context is trained on."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

_ATTEMPTS = 4  # to draw a task with more than one class
_ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    torch.tanh,
    torch.relu,
    torch.sin,
    torch.abs,
    lambda x: x,
    lambda x: x * x,
    lambda x: torch.exp(-x * x),
    lambda x: (x > 0).to(x),
)


class SyntheticTasks(NamedTuple):
    """Tables with labels: x with NaN for missing values, y from 0 to C - 1; the rows of a table are exchangeable."""

    x: Float[Tensor, "B R F"]
    y: Int[Tensor, "B R"]


class Prior(ABC):
    """A law on classification tasks."""

    num_features: int

    @abstractmethod
    def sample(self, batch: int, num_classes: int, generator: torch.Generator, num_rows: int = 64) -> SyntheticTasks:
        """Tasks drawn independently, a function of the generator's state alone.

        Args:
            batch: B, tasks.
            num_classes: C, names that a label may have; not every class need occur.
            generator: of all random numbers, on the CPU.
            num_rows: R.
        Raises: ValueError for counts below 1, or fewer than two classes.
        """


def check_counts(batch: int, num_classes: int, num_rows: int, max_classes: int) -> None:
    """Raises: ValueError for counts that no task has."""
    if min(batch, num_rows) < 1 or not 2 <= num_classes <= max_classes:
        raise ValueError(
            f"a prior needs batch and num_rows of at least 1 and 2 to {max_classes} classes, got {batch=}, {num_rows=} "
            f"and {num_classes=}"
        )


@dataclass(frozen=True)
class TanhPrior(Prior):
    """Labels are the largest of C random linear heads on a random network with tanh, of normal features.

    Args:
        num_features: F.
        max_classes: most classes that can be asked for.
        hidden: width of the network's one hidden layer.
    """

    num_features: int = 5
    max_classes: int = 12
    hidden: int = 16

    def sample(self, batch: int, num_classes: int, generator: torch.Generator, num_rows: int = 64) -> SyntheticTasks:
        """See `Prior.sample`."""
        check_counts(batch, num_classes, num_rows, self.max_classes)

        def normal(*shape: int) -> Tensor:
            return torch.randn(batch, *shape, generator=generator)

        x = normal(num_rows, self.num_features)
        hidden = torch.tanh(x @ normal(self.num_features, self.hidden) + normal(1, self.hidden))
        scores = hidden @ normal(self.hidden, num_classes)
        return SyntheticTasks(x, scores.argmax(dim=-1))


@dataclass(frozen=True)
class RandomClassificationPrior(Prior):
    """A bag of random tables: networks, trees and clusters, with the dirt of real ones.

    A task has between 2 and F features, and one of three sources. *Networks*: random causes pass through random layers
    of random activations, with noise; some of the neurons are the features, and the class is the largest of C random
    heads on the last layer, or the interval in which one neuron lies. *Trees*: a random tree of thresholds on some
    features, with random classes at its leaves. *Clusters*: every class has one to three clusters of random place,
    shape and low dimension, perhaps bent by a random layer. Then some columns are replaced by noise, made of other
    columns, cut into levels (numbered in their order or not), stretched, or lose values; some labels are wrong. Classes
    are not equally frequent, and their names are shuffled.

    Args:
        num_features: F, width of the tables; the columns that a task does not have are 0.
        max_classes: most classes that can be asked for.
    Raises: ValueError for fewer than two features or classes.
    Source: in the spirit of Hollmann et al., "TabPFN", ICLR 2023, appendix C; ours in detail.
    """

    num_features: int = 32
    max_classes: int = 64

    sources: ClassVar[tuple[str, ...]] = ("network", "tree", "clusters")

    def __post_init__(self) -> None:
        if min(self.num_features, self.max_classes) < 2:
            raise ValueError(
                f"num_features and max_classes must be at least 2, got {self.num_features} and {self.max_classes}"
            )

    def sample(self, batch: int, num_classes: int, generator: torch.Generator, num_rows: int = 64) -> SyntheticTasks:
        """See `Prior.sample`."""
        check_counts(batch, num_classes, num_rows, self.max_classes)
        tasks = [self._task(num_classes, _Dice(generator), num_rows) for _ in range(batch)]
        return SyntheticTasks(torch.stack([x for x, _ in tasks]), torch.stack([y for _, y in tasks]))

    def _task(self, num_classes: int, dice: "_Dice", num_rows: int) -> tuple[Tensor, Tensor]:
        width = dice.whole_log(2, self.num_features)
        source = (_network, _network, _tree, _clusters, _clusters)[dice.whole(0, 4)]
        for _ in range(_ATTEMPTS):
            x, y = source(dice, num_rows, width, num_classes)
            if int(y.min()) != int(y.max()):
                break
        x = _spoiled(dice, x)
        if dice.chance(0.3):
            wrong = dice.uniform(num_rows) < 0.2 * dice.number()
            y = torch.where(wrong, dice.wholes(num_classes, num_rows), y)
        y = dice.order(num_classes)[y]
        columns = dice.order(self.num_features)[:width]
        padded = torch.zeros(num_rows, self.num_features)
        padded[:, columns] = x
        return padded, y


class _Dice:
    """Random numbers of one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def number(self) -> float:
        return float(torch.rand((), generator=self.generator))

    def chance(self, probability: float) -> bool:
        return self.number() < probability

    def between(self, low: float, high: float) -> float:
        """Uniform in the logarithm."""
        return low * (high / low) ** self.number()

    def whole(self, low: int, high: int) -> int:
        """Uniform from low to high, both included."""
        return low + min(int(self.number() * (high - low + 1)), high - low)

    def whole_log(self, low: int, high: int) -> int:
        """From low to high, both included, small ones more often."""
        return min(int(self.between(low, high + 1)), high)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator)

    def wholes(self, end: int, *shape: int) -> Tensor:
        return torch.randint(end, shape, generator=self.generator)

    def order(self, size: int) -> Tensor:
        return torch.randperm(size, generator=self.generator)

    def activation(self) -> Callable[[Tensor], Tensor]:
        return _ACTIVATIONS[self.whole(0, len(_ACTIVATIONS) - 1)]

    def shares(self, size: int) -> Tensor:
        """Positive numbers that add up to 1: nearly equal, or not at all."""
        return (self.normal(size) * self.between(0.05, 1.5)).softmax(dim=0)


def _network(dice: _Dice, rows: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    causes = dice.whole_log(1, max(2, width))
    x = dice.normal(rows, causes) if dice.chance(0.6) else 2 * dice.uniform(rows, causes) - 1
    if dice.chance(0.3):
        x = x * (1 + dice.wholes(3, rows, 1))  # a mixture of scales
    seen, activation = [x], dice.activation()
    noise, sparsity, same = dice.between(0.003, 0.3), dice.number() * 0.7, dice.chance(0.6)
    hidden = dice.whole_log(4, 40)
    for _ in range(dice.whole(1, 3)):
        weight = dice.normal(x.shape[1], hidden) * (dice.uniform(x.shape[1], hidden) >= sparsity)
        x = activation(_unit(x @ weight) * dice.between(0.5, 3.0) + dice.normal(hidden))
        x = _unit(x) + noise * dice.normal(rows, hidden)
        seen.append(x)
        activation = activation if same else dice.activation()
    neurons = torch.cat(seen if dice.chance(0.6) else seen[:1] if causes >= width else seen[:2], dim=1)
    chosen = dice.wholes(neurons.shape[1], width) if neurons.shape[1] < width else dice.order(neurons.shape[1])[:width]
    if dice.chance(0.5):
        scores = _unit(x @ dice.normal(hidden, classes)) + dice.between(0.05, 1.0) * dice.normal(classes)
        return neurons[:, chosen], scores.argmax(dim=1)
    return neurons[:, chosen], _intervals(dice, x[:, 0], classes)


def _intervals(dice: _Dice, values: Tensor, classes: int) -> Tensor:
    """The number of the interval of each value; each holds a random part of the rows."""
    ends = dice.shares(classes).cumsum(dim=0)[:-1]
    return torch.bucketize(values.contiguous(), torch.quantile(values, ends.clamp(0, 1)))


def _tree(dice: _Dice, rows: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    x = dice.normal(rows, width) if dice.chance(0.5) else dice.uniform(rows, width) * 3.4 - 1.7
    if dice.chance(0.5):
        x = _unit(x + dice.between(0.1, 3.0) * x @ dice.normal(width, width) / math.sqrt(width))
    used = dice.order(width)[: dice.whole_log(1, min(width, 8))]
    depth = dice.whole(max(1, math.ceil(math.log2(classes))), 6)
    inner = 2**depth - 1
    feature, node = used[dice.wholes(len(used), inner)], torch.zeros(rows, dtype=torch.long)
    cut = 0.8 * dice.normal(inner)
    for _ in range(depth):
        node = 2 * node + 1 + (x.gather(1, feature[node, None])[:, 0] > cut[node]).long()
    leaves = torch.multinomial(dice.shares(classes), inner + 1, replacement=True, generator=dice.generator)
    return x, leaves[node - inner]


def _clusters(dice: _Dice, rows: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    y = torch.multinomial(dice.shares(classes), rows, replacement=True, generator=dice.generator)
    per_class, rank = dice.whole(1, 3), dice.whole_log(1, min(width, 8))
    cluster = y * per_class + dice.wholes(per_class, rows)
    total = classes * per_class
    centers = dice.normal(total, width) * dice.between(0.3, 3.0) / width ** (0.5 * dice.number())
    shapes = dice.normal(total if dice.chance(0.7) else 1, rank, width).expand(total, -1, -1) / math.sqrt(rank)
    latent = dice.normal(rows, rank)
    if dice.chance(0.3):
        latent = torch.sin(2 * latent)
    x = centers[cluster] + torch.einsum("rk,rkw->rw", latent, shapes[cluster])
    x = x + dice.between(0.02, 1.0) * dice.normal(rows, width)
    if dice.chance(0.4):
        x = dice.activation()(_unit(x) @ dice.normal(width, width) / math.sqrt(width)) + 0.3 * x
    return x, y


def _spoiled(dice: _Dice, x: Tensor) -> Tensor:
    """The table with columns replaced, cut into levels, stretched, or with gaps."""
    rows, width = x.shape
    x = _unit(x)
    if dice.chance(0.3):
        x = torch.where(dice.uniform(width) < 0.5 * dice.number(), dice.normal(rows, width), x)
    if dice.chance(0.25):
        x = _unit(x + 0.7 * x[:, dice.wholes(width, width)] * dice.normal(width))
    if dice.chance(0.35):
        x = torch.where(dice.uniform(width) < dice.number(), _levels(dice, x), x)
    if dice.chance(0.25):
        power = torch.exp(0.5 * dice.normal(width))
        x = torch.where(dice.uniform(width) < 0.5, x.sign() * x.abs() ** power, x.clamp(max=4).exp())
    if dice.chance(0.15):
        x = torch.where(dice.uniform(rows, width) < 0.3 * dice.number(), torch.nan, x)
    return x


def _levels(dice: _Dice, x: Tensor) -> Tensor:
    """Every column as the number of its level, of two to six, in their order or shuffled."""
    count = dice.whole(2, 6)
    cuts = dice.normal(count - 1, 1, x.shape[1]).sort(dim=0).values
    levels = (x > cuts).sum(dim=0)
    return (levels if dice.chance(0.5) else dice.order(count)[levels]).to(x)


def _unit(x: Tensor) -> Tensor:
    """Columns of mean 0 and deviation 1; constant ones are 0."""
    x = x - x.mean(dim=0)
    return x / x.std(dim=0, correction=0).clamp(min=1e-6)


def standardized(x: Float[Tensor, "*B R F"], num_context: int) -> Float[Tensor, "*B R F"]:
    """Columns of mean 0 and deviation 1 over the context rows; NaN stays, and constant columns are 0.

    Beyond 3 deviations values grow as a logarithm. ``x`` is left as it is.
    Raises: ValueError for no context row.
    """
    if not 1 <= num_context <= x.shape[-2]:
        raise ValueError(f"num_context must be 1 to {x.shape[-2]}, the rows of x, got {num_context}")
    known = x[..., :num_context, :]
    mean = known.nanmean(dim=-2, keepdim=True).nan_to_num(nan=0.0)
    deviation = (known - mean).square().nanmean(dim=-2, keepdim=True).nan_to_num(nan=0.0).sqrt()
    is_constant = deviation <= 1e-6 * (1e-6 + mean.abs())
    scaled = torch.where(is_constant, torch.zeros_like(x), (x - mean) / deviation.clamp(min=1e-30))
    beyond = (scaled.abs() - 3).clamp(min=0)
    return scaled.sign() * (scaled.abs() - beyond + beyond.log1p())


def fitted_to_width(x: Float[Tensor, "*B R f"], num_features: int) -> Float[Tensor, "*B R F"]:
    """Rows padded with zeros to F columns, and scaled by (F / f)^1/2 with f the columns that are not 0 throughout.

    So the size of a row does not depend on how many columns a table has. ``x`` is left as it is.
    Raises: ValueError for more columns than F.
    """
    if x.shape[-1] > num_features:
        raise ValueError(f"x has {x.shape[-1]} columns, more than {num_features}: project it first")
    padded = torch.nn.functional.pad(x, (0, num_features - x.shape[-1]))
    used = (padded.nan_to_num(nan=1.0) != 0).any(dim=-2).sum(dim=-1).clamp(min=1)[..., None, None]
    return padded * (num_features / used).sqrt()
