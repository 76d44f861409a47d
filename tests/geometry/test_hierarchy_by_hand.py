"""Graphs, sampling and the steps between scales on points of a line."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from rapidash.geometry import Graph, _graph, build_hierarchy, canonical_frame, parse_edges

POINTS = [0.0, 1.0, 2.5, 6.0, 10.0]


def line(*places: float) -> Tensor:
    return torch.tensor([[place, 0.0] for place in places], dtype=torch.float64)


def edges_of(graph: Graph) -> list[tuple[int, int]]:
    return [(source, target) for source, target in graph.edge_index.T.tolist()]


def test_edges_are_sorted_by_target_and_then_by_source() -> None:
    graph = Graph.from_edge_index(torch.tensor([[2, 0, 1, 0], [1, 1, 0, 2]]), 3, 3)
    assert edges_of(graph) == [(1, 0), (0, 1), (2, 1), (0, 2)]
    assert graph.row_ptr.tolist() == [0, 1, 3, 4]
    assert graph.transposed_order.tolist() == [1, 3, 0, 2]
    assert graph.col_ptr.tolist() == [0, 2, 3, 4]
    flipped, order = graph.flip()
    assert edges_of(flipped) == [(1, 0), (2, 0), (0, 1), (1, 2)]
    assert order.tolist() == [1, 3, 0, 2]
    assert (flipped.num_sources, flipped.num_targets, flipped.num_edges) == (3, 3, 4)


def test_two_scales_of_one_cloud() -> None:
    """Of five points 0.6 are three: the first, the farthest from it (10), and the farthest from both (6)."""
    pos, batch = line(*POINTS), torch.zeros(5, dtype=torch.long)
    hierarchy = build_hierarchy(pos, batch, [parse_edges("radius-1.6"), parse_edges("knn-2")], [0.6])
    assert [index.tolist() for index in hierarchy.samples] == [[0, 4, 3]]
    assert edges_of(hierarchy.graphs[0]) == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 3), (4, 4)]
    # coarse points at 0, 10 and 6: the nearest to 0 is 6, to 10 is 6, and to 6 is 10
    assert edges_of(hierarchy.graphs[1]) == [(0, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]
    # 0, 1 and 2.5 go to the coarse point 0, 6 to 2 and 10 to 1
    assert edges_of(hierarchy.down[0]) == [(0, 0), (1, 0), (2, 0), (4, 1), (3, 2)]
    ((up, order),) = hierarchy.up
    assert edges_of(up) == [(0, 0), (0, 1), (0, 2), (2, 3), (1, 4)]
    assert order.tolist() == [0, 1, 2, 4, 3]
    assert [scale[:, 0].tolist() for scale in hierarchy.positions(pos)] == [POINTS, [0.0, 10.0, 6.0]]
    assert [part.tolist() for part in hierarchy.batch] == [[0] * 5, [0] * 3]
    assert hierarchy.num_clouds == 1


def test_clouds_of_a_batch_stay_apart() -> None:
    pos, batch = line(0.0, 1.0, 0.5, 0.6, 5.0), torch.tensor([0, 0, 1, 1, 1])
    hierarchy = build_hierarchy(pos, batch, [parse_edges("fc"), parse_edges("fc")], [0.5])
    assert hierarchy.samples[0].tolist() == [0, 2]
    assert hierarchy.batch[1].tolist() == [0, 1]
    assert edges_of(hierarchy.down[0]) == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1)]
    assert edges_of(hierarchy.graphs[1]) == [(0, 0), (1, 1)]
    assert len(edges_of(hierarchy.graphs[0])) == 4 + 9


def test_the_reverse_of_a_neighbor_rule_turns_its_edges_around() -> None:
    pos, batch = line(0.0, 1.0, 3.0), torch.zeros(3, dtype=torch.long)
    forth, back = (
        build_hierarchy(pos, batch, [parse_edges(name)], []).graphs[0] for name in ("knn-2", "knn-2-reverse")
    )
    assert edges_of(forth) == [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    assert edges_of(back) == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (2, 2)]


def test_principal_axes_point_to_the_heavier_tail() -> None:
    """Along x the points 0, 0, 0 and -4 have the mean -1 and third moments 3 - 27 < 0; along y the tail is upward."""
    pos = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [-4.0, 0.0]], dtype=torch.float64)
    frame = canonical_frame(pos - pos.mean(0), torch.zeros(4, dtype=torch.long), 1)[0]
    assert frame[0, 0] < -0.99
    assert frame[1, 1] > 0.99


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[0, 2], [0, 0]], r"edge_index\[0\] must name source points in \[0, 2\), got 2 at edge 1"),
        ([[-1, 0], [0, 0]], r"edge_index\[0\] must name source points in \[0, 2\), got -1 at edge 0"),
        ([[0, 1, 1], [2, 0, 3]], r"edge_index\[1\] must name target points in \[0, 3\), got 3 at edge 2"),
        ([[0, 1], [0, -4]], r"edge_index\[1\] must name target points in \[0, 3\), got -4 at edge 1"),
        ([[0, 1], [1, 0], [0, 0]], r"edge_index must be \(2, E\), rows source and target, got shape \(3, 2\)"),
        ([0, 1], r"edge_index must be \(2, E\), .* got shape \(2,\)"),
        ([[0.0], [1.0]], r"edge_index must hold int64, got torch.float32"),
        (None, "edge_index must be a torch.Tensor, got list"),
    ],
)
def test_edges_of_points_that_are_not_there_are_refused(
    edges: list[list[int]] | None, message: str, shape_checks_off: None
) -> None:
    with pytest.raises(ValueError, match=message):
        Graph.from_edge_index([[0], [0]] if edges is None else torch.tensor(edges), 2, 3)  # type: ignore[arg-type]


def test_a_graph_without_edges_and_one_with_the_outermost_points_are_taken() -> None:
    empty = Graph.from_edge_index(torch.zeros(2, 0, dtype=torch.long), 0, 2)
    assert (empty.row_ptr.tolist(), empty.num_edges) == ([0, 0, 0], 0)
    assert edges_of(Graph.from_edge_index(torch.tensor([[1, 0], [2, 0]]), 2, 3)) == [(0, 0), (1, 2)]


def test_the_edges_of_a_rule_of_ones_own_are_checked() -> None:
    def next_point(pos: Tensor, batch: Tensor) -> Tensor:
        return torch.stack([torch.arange(1, len(pos) + 1), torch.arange(len(pos))])

    with pytest.raises(ValueError, match=r"source points in \[0, 3\), got 3 at edge 2"):
        build_hierarchy(line(0.0, 1.0, 3.0), torch.zeros(3, dtype=torch.long), [next_point], [])


def test_edges_without_values_are_connected_as_they_are() -> None:
    with FakeTensorMode():
        graph = Graph.from_edge_index(torch.tensor([[0, 7], [9, 0]]), 2, 3)
    assert (graph.source.shape, graph.row_ptr.shape) == ((2,), (4,))


def test_a_search_reads_no_value_for_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA each reading would wait for all that runs there."""
    read: list[Tensor] = []
    monkeypatch.setattr(_graph, "_check_edges", lambda edges, *sizes: read.append(edges))
    pos, batch = line(*POINTS), torch.zeros(5, dtype=torch.long)
    build_hierarchy(pos, batch, [parse_edges("radius-1.6"), parse_edges("knn-2"), parse_edges("fc")], [0.6, 0.7])
    assert not read
    build_hierarchy(pos, batch, [lambda pos, batch: parse_edges("knn-2")(pos, batch)], [])
    assert len(read) == 1
