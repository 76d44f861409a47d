"""Networks in context: what renaming classes does to them, and what their parts compute."""

import math

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Field, RowBatch
from rapidash.groups import Permutation, Permutations
from rapidash.measure import Action, equivariance_error
from rapidash.symmetrize.tabular import (
    BiAttentionBlock,
    EquiTabPFN,
    FixedHeadPFN,
    InContext,
    KernelDecoder,
    Labels,
    Probabilities,
    TanhPrior,
    relabelling_average,
)
from rapidash.symmetrize.tabular._task import as_tensors, cross_entropy, table_fields
from rapidash.symmetry import Enumerated, Symmetrized

FEATURES, CONTEXT, QUERIES = 5, 20, 6
OUTPUT = Field(Permutation(-1), level="cloud")


def small(kind: str = "equivariant", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made = EquiTabPFN(FEATURES, 16, 2, 2, 8) if kind == "equivariant" else FixedHeadPFN(FEATURES, 12, 16, 2, 2)
    return made.double()


def trained(network: nn.Module) -> nn.Module:
    """Some steps on random tables, so that no symmetry of the initial weights is left."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for step in range(8):
        batch = tables(3, seed=100 + step, size=4)
        logits = network(batch["x"], batch["context_label"], 3)
        optimizer.zero_grad()
        cross_entropy(logits, batch["label"]).backward()
        optimizer.step()
    return network


def tables(num_classes: int, seed: int = 0, size: int = 2) -> RowBatch:
    tasks = TanhPrior(FEATURES).sample(size, num_classes, seeded(seed), CONTEXT + QUERIES)
    tensors = as_tensors(tasks.x.double(), tasks.y, num_classes, CONTEXT)
    return RowBatch(tensors, table_fields(tensors))


def three_cycle(num_classes: int) -> Tensor:
    """Its own inverse it is not, so that sigma and its inverse cannot be mixed up unseen."""
    order = [1, 2, 0, *range(3, num_classes)]
    return torch.eye(num_classes, dtype=torch.float64)[order]


def error(network: nn.Module, num_classes: int, batch: RowBatch) -> float:
    """The largest difference of f(x, sigma y) and sigma f(x, y), for a 3-cycle and random permutations."""
    model = InContext(network)
    random = Permutations(num_classes).sample(3, generator=seeded("sigma", num_classes))
    worst = 0.0
    with torch.no_grad():
        here = model(batch)
        for g in (three_cycle(num_classes), *random):
            moved = model(batch.transform(g))
            worst = max(worst, float((moved - batch.act(OUTPUT, g, here)).abs().max()))
    return worst


@pytest.mark.parametrize("num_classes", [3, 4, 7, 12])
@pytest.mark.parametrize("is_trained", [False, True])
def test_equitabpfn_is_equivariant_to_the_names_of_the_classes(num_classes: int, is_trained: bool) -> None:
    """Also for more classes than it was trained with (3)."""
    network = trained(small()) if is_trained else small()
    batch = tables(num_classes)
    assert error(network, num_classes, batch) < 1e-12
    assert error(network.float(), num_classes, batch.to(dtype=torch.float32)) < 1e-5


@pytest.mark.parametrize("is_trained", [False, True])
def test_the_fixed_head_is_not(is_trained: bool) -> None:
    network = trained(small("fixed")) if is_trained else small("fixed")
    model, batch = Probabilities(InContext(network)), tables(3)
    g = three_cycle(3)
    with torch.no_grad():
        assert float((model(batch.transform(g)) - batch.act(OUTPUT, g, model(batch))).abs().max()) > 0.05


def test_the_measure_of_the_library_says_the_same() -> None:
    """With the wrong direction of labels the network is not equivariant: the check can fail."""
    batch, action = tables(3), Action(Permutations(3), outputs=OUTPUT)
    assert equivariance_error(InContext(small()).eval(), batch, action).mean < 1e-12
    assert equivariance_error(InContext(small("fixed")).eval(), batch, action).mean > 0.05

    def backwards(moved: RowBatch) -> Tensor:
        return InContext(small())(moved)

    g = three_cycle(3)
    wrong = backwards(batch.transform(g.T)) - batch.act(OUTPUT, g, backwards(batch))
    assert float(wrong.detach().abs().max()) > 1e-3


@pytest.mark.parametrize("kind", ["equivariant", "fixed"])
def test_the_order_of_the_context_does_not_matter_and_queries_do_not_see_each_other(kind: str) -> None:
    network, batch = trained(small(kind)), tables(3)
    x, y = batch["x"], batch["context_label"]
    with torch.no_grad():
        here = network(x, y, 3)
        order = torch.randperm(CONTEXT, generator=seeded(0))
        assert float((network(torch.cat([x[:, order], x[:, CONTEXT:]], 1), y[:, order], 3) - here).abs().max()) < 1e-12
        assert float((network(x[:, : CONTEXT + 2], y, 3) - here[:, :2]).abs().max()) < 1e-12


def test_squared_error_is_that_of_the_average_and_the_gap() -> None:
    """risk(f) = risk(mean of f) + mean ||f - mean of f||^2 over all six relabellings of a task of three classes."""
    model, batch = Probabilities(InContext(trained(small("fixed")))), tables(3, size=4)
    target = nn.functional.one_hot(batch["label"].clamp(min=0), 3).double()
    with torch.no_grad():
        moved = [(g, batch.transform(g)) for g in Permutations(3).elements()]
        answers = torch.stack([batch.act(OUTPUT, torch.linalg.inv(g), model(part)) for g, part in moved])
        average = Symmetrized(model, OUTPUT, Enumerated(Permutations(3)))(batch)
    assert float((average - answers.mean(dim=0)).abs().max()) < 1e-14
    whole = (answers - target).square().sum(-1).mean()
    gap = (answers - average).square().sum(-1).mean()
    assert abs(float(whole - (average - target).square().sum(-1).mean() - gap)) < 1e-12
    assert float(gap) > 1e-4


def test_the_average_over_all_relabellings_is_equivariant() -> None:
    """Two routes to one property."""
    batch, action = tables(3), Action(Permutations(3), outputs=OUTPUT)
    average = Symmetrized(InContext(small("fixed")), OUTPUT, Enumerated(Permutations(3))).eval()
    assert equivariance_error(average, batch, action).mean < 1e-12
    few = relabelling_average(InContext(small("fixed")), 3, 2).eval()
    assert few(batch, seeded(1)).sum(dim=-1).allclose(torch.ones(2, QUERIES, dtype=torch.float64))


def test_a_block_by_loops() -> None:
    """Class tokens read the token of the features only, and every token those of the context rows at its place."""
    torch.manual_seed(0)
    block, tokens, count = BiAttentionBlock(4, 2).double(), torch.randn(1, 5, 3, 4, dtype=torch.float64), 3

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        halves = []
        for part in (slice(0, 2), slice(2, 4)):
            weight = (key[:, part] @ query[part] / math.sqrt(2)).softmax(0)
            halves.append(weight @ value[:, part])
        return torch.cat(halves)

    with torch.no_grad():
        expected = tokens[0].clone()
        for row in expected:
            key, value = block.key_value(row).chunk(2, dim=-1)
            read = [attend(block.query(row[0]), key, value), value[0], value[0]]
            row.copy_(block.norms[0](row + block.merge(torch.stack(read))))
        between = expected.clone()
        for place in range(3):
            query, key, value = block.across(between[:, place]).chunk(3, dim=-1)
            query = query * math.log(1 + count) / math.log(129)
            read = torch.stack([attend(q, key[:count], value[:count]) for q in query])
            expected[:, place] = block.norms[1](between[:, place] + block.merge_across(read))
        expected = block.norms[2](expected + block.pointwise(expected))
        assert float((block(tokens, count)[0] - expected).abs().max()) < 1e-12


def test_votes_by_hand() -> None:
    """Two context rows at likeness log 3 apart, with labels 1 and 0, and no votes for class 2."""
    decoder = KernelDecoder(4, 1).double()
    scale = math.log(3) / (math.log(3) / math.log(129))
    decoder.log_scale.data.fill_(math.log(scale))
    tokens = torch.tensor([[[1.0], [1.0], [1.0], [1.0]], [[0.0]] * 4, [[1.0], [1.0], [1.0], [1.0]]]).double()[None]
    votes = decoder.votes(tokens, torch.tensor([[1, 0]]), 2, 3)
    assert votes.detach()[0, 0].tolist() == pytest.approx([0.25, 0.75, 0.0])


def test_the_sharpness_of_votes_does_not_depend_on_the_number_of_classes() -> None:
    decoder, row = KernelDecoder(4, 2).double(), torch.randn(1, 4, 1, 2, dtype=torch.float64, generator=seeded(0))
    y = torch.tensor([[0, 1, 0]])
    few, many = (decoder.votes(row.expand(-1, -1, 1 + c, -1), y, 3, c)[..., :2] for c in (2, 9))
    assert float((few - many).detach().abs().max()) < 1e-14


def test_classes_that_do_not_occur_have_logits_and_change_nothing_of_the_rest_of_the_call() -> None:
    network, batch = small(), tables(3)
    x, y = batch["x"], batch["context_label"].clamp(max=1)
    before = (x.clone(), y.clone())
    logits = network(x, y, 4)
    assert logits.shape == (2, QUERIES, 4)
    assert bool(logits.isfinite().all())
    assert torch.equal(logits[..., 2], logits[..., 3])  # nothing tells them apart
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


def test_missing_values_count_as_the_mean_and_stay_in_the_callers_tensor() -> None:
    network, batch = small(), tables(3)
    gaps = batch["x"].clone()
    gaps[:, ::3, 1] = torch.nan
    kept = gaps.clone()
    filled = torch.where(gaps.isnan(), torch.zeros_like(gaps), gaps)
    y = batch["context_label"]
    assert torch.equal(network(gaps, y, 3), network(filled, y, 3))
    assert torch.equal(gaps.isnan(), kept.isnan())


@pytest.mark.parametrize("kind", ["equivariant", "fixed"])
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    network, batch = small(kind), tables(3, size=1)
    x = batch["x"][:, :7].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: network(v, batch["context_label"][:, :5], 3), x, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "num_classes", "said"),
    [
        (torch.zeros(1, 4, 3), torch.zeros(1, 2, dtype=torch.long), 3, "5 features"),
        (torch.zeros(1, 4, 5), torch.zeros(1, 4, dtype=torch.long), 3, "at least one and not all"),
        (torch.zeros(1, 4, 5), torch.zeros(1, 2), 3, "whole numbers"),
        (torch.zeros(1, 4, 5), torch.full((1, 2), 3), 3, "got 3 to 3"),
        (torch.zeros(1, 4, 5), torch.full((1, 2), -1), 3, "got -1 to -1"),
    ],
)
def test_bad_input_is_named(x: Tensor, y: Tensor, num_classes: int, said: str) -> None:
    for kind in ("equivariant", "fixed"):
        with pytest.raises(ValueError, match=said):
            small(kind).float()(x, y, num_classes)


def test_a_head_of_fixed_width_refuses_more_classes() -> None:
    with pytest.raises(ValueError, match="12 outputs and cannot tell 13"):
        small("fixed")(torch.zeros(1, 4, 5).double(), torch.zeros(1, 2, dtype=torch.long), 13)
    with pytest.raises(ValueError, match="multiple"):
        BiAttentionBlock(5, 2)


def test_labels_move_as_columns_of_their_one_hot_code() -> None:
    """By hand for a 3-cycle, (P x)_i = x_p(i) with p = (1, 2, 0): label 1 becomes 0."""
    labels = torch.tensor([[0, 1, 2, -1]])
    moved = Labels().act(three_cycle(3), labels)
    assert moved.tolist() == [[2, 0, 1, -1]]
    assert labels.tolist() == [[0, 1, 2, -1]]
    g = Permutations(5).sample(4, generator=seeded(0))
    y = torch.randint(5, (4, 7), generator=seeded(1))
    hot = nn.functional.one_hot(y, 5)
    assert torch.equal(nn.functional.one_hot(Labels().act(g, y), 5), Permutation(-1).act(g, hot))
    assert torch.equal(Labels().act(torch.linalg.inv(g), Labels().act(g, y)), y)
    with pytest.raises(ValueError, match="whole numbers"):
        Labels().act(g, y.double())
    with pytest.raises(ValueError, match="below the 3 classes"):
        Labels().act(three_cycle(3), torch.tensor([3]))
