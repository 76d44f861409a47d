"""Averages over a group: what they add, keep and destroy, and that they do it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import O2, SE, SO, SO2, E, Group, O, Scalar, T, Vector, cyclic, octahedral, parse_group, trivial
from rapidash.methods import (
    AVERAGED,
    Average,
    AveragedModel,
    OrbitAverage,
    Variant,
    build_model,
    orbit_average,
    view_ledger,
)
from rapidash.models import RapidashConfig
from rapidash.symmetry import Ledger, averaged_symmetry
from rapidash.tasks import get_task


def about_x(order: int) -> Group:
    return parse_group(f"C{order}(x)")


ABOUT_Z = SO2("z").without_translations()


@pytest.mark.parametrize(
    ("kept", "over", "expected"),
    [
        (T(3), SO(3), SE(3)),  # rotations map translations to translations
        (E(3), SO(3), E(3)),
        (trivial(3), cyclic(4, 3), cyclic(4, 3)),
        (cyclic(2, 3), cyclic(4, 3), cyclic(4, 3)),
        (SO(3), O(3), O(3)),
        (SE(3), O2("z"), E(3)),  # all rotations and one mirror
        (SO(3), O2("z").without_translations(), O(3)),
        (ABOUT_Z, about_x(4), about_x(4)),  # a quarter turn about x takes the axis z to y: SO2(z) is destroyed
        (SO2("z"), about_x(4), Group(3, about_x(4).linear)),  # but for the translations
    ],
)
def test_the_symmetry_of_an_average(kept: Group, over: Group, expected: Group) -> None:
    found, reason = averaged_symmetry(kept, over)
    assert found == expected
    assert reason


def test_half_turns_about_x_keep_rotations_about_z() -> None:
    """They map z to -z, and so SO2(z) to itself: the average has the 4-fold larger group that both generate."""
    found, _ = averaged_symmetry(ABOUT_Z, about_x(2))
    assert ABOUT_Z.is_subgroup(found)
    assert about_x(2).is_subgroup(found)
    assert not about_x(4).is_subgroup(found)
    flip = torch.eye(4, dtype=torch.float64)
    flip[1, 1] = flip[2, 2] = -1
    both = ABOUT_Z.sample(5, generator=seeded(0)) @ flip
    assert all(found.contains(element) for element in both)
    assert found.name == "SO2(z) and C2(x) about the origin"


class Upright(nn.Module):
    """Invariant to rotations about z, not to others: a sum over points of a function of height and distance to z."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, batch: CloudBatch) -> Tensor:
        x, y, z = batch.pos.unbind(dim=1)
        values = torch.sin(self.weight * 3 * z + x.square() + y.square()) + z**3
        return values.new_zeros(batch.num_clouds, 1).index_add(0, batch.batch, values[:, None])


def defect(model: nn.Module, batch: CloudBatch, group: Group) -> float:
    """The largest change of an invariant output under elements of a group."""
    with torch.no_grad():
        out = model(batch)
        elements = group.sample(12, generator=seeded("d"))
        return max(float((model(batch.transform(g)) - out).abs().max()) for g in elements)


@pytest.fixture
def batch() -> CloudBatch:
    return (
        get_task("nbody", num_train=4, num_val=2, num_test=2)
        .dataset("train")
        .batch(torch.arange(3))
        .to(dtype=torch.float64)
    )


def test_averaging_over_quarter_turns_about_x_destroys_what_it_does_not_normalize(batch: CloudBatch) -> None:
    output = Field(Scalar(), level="cloud")
    plain = Upright()
    assert defect(plain, batch, ABOUT_Z) < 1e-12 < 1e-2 < defect(plain, batch, about_x(4))
    quarter = AveragedModel(plain, output, OrbitAverage(about_x(4), 0))
    assert defect(quarter, batch, about_x(4)) < 1e-12
    assert defect(quarter, batch, ABOUT_Z) > 1e-2
    half = AveragedModel(plain, output, OrbitAverage(about_x(2), 0))
    assert max(defect(half, batch, about_x(2)), defect(half, batch, ABOUT_Z)) < 1e-12


def test_an_average_over_all_elements_by_hand(batch: CloudBatch) -> None:
    elements = octahedral().elements()
    model = Upright()
    expected = torch.stack([model(batch.transform(g)) for g in elements]).mean(dim=0)
    found = AveragedModel(model, Field(Scalar(), level="cloud"), OrbitAverage(octahedral(), 0))(batch)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    some = [g.expand(3, 4, 4) for g in elements[:2]]
    two = orbit_average(model, batch, Field(Scalar(), level="cloud"), some, octahedral())
    torch.testing.assert_close(two, (model(batch) + model(batch.transform(elements[1]))) / 2)


def test_only_an_average_over_all_elements_is_exact() -> None:
    """And it is exact for its own group, whatever the grid of the network is."""
    task = get_task("nbody", num_train=4, num_val=2, num_test=2)
    model = RapidashConfig(num_orientations=4, channels=4, num_layers=1, basis_dim=4, basis_hidden_dim=4)
    sampled = view_ledger(task, Variant("a", model, methods=(Average("SO(3)", 4),)), AVERAGED)
    assert (sampled.effective.name, sampled.exact, sampled.claimed_exactly) == ("E(3)", False, None)
    assert "4 random elements, so approximately of SO(3)" in sampled.reasons[-1]
    plain = view_ledger(task, Variant("a", model, methods=(Average("SO(3)", 4),)), "full")
    assert not plain.exact
    assert plain.claimed_exactly is not None


def test_an_exact_average_on_a_grid_that_is_not(batch: CloudBatch) -> None:
    """24 rotations of the cube around a network on a Fibonacci grid: claimed exactly for them, and measured so."""
    task = get_task("nbody", num_train=4, num_val=2, num_test=2)
    model = RapidashConfig(
        num_orientations=7, grid="fibonacci", channels=4, num_layers=1, basis_dim=4, basis_hidden_dim=4
    )
    variant = Variant("a", model, methods=(Average("octahedral"),))
    ledger = view_ledger(task, variant, AVERAGED)
    assert (ledger.effective.name, ledger.exact) == ("E(3)", False)
    claimed = ledger.claimed_exactly
    assert claimed is not None
    assert octahedral().is_subgroup(claimed)
    network = build_model(task, variant).double()
    network.calibrate(batch)
    averaged = AveragedModel(network, task.output, OrbitAverage(octahedral(), 0))
    for made, limit in ((averaged, 1e-10), (network, None)):
        with torch.no_grad():
            out = made(batch)
            g = octahedral().elements()[7]
            error = float((made(batch.transform(g)) - batch.act(task.output, g, out)).norm() / out.norm())
        assert error < limit if limit else error > 1e-4


@pytest.mark.parametrize(
    ("name", "size", "dim"),
    [("C4", 4, 2), ("D3", 6, 2), ("C6(x)", 6, 3), ("octahedral", 24, 3), ("full octahedral", 48, 3), ("C(5)", 5, 2)],
)
def test_finite_groups_by_name(name: str, size: int, dim: int) -> None:
    group = parse_group(name)
    elements = group.elements()
    assert elements is not None
    assert (len(elements), group.dim) == (size, dim)
    products = (elements[:, None] @ elements[None]).flatten(0, 1)
    assert all(group.contains(product) for product in products)
    assert parse_group(group.name, dim) == group
    assert parse_group(Group(dim, group.linear).name, dim) == Group(dim, group.linear)
    assert parse_group(group.name) == group
    assert parse_group(Group(dim, group.linear).name) == Group(dim, group.linear)


def test_rotations_of_space_are_named_with_their_axis() -> None:
    assert cyclic(4, 3).name == "C4(z)"  # C4 alone is of the plane
    assert parse_group(cyclic(4, 3).name) == cyclic(4, 3)


def test_an_average_at_validation_is_none(tmp_path: Path) -> None:
    """It is for predictions at test time: the model that is trained and selected is the plain one."""
    average = Average("SO(3)", 2)
    model = nn.Linear(1, 1)
    assert average.modify(model, None) is model  # type: ignore[arg-type]
    assert average.control(model, 3) is None
    assert average.views(model) == {}


def test_an_average_moves_its_predictions_back(batch: CloudBatch) -> None:
    """x -> W x averaged over the quarter turns about z keeps of W = e_x e_y^T the antisymmetric half."""
    first = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)

    class Shear(nn.Module):
        def forward(self, data: CloudBatch) -> Tensor:
            return data["vel"] @ first.T

    found = AveragedModel(Shear(), Field(Vector()), OrbitAverage(parse_group("C4(z)"), 0))(batch)
    rotated = torch.tensor([[0.0, 0.5, 0.0], [-0.5, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found, batch["vel"] @ rotated.T)
    g = parse_group("SO(3)").sample(3, generator=seeded("one"))
    one = orbit_average(Shear(), batch, Field(Vector()), [g], parse_group("SO(3)"))
    turns = g[batch.batch, :3, :3]
    expected = torch.einsum("nji,jk,nkl,nl->ni", turns, first, turns, batch["vel"])
    torch.testing.assert_close(one, expected)


def test_elements_differ_from_sample_to_sample_and_time_to_time() -> None:
    average = OrbitAverage(SO(3), 3)
    elements = list(average.elements(4, seed=0))
    assert [g.shape for g in elements] == [(4, 4, 4)] * 3
    everything = torch.cat(elements).flatten(1)
    assert torch.pdist(everything).min() > 1e-3
    for g, again, more in zip(elements, average.elements(4, seed=0), OrbitAverage(SO(3), 5).elements(4, seed=0)):
        assert torch.equal(g, again)
        assert torch.equal(g, more)
    assert not torch.equal(elements[0], next(average.elements(4, seed=1)))
    assert torch.equal(elements[1], SO(3).sample(4, generator=seeded(0, "tta", 1)))


@pytest.mark.parametrize("name", ["SE(3)", "T(3)", "SO2(z)"])
def test_an_average_over_drawn_translations_does_not_claim_them(name: str) -> None:
    """They are no Haar measure: of |x|^2, the average over unit normal shifts is |x|^2 + 3, which moves with x."""
    before = Ledger(layers=E(3), effective=O(3), exact=True, oracle=False, reasons=())
    after = Average(name, 4).ledger(before, AVERAGED)
    assert after.effective == O(3)
    assert not after.exact
    shifts = parse_group("T(3)").sample(4000, generator=seeded("shifts"))[:, :3, 3]
    for x in (torch.zeros(3).double(), torch.tensor([3.0, 0.0, 0.0]).double()):
        assert float((x + shifts).pow(2).sum(dim=1).mean()) == pytest.approx(float(x.pow(2).sum()) + 3, abs=0.3)


def test_an_average_of_another_dimension_is_refused() -> None:
    before = Ledger(layers=E(3), effective=O(3), exact=True, oracle=False, reasons=())
    with pytest.raises(ValueError, match=r"group 'C4' acts on R\^2, the model on R\^3; C4\(z\) is C4 about an axis"):
        Average("C4").ledger(before, AVERAGED)
