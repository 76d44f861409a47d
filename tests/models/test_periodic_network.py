"""Networks on periodic structures: cells, supercells, images and strain are ways to write the same crystal."""

import pytest
import torch
from torch import Tensor

from rapidash.geometry import Cell
from rapidash.groups import SO
from rapidash.models import Rapidash, forces_and_stress

CELL = torch.tensor([[2.6, 0.0, 0.1], [0.9, 2.3, 0.0], [-0.4, 0.3, 2.8]], dtype=torch.float64)
RADIUS = 2.9  # longer than the distance of the planes: a point is its own neighbor


def network(space: str = "R3xS2", **options: object) -> Rapidash:
    torch.manual_seed(0)
    made = Rapidash(
        space=space, symmetry="E(3)", in_scalars=2, out_scalars=1, out_vectors=1, channels=8, num_layers=2,
        edges=f"radius-{RADIUS}", level="node", num_orientations=8, basis_dim=8, basis_hidden_dim=8, **options,
    )  # fmt: skip
    return made.double().eval()


def crystal(num: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    pos = torch.rand(num, 3, generator=generator, dtype=torch.float64) @ CELL
    return pos, torch.randn(num, 2, generator=generator, dtype=torch.float64)


def run(model: Rapidash, pos: Tensor, scalars: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    batch = torch.zeros(len(pos), dtype=torch.long)
    out = model(pos, batch, scalars=scalars, cell=None if cell is None else Cell(cell[None]))
    return out.scalars, out.vectors


@pytest.mark.parametrize("space", ["R3xS2", "R3"])
@pytest.mark.parametrize("kernel", ["exact", "auto"])
def test_a_supercell_is_the_same_crystal(space: str, kernel: str) -> None:
    """The cell is smaller than the radius; 27 of them are not. And it is the crystal that a finite piece of it has."""
    model, (pos, scalars) = network(space, kernel=kernel), crystal()
    expected = run(model, pos, scalars, CELL)
    steps = torch.cartesian_prod(*[torch.arange(3)] * 3).double() @ CELL
    many = (steps[:, None] + pos).flatten(0, 1)
    for found, one in zip(run(model, many, scalars.repeat(27, 1), 3 * CELL), expected):
        torch.testing.assert_close(found.unflatten(0, (27, 3)), one.expand(27, *one.shape), atol=1e-10, rtol=0)
    wide = torch.cartesian_prod(*[torch.arange(-4, 5)] * 3).double() @ CELL
    piece = (wide[:, None] + pos).flatten(0, 1)
    middle = len(wide) // 2
    for found, one in zip(run(model, piece, scalars.repeat(len(wide), 1), None), expected):
        torch.testing.assert_close(found.unflatten(0, (len(wide), 3))[middle], one, atol=1e-10, rtol=0)


def test_which_image_a_point_is_and_how_the_cell_is_written_do_not_matter() -> None:
    model, (pos, scalars) = network(), crystal()
    expected = run(model, pos, scalars, CELL)
    moved = pos + torch.tensor([[3.0, 0.0, -2.0], [0.0, 0.0, 0.0], [-1.0, 5.0, 0.0]], dtype=torch.float64) @ CELL
    other = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, -2.0, 1.0]], dtype=torch.float64) @ CELL
    for cell in (CELL, other):
        for found, one in zip(run(model, moved, scalars, cell), expected):
            torch.testing.assert_close(found, one, atol=1e-10, rtol=0)


def test_it_turns_with_the_crystal() -> None:
    model, (pos, scalars) = network("R3"), crystal()
    turn = SO(3).sample(1, generator=torch.Generator().manual_seed(0))[0, :3, :3]
    numbers, arrows = run(model, pos, scalars, CELL)
    turned_numbers, turned_arrows = run(model, pos @ turn.T, scalars, CELL @ turn.T)
    torch.testing.assert_close(turned_numbers, numbers, atol=1e-10, rtol=0)
    torch.testing.assert_close(turned_arrows, arrows @ turn.T, atol=1e-10, rtol=0)
    assert float(arrows.detach().abs().max()) > 1e-3


def test_forces_and_stress_are_finite_differences_of_the_energy() -> None:
    model, (pos, scalars) = network(), crystal()
    both = torch.cat([pos, pos + 0.1]), torch.cat([scalars, -scalars])
    batch, cells = torch.tensor([0, 0, 0, 1, 1, 1]), Cell(torch.stack([CELL, 1.1 * CELL]))

    def energy(pos: Tensor, cell: Cell) -> Tensor:
        each = model(pos, batch, scalars=both[1], cell=cell).scalars.squeeze(-1)
        return each.new_zeros(2).index_add(0, batch, each)

    found = forces_and_stress(energy, both[0], batch, cells)
    torch.testing.assert_close(found.energy, energy(both[0], cells).detach())
    step = 1e-5
    for row, axis in ((0, 0), (2, 1), (5, 2)):
        ends = []
        for sign in (1, -1):
            moved = both[0].clone()
            moved[row, axis] += sign * step
            ends.append(energy(moved, cells).sum())
        torch.testing.assert_close(
            found.forces[row, axis], -(ends[0] - ends[1]).detach() / (2 * step), atol=1e-7, rtol=1e-5
        )
    for a, b in ((0, 0), (0, 2), (1, 2)):
        ends = []
        for sign in (1, -1):
            strain = torch.zeros(2, 3, 3, dtype=torch.float64)
            strain[:, a, b] += sign * step / 2
            strain[:, b, a] += sign * step / 2
            ends.append(energy(both[0] + torch.einsum("nd,nde->ne", both[0], strain[batch]), cells.strained(strain)))
        expected = (ends[0] - ends[1]).detach() / (2 * step) / torch.linalg.det(cells.vectors).abs()
        torch.testing.assert_close(found.stress[:, a, b], expected, atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(found.stress, found.stress.mT)


def test_a_chain_of_springs_has_the_stress_of_the_book() -> None:
    """Energy k (L - a)^2 / 2 in a cell of length L: dE/d(strain) = k (L - a) L, so the stress is k (L - a)."""
    cell = Cell(torch.tensor([[[3.0]]], dtype=torch.float64))
    found = forces_and_stress(
        lambda pos, cell: 2.0 * (cell.vectors[:, 0, 0] - 2.5) ** 2 / 2 + 0 * pos.sum(),
        torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.long), cell,
    )  # fmt: skip
    assert float(found.stress) == pytest.approx(2.0 * (3.0 - 2.5))
    assert float(found.forces) == 0.0


def test_edges_are_reused_with_their_cell_and_calibration_sees_it() -> None:
    model, (pos, scalars) = network(), crystal()
    batch, cell = torch.zeros(3, dtype=torch.long), Cell(CELL[None])
    hierarchy = model.connect(pos, batch, cell=cell)
    expected = model(pos, batch, scalars=scalars, cell=cell).scalars
    assert torch.equal(model(pos, batch, scalars=scalars, cell=cell, hierarchy=hierarchy).scalars, expected)
    model.calibrate(pos, batch, scalars=scalars, cell=cell)
    longest = float(model.table_reach[0]) / 1.25
    assert 2.6 < longest <= RADIUS  # of images: the points themselves are nearer


def test_what_does_not_fit_is_said() -> None:
    model, (pos, scalars) = network(), crystal()
    batch, cell = torch.zeros(3, dtype=torch.long), Cell(CELL[None])
    with pytest.raises(ValueError, match="made with a cell: give the same cell"):
        model(pos, batch, scalars=scalars, hierarchy=model.connect(pos, batch, cell=cell))
    with pytest.raises(ValueError, match="made without a cell"):
        model(pos, batch, scalars=scalars, hierarchy=model.connect(pos, batch), cell=cell)
    near = Rapidash(space="R3", symmetry="E(3)", in_scalars=2, out_scalars=1, channels=4, num_layers=1, edges="knn-2")
    with pytest.raises(ValueError, match=r"a cell needs edges within a radius on one scale.*got knn-2"):
        near(pos.float(), batch, scalars=scalars.float(), cell=Cell(CELL[None].float()))
    slab = Cell(CELL[None], torch.tensor([[True, True, False]]))
    with pytest.raises(ValueError, match="stress needs structures that are periodic along every vector"):
        forces_and_stress(lambda pos, cell: pos.sum().reshape(1), pos, batch, slab)
    with pytest.raises(ValueError, match=r"energy must return \(1,\), one number each, got \(3,\)"):
        forces_and_stress(lambda pos, cell: pos.sum(dim=1), pos, batch, cell)
