"""The graphs of a multi-scale network: edges at every scale, and the edges that lead from each scale to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry._edges import KNN, EdgeRule, FullyConnected, Radius
from rapidash.geometry._graph import Graph
from rapidash.geometry._neighbors import nearest_sample_edges
from rapidash.geometry._periodic import Cell, periodic_radius_edges
from rapidash.geometry._sampling import farthest_point_sample
from rapidash.geometry._transforms import on_values


@dataclass(frozen=True)
class Hierarchy:
    """Topology of one batch, built once and shared by all layers; it carries no gradient.

    Args:
        graphs: edges among the points of every scale, finest first.
        down: edges from every point of a scale to its nearest sampled point, one graph between two scales.
        samples: for every scale but the first, the index in the finer scale of each of its points.
        batch: for every scale the cloud of each point.
        num_clouds: B.
        shift: of periodic structures, by how many cells the source of each edge is moved along every cell vector.
    """

    graphs: tuple[Graph, ...]
    down: tuple[Graph, ...]
    samples: tuple[Int[Tensor, " _"], ...]
    batch: tuple[Int[Tensor, " _"], ...]
    num_clouds: int
    shift: Int[Tensor, "E D"] | None = None

    @cached_property
    def up(self) -> tuple[tuple[Graph, Int[Tensor, " E"]], ...]:
        """The edges of `down` reversed, with the permutation that takes their attributes along."""
        return tuple(graph.flip() for graph in self.down)

    def positions(self, pos: Float[Tensor, "N D"]) -> list[Float[Tensor, "_ D"]]:
        """Positions of the points of every scale, differentiable in the given ones."""
        scales = [pos]
        for index in self.samples:
            scales.append(scales[-1][index])
        return scales


_OWN_RULES = (FullyConnected, KNN, Radius)  # whose edges need no check

torch.export.register_dataclass(Hierarchy, serialized_type_name="rapidash.Hierarchy")


@on_values
def build_hierarchy(
    pos: Float[Tensor, "N D"],
    batch: Int[Tensor, " N"],
    rules: Sequence[EdgeRule],
    ratios: Sequence[float],
    *,
    num_clouds: int | None = None,
    generator: torch.Generator | None = None,
    cell: Cell | None = None,
) -> Hierarchy:
    """Connect a batch of clouds at every scale, or one of periodic structures at one scale.

    Args:
        rules: edge rule of each scale.
        ratios: share of points kept from each scale to the next, one fewer than rules.
        num_clouds: B, read off ``batch`` when absent.
        generator: makes farthest point sampling start at a random point; without it, at point 0 of each cloud.
        cell: of periodic structures, whose edges must be those within a radius.
    Raises: ValueError for a number of ratios that does not fit, for other edges or several scales with a cell, or for
        edges of a rule of yours that are not (2, E) of int64 or name points that are not there.
    """
    if len(ratios) != len(rules) - 1:
        raise ValueError(f"{len(rules)} scales need {len(rules) - 1} ratios, got {len(ratios)}")
    pos = pos.detach()
    if cell is not None:
        return _periodic(pos, batch, rules, cell)
    graphs, down, samples, batches = [], [], [], [batch]
    for scale, rule in enumerate(rules):
        connect = Graph.from_valid_edges if type(rule) in _OWN_RULES else Graph.from_edge_index
        graphs.append(connect(rule(pos, batch), len(pos), len(pos)))
        if scale < len(ratios):
            index = farthest_point_sample(pos, batch, ratios[scale], generator=generator)
            edges = nearest_sample_edges(pos, batch, index)
            down.append(Graph.from_valid_edges(edges, len(pos), len(index)))
            samples.append(index)
            pos, batch = pos[index], batch[index]
            batches.append(batch)
    if num_clouds is None:
        num_clouds = int(batches[0][-1]) + 1
    return Hierarchy(tuple(graphs), tuple(down), tuple(samples), tuple(batches), num_clouds)


def _periodic(pos: Tensor, batch: Tensor, rules: Sequence[EdgeRule], cell: Cell) -> Hierarchy:
    """The edges of periodic structures."""
    rule = rules[0]
    if len(rules) > 1 or not isinstance(rule, Radius):
        names = ", ".join(map(str, rules))
        raise ValueError(f"a cell needs edges within a radius on one scale, such as edges='radius-5.0', got {names}")
    found = periodic_radius_edges(pos, batch, rule.r, cell)
    graph = Graph.from_valid_edges(found.edges, len(pos), len(pos))  # a stable sort, which leaves the order as it is
    return Hierarchy((graph,), (), (), (batch,), len(cell.vectors), found.shift)
