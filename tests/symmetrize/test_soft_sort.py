"""Permutations that sort: by hand, their limits, ties, and the gradient."""

import math

import pytest
import torch

from rapidash._seed import seeded
from rapidash.symmetrize import permutation_entropy, score_gap, soft_sort, straight_through


def random_scores(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def test_two_scores_by_hand() -> None:
    """s = (0.8, 0.6) has length 1: log P is -(0.2, 0) / tau in the first row, -(0, 0.2) / tau in the second."""
    found = soft_sort(torch.tensor([4.0, 3.0]), 0.1, num_sinkhorn=0)
    small = math.exp(-2.0)
    torch.testing.assert_close(found.soft, torch.tensor([[small, 1.0], [1.0, small]]).double())
    assert found.hard.tolist() == [[0, 1], [1, 0]]  # the first score is the larger one: place 1
    assert float(score_gap(torch.tensor([4.0, 3.0]))) == pytest.approx(0.2)
    one_round = soft_sort(torch.tensor([4.0, 3.0]), 0.1, num_sinkhorn=1)
    p = 1 / (1 + small)  # symmetric, so one round of rows makes the columns add up too
    torch.testing.assert_close(one_round.soft, torch.tensor([[1 - p, p], [p, 1 - p]]).double())
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert float(permutation_entropy(one_round.soft)) == pytest.approx(2 * entropy)


def test_three_scores_by_hand() -> None:
    """(0, 4, 3) / 5: places 0, 2, 1; with tau = 0.2 the distances 0.8, 0.6 and 0.2 are 4, 3 and 1."""
    found = soft_sort(torch.tensor([0.0, 4.0, 3.0]), 0.2, num_sinkhorn=0)
    expected = torch.tensor([[0.0, 3.0, 4.0], [4.0, 1.0, 0.0], [3.0, 0.0, 1.0]]).double()
    torch.testing.assert_close(-found.soft.log(), expected)
    assert found.hard.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    values = torch.tensor([0.0, 4.0, 3.0]).double()
    assert (found.hard.T @ values).tolist() == [0, 3, 4]
    rows = torch.softmax(-expected, dim=1)  # one round: rows, then columns
    torch.testing.assert_close(
        soft_sort(torch.tensor([0.0, 4.0, 3.0]), 0.2, num_sinkhorn=1).soft, rows / rows.sum(dim=0)
    )


def test_hard_and_soft_matrices_move_with_the_scores_exactly() -> None:
    scores = random_scores(50, 7)
    order = torch.rand(50, 7, generator=seeded(1)).argsort(dim=1)
    moved, plain = soft_sort(scores.gather(1, order), 0.1), soft_sort(scores, 0.1)
    for now, before in ((moved.hard, plain.hard), (moved.soft, plain.soft)):
        expected = before.gather(1, order[..., None].expand(-1, -1, 7))
        torch.testing.assert_close(now, expected, atol=1e-14, rtol=0)
    assert torch.equal(moved.hard, plain.hard.gather(1, order[..., None].expand(-1, -1, 7)))


def test_soft_is_near_hard_at_a_small_temperature_only() -> None:
    """The published default is 0.01; at 1 the gradient belongs to another function."""
    scores = random_scores(500, 8)
    distance, off = {}, {}
    for temperature in (0.01, 1.0):
        found = soft_sort(scores, temperature)
        distance[temperature] = float((found.soft - found.hard).abs().mean())
        off[temperature] = float((found.soft.sum(dim=-1) - 1).abs().max())
        torch.testing.assert_close(found.soft.sum(dim=-2), torch.ones(500, 8).double())
    assert 0.013 < distance[0.01] < 0.019
    assert 0.19 < distance[1.0] < 0.22  # 2 * 7 / 64 is that of the uniform matrix
    assert 1e-3 < off[0.01] < 1e-2
    colder = soft_sort(scores, 1e-5)
    assert float((colder.soft - colder.hard).abs().mean()) < 1e-3
    assert float(permutation_entropy(found.hard)) == 0
    assert float(permutation_entropy(torch.full((4, 4), 0.25))) == pytest.approx(2 * math.log(4))


def test_ties_need_noise_and_are_ordered_at_random() -> None:
    scores = torch.tensor([1.0, 1.0, 0.0]).expand(4000, 3)
    with pytest.raises(ValueError, match=r"tie in 4000 of 4000 samples.*pass a torch.Generator"):
        soft_sort(scores, 0.1)
    found = soft_sort(scores, 0.1, generator=seeded(0))
    assert bool((found.hard[:, 2, 0] == 1).all())  # the smallest one is no tie
    assert float(found.hard[:, 0, 1].mean()) == pytest.approx(0.5, abs=0.03)
    assert bool((score_gap(scores) == 0).all())
    zeros = soft_sort(torch.zeros(6000, 3), 0.1, generator=seeded(1))
    torch.testing.assert_close(zeros.hard.mean(dim=0), torch.full((3, 3), 1 / 3).double(), atol=0.03, rtol=0)


def test_the_gradient_of_the_soft_matrix_reaches_the_scores() -> None:
    scores = random_scores(3, 5).requires_grad_()
    weight = random_scores(3, 5, 5, seed=1)
    found = soft_sort(scores, 0.5)
    through = straight_through(found.hard, found.soft)
    torch.testing.assert_close(through, found.hard)
    (through * weight).sum().backward()
    assert scores.grad is not None
    assert bool((scores.grad != 0).all())
    again = scores.detach().clone().requires_grad_()
    (soft_sort(again, 0.5).soft * weight).sum().backward()
    torch.testing.assert_close(scores.grad, again.grad)
    one_score = soft_sort(torch.zeros(2, 1), 0.5)
    assert one_score.hard.tolist() == [[[1.0]], [[1.0]]]


@pytest.mark.parametrize(
    ("scores", "temperature", "rounds", "message"),
    [
        ([1.0, 2.0], 0.0, 20, "temperature must be positive .* got 0.0 and 20"),
        ([1.0, 2.0], 1.0, -1, "num_sinkhorn at least 0, got 1.0 and -1"),
        ([1.0, math.nan], 1.0, 20, r"scores must be finite numbers .* got shape \(2,\)"),
        ([], 1.0, 20, r"N at least 1, got shape \(0,\)"),
    ],
)
def test_what_cannot_be_sorted_is_said(scores: list[float], temperature: float, rounds: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        soft_sort(torch.tensor(scores), temperature, rounds)


def test_the_entropy_counts_rows_and_columns_by_hand() -> None:
    """Sums of -p log p over rows and columns, each divided by how many there are."""
    wide = torch.tensor([[0.5, 0.5], [0.25, 0.0], [0.0, 0.0]]).double()
    total = math.log(2) + 0.25 * math.log(4)
    assert float(permutation_entropy(wide)) == pytest.approx(total / 3 + total / 2)


def test_noise_decides_below_one_millionth_of_the_length_only() -> None:
    """Scores of length 1 that differ by 1e-5 are never exchanged, those that differ by 1e-8 in half of the draws."""
    apart = torch.tensor([0.6, 0.6 + 1e-5, -0.5]).double().expand(4000, 3)
    assert bool((soft_sort(apart, 0.1, generator=seeded(0)).hard[:, 0, 1] == 1).all())
    near = torch.tensor([0.6, 0.6 + 1e-8, -0.5]).double().expand(4000, 3)
    share = float(soft_sort(near, 0.1, generator=seeded(0)).hard[:, 0, 1].mean())
    assert share == pytest.approx(0.5 + 1e-8 / 1e-6, abs=0.03)


def test_the_unit_of_scores_does_not_matter() -> None:
    """Squares of 1e-200 are 0 and those of 1e200 infinite, which is no reason for a tie."""
    scores = torch.tensor([1.0, 3.0, 2.0]).double()
    for unit in (1e-200, 1e200):
        found = soft_sort(unit * scores, 0.1)
        torch.testing.assert_close(found.soft, soft_sort(scores, 0.1).soft)
        torch.testing.assert_close(score_gap(unit * scores), score_gap(scores))
