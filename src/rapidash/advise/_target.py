"""The target of a task as numbers of each cloud, found by what its loss reads and its network does not."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import CloudBatch, CloudDataset
from rapidash.groups import Position, Scalar, Vector
from rapidash.methods import Task, Variant, build_model

_FEW = 4  # clouds on which it is found out
_SAME = 1e-6  # a spread relative to the size that is rounding


@dataclass(frozen=True)
class Target:
    """The numbers that are asked about of a target.

    Args:
        name: of the field.
        words: the numbers in words, e.g. ``"the length of dipole"``.
        values: (B, K) numbers in units of their standard deviation, shares of classes, or 0 and 1 for every class; of
            those of a point none that are the same for all clouds.
        label: (B,) the class of each cloud, None where it has none.
        vectors: (B, D) the mean vector of each cloud, None where the target has none.
    """

    name: str
    words: str
    values: Float[Tensor, "B K"]
    label: Tensor | None = None
    vectors: Tensor | None = None


class _Watched(dict[str, Tensor]):
    """Tensors by name that remember which of them were read."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.read: dict[str, None] = {}

    def __getitem__(self, name: str) -> Tensor:
        self.read[name] = None
        return super().__getitem__(name)


def read_fields(task: Task, variant: Variant, data: CloudDataset) -> tuple[list[str], list[str]]:
    """The fields that the network of a task reads, and those that only its loss reads, in the order of reading."""
    batch = data.batch(torch.arange(min(_FEW, len(data)))).to(dtype=torch.float32)
    inside, outside = _Watched(batch.tensors), _Watched(batch.tensors)
    prediction = build_model(task, variant)(replace(batch, tensors=inside))
    task.loss(prediction, replace(batch, tensors=outside))
    return list(inside.read), [name for name in outside.read if name not in inside.read]


def find_target(task: Task, variant: Variant, data: CloudDataset) -> tuple[CloudDataset, Target | None]:
    """The clouds as the network is given them, and the first target of which there is something to ask.

    Classes are asked as they are, numbers in units of their spread, vectors and positions by their length (positions
    from where the point is), a value of each point by its mean over the cloud. None where there is no such target.
    """
    inputs, targets = read_fields(task, variant, data)
    batch = data.batch(torch.arange(len(data)))
    return with_fields(data, ["pos", *inputs]), next(_targets(batch, targets), None)


def with_fields(data: CloudDataset, names: Iterable[str]) -> CloudDataset:
    """The clouds with these fields alone."""
    kept = list(dict.fromkeys(names))
    return CloudDataset(
        {name: data.tensors[name] for name in kept}, {name: data.fields[name] for name in kept}, data.num_points
    )


def _targets(batch: CloudBatch, names: list[str]) -> Iterator[Target]:
    for name in names:
        tensor, field = batch.tensors[name], batch.fields[name]
        at_points, kind = field.level == "point", field.representation
        if isinstance(kind, Scalar) and not tensor.is_floating_point():
            number = 1 + int(tensor.max())
            each = torch.nn.functional.one_hot(tensor.reshape(-1).long(), number).double()
            if at_points:
                yield Target(name, f"the shares of {name} in a cloud", _varying(_means(each, batch)))
            else:
                yield Target(name, name, each, tensor.reshape(-1).long())
        elif isinstance(kind, Scalar):
            each = tensor.reshape(len(tensor), -1).double()
            words = f"the mean of {name} in a cloud" if at_points else name
            yield Target(name, words, _standard(_varying(_means(each, batch) if at_points else each)))
        elif isinstance(kind, Vector | Position) and tensor.dim() == 2:
            vectors, words = tensor.double(), f"the length of {name}"
            if isinstance(kind, Position) and at_points:
                vectors, words = vectors - batch.pos.double(), f"how far {name} is from the point"
            length = vectors.norm(dim=1, keepdim=True)
            if at_points:
                length, vectors, words = _means(length, batch), _means(vectors, batch), f"{words}, mean over a cloud"
            yield Target(name, words, _standard(length), vectors=vectors)


def _means(values: Float[Tensor, "N K"], batch: CloudBatch) -> Float[Tensor, "B K"]:
    total = values.new_zeros(batch.num_clouds, values.shape[1]).index_add(0, batch.batch, values)
    return total / batch.num_points[:, None]


def _varying(values: Float[Tensor, "B K"]) -> Float[Tensor, "B V"]:
    """Without the columns that are the same for all clouds, such as the share of a class that none has; else all."""
    varies = values.std(dim=0) > _SAME * values.abs().amax(dim=0)
    return values[:, varies] if bool(varies.any()) else values


def _standard(values: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    spread = values.std(dim=0)
    return (values - values.mean(dim=0)) / torch.where(spread > 0, spread, 1.0)
