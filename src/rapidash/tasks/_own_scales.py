"""Offsets and scales of a user's targets: what is subtracted before training, and added to predictions."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.tasks._own_columns import element_counts, fitted_offsets


def target_scales(
    data: CloudDataset, *, kind: str, elements: tuple[int, ...], is_extensive: bool, length: float
) -> dict[str, Any]:
    """Mean and scale of the target of some clouds, and offsets per element; those of a class change nothing.

    Args:
        data: the training clouds, with their whole target.
        kind, elements, is_extensive, length: as of `OwnDataTask`.
    """
    target = data.tensors["target"].double()
    found: dict[str, Any] = {"mean": 0.0, "scale": 1.0, "offsets": []}
    if kind == "class":
        return found
    if is_extensive or kind == "forces":
        counts = element_counts(data, elements)
        found["offsets"] = fitted_offsets(counts, target)
        rest = target - counts @ torch.tensor(found["offsets"], dtype=torch.float64)
        size = (rest / data.num_points).square().mean().sqrt()
        if kind == "forces":
            size = data.tensors["forces"].double().square().mean().sqrt() * length
    elif kind == "number":
        found["mean"], size = target.mean().item(), target.std()
    elif kind == "vector":
        size = target.square().mean().sqrt()
    else:
        trace = torch.einsum("bii->b", target)
        found["mean"] = trace.mean().item()
        dim = target.shape[-1]
        identity = torch.eye(dim, dtype=torch.float64)
        size = (target - found["mean"] / dim * identity).square().mean().sqrt()
    found["scale"] = float(size) or 1.0
    return found


def taken_off(
    scales: Mapping[str, Any],
    z: Int[Tensor, " N"] | None,
    owner: Int[Tensor, " N"],
    num: int,
    *,
    elements: tuple[int, ...],
    tensor_dim: int | None,
) -> Tensor:
    """The part of the target that `target_scales` takes off: of each cloud its offsets (B,), else a mean.

    Args:
        scales: those of the training clouds.
        z: atomic number of each point.
        owner: the cloud of each point.
        num: number of clouds B.
        elements: those that have offsets.
        tensor_dim: of a target of tensors the dimension D; the mean is of the trace then, and (D, D) is taken off.
    """
    if scales["offsets"] and z is not None:
        each = atom_offsets(scales, z, elements)
        return each.new_zeros(num).index_add(0, owner, each)
    mean = torch.tensor(scales["mean"], dtype=torch.float64, device=owner.device)
    return mean if tensor_dim is None else mean / tensor_dim * torch.eye(tensor_dim).to(mean)


def atom_offsets(scales: Mapping[str, Any], z: Int[Tensor, " N"], elements: tuple[int, ...]) -> Float[Tensor, " N"]:
    """The number that is taken off for every atom."""
    offsets = torch.tensor(scales["offsets"], dtype=torch.float64, device=z.device)
    return (z[:, None] == z.new_tensor(elements)).double() @ offsets
