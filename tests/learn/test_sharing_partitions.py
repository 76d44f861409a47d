"""Partitions, their distance, relaxed assignments and the penalty on clusters."""

import math

import pytest
import torch

from rapidash._seed import seeded
from rapidash.learn.sharing import (
    ExactSearch,
    bell_number,
    canonical_assignment,
    harden,
    partition_distance,
    relaxed_assignment,
    set_partitions,
    sharing_penalty,
)


def test_bell_numbers_by_hand() -> None:
    assert [bell_number(size) for size in range(8)] == [1, 1, 2, 5, 15, 52, 203, 877]
    with pytest.raises(ValueError, match="at least 0, got -1"):
        bell_number(-1)


def test_partitions_of_three_elements_by_hand() -> None:
    assert set_partitions(3).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 2]]


@pytest.mark.parametrize("size", [1, 2, 4, 6, 8])
def test_every_partition_is_there_once(size: int) -> None:
    rows = set_partitions(size)
    assert len(rows) == bell_number(size) == len(rows.unique(dim=0))
    assert all(torch.equal(canonical_assignment(row), row) for row in rows[::7])
    assert rows[0].tolist() == [0] * size
    assert rows[-1].tolist() == list(range(size))


def test_too_many_elements_say_how_many_partitions_there_are() -> None:
    with pytest.raises(ValueError, match=r"from 1 to 10, got 12, of 12 elements there are 4,213,597 partitions"):
        set_partitions(12)
    with pytest.raises(ValueError, match="from 1 to 10, got 0"):
        set_partitions(0)


def test_distance_by_hand() -> None:
    a = torch.tensor([0, 0, 0, 1, 1])
    assert partition_distance(a, torch.tensor([7, 7, 7, 3, 3])) == 0
    assert partition_distance(a, torch.tensor([0, 0, 1, 1, 1])) == 1
    # overlaps [[1, 1, 1], [1, 1, 0]]: matched one to one at most 2 of 5 agree
    assert partition_distance(a, torch.tensor([0, 1, 2, 0, 1])) == 3
    assert partition_distance(torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0, 0], [1, 1]])) == 2
    assert partition_distance(torch.zeros(6, dtype=torch.long), torch.arange(6)) == 5


def test_distance_is_a_metric() -> None:
    rng = seeded("triples")
    for _ in range(1000):
        size = int(torch.randint(1, 8, (), generator=rng))
        a, b, c = (torch.randint(4, (size,), generator=rng) for _ in range(3))
        ab, bc, ac = partition_distance(a, b), partition_distance(b, c), partition_distance(a, c)
        assert ab == partition_distance(b, a)
        assert ac <= ab + bc
        assert (ab == 0) == torch.equal(canonical_assignment(a), canonical_assignment(b))


def test_distance_needs_one_shape() -> None:
    with pytest.raises(ValueError, match=r"one shape with at least one element, got \(3,\) and \(4,\)"):
        partition_distance(torch.arange(3), torch.arange(4))
    with pytest.raises(ValueError, match="at least one element"):
        partition_distance(torch.arange(0), torch.arange(0))


def test_penalty_by_hand() -> None:
    hard = torch.tensor([[1.0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
    assert float(sharing_penalty(hard, 2.0, 5.0)) == pytest.approx(2 * (math.sqrt(3) + 1))
    even = torch.full((4, 2), 0.5, dtype=torch.float64)  # columns of norm 1, rows of entropy log 2
    assert float(sharing_penalty(even, 1.0, 10.0)) == pytest.approx(2 + 10 * math.log(2))
    nuclear = torch.linalg.matrix_norm(hard, "nuc")
    assert float(sharing_penalty(hard, 1.0)) == pytest.approx(float(nuclear))


def test_penalty_has_a_gradient_where_a_parameter_is_not_used() -> None:
    hard = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    sharing_penalty(hard, 1.0, 1.0).backward()
    used = 0.5**0.5 - 0.5  # of the norm of the column, and of - p log p at 1 in the mean over two rows
    torch.testing.assert_close(hard.grad, torch.tensor([[used, 0.0], [used, 0.0]], dtype=torch.float64))


def test_penalty_refuses_negative_weights() -> None:
    with pytest.raises(ValueError, match=r"at least 0 and finite, got -1.0 and 0.0"):
        sharing_penalty(torch.eye(2), -1.0)
    with pytest.raises(ValueError, match=r"weight must be at least 0 and finite, got -0\.1"):
        ExactSearch(-0.1)


def test_hardened_rows_pass_the_gradient_through() -> None:
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    relaxed = relaxed_assignment(logits)
    factors = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64)
    (soft,) = torch.autograd.grad((relaxed * factors).sum(), logits, retain_graph=True)
    hard = harden(relaxed)
    torch.testing.assert_close(hard, torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64))
    (through,) = torch.autograd.grad((hard * factors).sum(), logits)
    torch.testing.assert_close(through, soft)
