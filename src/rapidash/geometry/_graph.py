"""A bipartite graph in compressed form: the edges of one convolution, sorted once and shared by all layers."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from rapidash.geometry._arrays import has_arrays
from rapidash.geometry._transforms import is_watched


@dataclass(frozen=True)
class Graph:
    """Edges source -> target, sorted by target (ties: by source), with the start of every target's segment.

    Args:
        source: index of the source point of each edge, in [0, num_sources).
        target: index of the target point of each edge, in [0, num_targets), non-decreasing.
        row_ptr: edges of target i are ``row_ptr[i] : row_ptr[i + 1]``.
        num_sources: number of source points.
        num_targets: number of target points.
    """

    source: Int[Tensor, " E"]
    target: Int[Tensor, " E"]
    row_ptr: Int[Tensor, " T1"]
    num_sources: int
    num_targets: int

    @classmethod
    def from_edge_index(cls, edge_index: Int[Tensor, "2 E"], num_sources: int, num_targets: int) -> "Graph":
        """Sort an edge list (rows: source, target) by target, then by source.

        The values are read for the check, from CUDA by one transfer, but not while they are traced or transformed.
        Raises: ValueError for edges that are not (2, E) of int64, or that name a point which is not there.
        """
        _check_edges(edge_index, num_sources, num_targets)
        return cls.from_valid_edges(edge_index, num_sources, num_targets)

    @classmethod
    def from_valid_edges(cls, edge_index: Int[Tensor, "2 E"], num_sources: int, num_targets: int) -> "Graph":
        """The same for edges whose values need no check, such as those of a search: nothing waits for the device."""
        source, target = edge_index
        if has_arrays(source, target):
            from rapidash.geometry._clouds_numba import sorted_row_ptr

            row_ptr = target.new_empty(num_targets + 1)
            if sorted_row_ptr(source.numpy(), target.numpy(), row_ptr.numpy()):
                return cls(source.clone(), target.clone(), row_ptr, num_sources, num_targets)
        order = torch.argsort(target * max(num_sources, 1) + source, stable=True)
        source, target = source[order].contiguous(), target[order].contiguous()
        nodes = torch.arange(num_targets + 1, device=target.device)
        return cls(source, target, torch.searchsorted(target, nodes), num_sources, num_targets)

    @property
    def num_edges(self) -> int:
        """Number of edges E."""
        return self.source.shape[0]

    @property
    def edge_index(self) -> Int[Tensor, "2 E"]:
        """Edge list in the order of this graph, rows source and target."""
        return torch.stack([self.source, self.target])

    @cached_property
    def transposed_order(self) -> Int[Tensor, " E"]:
        """Permutation that sorts the edges by source (stable), for passes over the transposed graph."""
        return torch.argsort(self.source, stable=True)

    @cached_property
    def col_ptr(self) -> Int[Tensor, " S1"]:
        """Edges of source j are ``transposed_order[col_ptr[j] : col_ptr[j + 1]]``."""
        nodes = torch.arange(self.num_sources + 1, device=self.source.device)
        return torch.searchsorted(self.source[self.transposed_order].contiguous(), nodes)

    def flip(self) -> tuple["Graph", Int[Tensor, " E"]]:
        """The graph with every edge reversed, and the permutation that takes edge attributes to its order."""
        order = torch.argsort(self.source * max(self.num_targets, 1) + self.target, stable=True)
        source, target = self.target[order].contiguous(), self.source[order].contiguous()
        nodes = torch.arange(self.num_sources + 1, device=target.device)
        graph = Graph(source, target, torch.searchsorted(target, nodes), self.num_targets, self.num_sources)
        return graph, order


def _check_edges(edge_index: Tensor, num_sources: int, num_targets: int) -> None:
    """Raise ValueError unless both rows are int64 and every number is that of a point."""
    if not isinstance(edge_index, Tensor):
        raise ValueError(f"edge_index must be a torch.Tensor, got {type(edge_index).__name__}")
    if edge_index.dim() != 2 or len(edge_index) != 2:
        raise ValueError(f"edge_index must be (2, E), rows source and target, got shape {tuple(edge_index.shape)}")
    if edge_index.dtype != torch.int64:
        raise ValueError(f"edge_index must hold int64, got {edge_index.dtype}: convert it with .long()")
    if is_watched(edge_index) or edge_index.numel() == 0:
        return
    lowest, highest = torch.stack(edge_index.aminmax(dim=1)).tolist()  # one transfer from the device
    for row, (name, size) in enumerate((("source", num_sources), ("target", num_targets))):
        if lowest[row] < 0 or highest[row] >= size:
            ends = edge_index[row]
            edge = int(((ends < 0) | (ends >= size)).nonzero()[0])
            raise ValueError(
                f"edge_index[{row}] must name {name} points in [0, {size}), got {int(ends[edge])} at edge {edge}"
            )


torch.export.register_dataclass(Graph, serialized_type_name="rapidash.Graph")
