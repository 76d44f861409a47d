"""All tensor powers of a few attributes: the monomials that kernels are made of."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from rapidash.ops._backend import Backend, is_traced, select_backend
from rapidash.ops._direct_op import direct_op
from rapidash.ops._forward_mode import has_tangent
from rapidash.ops._second_order import has_no_kernel, needs_definition, partial_gradients, second_gradients
from rapidash.ops._wanted import wanted_gradients
from rapidash.ops.tensor_powers.reference import num_powers, tensor_powers_reference

__all__ = ["num_powers", "tensor_powers"]


def tensor_powers(
    attributes: Float[Tensor, "*B A"], max_degree: int, *, backend: Backend = "auto"
) -> Float[Tensor, "*B P"]:
    """All tensor powers a, a (x) a, ... up to the given order, each flattened row-major, concatenated.

    Args:
        attributes: the last axis has the factors.
        max_degree: the highest power, at least 1.
        backend: "auto", or "reference", "numba", which then run or raise. On a GPU, and in traced graphs, whose
            compilers and transforms know the operations of torch, "auto" is the definition.

    Differentiable to any order (from the third on by the definition), in forward mode by the definition. The same bits
    in every run.
    Raises: ValueError for a degree below 1, attributes without an axis, or an unknown backend; RuntimeError if numba is
        asked for and cannot run.
    """
    if max_degree < 1 or attributes.ndim < 1 or attributes.shape[-1] < 1:
        raise ValueError(
            "tensor powers need a degree of at least 1 and attributes (..., A) with A at least 1, got "
            f"{max_degree=} and {tuple(attributes.shape)}"
        )
    is_left_to_torch = not attributes.is_cpu or is_traced()
    wanted: Backend = "reference" if backend == "auto" and is_left_to_torch else backend
    chosen = select_backend("tensor_powers", wanted, attributes)
    if chosen != "numba" or has_tangent(attributes):
        return tensor_powers_reference(attributes, max_degree)
    out: Tensor = _forward(attributes.reshape(-1, attributes.shape[-1]), max_degree)
    return out.view(*attributes.shape[:-1], out.shape[-1])


@direct_op("rapidash::tensor_powers")
def _forward(a: Tensor, max_degree: int) -> Tensor:
    from rapidash.ops.tensor_powers.numba import tensor_powers_forward

    return tensor_powers_forward(a, max_degree)


@_forward.register_fake
def _fake_forward(a: Tensor, max_degree: int) -> Tensor:
    return a.new_empty(len(a), num_powers(a.shape[1], max_degree))


@direct_op("rapidash::tensor_powers_backward")
def _backward(grad: Tensor, a: Tensor, max_degree: int) -> Tensor:
    from rapidash.ops.tensor_powers.numba import tensor_powers_backward

    return tensor_powers_backward(grad, a, max_degree)


@_backward.register_fake
def _fake_backward(grad: Tensor, a: Tensor, max_degree: int) -> Tensor:
    return a.new_empty(a.shape)


@direct_op("rapidash::tensor_powers_second")
def _second(moved: Tensor, grad: Tensor, a: Tensor, max_degree: int) -> tuple[Tensor, Tensor]:
    from rapidash.ops.tensor_powers.numba import tensor_powers_second

    return tensor_powers_second(moved, grad, a, max_degree)


@_second.register_fake
def _fake_second(moved: Tensor, grad: Tensor, a: Tensor, max_degree: int) -> tuple[Tensor, Tensor]:
    return grad.new_empty(grad.shape), a.new_empty(a.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.max_degree = inputs
    ctx.save_for_backward(*tensors)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
    (a,) = ctx.saved_tensors
    if has_no_kernel(grad):
        (found,) = partial_gradients(lambda a: tensor_powers_reference(a, ctx.max_degree), (a,), [True], grad)
        return found, None
    found = _backward(grad, a, ctx.max_degree)
    return found, None


def _gradients_of_gradient(ctx: Any, moved: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    grad, a = ctx.saved_tensors
    if needs_definition(moved):
        needs = wanted_gradients(ctx)[:2]
        of_grad, of_a = second_gradients(
            lambda a: tensor_powers_reference(a, ctx.max_degree), (a,), grad, (moved,), needs
        )
    else:
        of_grad, of_a = _second(moved, grad, a, ctx.max_degree)
    return of_grad, of_a, None


_forward.register_autograd(_gradient, setup_context=_setup_context)
_backward.register_autograd(_gradients_of_gradient, setup_context=_setup_context)
