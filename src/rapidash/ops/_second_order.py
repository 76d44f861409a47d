"""Gradients of an op as functions that have derivatives themselves."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rapidash.ops._batching import is_batched
from rapidash.ops._forward_mode import has_tangent


def partial_gradients(
    definition: Callable[..., Tensor], inputs: Sequence[Tensor | None], needs: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """Vector-Jacobian products of ``definition(*inputs)``; None for inputs that need none.

    They have a graph where gradients are enabled.

    The derivatives are partial: where one input was computed from another (features from the cutoff of the same edges,
    in an earlier layer), that path is left to the caller's graph.

    Args:
        definition: the op in plain torch.
        inputs: its tensors, with the graph that they come from.
        needs: whether each one needs a gradient.
        grad: of the output.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        aliases = [t if t is None or not need else t.view_as(t) for t, need in zip(inputs, needs, strict=True)]
        wanted = [alias for alias, need in zip(aliases, needs, strict=True) if alias is not None and need]
        if not wanted:
            return [None] * len(inputs)
        found = iter(torch.autograd.grad(definition(*aliases), wanted, grad, create_graph=create_graph))
    return [next(found) if need else None for need in needs]


def needs_definition(grad: Tensor) -> bool:
    """Whether an op must take its gradient from the definition.

    A derivative may follow, or ``grad`` is batched or a dual number, whose tangent custom ops drop in silence.
    """
    return torch.is_grad_enabled() or is_batched(grad) or has_tangent(grad)
