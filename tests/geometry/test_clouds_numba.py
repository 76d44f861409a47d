"""What compiled code says of clouds and edges, against the same in torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rapidash.geometry import Graph, _check_cloud, _graph, _neighbors, check_cloud, fully_connected_edges

pytest.importorskip("numba")

from rapidash.geometry._clouds_numba import sorted_row_ptr


@pytest.fixture
def in_torch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for module in (_check_cloud, _graph, _neighbors):
        monkeypatch.setattr(module, "has_arrays", lambda *tensors: False)
    return monkeypatch


def test_complete_edges_by_hand() -> None:
    edges = fully_connected_edges(torch.tensor([0, 0, 1]))
    assert edges.tolist() == [[0, 1, 0, 1, 2], [0, 0, 1, 1, 2]]
    graph = Graph.from_edge_index(edges, 3, 4)
    assert graph.row_ptr.tolist() == [0, 2, 4, 5, 5]
    assert graph.source.tolist() == [0, 1, 0, 1, 2]


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_complete_edges_are_those_of_torch(sizes: list[int]) -> None:
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    fast = fully_connected_edges(batch)
    strided = fully_connected_edges(torch.stack([batch, batch], dim=1)[:, 0])  # not for compiled code
    assert torch.equal(fast, strided)


@given(seed=st.integers(0, 2**31), sources=st.integers(1, 4), targets=st.integers(1, 4), edges=st.integers(0, 9))
def test_sorted_edges_and_others_give_the_same_graph(seed: int, sources: int, targets: int, edges: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    given_edges = torch.stack([torch.randint(high, (edges,), generator=rng) for high in (sources, targets)])
    graph = Graph.from_edge_index(given_edges, sources, targets)
    again = Graph.from_edge_index(graph.edge_index, sources, targets)
    segments = torch.searchsorted(graph.target, torch.arange(targets + 1))
    assert torch.equal(again.source, graph.source)
    assert torch.equal(again.target, graph.target)
    assert torch.equal(again.row_ptr, segments)
    assert torch.equal(graph.row_ptr, segments)


@pytest.mark.parametrize("batch", [[1, 1], [0, 2], [0, -1], [1, 0], [0, 0, 1, 0]])
def test_bad_clouds_are_still_refused(batch: list[int]) -> None:
    with pytest.raises(ValueError, match=r"batch must|cloud needs"):
        check_cloud(torch.zeros(len(batch), 3), torch.tensor(batch))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_positions_that_are_not_finite_are_still_refused(value: float) -> None:
    pos = torch.zeros(3, 3)
    pos[2, 1] = value
    with pytest.raises(ValueError, match="first at point 2"):
        check_cloud(pos, torch.tensor([0, 0, 1]))


def test_the_same_answers_in_torch(in_torch: pytest.MonkeyPatch) -> None:
    test_complete_edges_by_hand()
    check_cloud(torch.zeros(3, 3), torch.tensor([0, 0, 1]))


def test_a_graph_keeps_no_view_of_edges_that_may_change() -> None:
    edges: Tensor = torch.tensor([[0, 1], [0, 1]])
    graph = Graph.from_edge_index(edges, 2, 2)
    edges += 5
    assert graph.source.tolist() == [0, 1]


@pytest.mark.parametrize("target", [-1, 3, 4, 70])
def test_targets_outside_the_graph_are_left_to_torch_and_nothing_is_written_for_them(target: int) -> None:
    room = np.full(90, -7)
    edges = np.array([0, 1]), np.array(sorted([1, target]))
    assert not sorted_row_ptr(*edges, room[:4])  # of 3 targets
    assert (room[4:] == -7).all()
    assert sorted_row_ptr(np.array([0, 1]), np.array([1, 2]), room[:4])
    assert room[:4].tolist() == [0, 0, 1, 2]
