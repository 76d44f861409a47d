"""Labelings compared: by hand, and against counting all pairs of points."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rapidash._seed import seeded
from rapidash.tasks._partitions import best_match, contingency, label_ious, matched_ious, rand_errors


def table(first: list[int], second: list[int], shape: tuple[int, int]) -> torch.Tensor:
    batch = torch.zeros(len(first), dtype=torch.int64)
    return contingency(torch.tensor(first), torch.tensor(second), batch, (1, *shape))


def test_counts_by_cloud() -> None:
    first, second = torch.tensor([0, 1, 1, 0]), torch.tensor([2, 0, 0, 2])
    counts = contingency(first, second, torch.tensor([0, 0, 0, 2]), (3, 2, 3))
    assert counts[0].tolist() == [[0, 0, 1], [2, 0, 0]]
    assert counts[1].sum() == 0
    assert counts[2].tolist() == [[0, 0, 1], [0, 0, 0]]


def test_iou_by_hand_and_one_for_a_label_that_is_nowhere() -> None:
    # label 0: points {0, 1, 2} against {0, 1}; label 1: {3} against {2, 3}; label 2: nowhere; label 3: predicted only
    found = label_ious(table([0, 0, 0, 1, 1], [0, 0, 1, 1, 3], (4, 4)))
    assert found[0].tolist() == pytest.approx([2 / 3, 1 / 3, 1.0, 0.0])


def test_numbers_of_segments_do_not_matter_and_unmatched_segments_count_zero() -> None:
    assert float(matched_ious(table([0, 0, 1, 1, 1], [3, 3, 0, 0, 0], (2, 4)))) == 1
    # segments {0, 1}, {2}, {3} against {0, 1}, {2, 3}: 1 + 1/2 + 0 over three
    assert float(matched_ious(table([0, 0, 5, 2], [1, 1, 0, 0], (6, 2)))) == pytest.approx(0.5)


def test_the_best_match_is_one_to_one() -> None:
    rows, columns = best_match(torch.tensor([[9.0, 8.0], [8.0, 1.0], [0.0, 0.0]]))
    assert dict(zip(rows.tolist(), columns.tolist())) == {0: 1, 1: 0}  # 16, and not the greedy 9 + 1


@given(seed=st.integers(0, 2**31), num_points=st.integers(1, 12))
def test_rand_error_is_the_share_of_pairs_in_dispute(seed: int, num_points: int) -> None:
    rng = seeded(seed)
    first, second = (torch.randint(0, size, (num_points,), generator=rng).tolist() for size in (3, 4))
    pairs = list(combinations(range(num_points), 2))
    disputes = [(first[i] == first[j]) != (second[i] == second[j]) for i, j in pairs]
    expected = sum(disputes) / len(pairs) if pairs else 0.0
    assert float(rand_errors(table(first, second, (3, 4)))) == pytest.approx(expected)
