"""The one primitive: how far a function is from commuting with a group element."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.measure._action import Action, Function


def defect(
    fn: Function, x: Any, action: Action, g: Float[Tensor, "n n"], *, outputs: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    r"""The defect rho_out(g)^-1 f(rho_in(g) x) - f(x) of every output: zero for all g and x iff f is equivariant.

    Differentiable in x and in the parameters of fn.

    Args:
        fn: the function, called as `Action` says.
        x: the input: a tensor, mapping, tuple or `CloudBatch`.
        action: the group with the representations of inputs and outputs.
        g: one element for all samples (n, n), float64.
        outputs: f(x) by name, if it is known already.
    Returns: tensors with the shapes of the outputs, by name ("output" for a single one).
    """
    before = action.call(fn, x) if outputs is None else outputs
    after = action.transform_outputs(torch.linalg.inv(g), action.call(fn, action.transform(g, x)))
    return {name: after[name] - before[name] for name in before}
