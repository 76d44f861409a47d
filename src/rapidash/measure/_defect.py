"""The one primitive: how far a function is from commuting with a group element."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.measure._action import Action, Function
from rapidash.measure._norms import wide


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
    Raises: ValueError for an output whose shape changes with g.
    """
    before = action.call(fn, x) if outputs is None else outputs
    after = action.transform_outputs(torch.linalg.inv(g), action.call(fn, action.transform(g, x)))
    refuse_other_shapes(before, after)
    return {name: after[name] - before[name] for name in before}


def moved_back(fn: Function, x: Any, action: Action, g: Float[Tensor, "n n"]) -> dict[str, Tensor]:
    """rho_out(g)^-1 f(rho_in(g) x) of every output as a value, in float64."""
    outputs = {name: wide(value.detach()) for name, value in action.call(fn, action.transform(g, x)).items()}
    return action.transform_outputs(torch.linalg.inv(g), outputs)


def measured_defect(
    fn: Function, x: Any, action: Action, g: Float[Tensor, "n n"], outputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The `defect` as a value in float64, which holds the differences of numbers of any precision."""
    after = moved_back(fn, x, action, g)
    refuse_other_shapes(outputs, after)
    return {name: after[name] - wide(value.detach()) for name, value in outputs.items()}


def refuse_other_shapes(before: Mapping[str, Tensor], after: Mapping[str, Tensor], cause: str = "with g") -> None:
    """Outputs can be compared row by row only.

    Raises: ValueError for an output whose shape changes.
    """
    for name, value in before.items():
        old, new = tuple(value.shape), tuple(after[name].shape)
        if old == new:
            continue
        what = "the number of rows" if old[1:] == new[1:] and old and new else "the shape"
        change = f"{new[0]} for {old[0]}" if what == "the number of rows" else f"{new} for {old}"
        raise ValueError(
            f"{what} of output {name!r} changes {cause}: {change}. Rows that belong together cannot be told then: "
            "return one row per sample (or point) in an adapter, such as a mask instead of the selected rows"
        )
