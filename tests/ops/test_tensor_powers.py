from functools import partial

import pytest
import torch
from torch import Tensor

from rapidash.ops import Backend, tensor_powers
from rapidash.ops.tensor_powers.reference import tensor_powers_reference
from tests.ops._support import TOLERANCE, assert_parity, leaf

SIZES = [((7,), 2, 3), ((3, 4), 1, 3), ((5,), 3, 4), ((6,), 2, 1), ((0,), 2, 3), ((2, 5), 4, 2)]
"""Leading axes, attributes and the highest power."""


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_by_hand(backend: Backend) -> None:
    """Powers of (2, 3); the gradient of their sum is 1 + 2 s + 3 s^2 with s = 5, and its derivative 2 + 6 s."""
    a = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    powers = tensor_powers(a, 3, backend=backend)
    assert powers.tolist() == [2, 3, 4, 6, 6, 9, 8, 12, 12, 18, 12, 18, 18, 27]
    (slope,) = torch.autograd.grad(powers.sum(), a, create_graph=True)
    assert slope.tolist() == [86, 86]
    (curvature,) = torch.autograd.grad(slope[0], a, create_graph=True)
    assert curvature.tolist() == [32, 32]
    (third,) = torch.autograd.grad(curvature[1], a)
    assert third.tolist() == [6, 6]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_numba_agrees_with_the_definition(sizes: tuple[tuple[int, ...], int, int], dtype: torch.dtype) -> None:
    points, axes, degree = sizes
    fast = partial(tensor_powers, max_degree=degree, backend="numba")
    assert_parity(
        fast, partial(tensor_powers_reference, max_degree=degree), [leaf(*points, axes, dtype=dtype)], TOLERANCE[dtype]
    )


@pytest.mark.parametrize(("axes", "degree"), [(1, 3), (2, 3), (3, 2), (2, 1)])
def test_second_derivatives_agree_with_those_of_the_definition(axes: int, degree: int) -> None:
    a, factor = leaf(6, axes), torch.randn(6, axes, dtype=torch.float64)
    grad = leaf(6, sum(axes**order for order in range(1, degree + 1)))

    def second(powers: Tensor) -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad(powers, a, grad, create_graph=True)
        return torch.autograd.grad((slope * factor).sum(), (grad, a), materialize_grads=True, allow_unused=True)

    got, expected = second(tensor_powers(a, degree, backend="numba")), second(tensor_powers_reference(a, degree))
    torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("two_threads")
def test_two_threads_agree_with_one() -> None:
    a, grad = leaf(9001, 2, dtype=torch.float32), torch.randn(9001, 14)
    found = []
    for threads in (2, 1):
        torch.set_num_threads(threads)
        powers = tensor_powers(a, 3, backend="numba")
        (slope,) = torch.autograd.grad(powers, a, grad, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), a)
        found.append((powers.detach(), slope.detach(), second))
    assert all(torch.equal(first, other) for first, other in zip(*found, strict=True))


def test_batched_and_forward_derivatives() -> None:
    a = torch.tensor([2.0, 3.0], dtype=torch.float64)
    jacobian = [[1, 0], [0, 1], [4, 0], [3, 2], [3, 2], [0, 6]]
    for vectorize in (False, True):
        found = torch.autograd.functional.jacobian(partial(tensor_powers, max_degree=2), a, vectorize=vectorize)
        assert found.tolist() == jacobian
    assert torch.func.jacfwd(partial(tensor_powers, max_degree=2))(a).tolist() == jacobian
    assert torch.func.jacrev(partial(tensor_powers, max_degree=2))(a).tolist() == jacobian


def test_opcheck() -> None:
    a = leaf(5, 2, dtype=torch.float32)
    assert set(torch.library.opcheck(torch.ops.rapidash.tensor_powers, (a, 3)).values()) == {"SUCCESS"}
    assert set(
        torch.library.opcheck(
            torch.ops.rapidash.tensor_powers_backward, (leaf(5, 14, dtype=torch.float32), a, 3)
        ).values()
    ) == {"SUCCESS"}


@pytest.mark.parametrize(("shape", "degree"), [((3, 2), 0), ((3, 0), 2), ((), 1)])
def test_errors_say_what_was_expected(shape: tuple[int, ...], degree: int) -> None:
    with pytest.raises(ValueError, match="degree of at least 1 and attributes"):
        tensor_powers(torch.zeros(shape), degree)
