"""The one check of points and clouds, on which every function of them relies."""

import torch
from torch import Tensor

from rapidash.geometry._arrays import has_arrays
from rapidash.geometry._transforms import on_values

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8)


@on_values
def check_cloud(pos: Tensor, batch: Tensor) -> None:
    """Raise ValueError unless the points are finite and sorted by cloud, and every cloud has a point.

    Args:
        pos: positions (N, D), floating point, finite, N and D at least 1.
        batch: (N,) the cloud of each point: integers 0, 0, ..., 1, ..., B - 1, non-decreasing, none left out, on the
            device of ``pos``.
    """
    _check_tensors(pos, batch)
    if has_arrays(pos, batch):
        from rapidash.geometry._clouds_numba import is_valid_cloud

        if is_valid_cloud(pos.detach().numpy(), batch.numpy()):
            return
    step = batch[1:] - batch[:-1]
    # one transfer from the device for all checks
    is_finite, is_from_zero, is_gapless = torch.stack(
        [pos.isfinite().all(), batch[0] == 0, ((step == 0) | (step == 1)).all()]
    ).tolist()
    if not is_finite:
        point = int((~pos.isfinite().all(dim=1)).nonzero()[0])
        raise ValueError(
            f"pos has NaN or infinite coordinates, first at point {point} of cloud {int(batch[point])}: "
            f"{pos[point].tolist()}. Remove or repair these points"
        )
    if is_from_zero and is_gapless:
        return
    if int(batch.min()) < 0:
        point = int((batch < 0).nonzero()[0])
        raise ValueError(f"batch must number the clouds from 0, got {int(batch[point])} at point {point}")
    if bool((step < 0).any()):
        point = int((step < 0).nonzero()[0]) + 1
        raise ValueError(
            f"batch must be sorted, but point {point} of cloud {int(batch[point])} follows one of cloud "
            f"{int(batch[point - 1])}: order the points by cloud, e.g. by batch.argsort(stable=True)"
        )
    present = torch.bincount(batch)
    raise ValueError(
        f"every cloud needs at least one point, but cloud {int((present == 0).nonzero()[0])} of {len(present)} has "
        "none: number the clouds 0, 1, ... without a gap, e.g. by torch.unique(batch, return_inverse=True)"
    )


def _check_tensors(pos: Tensor, batch: Tensor) -> None:
    """Types, shapes and devices."""
    for name, value in (("pos", pos), ("batch", batch)):
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if pos.dim() != 2 or pos.shape[1] < 1:
        raise ValueError(f"pos must be (N, D), a row per point, got shape {tuple(pos.shape)}")
    if not pos.is_floating_point():
        raise ValueError(f"pos must be floating point, got {pos.dtype}: convert it with .float() or .double()")
    if batch.dim() != 1 or len(batch) != len(pos):
        raise ValueError(f"batch must be (N,) = ({len(pos)},), one number per row of pos, got {tuple(batch.shape)}")
    if batch.dtype not in _INTEGERS:
        raise ValueError(f"batch must hold signed integers, got {batch.dtype}: convert it with .long()")
    if batch.device != pos.device:
        raise ValueError(f"pos is on {pos.device} and batch on {batch.device}: move both to one device")
    if len(pos) == 0:
        raise ValueError("the batch is empty: it needs at least one point")
