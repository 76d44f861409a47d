"""Which gradients a backward pass asks for: forces ask for those of positions, and for none of a parameter."""

from typing import Any

import torch

from rapidash.geometry import is_transforming


def wanted_gradients(ctx: Any) -> list[bool]:
    """For every input of a custom op whether the backward pass that runs now uses its gradient.

    ``ctx.needs_input_grad`` says whether an input may have one. ``torch.autograd.grad(energy, positions)`` leaves out
    those of the parameters, which would be computed for nothing. Where torch cannot tell, all count that may have one.

    Args:
        ctx: of the backward function, while it runs.
    """
    needs = list(ctx.needs_input_grad)
    if torch.compiler.is_compiling() or is_transforming():
        return needs
    nodes = [node for node, _ in ctx.next_functions if node is not None]
    if len(nodes) != sum(needs):
        return needs
    found = iter(nodes)
    return [need and _runs(next(found)) for need in needs]


def _runs(node: Any) -> bool:
    """Whether the pass goes on at this node; torch raises at a leaf whose gradient is asked for, and outside a pass."""
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:
        return True
