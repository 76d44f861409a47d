"""Clouds far from the origin, moved to it before they are rounded to the type of a model; predictions moved back."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import CloudDataset, centers_far_away
from rapidash.tasks import Output


def moved_to_origin(data: CloudDataset) -> tuple[CloudDataset, Float[Tensor, "B D"]]:
    """The clouds, those far from the origin with their mean there, and by how much each was moved (B, D)."""
    centers = centers_far_away(data.tensors["pos"], data.num_points)
    if not centers.any():
        return data, centers
    motion = _translations(-centers)
    owner = torch.repeat_interleave(torch.arange(len(data)), data.num_points)
    tensors = {
        name: data.fields[name].representation.act(motion[owner] if data.fields[name].level == "point" else motion, x)
        if x.is_floating_point()
        else x
        for name, x in ((name, tensor.double() if name == "pos" else tensor) for name, tensor in data.tensors.items())
    }
    return CloudDataset(tensors, data.fields, data.num_points), centers


def moved_back(output: Output, centers: Float[Tensor, "B D"], rows: Tensor) -> Output:
    """An output where the clouds were: ``centers`` from `moved_to_origin`, ``rows`` the cloud of each point."""
    if not centers.any() or not output.values.is_floating_point() or output.labels:
        return output
    motion = _translations(centers).to(output.values.device)
    motion = motion[rows] if output.field.level == "point" else motion
    moved = output.field.representation.act(motion, output.values.double())
    return output if torch.equal(moved, output.values.double()) else replace(output, values=moved)


def _translations(by: Float[Tensor, "B D"]) -> Float[Tensor, "B D1 D1"]:
    """The motions x -> x + b in homogeneous form."""
    size = by.shape[1] + 1
    motion = torch.eye(size, dtype=torch.float64).repeat(len(by), 1, 1)
    motion[:, :-1, -1] = by
    return motion
