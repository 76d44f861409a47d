"""One element per sample: act(g, x)[b] is act(g[b], x[b]), for every representation."""

import inspect

import pytest
import torch

import rapidash.groups
from rapidash._seed import seeded
from rapidash.groups import (
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
    Tensor2,
    Vector,
    brightness,
    contrast,
    dihedral,
    finite_table,
    grid_symmetries,
    orientation_grid,
)

GRID = orientation_grid("platonic", 12, 3)
SPIRAL = orientation_grid("fibonacci", 20, 3)
ICOSAHEDRAL = Group(3, grid_symmetries(GRID), translations=False)
BOTH = Product((Permutations(4), E(3)))
CASES: dict[str, tuple[Representation, MatrixGroup, tuple[int, ...]]] = {
    "scalar": (Scalar(), E(3), (5, 2)),
    "scalar without axes": (Scalar(), E(3), (5,)),
    "pseudoscalar": (Pseudoscalar(), E(3), (5, 2)),
    "pseudoscalar without axes": (Pseudoscalar(), E(3), (5,)),
    "vector": (Vector(), E(3), (5, 2, 3)),
    "pseudovector": (Pseudovector(), E(3), (5, 2, 3)),
    "position": (Position(), E(2), (5, 2)),
    "tensor": (Tensor2(), E(3), (5, 2, 3, 3)),
    "direct sum": (DirectSum(((Pseudoscalar(), 1), (Vector(), 3))), E(3), (5, 2, 4)),
    "permutation of rows": (Permutation(0), Permutations(4), (5, 4, 3)),
    "permutation of columns": (Permutation(-1), Permutations(3), (5, 4, 3)),
    "permutation of the second axis": (Permutation(1), Permutations(3), (5, 4, 3)),
    "permutation of a row alone": (Permutation(-1), Permutations(4), (5, 4)),
    "permutation of pairs": (PairPermutation(), Permutations(4), (5, 4, 4, 2)),
    "permutation of pairs, last axes": (PairPermutation((-2, -1)), Permutations(4), (5, 2, 4, 4)),
    "permutation, a factor": (OfFactor(BOTH, 0, Permutation(0)), BOTH, (5, 4, 3)),
    "vector, the other factor": (OfFactor(BOTH, 1, Vector()), BOTH, (5, 4, 3)),
    "permutation and vector, both factors": (
        OfFactors((OfFactor(BOTH, 0, Permutation(0)), OfFactor(BOTH, 1, Vector()))),
        BOTH,
        (5, 4, 3),
    ),
    "permutation of a group": (Regular(finite_table(dihedral(3))), dihedral(3), (5, 2, 6)),
    "permutation of a group, copies": (RegularCopies(finite_table(dihedral(3)), 1), dihedral(3), (5, 13)),
    "grid permutation": (GridPermutation(GRID), ICOSAHEDRAL, (5, 2, 12, 3)),
    "orientation signal": (OrientationSignal(SPIRAL, lmax=2), SO(3), (5, 2, 20, 3)),
    "orientation signal of a sample": (OrientationSignal(SPIRAL, lmax=3), SO(3), (5, 20, 3)),
    "image, cubic": (Image("cubic", "zeros"), E(2), (5, 2, 6, 7)),
    "image, fourier": (Image("fourier", extent=3.0), E(2), (5, 6, 7)),
    "brightness of width 2": (Intensity(), brightness(), (2, 2)),
    "contrast of an image": (Intensity(), contrast(), (5, 3, 4, 4)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Representation, torch.Tensor, torch.Tensor]:
    representation, group, shape = CASES[request.param]
    g = group.sample(shape[0], generator=seeded(request.param))
    return representation, g, torch.randn(shape, generator=seeded(request.param, "x"), dtype=torch.float64)


def test_one_element_per_sample_moves_each_sample_by_its_own(case) -> None:
    representation, g, x = case
    moved = representation.act(g, x)
    for b in range(len(x)):
        torch.testing.assert_close(moved[b], representation.act(g[b], x[b]), atol=1e-12, rtol=0)
    single = representation.act(g[:1].expand_as(g), x)
    torch.testing.assert_close(single[1], representation.act(g[0], x[1]), atol=1e-12, rtol=0)


def test_elements_in_single_precision_move_fields_of_the_same(case) -> None:
    representation, g, x = case
    moved = representation.act(g.float(), x.float())
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved.double(), representation.act(g, x), atol=1e-4, rtol=0)


def test_the_inverse_moves_back(case) -> None:
    representation, g, x = case
    if isinstance(representation, Image):  # a warped image is resampled: the inverse is that of the group
        expected = representation.act(torch.linalg.inv(g), representation.act(g, x))
    else:
        expected = x
    torch.testing.assert_close(representation.inverse(g, representation.act(g, x)), expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(representation.inverse(g[0], x[0]), representation.act(torch.linalg.inv(g[0]), x[0]))


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("scalar", "permutation", "grid"))])
def test_the_action_is_differentiable_in_the_elements(name: str) -> None:
    representation, group, shape = CASES[name]
    x = torch.randn(2, *shape[1:], generator=seeded(name, "x"), dtype=torch.float64)
    g = group.sample(2, generator=seeded(name)).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: representation.act(e, x), (g,), atol=1e-6, check_forward_ad=True)
    if not isinstance(representation, Pseudoscalar):
        (slope,) = torch.autograd.grad(representation.act(g, x)[0].square().sum(), g)
        assert slope[0].norm() > 0
        assert slope[1].norm() == 0  # the other sample's element


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("scalar")])
def test_another_number_of_elements_than_samples_is_refused(name: str) -> None:
    representation, group, shape = CASES[name]
    g = group.sample(shape[0] + 1, generator=seeded(name))
    with pytest.raises((ValueError, RuntimeError), match=r"elements for a field|must match"):
        representation.act(g, torch.zeros(shape, dtype=torch.float64))


def test_every_representation_is_tried() -> None:
    made = {value for _, value in inspect.getmembers(rapidash.groups, inspect.isclass)}
    kinds = {kind for kind in made if issubclass(kind, Representation) and not inspect.isabstract(kind)}
    assert kinds - {type(representation) for representation, _, _ in CASES.values()} == set()


def test_values_by_hand() -> None:
    turn, stay = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]).double(), torch.eye(3).double()
    both = torch.stack([turn, stay])  # rows of the first pick entries 1, 2, 0
    x = torch.tensor([[10.0, 11, 12], [20, 21, 22]])
    assert Permutation(0).act(both, x).tolist() == [[11, 12, 10], [20, 21, 22]]
    assert Permutation(-1).act(both, x).tolist() == [[11, 12, 10], [20, 21, 22]]
    with pytest.raises(ValueError, match="axis 1 does not exist"):
        Permutation(1).act(both, x)
    g = torch.tensor([[[2.0, 1], [0, 1]], [[3.0, 0], [0, 1]]])
    assert Intensity().act(g, torch.tensor([[1.0, 2], [1, 2]])).tolist() == [[3, 5], [3, 6]]
    with pytest.raises((ValueError, TypeError), match=r"\[\[a, b\], \[0, 1\]\]|parameter 'g'"):
        Intensity().act(torch.eye(3), torch.ones(2))
    right = torch.eye(3).double().repeat(2, 1, 1)
    right[0, 0, 2] = 1.0  # the first image moves right by one pixel
    image = torch.arange(6.0).reshape(1, 2, 3).repeat(2, 1, 1)
    torch.testing.assert_close(Image().act(right, image)[0], torch.tensor([[2.0, 0, 1], [5, 3, 4]]))
    assert torch.equal(Image().act(right, image)[1], image[1])


def test_grid_signals_by_hand() -> None:
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()  # x, y, z, -x, -y, -z
    quarter = torch.eye(4).double()
    quarter[:2, :2] = torch.tensor([[0.0, -1], [1, 0]])  # x -> y -> -x: what was at x is found at y
    g = torch.stack([quarter, torch.eye(4).double()])
    signal = torch.arange(6.0).double()[None, :, None].repeat(2, 1, 1)
    assert GridPermutation(axes).act(g, signal)[:, :, 0].tolist() == [[4, 0, 2, 1, 3, 5], [0, 1, 2, 3, 4, 5]]
    linear = axes @ torch.tensor([1.0, 2, 3]).double()  # 1, 2, 3, -1, -2, -3; (x, y, z) -> values of R (1, 2, 3)
    moved = OrientationSignal(axes, lmax=1).act(g, linear[None, :, None].repeat(2, 1, 1))[..., 0]
    torch.testing.assert_close(moved, torch.tensor([[-2.0, 1, 3, 2, -1, -3], [1, 2, 3, -1, -2, -3]]).double())


def test_pseudovectors_are_cross_products() -> None:
    g = E(3).sample(12, generator=seeded(3))
    assert {round(value) for value in torch.linalg.det(g).tolist()} == {-1, 1}
    a, b = torch.randn(2, 12, 3, generator=seeded(4), dtype=torch.float64)
    moved = torch.linalg.cross(Vector().act(g, a), Vector().act(g, b))
    torch.testing.assert_close(moved, Pseudovector().act(g, torch.linalg.cross(a, b)))
    assert not torch.allclose(moved, Vector().act(g, torch.linalg.cross(a, b)))
    mirror = torch.diag(torch.tensor([1.0, 1, -1, 1]))
    assert Pseudovector().act(mirror, torch.tensor([[1.0, 2, 3]])).tolist() == [[-1, -2, 3]]
    assert Pseudoscalar().act(torch.stack([mirror, torch.eye(4)]), torch.tensor([7, 7])).tolist() == [-7, 7]
    for unsigned in (torch.uint8, torch.bool):
        with pytest.raises(ValueError, match="have no sign"):
            Pseudoscalar().act(mirror, torch.ones(2, dtype=unsigned))


def test_a_permutation_that_needs_gradients_multiplies() -> None:
    g = Permutations(4).sample(3, generator=seeded(0))
    x = torch.randn(3, 4, 2, generator=seeded(1), dtype=torch.float64)
    soft = (0.9 * g + 0.1 * g.roll(1, dims=-1)).requires_grad_()
    torch.testing.assert_close(Permutation(0).act(soft, x), soft @ x)
    torch.testing.assert_close(Permutation(0).act(soft[0], x[0]), soft[0] @ x[0])
    assert torch.equal(Permutation(0).act(soft.detach(), x), Permutation(0).act(g, x))
    assert torch.equal(Permutation(0).act(g.requires_grad_(), x), Permutation(0).act(g.detach(), x))
