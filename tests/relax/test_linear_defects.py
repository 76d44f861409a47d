"""Linear maps that do not commute with a group: finite and Lie defects, the average, and the distance to it."""

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import (
    SO,
    SO2,
    E,
    Group,
    Regular,
    Scalar,
    Vector,
    dihedral,
    finite_table,
    grid_symmetries,
    orientation_grid,
    permutation_action,
)
from rapidash.relax import FiberLinear, OffsetLinear, finite_defect, lie_defect, projection_distance, reynolds
from rapidash.relax._linear_branches import fixed_directions
from rapidash.relax._projection_penalty import squared_distance


def cube_group() -> Group:
    rotations = grid_symmetries(orientation_grid("platonic", 8, 3))
    return Group(3, rotations, translations=False)


def regular_matrices() -> Tensor:
    """Two copies of the regular representation of D4, 16 x 16, one matrix for each of the 8 elements."""
    table = finite_table(dihedral(4))
    places = permutation_action(Regular(table), table.elements, (8,))
    matrices = nn.functional.one_hot(places, 8).double().transpose(1, 2)  # column i has its 1 where g takes i
    return torch.stack([torch.block_diag(m, m) for m in matrices])


def test_the_penalty_over_elements_is_twice_the_squared_distance_to_the_equivariant_maps() -> None:
    """D4, regular + regular on both sides: E_g |W rho(g) - rho(g) W|^2 = 2 |(I - P) W|^2."""
    action = regular_matrices()
    assert torch.equal(action @ action.transpose(1, 2), torch.eye(16).double().expand(8, 16, 16))
    weight = torch.randn(16, 16, generator=seeded("d4"), dtype=torch.float64)
    penalty = (weight @ action - action @ weight).square().sum(dim=(1, 2)).mean()
    distance = projection_distance(weight, action, action)
    assert float(penalty) == pytest.approx(2 * float(distance) ** 2, rel=1e-12)
    assert float(penalty) > 1
    nearest = reynolds(weight, action, action)
    torch.testing.assert_close(reynolds(nearest, action, action), nearest)
    assert float(projection_distance(nearest, action, action)) < 1e-12


def test_the_average_by_hand() -> None:
    """Two entries that change places: P of [[1, 2], [3, 4]] is [[2.5, 2.5], [2.5, 2.5]]."""
    swap = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert reynolds(weight, swap, swap).tolist() == [[2.5, 2.5], [2.5, 2.5]]
    assert float(projection_distance(weight, swap, swap)) == pytest.approx((2.25 + 0.25 + 0.25 + 2.25) ** 0.5)
    with pytest.raises(ValueError, match="one matrix for each element: got 2 for the input, 1 for output"):
        reynolds(weight, swap, swap[:1])


def test_the_average_of_a_fiber_map_is_that_over_all_matrices_of_the_group() -> None:
    grid, group = orientation_grid("platonic", 8, 3), cube_group()
    branch = FiberLinear(grid, 3, group, scale=1.0).double()
    names = permutation_action(branch.inputs, group.elements(), (8, 3))
    action = nn.functional.one_hot(names, 24).double().transpose(1, 2)
    expected = reynolds(branch.weight.detach(), action, action)
    torch.testing.assert_close(branch.averaged_weight().detach(), expected)
    distance = projection_distance(branch.weight.detach(), action, action)
    assert float(squared_distance(branch).detach()) == pytest.approx(float(distance) ** 2)


def test_the_finite_defect_of_a_fiber_map_over_all_elements_is_twice_the_squared_distance() -> None:
    grid, group = orientation_grid("platonic", 8, 3), cube_group()
    branch = FiberLinear(grid, 2, group, scale=1.0).double()
    unit = torch.eye(16, dtype=torch.float64).reshape(16, 8, 2)
    with torch.no_grad():
        elements = group.elements()
        assert len(elements) == 24
        parts = [finite_defect(branch.map, unit, g, branch.inputs, branch.outputs).square().sum() for g in elements]
        assert float(torch.stack(parts).mean()) == pytest.approx(2 * float(squared_distance(branch)), rel=1e-12)
        branch.is_averaged = True
        parts = [finite_defect(branch.map, unit, g, branch.inputs, branch.outputs).abs().max() for g in elements]
        assert float(torch.stack(parts).max()) < 1e-12


def test_one_element_for_each_row() -> None:
    grid, group = orientation_grid("platonic", 8, 3), cube_group()
    branch = FiberLinear(grid, 2, group, scale=1.0).double()
    x, elements = torch.randn(3, 8, 2, dtype=torch.float64), group.elements()[5:8]
    rows = finite_defect(branch.map, x, elements, branch.inputs, branch.outputs)
    for index, g in enumerate(elements):
        one = finite_defect(branch.map, x[index : index + 1], g, branch.inputs, branch.outputs)
        torch.testing.assert_close(rows[index : index + 1], one)


def test_the_lie_defect_by_hand() -> None:
    """W reads the x component of a vector; the generator about z takes (1, 2, 0) to (-2, 1, 0), of which W reads -2."""

    def read_x(v: Tensor) -> Tensor:
        return v[:, :1]

    generators = SO(3).generators()
    found = lie_defect(read_x, torch.tensor([[1.0, 2.0, 0.0]]), generators, Vector(), Scalar()).flatten()
    expected = (generators[:, 0, :3].float() @ torch.tensor([1.0, 2.0, 0.0])).tolist()
    assert found.tolist() == expected
    assert sorted(expected) == [-2.0, 0.0, 0.0] or sorted(expected) == [0.0, 0.0, 2.0]
    with pytest.raises(ValueError, match="without generators has no Lie derivative"):
        lie_defect(read_x, torch.ones(1, 3), dihedral(4).generators(), Vector(), Scalar())


def test_the_lie_defect_is_the_derivative_of_the_finite_one() -> None:
    weight = torch.randn(3, 3, generator=seeded("lie"), dtype=torch.float64)
    x = torch.randn(4, 3, generator=seeded("x"), dtype=torch.float64)
    group, step = SO(3), 1e-5
    analytic = lie_defect(lambda v: v @ weight.T, x, group.generators(), Vector(), Vector())
    for index in range(3):
        at = torch.zeros(2, 3, dtype=torch.float64)
        at[:, index] = torch.tensor([step, -step])
        ahead, behind = group.exponential(at)
        ends = [finite_defect(lambda v: v @ weight.T, x, g, Vector(), Vector()) for g in (ahead, behind)]
        torch.testing.assert_close((ends[0] - ends[1]) / (2 * step), analytic[index], rtol=1e-6, atol=1e-7)
    scaled = lie_defect(lambda v: 3 * v, x, group.generators(), Vector(), Vector())  # commutes
    assert float(scaled.abs().max()) < 1e-12


def test_directions_that_a_group_leaves_where_they_are() -> None:
    zero, z = torch.zeros(3, 3, dtype=torch.float64), torch.diag(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(fixed_directions(E(3)), zero)
    torch.testing.assert_close(fixed_directions(SO2("z")), z)
    torch.testing.assert_close(fixed_directions(Group(3, cube_group().linear, translations=True)), zero)


def test_the_average_of_an_offset_map_keeps_what_the_group_leaves() -> None:
    """About z the z component may be read by an invariant, the others not."""
    branch = OffsetLinear(1, 3, SO2("z"), basis_dim=4, scale=1.0)
    with torch.no_grad():
        branch.weight.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    torch.testing.assert_close(branch.averaged_weight().detach(), torch.tensor([[0.0, 0.0, 3.0]]), rtol=0, atol=1e-6)
    assert float(squared_distance(branch).detach()) == pytest.approx(5.0, rel=1e-5)


def test_a_group_that_cannot_act_on_the_grid_is_named() -> None:
    with pytest.raises(ValueError, match="SO\\(3\\) is not finite: it cannot act on a grid of 8 orientations"):
        FiberLinear(orientation_grid("platonic", 8, 3), 2, SO(3), scale=1.0)
    with pytest.raises(ValueError, match="does not map the orientation grid onto itself"):
        FiberLinear(orientation_grid("fibonacci", 8, 3), 2, cube_group(), scale=1.0)
