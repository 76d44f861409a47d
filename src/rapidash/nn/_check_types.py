"""Whether tensors have the type and the device of the weights that they meet."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

CAST_BY_AUTOCAST = (torch.float16, torch.bfloat16, torch.float32)


def check_types(owner: str, layer: nn.Module | Tensor, *groups: Mapping[str, Tensor | None]) -> None:
    """Raise ValueError for arguments whose type or device is not that of the weights.

    Args:
        owner: whose weights they are, for the message: "network".
        layer: the first layer, or a tensor, that they meet.
        groups: arguments by name. Those of a group are joined on the way to the weights, so that their common type
            counts: truth values beside float32 are float32. None is skipped.
    """
    weight = layer if isinstance(layer, Tensor) else next(layer.parameters(), None)
    if weight is None:
        return
    for group in groups:
        if _has_that_of(weight, group):
            continue
        given = {name: tensor for name, tensor in group.items() if tensor is not None}
        for name, tensor in given.items():
            _check_device(owner, name, tensor, weight)
        types = [tensor.dtype for tensor in given.values()]
        common = types[0] if types else weight.dtype
        for dtype in types[1:]:
            common = torch.promote_types(common, dtype)
        if common == weight.dtype or _autocast_joins(common, weight):
            continue
        name = next(name for name, tensor in given.items() if tensor.dtype != weight.dtype)
        raise ValueError(
            f"{name} has type {given[name].dtype}, the {owner} {weight.dtype}: convert it, "
            f"{name}.to({weight.dtype})" + (f", or the {owner}" if given[name].is_floating_point() else "")
        )


def _has_that_of(weight: Tensor, group: Mapping[str, Tensor | None]) -> bool:
    """Whether all tensors have type and device of the weights: as a rule they do, and every forward pass asks."""
    dtype, device = weight.dtype, weight.device
    for tensor in group.values():
        if tensor is not None and not (
            isinstance(tensor, Tensor) and tensor.dtype == dtype and tensor.device == device
        ):
            return False
    return True


def _check_device(owner: str, name: str, tensor: Tensor, weight: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}: convert it, torch.as_tensor")
    if tensor.device != weight.device:
        raise ValueError(
            f"{name} is on {tensor.device}, the {owner} on {weight.device}: move it, {name}.to('{weight.device}')"
        )


def _autocast_joins(dtype: torch.dtype, weight: Tensor) -> bool:
    """Whether autocast brings both to one type."""
    if not torch.is_autocast_enabled(weight.device.type):
        return False
    return dtype in CAST_BY_AUTOCAST and weight.dtype in CAST_BY_AUTOCAST
