"""The vectors of a batch that frames are made of, and the motions they belong to."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data import Batch, CloudBatch
from rapidash.geometry import centroids
from rapidash.groups import Group, MatrixGroup, Position, Rotations, Scalar, Vector, motion


class Points(NamedTuple):
    """Vectors of all samples one after the other, float64, about their mean where they are positions."""

    offset: Float[Tensor, "N D"]
    owner: Int[Tensor, " N"]
    num_samples: int
    center: Float[Tensor, "B D"] | None
    """The mean of positions; None for vectors."""


def points_of(batch: Batch, field: str | None, dim: int) -> Points:
    """The positions of a cloud, or the declared positions or vectors of a row.

    Args:
        batch: clouds, or rows that declare a `Position` or a `Vector` (B, ..., D).
        field: which field; None: "pos" of a cloud, the only position, or else the only vector, of a row.
        dim: D.
    Raises: ValueError for no such field, several of them, or another dimension, or values that are not finite.
    """
    name = _the_field(batch, field)
    declared = batch.fields[name]
    values = batch[name]
    if values.shape[-1] != dim:
        raise ValueError(f"field {name!r} has {values.shape[-1]} components, the group acts on R^{dim}")
    if declared.level == "point":
        if not isinstance(batch, CloudBatch):
            raise ValueError(f"field {name!r} has a row per point, and a {type(batch).__name__} does not say whose")
        rows = batch.batch
    else:
        rows = torch.arange(batch.num_samples, device=values.device)
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"field {name!r} has values that are not finite: no frame can be made of them")
    each = values.shape[1:-1].numel()
    owner = rows.repeat_interleave(each)
    pos = values.reshape(-1, dim).double()
    if isinstance(_moves_as(batch, name), Vector):
        return Points(pos, owner, batch.num_samples, None)
    center = centroids(pos, owner, batch.num_samples)
    return Points(pos - center[owner], owner, batch.num_samples, center)


def _moves_as(batch: Batch, name: str) -> object:
    return batch.fields[name].representation


def _the_field(batch: Batch, field: str | None) -> str:
    if field is not None:
        if field not in batch.fields:
            raise ValueError(f"field {field!r} is not in the batch, which has {sorted(batch.fields)}")
        return field
    if isinstance(batch, CloudBatch):
        return "pos"
    for kind in (Position, Vector):
        names = sorted(name for name in batch.fields if isinstance(_moves_as(batch, name), kind))
        if len(names) == 1:
            return names[0]
        if names:
            raise ValueError(f"the batch declares several fields of {kind.__name__}, {names}: say which, field=...")
    raise ValueError(
        f"frames need positions or vectors, and the batch declares {sorted(batch.fields)} without any: give a field "
        "that moves as Position() or Vector()"
    )


def moving_field(batch: Batch) -> str:
    """The positions of clouds; of rows the first field of real numbers, by name, that the group moves.

    Raises: ValueError where none moves.
    """
    if isinstance(batch, CloudBatch):
        return "pos"
    for name in sorted(batch.fields):
        if not isinstance(batch.fields[name].representation, Scalar) and batch[name].is_floating_point():
            return name
    raise ValueError(f"the batch declares no field of real numbers that moves, {sorted(batch.fields)}")


def rotations_of(group: MatrixGroup) -> tuple[int, bool]:
    """The dimension of O(n), SO(n), E(n) or SE(n), and whether reflections belong to it.

    Raises: ValueError for any other group.
    """
    if not isinstance(group, Group) or not isinstance(group.linear, Rotations) or group.across is not None:
        raise ValueError(f"group must be O(n), SO(n), E(n) or SE(n), got {group.name}")
    return group.dim, group.linear.reflections


def with_center(group: MatrixGroup, linear: Float[Tensor, "B K D D"], center: Float[Tensor, "B D"] | None) -> Tensor:
    """Elements (B, K, D + 1, D + 1) with these linear parts, which take 0 to the center where there are translations.

    Raises: ValueError for translations without positions.
    """
    assert isinstance(group, Group)
    if not group.translations:
        shift = linear.new_zeros(linear.shape[:-1])
    elif center is None:
        raise ValueError(f"{group.name} has translations, and the frame is made of vectors, which know no place")
    else:
        shift = center[:, None].to(linear).expand(linear.shape[:-1])
    return motion(linear, shift)
