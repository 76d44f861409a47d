"""Muon over many matrices at once."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST_IN_FLOAT32 = 64
"""The smaller side of a matrix up to which products of float32 take less time than those of bfloat16.

Measured on one thread of a Xeon with AMX, which has units for bfloat16.
"""

SMALLEST_ALONE = 2**18
"""Elements of a matrix from which it is multiplied alone: its products are long, and a stack would leave the cache."""


class StackedMuon(torch.optim.Muon):
    r"""``torch.optim.Muon`` with matrices of equal shape, up to transposition, orthogonalized in one stack.

    The same update, with the same settings and the same state (``momentum_buffer`` of each parameter), so that each
    continues from the other's state. All that torch rounds to bfloat16 is rounded here, too: the two differ where
    another order of a sum makes a number round to its other neighbor. The order of the parameters changes nothing.

    Raises: RuntimeError for complex parameters and sparse gradients (step).
    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; parameters without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params: list[Tensor] = []
            grads: list[Tensor] = []
            buffers: list[Tensor] = []
            self._init_group(group, params, grads, buffers)
            if params:
                _update(params, grads, buffers, group)
        return loss


def _update(params: list[Tensor], grads: list[Tensor], buffers: list[Tensor], group: dict[str, Any]) -> None:
    """p <- (1 - lr * decay) p - lr * scale * orthogonalized(u), with u from the momentum b <- m b + (1 - m) grad."""
    lr, momentum = float(group["lr"]), group["momentum"]
    torch._foreach_lerp_(buffers, grads, 1.0 - momentum)
    updates = list(torch._foreach_lerp(grads, buffers, momentum)) if group["nesterov"] else buffers
    torch._foreach_mul_(params, 1.0 - lr * group["weight_decay"])
    stacks: dict[tuple[Any, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for place, (param, update) in enumerate(zip(params, updates, strict=True)):
        scale = _scale(param.shape, group["adjust_lr_fn"])
        wide = (param, update) if param.shape[0] <= param.shape[1] else (param.T, update.T)
        alone = place if param.numel() >= SMALLEST_ALONE else None
        stacks[*wide[0].shape, scale, param.device, param.dtype, alone].append(wide)
    for (rows, columns, scale, device, *_), pairs in stacks.items():
        stack = torch.empty(len(pairs), rows, columns, dtype=torch.bfloat16, device=device)
        torch._foreach_copy_(stack.unbind(), [update for _, update in pairs])
        directions = orthogonalized(stack, group["ns_coefficients"], group["ns_steps"], group["eps"])
        torch._foreach_add_([param for param, _ in pairs], directions.unbind(), alpha=-lr * scale)


def orthogonalized(
    stack: Float[Tensor, "B n m"], coefficients: tuple[float, float, float], num_steps: int, eps: float
) -> Float[Tensor, "B n m"]:
    """Matrices with the singular vectors of the given ones and singular values near 1, by Newton-Schulz iterations.

    Each is divided by its Frobenius norm, at least eps, and goes num_steps times through X <- a X + (b A + c A^2) X
    with A = X X^T, which takes a singular value s to a s + b s^3 + c s^5.

    Args:
        stack: n is at most m, in bfloat16, to which every product is rounded. Small ones are multiplied in float32.
        coefficients: a, b and c.
    """
    a, b, c = coefficients
    x = stack.squeeze(0)  # products of a matrix alone take less time than those of a stack of one
    add_product = torch.baddbmm if x.dim() == 3 else torch.addmm
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps)
    if x.shape[-2] <= LARGEST_IN_FLOAT32:
        x = x.float()
    for _ in range(num_steps):
        gram = _round(x @ x.mT)
        x = _round(add_product(x, _round(add_product(gram, gram, gram, beta=b, alpha=c)), x, beta=a))
    return x.reshape(stack.shape)


def _round(x: Tensor) -> Tensor:
    """Round numbers of float32 to those of bfloat16, in place."""
    return x if x.dtype == torch.bfloat16 else x.copy_(x.bfloat16())


def _scale(shape: torch.Size, rule: str | None) -> float:
    """The factor of the learning rate, as ``adjust_lr_fn`` of ``torch.optim.Muon`` says."""
    rows, columns = shape
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))
