"""Graphs, sampling and the steps between scales on points of a line."""

import torch
from torch import Tensor

from rapidash.geometry import Graph, build_hierarchy, canonical_frame, parse_edges

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
