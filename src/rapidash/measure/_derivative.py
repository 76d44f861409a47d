"""The derivative of a function along a one-parameter group, by three methods that must agree."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_pre_hook

from rapidash.measure._action import Action, Function, first_tensor
from rapidash.measure._defect import refuse_other_shapes
from rapidash.measure._norms import wide

ConcreteMethod = Literal["forward", "double_backward", "difference"]
Method = Literal["auto", "forward", "double_backward", "difference"]
Outputs = dict[str, Tensor]
ORDER: tuple[ConcreteMethod, ...] = get_args(ConcreteMethod)


@contextmanager
def dual_level() -> Iterator[None]:
    """A level of dual numbers; the deprecation warnings of torch's own modules that it loads are not the user's."""
    with forward_ad.dual_level():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
            make_dual(torch.zeros(()), torch.zeros(()))
        yield


def make_dual(value: Tensor, tangent: Tensor) -> Tensor:
    """The value with a tangent, inside `forward_ad.dual_level`."""
    dual: Tensor = forward_ad.make_dual(value, tangent)
    return dual


def tangent_of(value: Tensor) -> Tensor:
    """The tangent of a value, 0 if it has none."""
    dual = forward_ad.unpack_dual(value)
    return (torch.zeros_like(dual.primal) if dual.tangent is None else dual.tangent).detach().clone()


@contextmanager
def frozen_parameters() -> Iterator[None]:
    """No gradients by parameters inside: nothing is recorded for them, and fused forward-mode derivatives may run.

    Modules are also found inside adapters such as ``lambda x: model(x).scalars``, when they are called.
    """
    known: set[nn.Module] = set()
    frozen: list[nn.Parameter] = []

    def freeze(module: nn.Module, inputs: Any) -> None:
        if module in known:
            return
        known.update(module.modules())
        tracked = [parameter for parameter in module.parameters() if parameter.requires_grad and parameter.is_leaf]
        frozen.extend(tracked)
        for parameter in tracked:
            parameter.requires_grad_(False)

    handle = register_module_forward_pre_hook(freeze)
    try:
        yield
    finally:
        handle.remove()
        for parameter in frozen:
            parameter.requires_grad_(True)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run compiled models as they were written: graphs of torch.compile have no forward-mode derivative."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and the import takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def differentiating() -> Iterator[None]:
    """The context in which derivatives are taken: no gradients by parameters, no compiled graphs."""
    with frozen_parameters(), uncompiled():
        yield


@contextmanager
def differentiable_kernels() -> Iterator[None]:
    """Attention by its definition: the fast kernels have no forward-mode derivative."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def derivative_along(
    fn: Function, x: Any, action: Action, algebra: Float[Tensor, "n n"], method: ConcreteMethod
) -> Outputs:
    """d/dt rho_out(exp(-t A)) f(rho_in(exp(t A)) x) at t = 0 by one method, for every output.

    Raises: NotImplementedError or RuntimeError if an operation of the function has no such derivative.
    """
    run = {"forward": _forward, "double_backward": _double_backward, "difference": _difference}[method]
    return run(fn, x, action, algebra)


def _moved_outputs(fn: Function, x: Any, action: Action, forth: Tensor, back: Tensor) -> Outputs:
    """rho_out(back) f(rho_in(forth) x) for every output."""
    return action.transform_outputs(back, action.call(fn, action.transform(forth, x)))


def _first_order(algebra: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """1 + t A and 1 - t A: at t = 0 they have the value and the derivative of exp(t A) and exp(-t A)."""
    eye = torch.eye(len(algebra), dtype=algebra.dtype, device=t.device)
    return eye + t * algebra.to(t.device), eye - t * algebra.to(t.device)


def derivative_of_outputs(outputs: Outputs, action: Action, algebra: Float[Tensor, "n n"]) -> Outputs:
    """d/dt rho_out(exp(-t A)) y at t = 0: the derivative of a function that does not see its input move."""
    zero = torch.zeros((), dtype=torch.float64, device=next(iter(outputs.values())).device)
    with dual_level():
        _, back = _first_order(algebra, make_dual(zero, torch.ones_like(zero)))
        return {name: tangent_of(value) for name, value in action.transform_outputs(back, outputs).items()}


def _forward(fn: Function, x: Any, action: Action, algebra: Tensor) -> Outputs:
    zero = torch.zeros((), dtype=torch.float64, device=first_tensor(x).device)
    with dual_level(), differentiable_kernels():
        outputs = _moved_outputs(fn, x, action, *_first_order(algebra, make_dual(zero, torch.ones_like(zero))))
        return {name: tangent_of(value) for name, value in outputs.items()}


def _double_backward(fn: Function, x: Any, action: Action, algebra: Tensor) -> Outputs:
    t = torch.zeros((), dtype=torch.float64, device=first_tensor(x).device, requires_grad=True)
    with differentiable_kernels():
        outputs = _moved_outputs(fn, x, action, *_first_order(algebra, t))
    result = {}
    for name, value in outputs.items():
        covector = torch.zeros_like(value, requires_grad=True)
        slope = None
        if value.requires_grad:
            slope = torch.autograd.grad(value, t, covector, create_graph=True, allow_unused=True)[0]
        if slope is None or not slope.requires_grad:
            result[name] = torch.zeros_like(value).detach()
        else:
            result[name] = torch.autograd.grad(slope, covector, retain_graph=True)[0].detach()
    return result


def _difference(fn: Function, x: Any, action: Action, algebra: Tensor) -> Outputs:
    step = difference_step(first_tensor(x))
    forth, back = torch.linalg.matrix_exp(step * algebra), torch.linalg.matrix_exp(-step * algebra)
    ahead, behind = _moved_outputs(fn, x, action, forth, back), _moved_outputs(fn, x, action, back, forth)
    refuse_other_shapes(ahead, behind)
    slopes = {name: (wide(ahead[name].detach()) - wide(behind[name].detach())) / (2 * step) for name in ahead}
    return {name: slope.to(ahead[name].dtype) for name, slope in slopes.items()}


def difference_step(like: Tensor) -> float:
    """Group parameter of differences: its cube is the rounding error."""
    return float(torch.finfo(like.dtype).eps) ** (1 / 3)
