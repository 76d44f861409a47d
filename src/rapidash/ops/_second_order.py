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
        aliases = _aliases(inputs, needs)
        wanted = [alias for alias, need in zip(aliases, needs, strict=True) if alias is not None and need]
        if not wanted:
            return [None] * len(inputs)
        found = iter(torch.autograd.grad(definition(*aliases), wanted, grad, create_graph=create_graph))
    return [next(found) if need else None for need in needs]


def second_gradients(
    definition: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    grad: Tensor,
    moved: Sequence[Tensor | None],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Vector-Jacobian products of `partial_gradients`: of ``grad``, then of every input; None where none is needed.

    They have a graph where gradients are enabled, and are partial as those are.

    Args:
        definition, inputs, grad: as there.
        moved: for every input the factor of its gradient, None where that was not used.
        needs: whether ``grad`` and each input need one.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        given = [_variable(t, factor) for t, factor in zip((grad, *inputs), (None, *moved), strict=True)]
        pairs = [
            (t, factor) for t, factor in zip(given[1:], moved, strict=True) if t is not None and factor is not None
        ]
        wanted = [t for t, need in zip(given, needs, strict=True) if t is not None and need]
        if not pairs or not wanted:
            return [None] * len(needs)
        by = [t for t, _ in pairs]
        first = torch.autograd.grad(definition(*given[1:]), by, given[0], create_graph=True, materialize_grads=True)
        used = [(value, factor) for value, (_, factor) in zip(first, pairs, strict=True) if value.requires_grad]
        if not used:
            return [None] * len(needs)
        values, factors = zip(*used, strict=True)
        found = iter(torch.autograd.grad(values, wanted, factors, create_graph=create_graph, allow_unused=True))
    return [next(found) if need else None for need in needs]


def _variable(tensor: Tensor | None, factor: Tensor | None) -> Tensor | None:
    """An alias to differentiate by; of a constant too, if its gradient has a factor."""
    if tensor is None or tensor.requires_grad:
        return tensor if tensor is None else tensor.view_as(tensor)
    return tensor if factor is None else tensor.detach().requires_grad_()


def _aliases(inputs: Sequence[Tensor | None], needs: Sequence[bool]) -> list[Tensor | None]:
    return [t if t is None or not need else t.view_as(t) for t, need in zip(inputs, needs, strict=True)]


def has_no_kernel(*grads: Tensor | None) -> bool:
    """Whether gradients are batched or dual numbers, whose tangents custom ops drop in silence: the definition runs."""
    return is_batched(*grads) or has_tangent(*grads)


def needs_definition(*grads: Tensor | None) -> bool:
    """Whether an op must take its gradient from the definition: `has_no_kernel`, or a derivative may follow."""
    return torch.is_grad_enabled() or has_no_kernel(*grads)
