import itertools
import math

import pytest
import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.data import Batch, CloudBatch, Field, RowBatch
from rapidash.groups import SE, SO, E, Permutation, Permutations, Position, Scalar, Vector, cyclic, octahedral
from rapidash.measure import Action, equivariance_error
from rapidash.symmetry import Enumerated, Haar, Identity, Symmetrized, UniformBox, symmetrized

CLOUD = {"pos": Field(Position()), "charge": Field(Scalar())}
ENERGY, FORCE = Field(Scalar(), level="cloud"), Field(Vector())


class PointNet(nn.Module):
    """No symmetry but that of points: an output for each point, or their sums."""

    def __init__(self, out: int, field: Field) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, out)).double()
        self.field = field

    def forward(self, batch: CloudBatch) -> torch.Tensor:
        out = self.net(torch.cat([batch.pos, batch["charge"]], dim=1))
        return (
            out
            if self.field.level == "point"
            else out.new_zeros(batch.num_samples, out.shape[1]).index_add(0, batch.batch, out)
        )


class Rows(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.function(batch["x"])


def clouds(counts: tuple[int, ...] = (2, 4, 3)) -> CloudBatch:
    total = sum(counts)
    pos, charge = (torch.randn(total, d, generator=seeded(d), dtype=torch.float64) for d in (3, 1))
    batch = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return CloudBatch({"pos": pos, "charge": charge}, CLOUD, batch, len(counts))


def plane(num: int = 4) -> RowBatch:
    x = torch.randn(num, 2, generator=seeded("plane"), dtype=torch.float64)
    return RowBatch({"x": x}, {"x": Field(Position(), level="cloud")})


def test_averages_by_hand() -> None:
    batch, law = plane(), Enumerated(cyclic(4))
    x, y = batch["x"].T
    torch.testing.assert_close(Symmetrized(Rows(lambda v: v[:, 0]), ENERGY, law)(batch), torch.zeros_like(x))
    square = Symmetrized(Rows(lambda v: v[:, 0] ** 2), ENERGY, law)(batch)
    torch.testing.assert_close(square, (x**2 + y**2) / 2)
    # a vector: e_x x averages to (x, y) / 2, the invariant part of the matrix diag(1, 0)
    vector = Symmetrized(Rows(lambda v: v * v.new_tensor([1.0, 0])), Field(Vector(), level="cloud"), law)(batch)
    torch.testing.assert_close(vector, batch["x"] / 2)
    # and e_y x to the rotation by 90 degrees over two: (x, y) -> (-y, x) / 2
    turned = Symmetrized(Rows(lambda v: torch.stack([0 * v[:, 0], v[:, 0]], 1)), Field(Vector(), level="cloud"), law)
    torch.testing.assert_close(turned(batch), torch.stack([-y, x], dim=1) / 2)


@pytest.mark.parametrize("field", [ENERGY, FORCE, Field(Vector(), level="cloud")], ids=["energy", "forces", "dipole"])
def test_an_average_over_all_elements_is_exactly_equivariant(field: Field) -> None:
    net = PointNet(1 if field is ENERGY else 3, field).eval()
    action = Action(octahedral(), outputs=field)
    assert equivariance_error(net, clouds(), action).mean > 0.1  # the network alone is not
    assert equivariance_error(Symmetrized(net, field, Enumerated(octahedral())).eval(), clouds(), action).max < 1e-12
    part = Symmetrized(net, field, Enumerated(cyclic(4, dim=3))).eval()
    assert equivariance_error(part, clouds(), action).mean > 0.01  # nor is the average over too small a group


def test_relabelling_of_three_classes_is_exact() -> None:
    scores = RowBatch(
        {"x": torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)},
        {"x": Field(Permutation(-1), level="cloud")},
    )
    weight = torch.randn(3, 3, generator=seeded(1), dtype=torch.float64)
    net, field = Rows(lambda v: torch.tanh(v @ weight)), Field(Permutation(-1), level="cloud")
    action = Action(Permutations(3), outputs=field)  # its 3-cycles tell an element from its inverse
    assert equivariance_error(net.eval(), scores, action).mean > 0.1
    averaged = Symmetrized(net, field, Enumerated(Permutations(3))).eval()
    assert equivariance_error(averaged, scores, action).max < 1e-12


def test_it_is_the_definition_with_one_element_per_sample_and_chunks_do_not_matter() -> None:
    batch, net = clouds(), PointNet(3, FORCE)
    model = Symmetrized(net, FORCE, Haar(octahedral()), num_samples=5)
    output, samples = model.average(batch, seeded(1))
    copies = [batch.act(FORCE, g, net(batch.transform(torch.linalg.inv(g)))) for g in samples.g.unbind(1)]
    torch.testing.assert_close(output, torch.stack(copies).mean(dim=0), atol=1e-12, rtol=0)
    for most in (1, 6, 7, 100):
        chunked = Symmetrized(net, FORCE, Haar(octahedral()), num_samples=5, max_batch=most)
        torch.testing.assert_close(chunked(batch, seeded(1)), output, atol=1e-12, rtol=0)
    sizes: list[int] = []

    def counted(moved: Batch) -> torch.Tensor:
        sizes.append(moved.num_samples)
        return net(moved)

    symmetrized(counted, batch, FORCE, samples.g, max_batch=7)
    assert sizes == [6, 6, 3]


def test_the_error_of_drawn_elements_falls_with_the_root_of_their_number() -> None:
    batch = plane(64)
    model = Symmetrized(Rows(lambda v: torch.relu(v[:, 0])), ENERGY, Haar(SO(2)))
    exact = batch["x"].norm(dim=1) / math.pi  # the mean of max(0, r cos) over angles
    sizes = [16, 64, 256, 1024]
    errors = [(model(batch, seeded("slope", k), k) - exact).square().mean().sqrt().log() for k in sizes]
    slope = float(errors[-1] - errors[0]) / math.log(sizes[-1] / sizes[0])
    assert -0.6 < slope < -0.4


def test_forces_of_an_averaged_energy_are_equivariant() -> None:
    model = Symmetrized(PointNet(1, ENERGY), ENERGY, Enumerated(octahedral()))

    def forces(batch: CloudBatch) -> torch.Tensor:
        pos = batch.pos.detach().requires_grad_()
        return -torch.autograd.grad(model(batch.with_tensor("pos", pos)).sum(), pos)[0]

    g = octahedral().elements()[[5, 11, 17]]
    batch = clouds()
    torch.testing.assert_close(forces(batch.transform(g)), batch.act(FORCE, g, forces(batch)), atol=1e-12, rtol=0)
    assert forces(batch).norm() > 0.01


def test_closed_widths_give_the_backbone_and_open_ones_are_trained() -> None:
    batch, net = clouds(), PointNet(3, FORCE)
    for law in (Identity(SE(3)), UniformBox(SE(3), 0.0).double()):
        copies = Symmetrized(net, FORCE, law, num_samples=4, max_batch=1)  # passes of the size of the batch
        assert torch.equal(copies(batch, seeded(0)), net(batch))
    box = UniformBox(SE(3), 0.3).double()
    model = Symmetrized(net, FORCE, box, num_samples=4)
    model(batch, seeded(0)).square().sum().backward()
    assert box.raw_width.grad.abs().min() > 0
    assert "distribution.raw_width" in dict(model.named_parameters())


def test_elements_are_returned_and_never_kept() -> None:
    batch, model = clouds(), Symmetrized(PointNet(3, FORCE), FORCE, Haar(SO(3)))
    before, state = set(vars(model)), {k: v.clone() for k, v in model.state_dict().items()}
    first, second = model.average(batch, seeded(0)), model.average(batch, seeded(1))
    assert first.samples.g.shape == (3, 1, 4, 4)
    assert not torch.equal(first.samples.g, second.samples.g)
    assert torch.equal(model(batch, seeded(0)), first.output)
    assert set(vars(model)) == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match=r"pass a torch\.Generator"):
        model.train()(batch)
    before_draw = torch.get_rng_state()
    assert torch.equal(model.eval()(batch), model(batch))
    assert torch.equal(torch.get_rng_state(), before_draw)


def test_single_precision_batches_take_double_precision_elements() -> None:
    model = Symmetrized(PointNet(3, FORCE).float(), FORCE, Enumerated(octahedral()))
    single = model(clouds().to(dtype=torch.float32))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), model.double()(clouds()), atol=1e-5, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    batch = clouds()
    with pytest.raises(ValueError, match="at least 1"):
        Symmetrized(PointNet(3, FORCE), FORCE, Haar(SO(3)), num_samples=0)
    with pytest.raises(ValueError, match=r"for 3 samples, got shape \(2, 1, 4, 4\)"):
        symmetrized(PointNet(3, FORCE), batch, FORCE, torch.eye(4).double().expand(2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"output must be a rapidash\.data\.Field such as Field"):
        Symmetrized(PointNet(3, FORCE), Vector(), Haar(SO(3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a law on a group such as Haar\(group\) or Enumerated\(group\), got"):
        Symmetrized(PointNet(3, FORCE), FORCE, octahedral())  # type: ignore[arg-type]
    pair = Rows(lambda v: (v, v))
    with pytest.raises(ValueError, match="returns one tensor, got tuple"):
        Symmetrized(pair, ENERGY, Identity(E(2)))(plane())
    with pytest.raises(ValueError, match="at cloud level need 3 rows for 3 clouds"):
        Symmetrized(PointNet(3, FORCE), Field(Vector(), level="cloud"), Identity(E(3)))(batch)


def test_the_average_over_pairs_of_elements_of_a_subgroup_is_that_of_the_group() -> None:
    """Averages compose: over C2, then over the right cosets of C2 in C4, is over C4."""
    batch, net = plane(), Rows(lambda v: torch.tanh(v[:, 0] + 2 * v[:, 1]))
    quarters = cyclic(4).elements()
    halves, cosets = quarters[[0, 2]], quarters[:2]
    products = torch.stack([h @ t for h, t in itertools.product(halves, cosets)])
    both = symmetrized(net, batch, ENERGY, products.expand(4, -1, -1, -1))
    torch.testing.assert_close(both, Symmetrized(net, ENERGY, Enumerated(cyclic(4)))(batch))
