"""The graphs of a multi-scale network: edges at every scale, and the edges that lead from each scale to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry._edges import EdgeRule
from rapidash.geometry._graph import Graph
from rapidash.geometry._neighbors import nearest_sample_edges
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
    """

    graphs: tuple[Graph, ...]
    down: tuple[Graph, ...]
    samples: tuple[Int[Tensor, " _"], ...]
    batch: tuple[Int[Tensor, " _"], ...]
    num_clouds: int

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
) -> Hierarchy:
    """Connect a batch of clouds at every scale.

    Args:
        rules: edge rule of each scale.
        ratios: share of points kept from each scale to the next, one fewer than rules.
        num_clouds: B, read off ``batch`` when absent.
        generator: makes farthest point sampling start at a random point; without it, at point 0 of each cloud.
    """
    if len(ratios) != len(rules) - 1:
        raise ValueError(f"{len(rules)} scales need {len(rules) - 1} ratios, got {len(ratios)}")
    pos = pos.detach()
    graphs, down, samples, batches = [], [], [], [batch]
    for scale, rule in enumerate(rules):
        graphs.append(Graph.from_edge_index(rule(pos, batch), len(pos), len(pos)))
        if scale < len(ratios):
            index = farthest_point_sample(pos, batch, ratios[scale], generator=generator)
            edges = nearest_sample_edges(pos, batch, index)
            down.append(Graph.from_edge_index(edges, len(pos), len(index)))
            samples.append(index)
            pos, batch = pos[index], batch[index]
            batches.append(batch)
    if num_clouds is None:
        num_clouds = int(batches[0][-1]) + 1
    return Hierarchy(tuple(graphs), tuple(down), tuple(samples), tuple(batches), num_clouds)
