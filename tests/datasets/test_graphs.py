"""Generated graphs: their number by another route, and which pairs color refinement cannot tell apart."""

from itertools import combinations, permutations

import networkx
import pytest
import torch

from rapidash.datasets import connected_graphs, equivalent_pairs, refinement_hash, regular_graphs_dataset


def as_networkx(adjacency: torch.Tensor) -> networkx.Graph:
    return networkx.from_numpy_array(adjacency.numpy())


def test_connected_graphs_on_four_nodes_by_brute_force() -> None:
    """All 64 graphs, each as the smallest of its 24 relabellings: 6 are connected."""
    pairs, found = list(combinations(range(4), 2)), set()
    for bits in range(64):
        chosen = [pair for place, pair in enumerate(pairs) if bits >> place & 1]
        if networkx.is_connected(networkx.Graph(chosen)) if len({n for pair in chosen for n in pair}) == 4 else False:
            found.add(
                min(tuple(sorted(tuple(sorted((p[a], p[b]))) for a, b in chosen)) for p in permutations(range(4)))
            )
    assert len(found) == len(connected_graphs(4)) == 6


def test_they_are_those_of_the_atlas() -> None:
    """networkx has all 1253 graphs on up to 7 nodes."""
    atlas = networkx.graph_atlas_g()
    for num_nodes in range(2, 8):
        ours = connected_graphs(num_nodes)
        theirs = [g for g in atlas if len(g) == num_nodes and networkx.is_connected(g)]
        assert len(ours) == len(theirs)
        assert torch.equal(ours, ours.mT)
        assert not bool(ours.diagonal(dim1=1, dim2=2).any())
        if num_nodes == 5:  # each of theirs is one of ours
            assert all(any(networkx.is_isomorphic(g, as_networkx(a)) for a in ours) for g in theirs)
    assert all(networkx.is_connected(as_networkx(a)) for a in connected_graphs(6))


def test_equivalent_pairs_by_another_route() -> None:
    """By the refinement of networkx: none up to 5 nodes, 3 on 6, 17 on 7."""
    assert [len(equivalent_pairs(connected_graphs(n))) for n in range(2, 8)] == [0, 0, 0, 0, 3, 17]
    graphs = connected_graphs(7)
    theirs: dict[str, list[int]] = {}
    for index, adjacency in enumerate(graphs):
        graph = as_networkx(adjacency)
        networkx.set_node_attributes(graph, "node", "kind")
        label = networkx.weisfeiler_lehman_graph_hash(graph, node_attr="kind", iterations=7)
        theirs.setdefault(label, []).append(index)
    expected = {pair for indices in theirs.values() for pair in combinations(indices, 2)}
    assert {tuple(pair) for pair in equivalent_pairs(graphs).tolist()} == expected


def test_refinement_does_not_see_whether_a_regular_graph_is_connected() -> None:
    whole = torch.zeros(6, 6, dtype=torch.long)
    for node in range(6):
        whole[node, (node + 1) % 6] = whole[(node + 1) % 6, node] = 1
    triangle = torch.ones(3, 3, dtype=torch.long) - torch.eye(3, dtype=torch.long)
    parts = torch.block_diag(triangle, triangle)
    path = torch.diag(torch.ones(5, dtype=torch.long), 1)
    numbers = refinement_hash(torch.stack([whole, parts, path + path.T])).tolist()
    assert numbers[0] == numbers[1] != numbers[2]
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    assert refinement_hash((path + path.T)[None, order][:, :, order]).item() == numbers[2]


def test_regular_graphs_are_what_they_say() -> None:
    data = regular_graphs_dataset(40, seed=3)
    adjacency, label = data.tensors["adjacency"], data.tensors["label"]
    degree = adjacency.sum(dim=-1)
    assert bool((degree == degree[:, :1]).all())
    assert degree[:8, 0].tolist() == [2, 2, 3, 3, 2, 2, 3, 3]
    assert label[:4].tolist() == [0, 1, 0, 1]
    parts = [networkx.number_connected_components(as_networkx(a)) for a in adjacency]
    assert parts == (label + 1).tolist()
    numbers = refinement_hash(adjacency.long())
    assert len(numbers.unique()) == 2  # one for each degree: the label is not in it
    again, other = (regular_graphs_dataset(40, seed=3, split=split) for split in ("train", "val"))
    assert torch.equal(again.tensors["adjacency"], adjacency)
    assert not torch.equal(other.tensors["adjacency"], adjacency)


def test_bad_numbers_are_said() -> None:
    for call, message in (
        (lambda: connected_graphs(9), "num_nodes must be 1 to 8, got 9"),
        (lambda: regular_graphs_dataset(0), "size=0"),
        (lambda: regular_graphs_dataset(4, degrees=(7,)), r"degrees=\(7,\)"),
        (lambda: regular_graphs_dataset(4, num_nodes=13), r"graphs of 13 nodes"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.slow
def test_eight_nodes() -> None:
    """The graphs of GRAPH8c, of which 312 pairs are equivalent."""
    assert (len(connected_graphs(8)), len(equivalent_pairs(connected_graphs(8)))) == (11117, 312)
