import itertools

import pytest
import torch
from symmetrize_checks import clouds
from torch import nn

from rapidash._seed import seeded
from rapidash.data import Batch, CloudBatch, Field, RowBatch
from rapidash.groups import (
    SO,
    O,
    OfFactor,
    OfFactors,
    Permutation,
    Permutations,
    Position,
    Product,
    Representation,
    Scalar,
    Vector,
    cyclic,
)
from rapidash.symmetrize import (
    Canonical,
    Conditional,
    Frames,
    GroupActivations,
    ProductLaw,
    Quadrature,
    small_frame_network,
)
from rapidash.symmetry import Enumerated, Haar, Symmetrized

BOTH = Product((O(3), Permutations(3)))
POINTS = OfFactors((OfFactor(BOTH, 0, Position()), OfFactor(BOTH, 1, Permutation(0))))
FORCES = Field(OfFactors((OfFactor(BOTH, 0, Vector()), OfFactor(BOTH, 1, Permutation(0)))))


def ordered_clouds() -> CloudBatch:
    batch = clouds((3, 3))
    fields = {"pos": Field(POINTS), "charge": Field(OfFactor(BOTH, 1, Permutation(0)))}
    return CloudBatch({"pos": batch.pos, "charge": batch["charge"]}, fields, batch.batch, 2)


class OrderedNet(nn.Module):
    """An MLP on the points in their order: neither rotations nor the order are kept."""

    def forward(self, batch: Batch) -> torch.Tensor:
        weight = torch.randn(12, 9, generator=seeded("ordered"), dtype=torch.float64)
        assert isinstance(batch, CloudBatch)
        x = torch.cat([batch.pos, batch["charge"]], dim=1).view(batch.num_samples, 12)
        return torch.tanh(x @ weight).view(-1, 3)


class LeftmostScore(nn.Module):
    """A score of the order of points that no rotation changes."""

    def forward(self, batch: Batch) -> torch.Tensor:
        assert isinstance(batch, CloudBatch)
        squares = batch.pos.square().sum(dim=1).view(batch.num_samples, 3)
        return squares @ torch.tensor([1.0, 2.0, 4.0]).double()


def test_order_and_pose_together_are_exact() -> None:
    batch, net = ordered_clouds(), OrderedNet().eval()
    elements = BOTH.sample(2, generator=seeded(0))

    def defect(fn) -> float:
        """With an element of its own for each cloud."""
        difference = fn(batch.transform(elements)) - batch.act(FORCES, elements, fn(batch))
        return float((difference.norm() / fn(batch).norm()).detach())

    assert defect(net) > 0.1
    by_score = Canonical(GroupActivations(LeftmostScore(), Permutations(3)), Permutations(3))
    plain = Frames(O(3), degenerate="ignore")  # of three points about their mean, in a plane: two gaps are enough
    for law, num in (
        (ProductLaw(BOTH, plain, Enumerated(Permutations(3))), 8 * 6),
        (ProductLaw(BOTH, plain, by_score), 8),
        (ProductLaw(BOTH, Frames(O(3), weighted=True, blend=2.0, degenerate="ignore"), by_score), 8 + 2 * 6),
    ):
        model = Symmetrized(net, FORCES, law).eval()
        assert defect(model) < 1e-11
        assert model.average(batch).samples.g.shape == (2, num, 7, 7)
        assert law.gives_all
    one = Symmetrized(net, FORCES, ProductLaw(BOTH, plain, Enumerated(cyclic_order()))).eval()
    assert defect(one) > 1e-3  # three of the six orders are missing


class Turns(Permutations):
    """The cyclic permutations of three things."""

    def elements(self) -> torch.Tensor:
        eye = torch.eye(3, dtype=torch.float64)
        return torch.stack([eye.roll(k, 0) for k in range(3)])


def cyclic_order() -> Permutations:
    return Turns(3)


def test_points_that_are_permuted_and_moved_by_hand() -> None:
    swap, mirror = torch.eye(3).double()[[1, 0, 2]], torch.diag(torch.tensor([-1.0, 1, 1, 1])).double()
    x = torch.arange(9.0, dtype=torch.float64).view(3, 3)
    expected = torch.tensor([[-3.0, 4, 5], [0, 1, 2], [-6, 7, 8]]).double()
    torch.testing.assert_close(POINTS.act(torch.block_diag(mirror, swap), x), expected)
    assert POINTS.acts_on_rows
    assert POINTS.is_homomorphism


def test_combinations_and_weights_by_hand() -> None:
    product = Product((SO(2), cyclic(2)))
    fields = {
        "x": Field(OfFactor(product, 0, Vector()), level="cloud"),
        "y": Field(OfFactor(product, 1, Vector()), level="cloud"),
        "z": Field(Scalar(), level="cloud"),
    }
    rows = RowBatch({name: torch.randn(2, 2, generator=seeded(0), dtype=torch.float64) for name in fields}, fields)
    given = ProductLaw(product, Quadrature(SO(2), 3), Enumerated(cyclic(2))).sample(rows, 1, None)
    turns, halves = Quadrature(SO(2), 3).elements, cyclic(2).elements()
    expected = torch.stack([torch.block_diag(a, b) for a, b in itertools.product(turns, halves)])
    torch.testing.assert_close(given.g[1], expected)
    torch.testing.assert_close(given.weights, torch.full((2, 8), 1 / 8).double())
    sphere = Product((SO(3), SO(2)))
    still = RowBatch({"z": rows["z"]}, {"z": Field(Scalar(), level="cloud")})
    rule, turn = Quadrature(SO(3), 5), Quadrature(SO(2), 1)
    both = ProductLaw(sphere, rule, turn).sample(still, 1, None).weights
    torch.testing.assert_close(both[1], torch.outer(rule.weights, turn.weights).flatten())
    assert float(both.max() / both.min()) > 1.1
    drawn = ProductLaw(product, Haar(SO(2)), Haar(cyclic(2)))
    assert not drawn.gives_all
    g = drawn.sample(rows, 5, seeded(3)).g
    assert g.shape == (2, 5, 6, 6)
    assert torch.equal(g[..., :3, :3], Haar(SO(2)).sample(rows, 5, seeded(3)).g)
    mixed = ProductLaw(product, Haar(SO(2)), Enumerated(cyclic(2))).sample(rows, 5, seeded(3)).g
    assert mixed.shape == (2, 10, 6, 6)
    assert torch.equal(mixed[:, :5, :3, :3], g[..., :3, :3])
    assert torch.equal(mixed[0, 5:, 3:, 3:], halves[1].expand(5, -1, -1))


def test_learned_laws_are_trained_and_their_penalties_add_up() -> None:
    batch = ordered_clouds()
    net = small_frame_network(O(3), clouds((3, 3))).double()
    by_pose = Conditional(net, O(3), prior_weight=2.0)
    by_score = Canonical(GroupActivations(LeftmostScore(), Permutations(3)), Permutations(3), prior_weight=1.0)
    model = Symmetrized(OrderedNet(), FORCES, ProductLaw(BOTH, by_pose, by_score), num_samples=3)
    output, samples = model.average(batch, seeded(0))
    assert samples.g.shape == (2, 3, 7, 7)
    assert len(list(model.parameters())) == len(list(net.parameters()))
    first = by_pose.sample(seen_as(batch, Position(), Scalar()), 3, seeded(0))
    second = by_score.sample(seen_as(batch, Permutation(0), Permutation(0)), 1, None)
    torch.testing.assert_close(samples.g[..., :4, :4], first.g)
    torch.testing.assert_close(samples.g[..., 4:, 4:], second.g.expand(-1, 3, -1, -1))
    torch.testing.assert_close(samples.penalty, first.penalty + second.penalty)
    (output.square().sum() + samples.penalty).backward()
    assert max(float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None) > 0


def seen_as(batch: CloudBatch, pos: Representation, charge: Representation) -> CloudBatch:
    fields = {"pos": Field(pos), "charge": Field(charge)}
    return CloudBatch(batch.tensors, fields, batch.batch, batch.num_clouds)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs a law for each of 2 factors, got 1"):
        ProductLaw(BOTH, Haar(O(3)))
    wrong = ProductLaw(BOTH, Haar(O(3)), Haar(cyclic(4, 3)))
    with pytest.raises(ValueError, match="law 1 gives matrices of 4 rows"):
        wrong.sample(ordered_clouds(), 2, seeded(0))
    with pytest.raises(ValueError, match="fields must say which factor"):
        ProductLaw(BOTH, Haar(O(3)), Haar(Permutations(3))).sample(clouds((3, 3)), 2, seeded(0))
    with pytest.raises(ValueError, match="parts of one product, each of another factor"):
        OfFactors((OfFactor(BOTH, 0, Position()), OfFactor(BOTH, 0, Position())))
    with pytest.raises(ValueError, match="parts of one product"):
        OfFactors((OfFactor(BOTH, 0, Position()), OfFactor(Product((SO(3), SO(3))), 1, Position())))
