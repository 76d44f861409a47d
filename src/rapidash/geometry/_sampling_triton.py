"""Farthest point sampling on the GPU: one program per cloud, its gaps tile by tile in memory that stays in the cache.

The arithmetic is that of the definition (float64, no fused multiply-add), so the result is the same to the bit.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton gives the types of what it compiles

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry._segments import Segments

POINTS_AT_ONCE = 1024
LAST_ROW = tl.constexpr(2**62)


def farthest_points_triton(
    points: Float[Tensor, "N D"], segments: Segments, number: Int[Tensor, " B"], first: Int[Tensor, " B"]
) -> Int[Tensor, " M"]:
    """Same result as `farthest_points_reference`."""
    written = torch.cumsum(number, 0) - number
    chosen = torch.empty(int(number.sum()), dtype=torch.long, device=points.device)
    gap = torch.full_like(points[:, 0], torch.inf)
    _sample_kernel[(len(segments),)](
        points.T.contiguous(), segments.start, segments.count, number, first, written, gap, chosen, len(points),
        D=points.shape[1], POINTS=min(POINTS_AT_ONCE, triton.next_power_of_2(segments.largest)),
        enable_fp_fusion=False,
    )  # fmt: skip
    return chosen


@triton.jit
def _sample_kernel(
    points, start, count, number, first, written, gap, chosen, num_points, D: tl.constexpr, POINTS: tl.constexpr
):
    cloud = tl.program_id(0)
    begin, size = tl.load(start + cloud), tl.load(count + cloud)
    steps, last, out = tl.load(number + cloud), tl.load(first + cloud), tl.load(written + cloud)
    tl.store(chosen + out, last)
    for step in range(1, steps):
        farthest = tl.min(tl.full([2], -2.0, tl.float64), axis=0)
        farthest_row = last
        for tile in range(0, size, POINTS):
            column = tile + tl.arange(0, POINTS)
            row = begin + column
            is_point = column < size
            total = tl.zeros([POINTS], tl.float64)
            for axis in tl.static_range(D):
                x = tl.load(points + axis * num_points + row, mask=is_point, other=0.0)
                offset = x - tl.load(points + axis * num_points + last)
                total = total + offset * offset
            here = tl.minimum(tl.load(gap + row, mask=is_point, other=-2.0), total)
            here = tl.where(row == last, -1.0, here)  # never chosen again
            tl.store(gap + row, here, mask=is_point)
            here = tl.where(is_point, here, -2.0)
            peak = tl.max(here, axis=0)
            peak_row = tl.min(tl.where(here == peak, row, LAST_ROW), axis=0)
            farthest_row = tl.where(peak > farthest, peak_row, farthest_row)
            farthest = tl.maximum(farthest, peak)
        last = farthest_row
        tl.store(chosen + out + step, last)
