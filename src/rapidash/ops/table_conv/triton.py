"""table_conv on the GPU: one program per target (forward) or source (backward), orientation and block of channels.

The table stays in the second-level cache. Its gradient is added with atomics in float32, in an order that varies from
run to run; everything else is summed in one order.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# triton gives the types of what it compiles

import torch
import triton
import triton.language as tl
from torch import Tensor

from rapidash.ops.table_conv.reference import RANGE_TOLERANCE, Interpolation

BLOCK = 256  # channels
POINTS = {"linear": 2, "bspline": 4}
_TOLERANCE = tl.constexpr(RANGE_TOLERANCE)


@triton.jit
def _locate(u, num_nodes):
    """Index of the cell, the position in it, and the factor of derivatives: 0 where rounding moved the coordinate.

    The position is NaN, and so is all that it weighs, if the coordinate is outside the table.
    """
    last = num_nodes - 1
    is_known = (u >= -_TOLERANCE) & (u <= last + _TOLERANCE)
    moved = (u < 0) | (u > last)
    u = tl.where(is_known, u, 0.0)
    u = tl.minimum(tl.maximum(u, 0.0), last.to(tl.float32))
    cell = tl.minimum(u.to(tl.int32), tl.maximum(last - 1, 0))
    position = tl.where(is_known, u - cell.to(tl.float32), float("nan"))
    return cell, position, tl.where(moved, 0.0, 1.0)


@triton.jit
def _weight(t, node: tl.constexpr, POINTS: tl.constexpr):
    s = 1.0 - t
    if POINTS == 2:
        return s if node == 0 else t
    if node == 0:
        return s * s * s / 6.0
    if node == 1:
        return 2.0 / 3.0 - 0.5 * t * t * (2.0 - t)
    if node == 2:
        return 2.0 / 3.0 - 0.5 * s * s * (2.0 - s)
    return t * t * t / 6.0


@triton.jit
def _slope(t, node: tl.constexpr, POINTS: tl.constexpr):
    s = 1.0 - t
    if POINTS == 2:
        return t * 0.0 - 1.0 if node == 0 else t * 0.0 + 1.0
    if node == 0:
        return -0.5 * s * s
    if node == 1:
        return 1.5 * t * t - 2.0 * t
    if node == 2:
        return 2.0 * s - 1.5 * s * s
    return 0.5 * t * t


@triton.jit
def _point(coords, at, size_0, size_1, AXES: tl.constexpr, POINTS: tl.constexpr):
    """First node of the cell of a point, and positions and factors of derivatives on both axes."""
    u = tl.load(coords + at * AXES).to(tl.float32)
    row, s, moves_s = _locate(u, size_0 - (POINTS - 2))
    if AXES == 1:
        return row.to(tl.int64), s, s, moves_s, moves_s
    v = tl.load(coords + at * AXES + 1).to(tl.float32)
    column, t, moves_t = _locate(v, size_1 - (POINTS - 2))
    return row.to(tl.int64) * size_1 + column, s, t, moves_s, moves_t


@triton.jit
def _forward(
    x, table, coords, source, row_ptr, edge_weight, out, size_0, size_1, orientations, channels,
    AXES: tl.constexpr, POINTS: tl.constexpr, HAS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    a = tl.program_id(1)
    target = tl.program_id(0).to(tl.int64)
    c = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    valid = c < channels
    ROWS: tl.constexpr = POINTS if AXES == 2 else 1
    total = tl.zeros([BLOCK], tl.float32)
    for e in range(tl.load(row_ptr + target), tl.load(row_ptr + target + 1)):
        node, s, t, _, _ = _point(coords, e * orientations + a, size_0, size_1, AXES, POINTS)
        kernel = tl.zeros([BLOCK], tl.float32)
        for i in tl.static_range(ROWS):
            row = tl.zeros([BLOCK], tl.float32)
            for j in tl.static_range(POINTS):
                at = table + (node + i * size_1 + j) * channels + c
                row += _weight(t, j, POINTS) * tl.load(at, valid, other=0.0).to(tl.float32)
            kernel += row if AXES == 1 else _weight(s, i, POINTS) * row
        if HAS_WEIGHT:
            kernel *= tl.load(edge_weight + e).to(tl.float32)
        at_x = (tl.load(source + e) * orientations + a) * channels
        total += kernel * tl.load(x + at_x + c, valid, other=0.0).to(tl.float32)
    tl.store(out + (target * orientations + a) * channels + c, total, valid)


@triton.jit
def _backward(
    x, table, coords, target, order, col_ptr, edge_weight, grad, grad_x, grad_table, dots,
    size_0, size_1, orientations, channels, num_dots,
    AXES: tl.constexpr, POINTS: tl.constexpr, HAS_WEIGHT: tl.constexpr, NEEDS_TABLE: tl.constexpr,
    NEEDS_COORDS: tl.constexpr, NEEDS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dots[block, e, a] are the derivatives along each axis and of the edge's weight, as far as they are needed."""
    a = tl.program_id(1)
    source = tl.program_id(0).to(tl.int64)
    c = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    valid = c < channels
    ROWS: tl.constexpr = POINTS if AXES == 2 else 1
    COUNT: tl.constexpr = AXES * NEEDS_COORDS + NEEDS_WEIGHT
    at_x = (source * orientations + a) * channels + c
    features = tl.load(x + at_x, valid, other=0.0).to(tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for p in range(tl.load(col_ptr + source), tl.load(col_ptr + source + 1)):
        e = tl.load(order + p)
        node, s, t, moves_s, moves_t = _point(coords, e * orientations + a, size_0, size_1, AXES, POINTS)
        weight = tl.load(edge_weight + e).to(tl.float32) if HAS_WEIGHT else 1.0
        at_grad = (tl.load(target + e) * orientations + a) * channels + c
        g = tl.load(grad + at_grad, valid, other=0.0).to(tl.float32)
        product = features * g
        kernel = tl.zeros([BLOCK], tl.float32)
        along_s = tl.zeros([BLOCK], tl.float32)
        along_t = tl.zeros([BLOCK], tl.float32)
        for i in tl.static_range(ROWS):
            row = tl.zeros([BLOCK], tl.float32)
            row_slope = tl.zeros([BLOCK], tl.float32)
            weight_s = 1.0 if AXES == 1 else _weight(s, i, POINTS)
            for j in tl.static_range(POINTS):
                at = (node + i * size_1 + j) * channels + c
                value = tl.load(table + at, valid, other=0.0).to(tl.float32)
                weight_t = _weight(t, j, POINTS)
                row += weight_t * value
                if NEEDS_COORDS:
                    row_slope += _slope(t, j, POINTS) * value
                if NEEDS_TABLE:
                    tl.atomic_add(grad_table + at, weight * weight_s * weight_t * product, valid)
            kernel += weight_s * row
            if NEEDS_COORDS:
                along_t += weight_s * row_slope
                if AXES == 2:
                    along_s += _slope(s, i, POINTS) * row
        at_dots = ((tl.program_id(2) * num_dots + e) * orientations + a) * COUNT
        if NEEDS_COORDS:
            if AXES == 2:
                tl.store(dots + at_dots, tl.sum(along_s * product, axis=0) * weight * moves_s)
            tl.store(dots + at_dots + AXES - 1, tl.sum(along_t * product, axis=0) * weight * moves_t)
        if NEEDS_WEIGHT:
            tl.store(dots + at_dots + COUNT - 1, tl.sum(kernel * product, axis=0))
        total += weight * kernel * g
    tl.store(grad_x + at_x, total, valid)


def _launch(x: Tensor, table: Tensor, coords: Tensor, taps: Interpolation) -> tuple[list[int], dict[str, int], int]:
    """Sizes, compile-time constants and number of channel blocks that both kernels take."""
    channels = x.shape[2]
    block = min(BLOCK, triton.next_power_of_2(max(channels, 1)))
    sizes = [table.shape[0], table.shape[1] if table.ndim == 3 else 1, x.shape[1], channels]
    constants = {"AXES": coords.shape[2], "POINTS": POINTS[taps], "BLOCK": block}
    constants |= {"num_warps": max(1, block // 128), "enable_fp_fusion": True}
    return sizes, constants, triton.cdiv(channels, block)


def table_conv_forward(
    x: Tensor,
    table: Tensor,
    coords: Tensor,
    edges: tuple[Tensor, ...],
    edge_weight: Tensor | None,
    taps: Interpolation,
) -> Tensor:
    """The sum over edges (source, target, row_ptr, order, col_ptr); ``taps`` is "linear" or "bspline"."""
    source, _, row_ptr, _, _ = edges
    x, table, coords = x.contiguous(), table.contiguous(), coords.contiguous()
    sizes, constants, num_blocks = _launch(x, table, coords, taps)
    out = x.new_empty(row_ptr.shape[0] - 1, *x.shape[1:])
    if out.numel():
        weight = x if edge_weight is None else edge_weight.contiguous()
        _forward[out.shape[0], out.shape[1], num_blocks](
            x, table, coords, source, row_ptr, weight, out, *sizes, HAS_WEIGHT=edge_weight is not None, **constants
        )
    return out


def table_conv_backward(
    grad: Tensor,
    x: Tensor,
    table: Tensor,
    coords: Tensor,
    edges: tuple[Tensor, ...],
    edge_weight: Tensor | None,
    taps: Interpolation,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, table, coords and edge_weight; ``needs`` says which, the others come back empty."""
    _, target, _, order, col_ptr = edges
    grad, x, table, coords = grad.contiguous(), x.contiguous(), table.contiguous(), coords.contiguous()
    sizes, constants, num_blocks = _launch(x, table, coords, taps)
    both = needs[0] or needs[1]
    grad_x = torch.empty_like(x)
    grad_table = torch.zeros_like(table, dtype=torch.float32) if both else table.new_empty(0, dtype=torch.float32)
    count = coords.shape[2] * needs[2] + needs[3]
    dots = x.new_zeros(num_blocks, *coords.shape[:2], count, dtype=torch.float32)
    if x.numel():
        weight = x if edge_weight is None else edge_weight.contiguous()
        _backward[x.shape[0], x.shape[1], num_blocks](
            x, table, coords, target, order, col_ptr, weight, grad, grad_x, grad_table, dots, *sizes, coords.shape[0],
            HAS_WEIGHT=edge_weight is not None, NEEDS_TABLE=both, NEEDS_COORDS=needs[2], NEEDS_WEIGHT=needs[3],
            **constants,
        )  # fmt: skip
    sums = dots.sum(dim=0)
    grad_coords = sums[..., : coords.shape[2]].to(coords.dtype).contiguous() if needs[2] else coords.new_empty(0)
    grad_weight = x.new_empty(0)
    if needs[3] and edge_weight is not None:
        grad_weight = sums[..., -1].sum(dim=1).to(edge_weight.dtype)
    return grad_x if both else x.new_empty(0), grad_table.to(table.dtype), grad_coords, grad_weight
