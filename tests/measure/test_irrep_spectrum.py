"""Shares of irreps by hand: scalars, vectors, products, planted mixtures; and what breaks a declaration."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import (
    SO,
    E,
    O,
    Pseudoscalar,
    Pseudovector,
    Representation,
    Scalar,
    T,
    Tensor2,
    Vector,
    rotation_rule,
)
from rapidash.measure import Action, IrrepSpectrum, irrep_basis, irrep_spectrum, rapidash_action, rapidash_layers
from rapidash.models import Rapidash

X = torch.randn(4, 3, 3, generator=seeded("irreps"), dtype=torch.float64)  # three vectors for each of four samples
LENGTHS = X[:, 0].norm(dim=1, keepdim=True)
Z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


class Layer(nn.Module):
    """A function as a module."""

    def __init__(self, fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x)


def spectrum(fn: Callable[[Tensor], Tensor], declared: Any = None, group: Any = None, **options: Any) -> IrrepSpectrum:
    action = Action(O(3) if group is None else group, Vector(), Scalar() if declared is None else declared)
    return irrep_spectrum(Layer(fn).eval(), X, action, **{"degree": 4, **options})


def shares(found: IrrepSpectrum, layer: int = -1) -> dict[str, float]:
    named = dict(zip(found.irreps, found.shares[layer].tolist()))
    return {name: round(share, 12) for name, share in named.items() if share > 1e-12}


def symmetric(x: Tensor) -> Tensor:
    return torch.einsum("ba,bc->bac", x[:, 0], x[:, 0])


def determinant(x: Tensor) -> Tensor:
    return torch.linalg.det(x)[:, None]


def cross(x: Tensor) -> Tensor:
    return torch.linalg.cross(x[:, 0], x[:, 1])


BY_HAND: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, float]]] = {
    "a scalar": (lambda x: x.square().sum(dim=(1, 2))[:, None], {"0e": 1}),
    "a constant": (lambda x: torch.ones_like(x), {"0e": 1}),
    "a vector": (lambda x: x, {"1o": 1}),
    "one component of it": (lambda x: x[:, 0, 2:], {"1o": 1}),
    "a pseudovector": (cross, {"1e": 1}),
    "a pseudoscalar": (determinant, {"0o": 1}),
    "x x^T, a third of which is its trace": (symmetric, {"0e": 1 / 3, "2e": 2 / 3}),
    "its square of a component, 1/5 of which is the mean 1/3": (lambda x: x[:, 0, 2:] ** 2, {"0e": 5 / 9, "2e": 4 / 9}),
    "twice the length beside the vector": (lambda x: torch.cat([2 * LENGTHS, x[:, 0]], dim=1), {"0e": 0.8, "1o": 0.2}),
    "the vector off by its length": (lambda x: x[:, 0] + LENGTHS * Z, {"0e": 0.5, "1o": 0.5}),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_shares_by_hand(case: str) -> None:
    fn, expected = BY_HAND[case]
    found = spectrum(fn)
    assert shares(found) == pytest.approx(expected, abs=1e-10)
    assert float(found.rest[-1]) == pytest.approx(0, abs=1e-10)
    rotations_alone = spectrum(fn, group=SO(3))
    merged: dict[str, float] = {}
    for name, share in expected.items():
        merged[name[:-1]] = merged.get(name[:-1], 0) + share
    assert shares(rotations_alone) == pytest.approx(merged, abs=1e-10)


def test_the_rest_is_what_has_a_larger_degree() -> None:
    """z^3 is 3/5 z and a part of degree 3; by <z^6> = 1/7 and <z^2> = 1/3 the shares are 21/25 and 4/25."""
    found = spectrum(lambda x: x[:, 0, 2:] ** 3, degree=6, max_degree=2)
    assert shares(found) == pytest.approx({"1o": 21 / 25})
    assert float(found.rest[-1]) == pytest.approx(4 / 25)
    whole = spectrum(lambda x: x[:, 0, 2:] ** 3, degree=6)
    assert shares(whole) == pytest.approx({"1o": 21 / 25, "3o": 4 / 25})
    assert (whole.max_degree, whole.report().metadata["exact to degree"]) == (3, 3)


BREAKING: dict[str, tuple[Callable[[Tensor], Tensor], Any, float, float]] = {  # outside of the irreps, and all
    "a vector": (lambda x: x[:, 0], Vector(), 0, 0),
    "off by its length": (lambda x: x[:, 0] + LENGTHS * Z, Vector(), 1 / 2, 1 / 2),
    "stretched: within the irrep": (lambda x: x[:, 0] * torch.tensor([1.0, 1, 2]), Vector(), 0, 1 / 9),
    "declared a scalar": (lambda x: x[:, 0], Scalar(), 1, 1),
    "a pseudovector that is declared a vector": (cross, Vector(), 1, 1),
    "a pseudovector": (cross, Pseudovector(), 0, 0),
    "a pseudoscalar": (determinant, Pseudoscalar(), 0, 0),
    "a tensor": (symmetric, Tensor2(), 0, 0),
    "a cubed component as a scalar": (lambda x: x[:, 0, 2:] ** 3, Scalar(), 1, 1),
}


@pytest.mark.parametrize("case", BREAKING)
def test_breaking_by_hand(case: str) -> None:
    """Stretched by A the mean of g^-1 A g x is tr(A) / 3 x = 4/3 x, of a mean square tr(A^2) / 3 = 2: 1 - 8/9."""
    fn, declared, outside, breaking = BREAKING[case]
    found = spectrum(fn, declared)
    assert float(found.outside[-1]) == pytest.approx(outside, abs=1e-9)
    assert float(found.breaking[-1]) == pytest.approx(breaking, abs=1e-9)


class Stretched(Representation):
    """Vectors in units that differ along z: A g A^-1, which changes norms."""

    units = torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64)

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        return self.units * Vector().act(g, x / self.units)


def test_a_representation_that_changes_norms_has_irreps_and_no_nearest_orbit() -> None:
    found = spectrum(lambda x: x[:, 0] * Stretched.units, Stretched())
    assert float(found.outside[-1]) == pytest.approx(0, abs=1e-9)
    assert math.isnan(float(found.breaking[-1]))
    assert float(spectrum(cross, Stretched()).outside[-1]) == pytest.approx(1)


class Network(nn.Module):
    """A vector layer that is called twice, then its length, then a broken readout."""

    def __init__(self) -> None:
        super().__init__()
        self.twofold = Layer(lambda x: 2 * x)
        self.length = Layer(lambda x: x.norm(dim=-1))
        self.index = Layer(lambda x: x.argmax(dim=-1))
        self.readout = Layer(lambda x: x.sum(dim=-1, keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        twice = self.twofold(self.twofold(x))
        self.index(twice)
        out: Tensor = self.readout(self.length(twice)) + x[:, 0, :1]
        return out


def test_every_call_is_a_row_with_its_size_and_declaration() -> None:
    model, action = Network().eval(), Action(E(3), Vector(), Scalar())
    found = irrep_spectrum(model, X, action, {"twofold": Vector(), "length": (Vector(), Scalar())}, degree=2)
    names = [name for name, _ in found.layers]
    assert names == ["twofold", "twofold", "length", "readout", "output"]
    assert [shares(found, k) for k in range(4)] == [{"1o": 1}, {"1o": 1}, {"0e": 1}, {"0e": 1}]
    assert float(found.sizes[1]) == pytest.approx(float(4 * X.square().mean().sqrt()))
    assert found.breaking[:3].tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert math.isnan(float(found.breaking[3]))  # not declared
    constant = float((4 * X.norm(dim=-1).sum(dim=-1)).square().sum())
    moving = float(LENGTHS.square().sum()) / 3  # a component of a vector of uniform direction
    assert float(found.breaking[4]) == pytest.approx(moving / (constant + moving))
    some = irrep_spectrum(model, X, action, degree=2, layers=["length"])
    assert [name for name, _ in some.layers] == ["length", "output"]
    rows = found.report(clouds=4).rows
    assert rows[3]["breaking"] is None
    assert rows[0]["1o"] == pytest.approx(1)
    assert found.report(clouds=4).metadata["clouds"] == 4


def test_the_basis_is_orthonormal_and_as_large_as_the_irreps() -> None:
    rotations, weights = rotation_rule(3, 6)
    basis = torch.cat(irrep_basis(rotations, weights, 3), dim=1)
    assert basis.shape[1] == 1 + 9 + 25 + 49
    torch.testing.assert_close(basis.T @ basis, torch.eye(84, dtype=torch.float64), atol=1e-10, rtol=0)
    entries = weights.sqrt()[:, None] * rotations.flatten(1)  # those of D^1
    torch.testing.assert_close(basis[:, 1:10] @ (basis[:, 1:10].T @ entries), entries, atol=1e-10, rtol=0)


def test_a_rapidash_network_is_all_scalar_where_it_is_invariant() -> None:
    torch.manual_seed(0)
    model = Rapidash(space="R3", in_scalars=1, out_scalars=2, channels=4, num_layers=1).double().eval()
    x = {"pos": X[:, 0], "batch": torch.zeros(4, dtype=torch.long), "scalars": torch.ones(4, 1, dtype=torch.float64)}
    action = rapidash_action(model, E(3))
    found = irrep_spectrum(model, x, action, rapidash_layers(model), degree=2)
    assert float(found.shares[:, 0].nan_to_num(1.0).min()) == pytest.approx(1, abs=1e-9)
    assert any(name.startswith("blocks.0") for name, _ in found.layers)
    assert float(found.breaking.nan_to_num(0.0).max()) < 1e-9


def test_a_zero_layer_has_no_shares() -> None:
    found = spectrum(lambda x: 0 * x[:, 0], Vector())
    assert bool(found.shares.isnan().all())
    assert found.report().rows[-1]["0e"] is None
    assert float(found.sizes[-1]) == 0


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout()).double()
    with pytest.raises(ValueError, match="training mode"):
        irrep_spectrum(model, X, Action(SO(3), Vector(), Vector()), degree=2)
    before = torch.get_rng_state()
    irrep_spectrum(model.eval(), X, Action(SO(3), Vector(), Vector()), degree=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "another group": (lambda: spectrum(lambda x: x, group=T(3)), "irreps are those of SO"),
    "the plane": (lambda: spectrum(lambda x: x, group=SO(2)), "irreps are those of SO"),
    "max_degree": (lambda: spectrum(lambda x: x, degree=4, max_degree=3), "max_degree must be from 0 to half"),
    "degree": (lambda: spectrum(lambda x: x, degree=-1), "degree"),
    "a function": (
        lambda: irrep_spectrum(lambda x: x, X, Action(SO(3), Vector(), Vector())),  # type: ignore[arg-type]
        "wrap it with as_module",
    ),
    "no such layer": (
        lambda: irrep_spectrum(Network().eval(), X, Action(SO(3), Vector(), Scalar()), layers=["lenght"]),
        r"the network has no modules \['lenght'\], but \['twofold', 'length'",
    ),
    "a shape that changes": (lambda: spectrum(lambda x: x[x[:, 0, 0] > 0]), "when the input turns|has no rows"),
    "NaN": (lambda: spectrum(lambda x: x / 0), "not finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_a_representation_of_a_larger_degree_than_is_told_apart_has_the_rest() -> None:
    """A tensor has parts of degree 0 and 2; with irreps up to 1 the latter is in the rest, and not outside."""
    found = spectrum(symmetric, Tensor2(), max_degree=1)
    assert shares(found) == pytest.approx({"0e": 1 / 3})
    assert float(found.rest[-1]) == pytest.approx(2 / 3)
    assert float(found.outside[-1]) == pytest.approx(0, abs=1e-9)
    assert float(found.breaking[-1]) == pytest.approx(0, abs=1e-9)


def test_translations_of_the_group_do_not_move() -> None:
    alone, moving = (spectrum(lambda x: x[:, 0] + LENGTHS * Z, Vector(), group) for group in (O(3), E(3)))
    assert torch.equal(alone.shares, moving.shares)
    assert (alone.group, moving.group) == ("O(3)", "O(3)")


@pytest.mark.parametrize(("degree", "top"), [(0, 0), (1, 0), (5, 2), (6, 3)])
def test_irreps_reach_to_half_of_the_degree(degree: int, top: int) -> None:
    found = spectrum(lambda x: x[:, 0].square().sum(dim=1, keepdim=True), degree=degree)
    assert found.max_degree == top
    assert found.irreps == tuple(f"{number}{parity}" for number in range(top + 1) for parity in "eo")
    assert shares(found) == pytest.approx({"0e": 1})
