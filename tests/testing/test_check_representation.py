"""Every representation of the package passes the check, and a broken one of each sort is seen."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import rapidash.groups
from rapidash._seed import seeded
from rapidash.groups import (
    SE,
    SO,
    DirectSum,
    E,
    GridPermutation,
    Group,
    Image,
    Intensity,
    MatrixGroup,
    OfFactor,
    OfFactors,
    OrientationSignal,
    PairPermutation,
    Permutation,
    Permutations,
    Position,
    Product,
    Pseudoscalar,
    Pseudovector,
    Regular,
    RegularCopies,
    Representation,
    Scalar,
    T,
    Tensor2,
    Vector,
    brightness,
    contrast,
    cyclic,
    dihedral,
    finite_table,
    grid_symmetries,
    orientation_grid,
)
from rapidash.testing import check_representation

GRID = orientation_grid("platonic", 12, 3)
SPIRAL = orientation_grid("fibonacci", 20, 3)
BOTH = Product((Permutations(4), E(3)))
Case = tuple[Representation, MatrixGroup, tuple[int, ...], bool]
CASES: dict[str, Case] = {
    "scalar": (Scalar(), E(3), (3, 2), False),
    "pseudoscalar": (Pseudoscalar(), E(3), (3, 2), False),
    "vector": (Vector(), E(3), (3, 2, 3), True),
    "pseudovector": (Pseudovector(), E(3), (3, 2, 3), True),
    "position": (Position(), E(2), (3, 2), True),
    "tensor": (Tensor2(), E(3), (3, 2, 3, 3), True),
    "direct sum": (DirectSum(((Pseudoscalar(), 1), (Vector(), 3))), E(3), (3, 4), True),
    "permutation of rows": (Permutation(0), Permutations(4), (3, 4, 2), True),
    "permutation of columns": (Permutation(-1), Permutations(3), (3, 4, 3), True),
    "permutation, a factor": (OfFactor(BOTH, 0, Permutation(0)), BOTH, (3, 4, 2), False),
    "vector, the other factor": (OfFactor(BOTH, 1, Vector()), BOTH, (3, 4, 3), True),
    "permutation of pairs": (PairPermutation(), Permutations(4), (3, 4, 4, 2), True),
    "both factors": (
        OfFactors((OfFactor(BOTH, 0, Permutation(0)), OfFactor(BOTH, 1, Vector()))),
        BOTH,
        (3, 4, 3),
        False,
    ),
    "permutation of a group": (Regular(finite_table(dihedral(3))), dihedral(3), (3, 2, 6), False),
    "permutation of a group, copies": (RegularCopies(finite_table(dihedral(3)), 1), dihedral(3), (3, 13), False),
    "grid permutation": (GridPermutation(GRID), Group(3, grid_symmetries(GRID), False), (3, 12, 2), False),
    "orientation signal": (OrientationSignal(SPIRAL, lmax=2), SO(3), (3, 2, 20, 2), True),
    "image, quarter turns": (Image("cubic"), cyclic(4), (3, 6, 6), False),
    "image, shifts": (Image("fourier", extent=3.0), T(2), (3, 5, 7), True),
    "brightness": (Intensity(), brightness(), (3, 4), True),
    "contrast": (Intensity(), contrast(), (3, 4, 4), True),
}


def values(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded("values", *shape), dtype=torch.float64)


@pytest.mark.parametrize("name", CASES)
def test_all_of_the_package_pass(name: str) -> None:
    representation, group, shape, is_differentiable = CASES[name]
    check_representation(representation, group, values(*shape), is_differentiable=is_differentiable)


def test_all_of_the_package_are_listed() -> None:
    made = {type(representation) for representation, *_ in CASES.values()}
    exported = [getattr(rapidash.groups, name) for name in rapidash.groups.__all__]
    assert {
        kind for kind in exported if isinstance(kind, type) and issubclass(kind, Representation)
    } - {Representation} == made  # fmt: skip


def test_whole_numbers_that_change_places_pass() -> None:
    check_representation(Permutation(-1), Permutations(4), torch.arange(8).reshape(2, 4))


def test_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two samples"):
        check_representation(Scalar(), SO(3), values(1, 3))


def linear(g: Tensor, x: Tensor) -> Tensor:
    return Vector().act(g, x)


def broken(act: Callable[[Tensor, Tensor], Tensor], inverse: Callable[[Tensor, Tensor], Tensor] | None = None):
    """A representation by its action alone."""

    class Broken(Representation):
        def act(self, g: Tensor, x: Tensor) -> Tensor:
            return act(g, x)

    if inverse is not None:
        Broken.inverse = lambda self, g, x: inverse(g, x)
    return Broken()


def written(g: Tensor, x: Tensor) -> Tensor:
    moved = linear(g, x)
    x.mul_(2)
    return moved


def first_only(g: Tensor, x: Tensor) -> Tensor:
    return linear(g[0] if g.dim() == 3 else g, x)


class HalfGradient(torch.autograd.Function):
    """The identity, with half of its derivative."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        return 0.5 * grad


FAULTS = {
    "another shape": (broken(lambda g, x: linear(g, x)[..., :2]), "returned shape"),
    "another dtype": (broken(lambda g, x: linear(g, x.double())), "cast the elements to the values"),
    "writes": (broken(written), "wrote into the values"),
    "identity": (broken(lambda g, x: linear(g, x) + 1), "of the identity changes"),
    "transposed": (broken(lambda g, x: linear(g.mT, x)), "is not that of h followed by g"),
    "inverse": (broken(linear, lambda g, x: linear(g, x)), "inverse does not move back"),
    "samples": (broken(first_only), "with one element per sample"),
    "detached": (broken(lambda g, x: linear(g, x.detach())), "passes no gradient to the values"),
    "half a gradient": (broken(lambda g, x: linear(g, HalfGradient.apply(x))), "another gradient to the values"),
    "elements detached": (broken(lambda g, x: linear(g.detach(), x)), "passes no gradient to the elements"),
    "half of the elements": (
        broken(lambda g, x: linear(HalfGradient.apply(g) if g.requires_grad else g, x)),
        "another gradient to the elements",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str) -> None:
    representation, message = FAULTS[fault]
    with pytest.raises(AssertionError, match=message):
        check_representation(representation, SO(3), values(3, 2, 3), is_differentiable=True)


class Warped(Representation):
    """c^-1 of R c(x) with c(x) = x^3 entry by entry: a homomorphism that is not affine."""

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        moved = linear(g, x**3)
        return moved.sign() * moved.abs() ** (1 / 3)


def test_an_action_that_is_not_affine_is_seen() -> None:
    with pytest.raises(AssertionError, match="is not affine"):
        check_representation(Warped(), SO(3), values(3, 2, 3))


def test_a_part_that_the_product_ignores_is_seen() -> None:
    with pytest.raises(AssertionError, match="is not that of h followed by g"):
        check_representation(broken(lambda g, x: x + g[..., None, :-1, -1].to(x)), SE(3), values(3, 2, 3))


def test_an_interpolation_needs_its_tolerance() -> None:
    image = Image("cubic"), Group(2, SO(2).linear, translations=False), values(2, 6, 6)
    with pytest.raises(AssertionError, match="is not that of h followed by g"):
        check_representation(*image)
    check_representation(*image, tolerance=2.0)
