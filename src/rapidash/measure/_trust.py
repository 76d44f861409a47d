"""Can a derivative be trusted? Automatic differentiation reads 0 through argmax, rounding and detached inputs."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.measure._action import Action, Function, first_tensor
from rapidash.measure._defect import refuse_other_shapes
from rapidash.measure._derivative import (
    ConcreteMethod,
    Outputs,
    derivative_along,
    derivative_of_outputs,
    difference_step,
)
from rapidash.measure._norms import norm, wide

PROBES = (0.05, 0.2, 0.8, 2.4)
"""Group parameters of the finite steps that tell an invariant function from a step function."""


@dataclass(frozen=True)
class _Onward(Action):
    """The action on an input that a first element has moved already: g x is rho(start g) x."""

    start: Tensor = field(kw_only=True)

    def transform(self, g: Float[Tensor, "n n"], x: Any) -> Any:
        """rho_in(start g) x."""
        return super().transform(self.start.to(g) @ g, x)


def disagreement(
    fn: Function,
    x: Any,
    action: Action,
    algebra: Float[Tensor, "n n"],
    derivative: Outputs,
    method: ConcreteMethod,
    before: Outputs,
) -> str | None:
    """The contradiction of a derivative to a central difference, in words, or None. ``before`` are the outputs f(x)."""
    if method == "difference":
        return None
    step = difference_step(first_tensor(x))
    differences = derivative_along(fn, x, action, algebra, "difference")
    for name, value in derivative.items():
        size, difference = norm(before[name]), differences[name]
        gap = norm(wide(value) - wide(difference))
        rounding = max(min(1e-3, 10 * step), 3 * step**2)  # the last is that of differences in half precision
        allowed = 0.1 * max(norm(value), norm(difference)) + rounding * size
        if gap > allowed:
            return (
                f"the {method} derivative of output {name!r} and its difference disagree by {gap:.2g} (output "
                f"norm {size:.2g}): part of the input is detached inside the function, it is not smooth here, or it "
                "draws random numbers"
            )
    return None


def hidden_step(
    fn: Function,
    x: Any,
    action: Action,
    algebra: Float[Tensor, "n n"],
    derivative: Outputs,
    method: ConcreteMethod,
    before: Outputs,
) -> str | None:
    """The reason that a derivative 0 does not mean invariance, in words, or None.

    The function changes under a finite element, but has derivative 0 there too: no differentiable function does that.
    """
    flat = _flat(derivative, before, action, algebra, method)
    for t in PROBES:
        if not flat:
            break
        start = torch.linalg.matrix_exp(t * algebra)
        onward = _Onward(action.group, action.inputs, action.outputs, action.batch, start=start)
        after = {name: value.detach() for name, value in action.call(fn, action.transform(start, x)).items()}
        refuse_other_shapes(before, after)
        changes = {name: norm(wide(after[name]) - wide(before[name])) for name in flat}
        changed = [name for name in flat if changes[name] > _eps(before[name]) ** 0.5 * norm(before[name])]
        if changed:
            slopes = derivative_along(fn, x, onward, algebra, method)
            for name in _flat(slopes, after, action, algebra, method):
                if name in changed:
                    return (
                        f"output {name!r} has derivative 0 but changes by {changes[name]:.2g} (output norm "
                        f"{norm(before[name]):.2g}) under a finite element: the function is not differentiable "
                        "(argmax, rounding)"
                    )
        flat = [name for name in flat if name not in changed]
    return None


def _flat(derivative: Outputs, outputs: Outputs, action: Action, algebra: Tensor, method: ConcreteMethod) -> list[str]:
    """The outputs whose derivative is only that of their own representation: that of the function is 0."""
    still = derivative_of_outputs(outputs, action, algebra)
    flat = []
    for name, value in derivative.items():
        eps = _eps(value)
        # bounded: in half precision, slopes as large as the output would pass for rounding
        rounding = min(10 * eps ** (2 / 3), 0.03) if method == "difference" else min(100 * eps, 1e-3)
        if norm(wide(value) - wide(still[name])) <= rounding * norm(outputs[name]):
            flat.append(name)
    return flat


def _eps(value: Tensor) -> float:
    return float(torch.finfo(value.dtype).eps)
