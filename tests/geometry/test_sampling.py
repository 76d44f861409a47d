"""Farthest point sampling by hand, by a plain loop, and at its edges."""

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rapidash._seed import seeded
from rapidash.geometry import _sampling, farthest_point_sample
from rapidash.geometry._sampling import farthest_points_reference
from rapidash.geometry._segments import Segments


@pytest.fixture(params=["reference", "numba"], autouse=True)
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run every test of this file with the definition and with the fast twin."""
    if request.param == "numba":
        pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "reference":
            patch.setattr(_sampling, "_sampler", lambda _: farthest_points_reference)
        yield request.param


def sample_by_loops(pos: Tensor, batch: Tensor, ratio: float) -> list[int]:
    chosen = []
    for cloud in range(int(batch[-1]) + 1):
        rows = [i for i in range(len(pos)) if batch[i] == cloud]
        taken = rows[:1]
        while len(taken) < max(1, math.floor(ratio * len(rows))):
            gaps = {i: min(math.dist(pos[i], pos[j]) for j in taken) for i in rows if i not in taken}
            taken.append(max(gaps, key=lambda i: (gaps[i], -i)))
        chosen += taken
    return chosen


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    ratio=st.floats(0.01, 1),
    dim=st.integers(2, 3),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_samples_are_those_of_a_plain_loop(
    sizes: list[int], ratio: float, dim: int, seed: int, dtype: torch.dtype
) -> None:
    pos = torch.randn(sum(sizes), dim, generator=seeded(seed), dtype=dtype)
    batch = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    index = farthest_point_sample(pos, batch, ratio)
    assert index.dtype == torch.int64
    assert index.tolist() == sample_by_loops(pos, batch, ratio)


def test_by_hand() -> None:
    line = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.5, 0.0], [4.0, 0.0], [10.0, 0.0]])
    batch = torch.zeros(5, dtype=torch.long)
    # from 0 the farthest is 10; then 4 (4 from 0); then 2.5 (1.5 from 4)
    assert farthest_point_sample(line, batch, 0.8).tolist() == [0, 4, 3, 2]


def test_ties_go_to_the_lowest_index_and_no_point_is_taken_twice() -> None:
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    pos, batch = square.repeat_interleave(2, 0), torch.zeros(8, dtype=torch.long)
    assert farthest_point_sample(pos, batch, 1.0).tolist() == [0, 6, 2, 4, 1, 3, 5, 7]


def test_each_cloud_keeps_its_share_and_at_least_one_point() -> None:
    sizes = [1, 3, 4, 9]
    batch = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    index = farthest_point_sample(torch.randn(17, 3, generator=seeded(0)), batch, 0.5)
    assert torch.bincount(batch[index]).tolist() == [1, 1, 2, 4]
    assert (batch[index].diff() >= 0).all()


def test_the_set_does_not_depend_on_the_order_of_the_other_points() -> None:
    pos, batch = torch.randn(40, 3, generator=seeded(1), dtype=torch.float64), torch.zeros(40, dtype=torch.long)
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(39, generator=seeded(2))])
    assert torch.equal(order[farthest_point_sample(pos[order], batch, 0.3)], farthest_point_sample(pos, batch, 0.3))


def test_a_generator_draws_the_first_point_of_each_cloud() -> None:
    batch = torch.arange(3).repeat_interleave(5)
    pos = torch.randn(15, 3, generator=seeded(0))
    starts = torch.stack([farthest_point_sample(pos, batch, 0.2, generator=seeded(i)) for i in range(200)])
    assert torch.equal(farthest_point_sample(pos, batch, 0.2, generator=seeded(7)), starts[7])
    assert (batch[starts] == torch.arange(3)).all()
    counts = torch.bincount(starts.flatten(), minlength=15)
    assert counts.min() > 20  # expected 40 with deviation 5.7: 3.5 of them
    assert counts.max() < 60


@pytest.mark.parametrize("sizes", [[300], [700, 3, 90], [65, 64, 129]], ids=str)
@pytest.mark.parametrize("on_lattice", [False, True], ids=["distinct", "tied"])
def test_buckets_skip_no_point_that_matters(sizes: list[int], on_lattice: bool) -> None:
    pytest.importorskip("numba")
    from rapidash.geometry._sampling_numba import farthest_points_numba

    pos = 3 * torch.randn(sum(sizes), 3, generator=seeded(3), dtype=torch.float64)
    pos = pos.round() if on_lattice else pos
    segments = Segments.from_batch(torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)))
    number = segments.count if on_lattice else (segments.count + 1) // 2
    first = segments.start + segments.count // 3
    expected = farthest_points_reference(pos, segments, number, first)
    assert torch.equal(farthest_points_numba(pos, segments, number, first), expected)


def test_positions_that_need_gradients_are_taken() -> None:
    pos, batch = torch.randn(6, 3, requires_grad=True), torch.zeros(6, dtype=torch.long)
    assert not farthest_point_sample(pos, batch, 0.5).requires_grad


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.5, math.nan])
def test_a_wrong_ratio_is_named(ratio: float) -> None:
    with pytest.raises(ValueError, match=r"ratio must be in \(0, 1\]"):
        farthest_point_sample(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), ratio)
