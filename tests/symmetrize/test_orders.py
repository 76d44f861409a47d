"""Orders as laws on S_n and on products: they move with the sample, ties are random, gradients point the right way."""

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field, RowBatch
from rapidash.groups import (
    E,
    O,
    OfFactor,
    OfFactors,
    PairPermutation,
    Permutation,
    Permutations,
    Position,
    Product,
    Scalar,
)
from rapidash.symmetrize import (
    Canonical,
    Conditional,
    JointProjection,
    LaplacianOrder,
    OrderProjection,
    OrderScores,
    VectorProjection,
    score_gap,
)
from rapidash.symmetrize._orders import laplacian_keys
from rapidash.symmetry import Enumerated, Haar, Symmetrized, symmetrized

PAIRS = Field(PairPermutation(), level="cloud")


def graphs(*adjacency: list[list[int]]) -> RowBatch:
    return RowBatch({"adjacency": torch.tensor(adjacency).double()}, {"adjacency": PAIRS})


def edges(num: int, *pairs: tuple[int, int]) -> list[list[int]]:
    matrix = torch.zeros(num, num, dtype=torch.long)
    for first, second in pairs:
        matrix[first, second] = matrix[second, first] = 1
    return matrix.tolist()


PATH = edges(4, (0, 1), (1, 2), (2, 3))
PAW = edges(4, (0, 1), (1, 2), (0, 2), (2, 3))  # a triangle with a tail: nodes 0 and 1 are alike
CYCLE = edges(4, (0, 1), (1, 2), (2, 3), (3, 0))
ASYMMETRIC = edges(6, (0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (2, 5))  # a triangle with tails of lengths 1 and 2


class Scores(nn.Module):
    """Scores by hand: degrees, or any other function of a batch."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, batch: RowBatch) -> Tensor:
        return self.function(batch)


def random_scores(num_nodes: int) -> OrderScores:
    torch.manual_seed(0)
    return OrderScores("adjacency", channels=8, num_layers=3).double()


def order_of(g: Tensor) -> list[int]:
    """The nodes by place."""
    return g.argmax(dim=0).tolist()


def test_a_canonical_order_by_hand() -> None:
    """Degrees 2, 2, 3, 1: node 3 first, then 0 and 1 in either order, node 2 last."""
    batch = graphs(PAW)
    law = Canonical(
        Scores(lambda b: b["adjacency"].sum(dim=-1)), Permutations(4), projection=OrderProjection(), degenerate="ignore"
    )
    found = {tuple(order_of(law.sample(batch, 1, seeded(index)).g[0, 0])) for index in range(20)}
    assert found == {(3, 0, 1, 2), (3, 1, 0, 2)}
    sorted_graph = batch.transform(law.group.inverse(law.sample(batch, 1, seeded(0)).g[0, 0]))["adjacency"][0]
    assert sorted_graph.tolist() == edges(4, (1, 2), (1, 3), (2, 3), (0, 3))
    with pytest.raises(ValueError, match="scores tie in 1 of 1 samples"):
        law.sample(batch, 1, None)
    with pytest.warns(UserWarning, match="1 of 1 samples are degenerate: their gap of the choice"):
        Canonical(law.net, Permutations(4), projection=OrderProjection()).sample(batch, 1, seeded(0))


def test_an_order_moves_with_the_graph_and_its_noise_exactly() -> None:
    """q(h x, h z) = h q(x, z), for noise that is moved along."""
    batch, group = graphs(PATH, PAW, CYCLE), Permutations(4)
    noise = torch.randn(3, 4, 4, generator=seeded(1), dtype=torch.float64)
    projection, net = OrderProjection(), random_scores(4)
    h = group.sample(3, generator=seeded(2))
    with_noise = batch.with_tensor("noise", noise, PAIRS)
    plain = projection(net(with_noise), with_noise)
    moved = projection(net(with_noise.transform(h)), with_noise.transform(h))
    assert torch.equal(moved.g, h @ plain.g)
    assert torch.equal(moved.g.sum(dim=1), torch.ones(3, 4).double())
    torch.testing.assert_close(moved.prior, plain.prior)


def test_without_noise_the_probabilistic_order_is_the_canonical_one_bit_for_bit() -> None:
    batch, net = graphs(ASYMMETRIC, ASYMMETRIC), random_scores(6)
    options = {"projection": OrderProjection(), "prior_weight": 0.1}
    canonical = Canonical(net, Permutations(6), **options).sample(batch, 1, seeded(3))
    conditional = Conditional(net, Permutations(6), 0.0, **options).sample(batch, 1, seeded(3))
    assert torch.equal(canonical.g, conditional.g)
    assert torch.equal(canonical.penalty, conditional.penalty)
    assert float(canonical.penalty.detach()) > 0


def test_all_nodes_tie_in_a_regular_graph_and_noise_tells_them_apart() -> None:
    batch, net = graphs(CYCLE), random_scores(4)
    assert float(score_gap(net(batch))) < 1e-12
    first = Conditional(net, Permutations(4), projection=OrderProjection(), degenerate="ignore")
    orders = first.sample(batch, 3000, seeded(0)).g[0].argmax(dim=1)
    neighbors = torch.tensor(CYCLE)[orders[:, 0], orders[:, 1]].double().mean()
    assert float(neighbors) != pytest.approx(2 / 3, abs=0.05)  # of three other nodes two are neighbors: no random order
    counts = torch.bincount(orders[:, 0], minlength=4) / 3000
    torch.testing.assert_close(counts, torch.full((4,), 0.25), atol=0.04, rtol=0)  # in law nodes are alike


def test_keys_of_a_path_and_of_a_cycle_by_hand() -> None:
    """The path on 3 nodes has eigenvalues 0, 1, 3 with eigenvectors (1, 1, 1), (1, 0, -1), (1, -2, 1)."""
    path = torch.tensor([edges(3, (0, 1), (1, 2))]).double()
    expected = torch.tensor([[1 / 3, 1 / 2, 1 / 6], [1 / 3, 0, 2 / 3], [1 / 3, 1 / 2, 1 / 6]]).double()
    torch.testing.assert_close(laplacian_keys(path)[0], expected, atol=1e-6, rtol=0)
    cycle = laplacian_keys(torch.tensor([CYCLE]).double())[0]  # eigenvalues 0, 2, 2, 4
    torch.testing.assert_close(cycle, torch.tensor([0.25, 0.5, 0.5, 0.25]).double().expand(4, 4), atol=1e-6, rtol=0)


def test_frames_of_a_graph_are_its_orders_by_the_keys() -> None:
    law = LaplacianOrder(Permutations(3))
    orders = {tuple(order_of(g)) for g in law.sample(graphs(edges(3, (0, 1), (1, 2))), 40, seeded(0)).g[0]}
    assert orders == {(1, 0, 2), (1, 2, 0)}  # the middle has the smaller second key
    everything = LaplacianOrder(Permutations(4)).sample(graphs(CYCLE), 600, seeded(0)).g[0]
    assert {tuple(order_of(g)) for g in everything} == set(permutations(range(4)))
    batch, six = graphs(ASYMMETRIC), LaplacianOrder(Permutations(6))
    g = six.sample(batch, 2, seeded(0)).g[0]
    assert torch.equal(g[0], g[1])  # no two nodes are alike
    for h in Permutations(6).sample(5, generator=seeded(4)):
        assert torch.equal(six.sample(batch.transform(h), 1, seeded(5)).g[0, 0], h @ g[0])


def mlp(num_nodes: int) -> Scores:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(num_nodes**2, 16), nn.SiLU(), nn.Linear(16, 1)).double()
    return Scores(lambda batch: net(batch["adjacency"]))


def test_averages_over_exact_laws_are_invariant_and_the_bare_network_is_not() -> None:
    output, net = Field(Scalar(), level="cloud"), mlp(6)
    batch = graphs(ASYMMETRIC)
    moved = batch.transform(Permutations(6).sample(1, generator=seeded(0)))
    for law in (
        LaplacianOrder(Permutations(6)),
        Canonical(random_scores(6), Permutations(6), projection=OrderProjection()),
        Enumerated(Permutations(6)),
    ):
        model = Symmetrized(net, output, law).eval()
        torch.testing.assert_close(model(moved), model(batch), atol=1e-12, rtol=0)
    assert float((net(moved) - net(batch)).detach().abs()) > 1e-3


def test_a_probabilistic_order_is_invariant_in_expectation() -> None:
    """Its error falls as K^-1/2."""
    output, net = Field(Scalar(), level="cloud"), mlp(4)
    batch = graphs(CYCLE, PAW, PATH).repeat(30)
    moved = batch.transform(Permutations(4).sample(90, generator=seeded(0)))
    model = Symmetrized(
        net,
        output,
        Conditional(random_scores(4), Permutations(4), projection=OrderProjection(), degenerate="ignore"),
    ).eval()
    errors = []
    for num in (16, 256):
        with torch.no_grad():
            difference = model(moved, seeded(1), num) - model(batch, seeded(2), num)
        errors.append(float(difference.square().mean().sqrt()))
    assert math.log(errors[1] / errors[0]) / math.log(16) == pytest.approx(-0.5, abs=0.15)


def test_the_gradient_of_the_inverse_points_towards_an_exchange() -> None:
    """f is the weight of what stands first; a step from the order (0, 1) towards (1, 0) must change it by w1 - w0."""
    weight = torch.tensor([3.0, 5.0]).double()
    batch = RowBatch({"x": weight[None]}, {"x": Field(Permutation(0), level="cloud")})
    changes = []
    for invert in (Permutations(2).inverse, torch.linalg.inv):
        step = torch.zeros((), dtype=torch.float64, requires_grad=True)
        g = torch.eye(2).double() + step * torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
        first = symmetrized(
            lambda b: b["x"][:, :1], batch, Field(Scalar(), level="cloud"), g[None, None], invert=invert
        )
        changes.append(float(torch.autograd.grad(first.sum(), step)[0]))
    assert changes == [2.0, -2.0]  # the second is what the inverse matrix says


def test_learning_an_order_lowers_a_loss_through_the_soft_matrix() -> None:
    """The score of each node is a parameter: the largest value is to come first, and stands third."""
    value = torch.tensor([[0.2, 0.5, 0.9]]).double()
    batch = RowBatch({"x": value}, {"x": Field(Permutation(0), level="cloud")})
    scores = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    law = Canonical(Scores(lambda b: scores), Permutations(3), projection=OrderProjection(0.1))
    model = Symmetrized(Scores(lambda b: b["x"][:, :1]), Field(Scalar(), level="cloud"), law)
    optimizer = torch.optim.SGD([scores], lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        (-model(batch, seeded(0))).sum().backward()
        optimizer.step()
    assert float(model(batch, seeded(0)).detach()) == pytest.approx(0.9)


PRODUCT = Product((Permutations(5), E(3)))
POINTS = Field(OfFactors((OfFactor(PRODUCT, 0, Permutation(0)), OfFactor(PRODUCT, 1, Position()))))


class PosedScores(nn.Module):
    """Scores of 5 points and 3 vectors side by side, from their offsets and noise: equivariant by construction."""

    def forward(self, batch: CloudBatch) -> Tensor:
        pos, noise = (batch[name].reshape(batch.num_samples, 5, 3) for name in ("pos", "noise"))
        offset = pos - pos.mean(dim=1, keepdim=True)
        scores = offset.norm(dim=-1) + (offset * noise).sum(dim=-1)
        vectors = [(w[..., None] * (offset + 0.5 * noise)).sum(dim=1) for w in (scores, scores**2, scores.cos())]
        return torch.cat([scores, torch.stack(vectors, dim=1).flatten(1)], dim=1)


def five_points(num: int = 3) -> CloudBatch:
    pos = torch.randn(5 * num, 3, generator=seeded("five"), dtype=torch.float64)
    return CloudBatch({"pos": pos}, {"pos": POINTS}, torch.arange(num).repeat_interleave(5), num)


def test_a_product_of_orders_and_motions_from_one_network() -> None:
    """With noise moved along, g(h x, h z) = h g(x, z) for h = (P, R, t), and the sorted cloud in its frame stays."""
    batch = five_points()
    projection = JointProjection(PRODUCT, ((OrderProjection(), (5,)), (VectorProjection(E(3)), (3, 3))))
    noise = torch.randn(15, 3, generator=seeded(7), dtype=torch.float64)
    turn = Field(OfFactors((OfFactor(PRODUCT, 0, Permutation(0)), OfFactor(PRODUCT, 1, Position()))))
    h = PRODUCT.sample(3, generator=seeded(8))
    no_shift = h.clone()
    no_shift[:, 5:8, 8] = 0
    plain = batch.with_tensor("noise", noise, turn)
    moved_noise = batch.act(turn, no_shift, noise)
    moved = batch.transform(h).with_tensor("noise", moved_noise, turn)
    net = PosedScores()
    g, g_moved = (projection(net(b), b).g for b in (plain, moved))
    torch.testing.assert_close(g_moved, h @ g, atol=1e-12, rtol=0)
    sorted_clouds = [b.transform(PRODUCT.inverse(e))["pos"] for b, e in ((batch, g), (batch.transform(h), g_moved))]
    torch.testing.assert_close(sorted_clouds[0], sorted_clouds[1], atol=1e-12, rtol=0)
    law = Conditional(net, PRODUCT, projection=projection)
    ordered = Scores(lambda b: b["pos"].reshape(b.num_samples, -1)[:, :2] ** 2)  # sees order and pose
    model = Symmetrized(ordered, Field(Scalar(), level="cloud"), law, num_samples=4).eval()
    assert model(batch).shape == (3, 2)
    with pytest.raises(ValueError, match=r"needs outputs of shape \(3, 14\), \[5, 9\] side by side, got \(3, 2\)"):
        projection(torch.zeros(3, 2), batch)
    with pytest.raises(ValueError, match="needs a projection for each of 2 factors, got 1"):
        JointProjection(PRODUCT, ((OrderProjection(), (5,)),))


def test_clouds_of_other_sizes_than_the_group_are_refused() -> None:
    """S_N orders N points: ragged batches need padding."""
    pos = torch.randn(9, 3, generator=seeded(0), dtype=torch.float64)
    ragged = CloudBatch({"pos": pos}, {"pos": POINTS}, torch.tensor([0] * 5 + [1] * 4), 2)
    with pytest.raises(ValueError, match="field 'pos': axis 0 has 4 entries"):
        ragged.transform(PRODUCT.sample(2, generator=seeded(0)))


def test_a_product_is_inverted_block_by_block_and_pairs_move_along_both_axes() -> None:
    group = Product((Permutations(3), O(2)))
    g = group.sample(4, generator=seeded(0))
    torch.testing.assert_close(group.inverse(g), torch.linalg.inv(g))
    torch.testing.assert_close(group.inverse(g[0]), torch.linalg.inv(g[0]))
    matrix = torch.arange(9).reshape(3, 3)
    p = torch.eye(3)[torch.tensor([1, 2, 0])]
    assert torch.equal(PairPermutation().act(p, matrix), (p @ matrix.double().float() @ p.T).long())
    assert PairPermutation().act(p, matrix)[0, 1] == matrix[1, 2]
    with pytest.raises(ValueError, match="two different ones"):
        PairPermutation((1, 1))


def test_bad_input_is_said() -> None:
    batch = graphs(PATH)
    for call, message in (
        (lambda: OrderProjection(0.0), "temperature must be positive"),
        (lambda: OrderProjection()(torch.zeros(2, 4), batch), r"of shape \(1, N\), got \(2, 4\)"),
        (
            lambda: LaplacianOrder(Permutations(5)).sample(batch, 1, seeded(0)),
            r"symmetric matrices \(B, 5, 5\), got \(1, 4",
        ),
        (lambda: LaplacianOrder(Permutations(4), "a").sample(batch, 1, seeded(0)), "field 'a' must be .* got None"),
        (lambda: LaplacianOrder(Permutations(4)).sample(batch, 1, None), "pass a torch.Generator"),
        (lambda: LaplacianOrder(Permutations(4)).sample(batch, 0, seeded(0)), "num_samples must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_random_orders_of_small_graphs_agree_with_all_of_them() -> None:
    output, net, batch = Field(Scalar(), level="cloud"), mlp(4), graphs(PAW)
    exact = Symmetrized(net, output, Enumerated(Permutations(4)))(batch)
    drawn = Symmetrized(net, output, Haar(Permutations(4)))(batch, seeded(0), 4000)
    torch.testing.assert_close(drawn, exact, atol=0.02, rtol=0)
