"""Neighbor edges against plain loops over pairs, by every search that runs on the CPU."""

import math
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rapidash._seed import seeded
from rapidash.geometry import _neighbors, _search, fully_connected_edges, knn_edges, nearest_sample_edges, radius_edges
from rapidash.geometry._search import ALL_PAIRS, TREE, Search, numba_search, search_for
from rapidash.geometry._segments import Segments

SIZES = [[1], [5], [1, 1, 1], [3, 1, 7, 2], [60, 1, 5], [7, 130]]


SEARCHES = {"all-pairs": lambda: ALL_PAIRS, "tree": lambda: TREE, "numba": numba_search}


@pytest.fixture(params=SEARCHES, autouse=True)
def search(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run every test of this file with each search, whatever the size of the clouds."""
    if request.param == "numba":
        pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_neighbors, "search_for", lambda *_: SEARCHES[request.param]())
        yield request.param


def clouds(
    sizes: list[int], dim: int = 3, seed: int = 0, *, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    pos = torch.randn(sum(sizes), dim, generator=seeded("clouds", seed), dtype=dtype)
    return pos, torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def lattice(num_clouds: int = 2) -> tuple[Tensor, Tensor]:
    """Points on integers, so that most distances are tied, each lattice point twice."""
    axis = torch.arange(4.0, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis, axis).repeat(2, 1)
    return points.repeat(num_clouds, 1), torch.arange(num_clouds).repeat_interleave(len(points))


def squared(a: Tensor, b: Tensor) -> float:
    return sum((x - y) ** 2 for x, y in zip(a.double().tolist(), b.double().tolist()))


def knn_by_loops(pos: Tensor, batch: Tensor, k: int, queries: Tensor, query_batch: Tensor) -> list[tuple[int, int]]:
    edges = []
    for i, query in enumerate(queries):
        candidates = [j for j in range(len(pos)) if batch[j] == query_batch[i]]
        nearest = sorted(candidates, key=lambda j: (squared(pos[j], query), j))[:k]
        edges += [(j, i) for j in nearest]
    return edges


def radius_by_loops(pos: Tensor, batch: Tensor, r: float) -> list[tuple[int, int]]:
    n = range(len(pos))
    return [(j, i) for i in n for j in n if batch[i] == batch[j] and squared(pos[i], pos[j]) <= r * r]


def as_pairs(edges: Tensor) -> list[tuple[int, int]]:
    assert edges.dtype == torch.int64
    assert edges.shape[0] == 2
    return [(source, target) for source, target in edges.T.tolist()]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    k=st.integers(1, 11),
    dim=st.integers(2, 3),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_knn_is_the_brute_force_one(sizes: list[int], k: int, dim: int, seed: int, dtype: torch.dtype) -> None:
    pos, batch = clouds(sizes, dim, seed, dtype=dtype)
    expected = knn_by_loops(pos, batch, k, pos, batch)
    assert as_pairs(knn_edges(pos, batch, k, clamp=True)) == expected


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    r=st.floats(0.01, 4),
    dim=st.integers(2, 3),
    seed=st.integers(0, 2**31),
)
def test_radius_is_the_brute_force_one(sizes: list[int], r: float, dim: int, seed: int) -> None:
    pos, batch = clouds(sizes, dim, seed)
    assert as_pairs(radius_edges(pos, batch, r)) == radius_by_loops(pos, batch, r)


@given(seed=st.integers(0, 2**31), num_queries=st.integers(0, 12), k=st.integers(1, 4))
def test_queries_in_any_order_find_their_own_cloud(seed: int, num_queries: int, k: int) -> None:
    pos, batch = clouds([4, 9, 4], seed=seed)
    rng = seeded(seed)
    queries = 2 * torch.randn(num_queries, 3, generator=rng, dtype=torch.float64)
    query_batch = torch.randint(3, (num_queries,), generator=rng)
    edges = knn_edges(pos, batch, k, queries=queries, query_batch=query_batch)
    assert as_pairs(edges) == knn_by_loops(pos, batch, k, queries, query_batch)


@pytest.mark.parametrize("k", [1, 2, 3, 8, 40])
def test_ties_go_to_the_lower_index(k: int) -> None:
    pos, batch = lattice()
    assert as_pairs(knn_edges(pos, batch, k)) == knn_by_loops(pos, batch, k, pos, batch)


@pytest.mark.parametrize("r", [0.5, 1.0, math.sqrt(2), 2.0])
def test_radius_includes_points_at_the_radius(r: float) -> None:
    pos, batch = lattice()
    edges = as_pairs(radius_edges(pos, batch, r))
    assert edges == radius_by_loops(pos, batch, r)
    if r == 1.0:  # a corner of the cube of 4^3 places: itself and three neighbors, two points at each
        assert sum(target == 0 for _, target in edges) == 8


def test_radius_is_rounded_to_the_dtype_of_the_positions() -> None:
    batch = torch.zeros(2, dtype=torch.long)
    for dtype in (torch.float32, torch.float64):
        pos = torch.tensor([[0.0, 0, 0], [0.1, 0, 0]], dtype=dtype)  # 0.1 in float32 is more than in float64
        assert radius_edges(pos, batch, 0.1).shape == (2, 4)


@pytest.mark.parametrize("num_points", [40, 700])
def test_points_at_one_place_come_in_the_order_of_their_indices(num_points: int) -> None:
    pos, batch = torch.full((num_points, 3), 0.3), torch.zeros(num_points, dtype=torch.long)
    assert knn_edges(pos, batch, 5)[0].view(-1, 5).unique(dim=0).tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_clouds_do_not_see_each_other(sizes: list[int]) -> None:
    pos, batch = clouds(sizes)
    pos = pos * torch.tensor([1e-3, 1e3, 1.0, 1e6])[batch % 4].unsqueeze(1)  # exact: clouds of any scale side by side
    for edges_of in (lambda p, b: knn_edges(p, b, 9, clamp=True), lambda p, b: radius_edges(p, b, 0.7)):
        together, first, alone = edges_of(pos, batch), 0, []
        for size in sizes:
            part = slice(first, first + size)
            alone.append(edges_of(pos[part], torch.zeros(size, dtype=torch.long)) + first)
            first += size
        assert torch.equal(together, torch.cat(alone, dim=1))


@given(seed=st.integers(0, 2**31))
def test_edges_do_not_depend_on_the_order_of_the_points(seed: int) -> None:
    pos, batch = clouds([70], seed=seed)
    order = torch.randperm(70, generator=seeded(seed))
    for edges_of in (lambda p: knn_edges(p, batch, 5), lambda p: radius_edges(p, batch, 0.8)):
        moved = edges_of(pos[order])
        assert sorted(as_pairs(order[moved])) == sorted(as_pairs(edges_of(pos)))


def test_a_far_origin_costs_no_digits() -> None:
    pos, batch = clouds([50], dtype=torch.float32)
    pos = (pos + 4096).double()  # the expanded square would be off by 1e-9 of a squared gap of 1e-3
    exact = knn_by_loops(pos, batch, 6, pos, batch)
    assert as_pairs(knn_edges(pos, batch, 6)) == exact
    assert as_pairs(knn_edges(pos.float(), batch, 6)) == exact


def test_reverse_swaps_the_rows() -> None:
    pos, batch = clouds([6, 9])
    assert torch.equal(knn_edges(pos, batch, 3, reverse=True), knn_edges(pos, batch, 3).flip(0))


def test_every_point_is_its_own_nearest() -> None:
    pos, batch = clouds([6, 9, 130])
    source, target = knn_edges(pos, batch, 3)
    assert torch.equal(source[::3], target[::3])


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_fully_connected_has_all_pairs_of_each_cloud(sizes: list[int]) -> None:
    _, batch = clouds(sizes)
    n = range(len(batch))
    assert as_pairs(fully_connected_edges(batch)) == [(j, i) for i in n for j in n if batch[i] == batch[j]]


def test_every_point_is_joined_to_its_nearest_sample() -> None:
    pos, batch = clouds([8, 1, 70])
    index = torch.tensor([5, 0, 8, 70, 11, 12])
    edges = nearest_sample_edges(pos, batch, index)
    assert edges[0].tolist() == list(range(79))
    for source, target in as_pairs(edges):
        own = [m for m in range(len(index)) if batch[index[m]] == batch[source]]
        assert target == min(own, key=lambda m: squared(pos[index[m]], pos[source]))


def test_no_gradient_flows_and_none_is_broken() -> None:
    pos, batch = clouds([6])
    pos.requires_grad_()
    for edges in (knn_edges(pos, batch, 3), radius_edges(pos, batch, 1.0)):
        source, target = edges
        assert not edges.requires_grad
        (gradient,) = torch.autograd.grad((pos[source] - pos[target]).square().sum(), pos)
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("k", "words"),
    [
        (6, "cloud 1 has 5 points.*clamp=True"),
        (0, "k must be .* at least 1, got 0"),
        (2.5, "integer"),
        (True, "integer"),
    ],
)
def test_a_wrong_k_is_named(k: int, words: str) -> None:
    pos, batch = clouds([7, 5])
    with pytest.raises(ValueError, match=words):
        knn_edges(pos, batch, k)


@pytest.mark.parametrize("r", [0.0, -1.0, math.inf, math.nan])
def test_a_wrong_radius_is_named(r: float) -> None:
    with pytest.raises(ValueError, match="r must be positive and finite"):
        radius_edges(*clouds([3]), r)


def test_wrong_queries_are_named() -> None:
    pos, batch = clouds([7, 5])
    with pytest.raises(ValueError, match="belong together"):
        knn_edges(pos, batch, 2, queries=pos)
    with pytest.raises(ValueError, match=r"queries must be \(Q, 3\)"):
        knn_edges(pos, batch, 2, queries=pos[:, :2], query_batch=batch)
    with pytest.raises(ValueError, match=r"clouds in \[0, 2\), got 1 to 2"):
        knn_edges(pos, batch, 2, queries=pos, query_batch=batch + 1)
    with pytest.raises(ValueError, match="query_batch must be"):
        knn_edges(pos, batch, 2, queries=pos, query_batch=batch[:3])
    with pytest.raises(ValueError, match="first in row 3"):
        knn_edges(pos, batch, 2, queries=pos.index_fill(0, torch.tensor([3]), math.nan), query_batch=batch)


def test_wrong_samples_are_named() -> None:
    pos, batch = clouds([4, 4])
    for index, words in (([0, 1], "no point of cloud 1"), ([5, 0], "sorted by cloud"), ([0, 8], r"in \[0, 8\)")):
        with pytest.raises(ValueError, match=words):
            nearest_sample_edges(pos, batch, torch.tensor(index))
    with pytest.raises(ValueError, match="integers"):
        nearest_sample_edges(pos, batch, torch.tensor([0.0]))


def test_the_size_of_the_clouds_chooses_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def search_of(size: int, *, has_numba: bool) -> Search:
        monkeypatch.setattr(_search, "find_spec", lambda name: has_numba or None)
        points, batch = torch.zeros(size, 3, dtype=torch.float64), torch.zeros(size, dtype=torch.long)
        return search_for(points, Segments.from_batch(batch))

    assert search_of(40, has_numba=False) == ALL_PAIRS
    assert search_of(41, has_numba=False) == TREE
    assert search_of(501, has_numba=True) == TREE
    if find_spec("numba"):
        assert search_of(500, has_numba=True) == numba_search()


@pytest.mark.slow
def test_the_tree_takes_a_hundred_thousand_points(search: str) -> None:
    if search != "tree":
        pytest.skip("all pairs of so many points take minutes")
    pos, batch = clouds([100_000], dtype=torch.float32)
    source, target = knn_edges(pos, batch, 16)
    assert len(source) == 1_600_000
    gap = (pos[source].double() - pos[target]).square().sum(1).view(-1, 16)
    assert (gap.diff(dim=1) >= 0).all()
    some = torch.arange(0, 100_000, 9973)
    exact = (pos[some].double().unsqueeze(1) - pos.double()).square().sum(2).sort(dim=1).values[:, :16]
    torch.testing.assert_close(gap[some], exact, rtol=1e-12, atol=1e-14)
