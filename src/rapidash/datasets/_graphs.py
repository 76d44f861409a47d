"""Graphs made on the spot: all connected ones up to isomorphism, and regular ones that are connected or not."""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Field, RowDataset
from rapidash.groups import PairPermutation, Scalar

NUM_CONNECTED = (1, 1, 2, 6, 21, 112, 853, 11117)  # connected graphs on 1, 2, ... nodes, sequence A001349 of the OEIS
_MULTIPLIERS = (-4658895280553007687, -7723592293110705685)  # odd 64-bit numbers of the generator splitmix64


@lru_cache(maxsize=len(NUM_CONNECTED))
def connected_graphs(num_nodes: int) -> Int[Tensor, "M N N"]:
    """The adjacency matrices of all connected graphs on a number of nodes, one of each class of isomorphic ones.

    Every connected graph is one with a node less and that node joined to some of the others. Isomorphic ones are found
    by a hash of what color refinement says after each node in turn was marked; the number of classes that it finds is
    the known number, so it takes no two graphs for one.

    Args:
        num_nodes: N, 1 to 8: 1, 1, 2, 6, 21, 112, 853 and 11,117 graphs.
    Raises: ValueError for another number.
    """
    if not 1 <= num_nodes <= len(NUM_CONNECTED):
        raise ValueError(f"num_nodes must be 1 to {len(NUM_CONNECTED)}, got {num_nodes}")
    if num_nodes == 1:
        return torch.zeros(1, 1, 1, dtype=torch.long)
    smaller = connected_graphs(num_nodes - 1)
    choices = torch.arange(1, 2 ** (num_nodes - 1))
    joined = (choices[:, None] >> torch.arange(num_nodes - 1)) & 1
    graphs = smaller.new_zeros(len(smaller), len(joined), num_nodes, num_nodes)
    graphs[..., :-1, :-1] = smaller[:, None]
    graphs[..., -1, :-1] = graphs[..., :-1, -1] = joined
    graphs = graphs.flatten(0, 1)
    classes = _marked_hash(graphs)
    order = classes.argsort(stable=True)
    is_first = torch.ones_like(order, dtype=torch.bool)
    is_first[1:] = classes[order].diff() != 0
    found = graphs[order[is_first].sort().values]
    assert len(found) == NUM_CONNECTED[num_nodes - 1], f"{len(found)} graphs on {num_nodes} nodes: a hash collides"
    return found


def refinement_hash(adjacency: Int[Tensor, "M N N"]) -> Int[Tensor, " M"]:
    """A number for each graph that two share if and only if color refinement (1-WL) cannot tell them apart.

    Nodes begin with one color; in each of N rounds a node gets a new one for its own and the multiset of those of its
    neighbors. Multisets are hashed to 64 bits; two different ones are taken for one with a probability of 1e-19.
    """
    return _refined(adjacency, torch.zeros(len(adjacency), 1, adjacency.shape[-1], dtype=torch.long)).squeeze(1)


def equivalent_pairs(adjacency: Int[Tensor, "M N N"]) -> Int[Tensor, "P 2"]:
    """The pairs of graphs that color refinement cannot tell apart, the smaller index first."""
    same = refinement_hash(adjacency)
    found = [
        torch.combinations(indices)
        for value in same.unique()
        if len(indices := (same == value).nonzero().flatten()) > 1
    ]
    return torch.cat(found) if found else torch.zeros(0, 2, dtype=torch.long)


def regular_graphs_dataset(
    size: int, *, num_nodes: int = 12, degrees: tuple[int, ...] = (2, 3), seed: int = 0, split: str = "train"
) -> RowDataset:
    """Random regular graphs, half of them connected (label 0) and half in two parts (label 1), nodes in random order.

    All nodes of all graphs of one degree look the same to color refinement, and as many of them are connected as not:
    whatever is bounded by it is right in one half of the cases, and an equivariant score is the same for all nodes.

    Args:
        size: number of graphs.
        num_nodes: N; each part has half of them at most, and more than ``degree``.
        degrees: of the nodes of a graph; degrees and labels come in turn.
        seed, split: name the random stream.
    Returns: ``adjacency`` (B, N, N), which `PairPermutation` moves, and ``label`` (B,).
    Raises: ValueError for a size below 1, or a degree with which no graph of two parts exists.
    """
    parts = {degree: _part_sizes(num_nodes, degree) for degree in degrees}
    if size < 1 or not degrees or not all(parts.values()):
        raise ValueError(
            f"size must be at least 1, and graphs of {num_nodes} nodes in two parts exist for some degrees only: got "
            f"{size=} and {degrees=}; 2 and 3 go with 12 nodes"
        )
    rng = seeded("regular graphs", seed, split)
    adjacency = torch.zeros(size, num_nodes, num_nodes, dtype=torch.float64)
    label = torch.arange(size) % 2
    for index in range(size):
        degree = degrees[index // 2 % len(degrees)]
        whole = _connected_regular(num_nodes, degree, rng) if label[index] == 0 else None
        if whole is None:
            first = parts[degree][int(torch.randint(len(parts[degree]), (), generator=rng))]
            whole = torch.block_diag(*[_connected_regular(nodes, degree, rng) for nodes in (first, num_nodes - first)])
        order = torch.randperm(num_nodes, generator=rng)
        adjacency[index] = whole[order][:, order]
    fields = {"adjacency": Field(PairPermutation(), level="cloud"), "label": Field(Scalar(), level="cloud")}
    return RowDataset({"adjacency": adjacency, "label": label}, fields)


def _part_sizes(num_nodes: int, degree: int) -> list[int]:
    """Sizes of the smaller of two parts for which a regular graph exists."""
    return [
        size
        for size in range(degree + 1, num_nodes // 2 + 1)
        if degree >= 2 and size * degree % 2 == 0 and (num_nodes - size) * degree % 2 == 0
    ]


def _connected_regular(num_nodes: int, degree: int, rng: torch.Generator) -> Float[Tensor, "N N"]:
    """Ends of edges paired at random, until no edge is a loop or double, and the graph is connected."""
    eye = torch.eye(num_nodes, dtype=torch.float64)
    ends = torch.arange(num_nodes).repeat_interleave(degree)
    while True:
        source, target = ends[torch.randperm(len(ends), generator=rng)].view(-1, 2).T
        half = torch.zeros_like(eye).index_put((source, target), torch.ones(len(source)).double(), accumulate=True)
        whole = half + half.T
        is_simple = float(whole.max()) == 1 and not bool(whole.diagonal().any())
        if is_simple and bool((torch.linalg.matrix_power(whole + eye, num_nodes) > 0).all()):
            return whole


def _marked_hash(adjacency: Int[Tensor, "M N N"]) -> Int[Tensor, " M"]:
    """The multiset of what color refinement says of a graph with each of its nodes marked."""
    eye = torch.eye(adjacency.shape[-1], dtype=torch.long)
    return _mixed(_refined(adjacency, eye.expand(len(adjacency), -1, -1))).sum(dim=1)


def _refined(adjacency: Int[Tensor, "M N N"], colors: Int[Tensor, "M K N"]) -> Int[Tensor, "M K"]:
    """The hash of the colors after N rounds of refinement, for each of K first colorings."""
    for _ in range(adjacency.shape[-1]):
        own, neighbors = _mixed(colors), _mixed(colors) @ adjacency
        colors = 3 * own + _mixed(neighbors)
    return _mixed(colors).sum(dim=-1)


def _mixed(values: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
    """Numbers that look random for different ones, after the generator splitmix64 (arithmetic shifts)."""
    values = values + 1
    for shift, multiplier in zip((30, 27), _MULTIPLIERS):
        values = (values ^ (values >> shift)) * multiplier
    return values ^ (values >> 31)
