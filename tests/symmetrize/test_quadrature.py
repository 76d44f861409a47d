import itertools

import pytest
import torch
from symmetrize_checks import ENERGY, FORCE, PointNet, clouds
from torch import nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch
from rapidash.groups import SE, SO, SO2, E, O, octahedral
from rapidash.measure import Action, equivariance_error
from rapidash.symmetrize import Quadrature, quadrature_convergence
from rapidash.symmetry import Haar, Symmetrized


def null_vectors(num: int, dim: int) -> torch.Tensor:
    """Complex vectors u with u . u = 0 and u . conj(u) = 1: (u . g v)^l is an entry of the l-th irreducible matrix."""
    frames = SO(dim).sample(num, generator=seeded("null", dim))[:, :dim, :dim]
    sign = torch.where(torch.arange(num) % 2 == 0, 1.0, -1.0).double()[:, None]
    return torch.complex(frames[:, 0], sign * frames[:, 1]) / 2**0.5


def largest_mean(rule: Quadrature, degree: int) -> float:
    """The largest absolute mean of (u . g v)^l, and of it times det g, over many u and v: 0 for the Haar measure."""
    dim = rule.group.dim
    u = null_vectors(12, dim)
    g = rule.elements[:, :dim, :dim]
    values = torch.einsum("ai,kij,bj->kab", u, g.to(u.dtype), u) ** degree
    weights = torch.stack([rule.weights, rule.weights * torch.linalg.det(g)])
    return float(torch.einsum("pk,kab->pab", weights.to(u.dtype), values).abs().max())


@pytest.mark.parametrize("group", [SO(2), O(2), SO(3), O(3)], ids=str)
@pytest.mark.parametrize("degree", [1, 2, 3, 4, 6, 7, 11])
def test_it_is_exact_up_to_its_degree_and_not_beyond(group, degree: int) -> None:
    rule = Quadrature(group, degree)
    assert float(rule.weights.sum()) == pytest.approx(1, abs=1e-14)
    assert float(rule.weights.min()) > 0
    assert all(group.contains(g) for g in rule.elements[::7])
    assert max(largest_mean(rule, lower) for lower in range(1, degree + 1)) < 1e-12
    assert largest_mean(rule, degree + 1) > 1e-3


def test_moments_and_sizes_by_hand() -> None:
    sizes = {3: 6 * 4, 4: 14 * 5, 5: 14 * 6, 7: 26 * 8, 11: 50 * 12}  # points of Lebedev's rules times angles
    assert {degree: len(Quadrature(SO(3), degree).weights) for degree in sizes} == sizes
    rule = Quadrature(SO(3), 4)
    entry = rule.elements[:, 0, 1]
    for power, mean in ((2, 1 / 3), (4, 1 / 5)):  # of a coordinate of a uniform direction
        assert float((rule.weights * entry**power).sum()) == pytest.approx(mean, abs=1e-14)
    mirrored = Quadrature(O(3), 4)
    determinant = torch.linalg.det(mirrored.elements[:, :3, :3])
    assert len(determinant) == 2 * len(entry)
    assert float((mirrored.weights * determinant).sum()) == pytest.approx(0, abs=1e-14)
    assert len(Quadrature(O(2), 5).weights) == 12
    assert torch.equal(Quadrature(SO(2), 0).elements, torch.eye(3).double()[None])


class Cubic(nn.Module):
    """A polynomial of degree 3 in the positions, without symmetry: the average of its force has degree 4 in g."""

    def forward(self, batch: CloudBatch) -> torch.Tensor:
        weights = torch.randn(3, 3, 3, generator=seeded("cubic"), dtype=torch.float64)
        pos = batch.pos
        return torch.stack([(pos @ w[0]) * (pos @ w[1]) * (pos @ w[2] + 1) for w in weights], dim=1)


@pytest.mark.parametrize("group", [SO(3), O(3)], ids=str)
def test_the_average_of_a_polynomial_is_exactly_equivariant_from_its_degree_on(group) -> None:
    rows = quadrature_convergence(Cubic().eval(), clouds(), FORCE, group, (2, 3, 4, 5), num_elements=4)
    assert [row.error > 1e-3 for row in rows[:2]] == [True, True]
    assert max(row.error for row in rows[2:]) < 1e-12
    assert min(row.random_error for row in rows) > 1e-2


def test_the_error_of_a_network_falls_with_the_degree_and_faster_than_a_random_one() -> None:
    net = PointNet(1, ENERGY).eval()
    rows = quadrature_convergence(net, clouds((4, 5)), ENERGY, SO(3), (1, 3, 7), num_elements=4, max_batch=64)
    for before, after in itertools.pairwise(rows):
        assert after.error < before.error / 2
    assert rows[-1].error > 1e-8  # no polynomial
    assert rows[-1].error < rows[-1].random_error / 10
    assert [row.num_elements for row in rows] == [12, 24, 208]
    model = Symmetrized(net, ENERGY, Quadrature(SO(3), 3)).eval()
    error = equivariance_error(model, clouds((4, 5)), Action(SO(3), outputs=ENERGY), num_elements=4).mean
    assert rows[1].error == pytest.approx(float(error))


def test_what_does_not_fit_is_refused() -> None:
    for group in (SE(3), E(2)):
        with pytest.raises(ValueError, match=r"is not compact .* take \.without_translations\(\)"):
            Quadrature(group, 3)
    for group in (octahedral(), SO2("z").without_translations()):
        with pytest.raises(ValueError, match=r"group must be O\(n\), SO\(n\)"):
            Quadrature(group, 3)
    for degree in (-1, 132):
        with pytest.raises(ValueError, match=f"degree must be a whole number from 0 to 131, got {degree}"):
            Quadrature(SO(3), degree)
    with pytest.raises(ValueError, match="eval mode"):
        quadrature_convergence(PointNet(1, ENERGY), clouds(), ENERGY, SO(3))
    assert Haar(SO(3)).sample(clouds(), 2, seeded(0)).weights is None
