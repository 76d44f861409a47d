"""The public assertions: each accepts what it must and is seen to reject what it must not accept."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch
from rapidash.groups import SO, Group, Position, Scalar, Vector, inverse, parse_group
from rapidash.measure import Action
from rapidash.models import Rapidash
from rapidash.testing import assert_equivariant, assert_invariant, assert_parity
from rapidash.testing.strategies import clouds, motions


def distances(pos: Tensor) -> Tensor:
    return torch.linalg.vector_norm(pos[None] - pos[:, None] + 1e-9, dim=-1).sum(dim=1)


def points(num: int = 5, dim: int = 3) -> Tensor:
    return torch.randn(num, dim, generator=seeded("points"), dtype=torch.float64)


def test_distances_are_invariant() -> None:
    assert_invariant(distances, points(), group=parse_group("E(3)", 3), rtol=1e-7)


@pytest.mark.parametrize(("name", "part"), [("SO(3)", "rotations"), ("T(3)", "translations")])
def test_a_function_of_raw_coordinates_is_rejected(name: str, part: str) -> None:
    with pytest.raises(AssertionError, match=part):
        assert_invariant(lambda pos: pos.sum(dim=-1), points(), group=parse_group(name, 3))


def test_a_pseudoscalar_is_rejected_for_its_reflections_only() -> None:
    def volume(pos: Tensor) -> Tensor:
        return torch.linalg.det(pos[:3] - pos[3]).reshape(1)

    assert_invariant(volume, points(), group=parse_group("SE(3)", 3))
    with pytest.raises(AssertionError, match="reflections"):
        assert_invariant(volume, points(), group=parse_group("E(3)", 3))


def test_inputs_are_declared_or_refused() -> None:
    def length(pos: Tensor, charge: Tensor) -> Tensor:
        return distances(pos) * charge

    x = {"pos": points(), "charge": torch.ones(5, dtype=torch.float64)}
    declared = {"pos": Position(), "charge": Scalar()}
    assert_invariant(length, x, group=parse_group("E(3)", 3), inputs=declared, level="point", rtol=1e-7)
    with pytest.raises(ValueError, match="inputs must say how"):
        assert_invariant(length, x, group=parse_group("E(3)", 3))
    with pytest.raises(ValueError, match="level must be"):
        assert_invariant(length, x, group=parse_group("E(3)", 3), inputs=declared, level="graph")


def test_vectors_that_turn_are_equivariant_and_not_invariant() -> None:
    assert_equivariant(lambda v: 2 * v, points(), Action(SO(3), Vector(), Vector()))
    with pytest.raises(AssertionError, match="rotations"):
        assert_invariant(lambda v: 2 * v, points(), group=SO(3), inputs=Vector())


@given(batch=clouds())
def test_network_is_invariant_on_drawn_clouds(batch: CloudBatch) -> None:
    torch.manual_seed(0)
    network = Rapidash(space="R3", in_scalars=1, channels=4, num_layers=1, basis_dim=4, basis_hidden_dim=4)
    network = network.double().eval()
    assert_invariant(
        lambda x: network(x.pos, x.batch, scalars=x["scalars"]).scalars,
        batch,
        group=parse_group("E(3)", 3),
        num_elements=2,
    )


@given(g=motions("SE(3)"))
def test_motions_belong_to_the_group(g: Tensor) -> None:
    group: Group = parse_group("SE(3)", 3)
    assert group.contains(g)
    assert not parse_group("SO(3)", 3).contains(g) or g[:3, 3].abs().max() < 1e-9
    torch.testing.assert_close(inverse(g) @ g, group.identity())


def square(x: Tensor, y: Tensor | None = None) -> Tensor:
    return x.square() if y is None else x.square() * y


class WrongBackward(torch.autograd.Function):
    """The square, with half of its derivative."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * x


def test_parity_of_equal_functions() -> None:
    x, y = points().requires_grad_(), points().requires_grad_()
    assert_parity(lambda x, y: x * x * y, square, [x, y])
    assert_parity(lambda x, y: x * x, square, [x, None])
    assert_parity(lambda x: x * x, square, [torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x.square() + 1e-9, "the value differs"),
        (lambda x: x.square() * torch.nan, "the value differs"),
        (WrongBackward.apply, "the gradient of input 0 differs"),
        (lambda x: x.detach().square(), "only one of the two functions"),
        (lambda x: x.square()[:1], "shape"),
        (lambda x: x.square().float(), "dtype"),
    ],
)
def test_parity_rejects(wrong: object, message: str) -> None:
    assert callable(wrong)
    with pytest.raises(AssertionError, match=message):
        assert_parity(wrong, square, [points().requires_grad_()])


def test_parity_of_values_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="no input requires a gradient"):
        assert_parity(square, square, [points()])
