import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import Field, RowBatch
from rapidash.groups import SO, Scalar
from rapidash.measure import Action, equivariance_error
from rapidash.symmetry import ExponentialAction, LinearAction


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_a_learned_group_begins_near_the_identity_and_obeys_the_one_parameter_law() -> None:
    action = ExponentialAction(2, 3).double()
    t = torch.randn(5, 2, generator=seeded(0), dtype=torch.float64)
    assert 0 < (action(t) - torch.eye(3)).abs().max() < 0.02
    with torch.no_grad():
        action.generators.normal_()
    along, further = torch.tensor([0.3, 0.0]).double(), torch.tensor([0.9, 0.0]).double()
    torch.testing.assert_close(action(along) @ action(further), action(along + further), atol=1e-10, rtol=0)
    both = torch.tensor([0.4, 0.7]).double()
    split = action(both * torch.tensor([1, 0])) @ action(both * torch.tensor([0, 1]))
    assert (action(both) - split).abs().max() > 0.01  # random generators do not commute
    assert torch.equal(action(torch.zeros(2).double()), torch.eye(3).double())


def test_commuting_generators_give_products_of_flows() -> None:
    action = ExponentialAction(2, 4).double()
    blocks = torch.randn(2, 2, 2, generator=seeded(1), dtype=torch.float64)
    with torch.no_grad():
        action.generators.zero_()
        action.generators[0, :2, :2], action.generators[1, 2:, 2:] = blocks
    t = torch.tensor([0.6, -1.1]).double()
    first, second = action(t * torch.tensor([1, 0])), action(t * torch.tensor([0, 1]))
    torch.testing.assert_close(action(t), first @ second, atol=1e-12, rtol=0)
    eye = torch.eye(4).double()
    torch.testing.assert_close(action(t) - eye, (first - eye) + (second - eye), atol=1e-12, rtol=0)


def test_a_rotation_is_learned_from_pairs() -> None:
    """The generator of turns of the plane by t, from vectors before and after: d/dt at 0 is ((0, -1), (1, 0))."""
    action = ExponentialAction(1, 2).double()
    optimizer = torch.optim.Adam(action.parameters(), lr=0.05)
    rng = seeded(0)
    for _ in range(200):
        t = 2 * torch.rand(32, 1, generator=rng, dtype=torch.float64) - 1
        z = torch.randn(32, 2, generator=rng, dtype=torch.float64)
        turned = torch.stack([t[:, 0].cos() * z[:, 0] - t[:, 0].sin() * z[:, 1],
                              t[:, 0].sin() * z[:, 0] + t[:, 0].cos() * z[:, 1]], dim=1)  # fmt: skip
        optimizer.zero_grad()
        (action.act(action(t), z) - turned).square().mean().backward()
        optimizer.step()
    expected = torch.tensor([[0.0, -1], [1, 0]]).double()
    torch.testing.assert_close(action.generators[0].detach(), expected, atol=1e-3, rtol=0)
    learned = action.flows("turns", 1.0)
    assert learned.names == ("generator 0",)
    x = torch.randn(6, 2, generator=seeded(2), dtype=torch.float64)
    batch = RowBatch({"z": x}, {"z": Field(action, level="cloud")})
    invariant = Action(learned, outputs=Field(Scalar(), level="cloud"))
    assert equivariance_error(lambda b: b["z"].norm(dim=1), batch, invariant).max < 1e-2
    assert equivariance_error(lambda b: b["z"][:, 0], batch, invariant).mean > 0.1
    action.generators.data.zero_()
    assert float(learned.generators().abs().max()) > 0.9  # a value: it does not train on


def test_the_hypernetwork_is_linear_without_bias_and_keeps_the_size_of_vectors() -> None:
    action = LinearAction(3, 16).double()
    g, h = torch.randn(2, 3, 3, generator=seeded(0), dtype=torch.float64)
    torch.testing.assert_close(action(2 * g - 3 * h), 2 * action(g) - 3 * action(h), atol=1e-12, rtol=0)
    assert action(torch.zeros(3, 3).double()).abs().max() == 0
    rotations = SO(3).sample(200, generator=seeded(1))[:, :3, :3]
    z = torch.randn(200, 16, generator=seeded(2), dtype=torch.float64)
    ratio = action.act(rotations, z).detach().square().sum() / z.square().sum()
    assert 0.7 < float(ratio) < 1.4
    gap = (action(rotations[0] @ rotations[1]) - action(rotations[0]) @ action(rotations[1])).norm()
    assert gap > 0.1  # untrained, it is no representation
    with torch.no_grad():
        identity = LinearAction(3, 3).double()
        identity.map.copy_(torch.eye(9).reshape(3, 3, 9))
    torch.testing.assert_close(identity(rotations), rotations)


@pytest.mark.parametrize("shape", [(5, 4), (5, 2, 4)])
def test_one_element_per_sample(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=seeded(0), dtype=torch.float64)
    learned, linear = ExponentialAction(2, 4, init_scale=0.5).double(), LinearAction(3, 4).double()
    for action, g in (
        (learned, learned(torch.randn(5, 2, generator=seeded(1), dtype=torch.float64))),
        (linear, torch.randn(5, 3, 3, generator=seeded(2), dtype=torch.float64)),
    ):
        for b in range(5):
            torch.testing.assert_close(action.act(g, x)[b], action.act(g[b], x[b]))
        with pytest.raises(ValueError, match="do not act on vectors"):
            action.act(g[:3], x)
        with pytest.raises(ValueError, match="do not act on vectors"):
            action.act(g[0], x[..., :2])
    torch.testing.assert_close(learned.inverse(learned(torch.ones(2).double()), x),
                               learned.act(learned(-torch.ones(2).double()), x))  # fmt: skip


def test_bad_sizes_are_refused() -> None:
    for make in (lambda: ExponentialAction(0, 2), lambda: ExponentialAction(1, 2, 0.0), lambda: LinearAction(2, 0)):
        with pytest.raises(ValueError, match="need sizes >= 1"):
            make()
    with pytest.raises(ValueError, match=r"got torch\.int64"):
        ExponentialAction(1, 2).act(torch.eye(2), torch.ones(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="matrices of 3 rows"):
        LinearAction(3, 2)(torch.eye(4))
