"""Parity: a fast implementation agrees with its definition, in the values and in every gradient."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rapidash._seed import seeded

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def assert_parity(
    fast: Callable[..., Tensor],
    definition: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    *,
    tolerance: float | None = None,
    seed: int = 0,
) -> None:
    r"""Raise AssertionError, naming what differs, unless two functions agree in value and in all gradients.

    With y = f(x_1, ..., x_n) and one random cotangent w, compared are y and :math:`\partial (w \cdot y) / \partial x_i`
    for every x_i that requires a gradient, each by :math:`\max |a - b| \le tolerance \cdot \max(1, \max |b|)`.

    Args:
        fast: the implementation under test, called as ``fast(*inputs)``.
        definition: the one that is right.
        inputs: tensors, those to differentiate with ``requires_grad``; None is passed on.
        tolerance: default by dtype of the definition's value: 1e-12 in float64, 2e-5 in float32, 3e-3 in float16,
            2e-2 in bfloat16.
        seed: of the cotangent.
    Raises: AssertionError as said, also for another shape or dtype; ValueError if no input requires a gradient: a
        comparison of values alone would miss every wrong backward pass.
    """
    leaves = [(index, x) for index, x in enumerate(inputs) if x is not None and x.requires_grad]
    if not leaves:
        raise ValueError("no input requires a gradient: call requires_grad_() on those that are differentiated")
    expected = definition(*inputs)
    got = fast(*inputs)
    limit = TOLERANCE[expected.dtype] if tolerance is None else tolerance
    _compare("the value", got, expected, limit)
    cotangent = torch.randn(expected.shape, generator=seeded(seed, "cotangent"), dtype=torch.float64).to(expected)
    tensors = [x for _, x in leaves]
    pairs = [
        torch.autograd.grad(out, tensors, cotangent, materialize_grads=True)
        if out.requires_grad
        else [None] * len(leaves)
        for out in (got, expected)
    ]
    for (index, _), mine, right in zip(leaves, *pairs):
        name = f"the gradient of input {index}"
        if (mine is None) != (right is None):
            raise AssertionError(f"{name}: only one of the two functions is differentiable")
        if mine is not None and right is not None:
            _compare(name, mine, right, limit)


def _compare(name: str, got: Tensor, expected: Tensor, tolerance: float) -> None:
    for what in ("shape", "dtype"):
        if getattr(got, what) != getattr(expected, what):
            raise AssertionError(f"{name} has {what} {getattr(got, what)}, expected {getattr(expected, what)}")
    if not expected.numel():
        return
    limit = tolerance * max(1.0, float(expected.detach().abs().max()))
    got, expected = got.detach(), expected.detach()
    difference = (got.double() - expected.double()).abs()
    if not bool((difference <= limit).all()):  # also for nan
        worst = tuple(int(i) for i in torch.unravel_index(difference.nan_to_num(torch.inf).argmax(), got.shape))
        raise AssertionError(
            f"{name} differs by {float(difference[worst]):.3g} at {worst} (got {float(got[worst]):.6g}, expected "
            f"{float(expected[worst]):.6g}), more than {limit:.3g}"
        )
