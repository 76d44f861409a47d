"""edge_conv on the GPU: one program per target (forward) or source (backward) and block of columns; no atomics."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# triton gives the types of what it compiles

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 512  # columns of the flattened (O, C) axes


@triton.jit
def _forward(x, kernel, source, row_ptr, edge_weight, out, size, HAS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr):
    target = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid = columns < size
    total = tl.zeros([BLOCK], tl.float32)
    for e in range(tl.load(row_ptr + target), tl.load(row_ptr + target + 1)):
        j = tl.load(source + e)
        product = tl.load(kernel + e * size + columns, valid, other=0.0).to(tl.float32)
        product *= tl.load(x + j * size + columns, valid, other=0.0).to(tl.float32)
        if HAS_WEIGHT:
            product *= tl.load(edge_weight + e).to(tl.float32)
        total += product
    tl.store(out + target * size + columns, total, valid)


@triton.jit
def _backward(
    x, kernel, target, order, col_ptr, edge_weight, grad, grad_x, grad_kernel, dots, size, num_edges,
    HAS_WEIGHT: tl.constexpr, NEEDS_KERNEL: tl.constexpr, NEEDS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    j = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid = columns < size
    features = tl.load(x + j * size + columns, valid, other=0.0).to(tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for p in range(tl.load(col_ptr + j), tl.load(col_ptr + j + 1)):
        e = tl.load(order + p)
        g = tl.load(grad + tl.load(target + e) * size + columns, valid, other=0.0).to(tl.float32)
        k = tl.load(kernel + e * size + columns, valid, other=0.0).to(tl.float32)
        if NEEDS_WEIGHT:
            tl.store(dots + tl.program_id(1) * num_edges + e, tl.sum(g * k * features, axis=0))
        if HAS_WEIGHT:
            g *= tl.load(edge_weight + e).to(tl.float32)
        total += k * g
        if NEEDS_KERNEL:
            tl.store(grad_kernel + e * size + columns, features * g, valid)
    tl.store(grad_x + j * size + columns, total, valid)


def _num_warps(block: int) -> int:
    return max(1, min(8, block // 128))


def edge_conv_forward(x: Tensor, kernel: Tensor, edges: tuple[Tensor, ...], edge_weight: Tensor | None) -> Tensor:
    """The sum over edges: (S, O, C), (E, O, C) -> (T, O, C); edges are source, target, row_ptr, order, col_ptr."""
    source, _, row_ptr, _, _ = edges
    x, kernel = x.contiguous(), kernel.contiguous()
    size = x.shape[1] * x.shape[2]
    out = x.new_empty(row_ptr.shape[0] - 1, *x.shape[1:])
    if out.numel():
        block = min(BLOCK, triton.next_power_of_2(size))
        weight = x if edge_weight is None else edge_weight.contiguous()
        _forward[out.shape[0], triton.cdiv(size, block)](
            x, kernel, source, row_ptr, weight, out, size,
            HAS_WEIGHT=edge_weight is not None, BLOCK=block, num_warps=_num_warps(block), enable_fp_fusion=True,
        )  # fmt: skip
    return out


def edge_conv_backward(
    grad: Tensor, x: Tensor, kernel: Tensor, edges: tuple[Tensor, ...], edge_weight: Tensor | None, needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, kernel and edge_weight; ``needs`` says whether the last two are wanted, else they are empty."""
    _, target, _, order, col_ptr = edges
    grad, x, kernel = grad.contiguous(), x.contiguous(), kernel.contiguous()
    size = x.shape[1] * x.shape[2]
    block = min(BLOCK, triton.next_power_of_2(max(size, 1)))
    grad_x = torch.empty_like(x)
    grad_kernel = kernel.new_empty(kernel.shape if needs[0] else 0)
    num_blocks = triton.cdiv(size, block)
    dots = x.new_zeros(num_blocks, len(target) if needs[1] else 0, dtype=torch.float32)
    if x.numel():
        weight = x if edge_weight is None else edge_weight.contiguous()
        _backward[x.shape[0], num_blocks](
            x, kernel, target, order, col_ptr, weight, grad, grad_x, grad_kernel, dots, size, len(target),
            HAS_WEIGHT=edge_weight is not None, NEEDS_KERNEL=needs[0], NEEDS_WEIGHT=needs[1], BLOCK=block,
            num_warps=_num_warps(block), enable_fp_fusion=True,
        )  # fmt: skip
    grad_weight = dots.sum(dim=0)
    return grad_x, grad_kernel, grad_weight if edge_weight is None else grad_weight.to(edge_weight.dtype)
