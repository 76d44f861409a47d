"""Kernels on edges: evaluated at every edge, or tabulated on a grid of the attribute domain and interpolated."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import Graph
from rapidash.nn._check_types import check_types
from rapidash.ops import Backend, Interpolation, edge_conv, keep_points, linear, orbit_table_conv, table_conv


@dataclass(frozen=True)
class EdgeKernel(ABC):
    """The kernel basis of one set of edges: made once in a forward pass, turned into a kernel by each layer.

    Args:
        graph: the edges.
        offset: d = x_source - x_target of each edge, for kernels that are odd in it.
        window: factor of each edge that goes to 0 at a cutoff, or None.
        backend: which implementation of the convolution to run.
        pos: positions of the targets, for a layer that may see more than offsets; None where they are not at hand.
    """

    graph: Graph
    offset: Float[Tensor, "E D"]
    window: Float[Tensor, " E"] | None
    backend: Backend
    pos: Float[Tensor, "T D"] | None = field(default=None, kw_only=True)

    @abstractmethod
    def kernel(self, weight: Float[Tensor, "C basis"]) -> Tensor:
        """The kernel of a layer, from its coefficients in the basis."""

    @abstractmethod
    def _conv(self, x: Tensor, kernel: Tensor, edge_weight: Tensor | None) -> Tensor:
        """Sum over edges of edge_weight * kernel * x_source."""

    @abstractmethod
    def permuted(self, graph: Graph, order: Int[Tensor, " E"]) -> "EdgeKernel":
        """The same attributes on another graph over the same edges, e.g. with every edge reversed."""

    def conv(self, x: Float[Tensor, "S O C"], weight: Float[Tensor, "C basis"]) -> Float[Tensor, "T O C"]:
        """sum_j window_ij (W phi(a_ij,a)) * x_j(o_a) at every target i."""
        return self._conv(x, self.kernel(weight), self.window)

    def vector_conv(self, x: Float[Tensor, "S O C"], weight: Float[Tensor, "C basis"]) -> Float[Tensor, "D T O C"]:
        """sum_j window_ij d_ij (W phi(a_ij,a)) * x_j(o_a): one signal for each component of the offset."""
        kernel = self.kernel(weight)
        return torch.stack([self._conv(x, kernel, factor) for factor in self._components()])

    def orbit_conv(
        self, x: Float[Tensor, "S O C"], weights: Float[Tensor, "K C basis"], orbits: Int[Tensor, " O"]
    ) -> Float[Tensor, "T O C"]:
        """`conv` with other coefficients for every orbit of orientations: those of orientation a are row orbits[a]."""
        return self._orbit_conv(x, self._orbit_kernels(weights, orbits), orbits, self.window)

    def orbit_vector_conv(
        self, x: Float[Tensor, "S O C"], weights: Float[Tensor, "K C basis"], orbits: Int[Tensor, " O"]
    ) -> Float[Tensor, "D T O C"]:
        """`vector_conv` with other coefficients for every orbit of orientations, as `orbit_conv`."""
        kernels = self._orbit_kernels(weights, orbits)
        return torch.stack([self._orbit_conv(x, kernels, orbits, factor) for factor in self._components()])

    @abstractmethod
    def _orbit_kernels(self, weights: Tensor, orbits: Tensor) -> Tensor:
        """The kernels of all orbits in the form that `_orbit_conv` takes."""

    @abstractmethod
    def _orbit_conv(self, x: Tensor, kernels: Tensor, orbits: Tensor, edge_weight: Tensor | None) -> Tensor:
        """`_conv` with the kernels of all orbits."""

    def _linear(self, basis: Tensor, weight: Tensor) -> Tensor:
        """basis W^T, by torch alone where this is a definition."""
        return nn.functional.linear(basis, weight) if self.backend == "reference" else linear(basis, weight)

    def _components(self) -> list[Tensor]:
        """For each axis the factor of every edge: the component of its offset, in its window."""
        factors = self.offset if self.window is None else self.offset * self.window[:, None]
        return [factor.contiguous() for factor in factors.unbind(dim=1)]


@dataclass(frozen=True)
class ExactKernel(EdgeKernel):
    """The definition: the basis evaluated at every edge, (E, O, basis)."""

    basis: Float[Tensor, "E O basis"]

    def kernel(self, weight: Float[Tensor, "C basis"]) -> Float[Tensor, "E O C"]:
        """Values at every edge and orientation."""
        check_types("layer", weight, {"basis": self.basis})
        return self._linear(self.basis, weight)

    def _conv(self, x: Tensor, kernel: Tensor, edge_weight: Tensor | None) -> Tensor:
        return edge_conv(x, kernel, self.graph, edge_weight=edge_weight, backend=self.backend)

    def _orbit_kernels(self, weights: Tensor, orbits: Tensor) -> Float[Tensor, "E O C"]:
        """Values at every edge and orientation, each with the coefficients of its orbit."""
        check_types("layer", weights, {"basis": self.basis})
        return torch.einsum("eok,ock->eoc", self.basis, weights[orbits])

    def _orbit_conv(self, x: Tensor, kernels: Tensor, orbits: Tensor, edge_weight: Tensor | None) -> Tensor:
        return self._conv(x, kernels, edge_weight)

    def permuted(self, graph: Graph, order: Int[Tensor, " E"]) -> "ExactKernel":
        """See `EdgeKernel.permuted`."""
        window = None if self.window is None else self.window[order]
        return replace(self, pos=None, graph=graph, offset=self.offset[order], window=window, basis=self.basis[order])


@dataclass(frozen=True)
class TabulatedKernel(EdgeKernel):
    """The basis at the nodes of a coarse grid; the kernel is refined to a table, which is interpolated at the edges.

    Args:
        refine: for each axis, the matrix from values at the coarse nodes to those at the nodes of the table.
        attributes: of every edge and orientation.
        locate: from attributes to coordinates in units of nodes.
        coords: ``locate(attributes)``, used by every layer; they must not change.
        interpolation: between the nodes of the table.
        basis: at the coarse nodes.
    """

    refine: tuple[Float[Tensor, "_ _"], ...]
    attributes: Float[Tensor, "E O axes"]
    locate: Callable[[Tensor], Tensor]
    coords: Float[Tensor, "E O axes"]
    interpolation: Interpolation
    basis: Float[Tensor, "*nodes basis"]

    def __post_init__(self) -> None:
        keep_points(self.coords)

    def kernel(self, weight: Float[Tensor, "C basis"]) -> Float[Tensor, "*nodes C"]:
        """Values at the nodes of the fine table."""
        return self._refined(weight, self.basis)

    def _orbit_kernels(self, weights: Tensor, orbits: Tensor) -> Float[Tensor, "K *nodes C"]:
        """The table of every orbit, all refined at once."""
        return self.kernel(weights.flatten(0, 1)).unflatten(-1, weights.shape[:2]).movedim(-2, 0)

    def _orbit_conv(self, x: Tensor, kernels: Tensor, orbits: Tensor, edge_weight: Tensor | None) -> Tensor:
        return orbit_table_conv(
            x,
            kernels,
            self.coords,
            self.graph,
            orbits,
            interpolation=self.interpolation,
            edge_weight=edge_weight,
            backend=self.backend,
        )

    def _refined(self, weight: Tensor, basis: Tensor) -> Tensor:
        coarse = self._linear(basis, weight)
        if len(self.refine) == 1:
            return self.refine[0] @ coarse
        rows = torch.einsum("vn,nmc->vmc", self.refine[0], coarse)
        return torch.matmul(self.refine[1], rows)

    def _conv(self, x: Tensor, kernel: Tensor, edge_weight: Tensor | None) -> Tensor:
        return table_conv(
            x,
            kernel,
            self.coords,
            self.graph,
            interpolation=self.interpolation,
            edge_weight=edge_weight,
            backend=self.backend,
        )

    def permuted(self, graph: Graph, order: Int[Tensor, " E"]) -> "TabulatedKernel":
        """See `EdgeKernel.permuted`."""
        window = None if self.window is None else self.window[order]
        attributes, coords = self.attributes[order], self.coords[order]
        offset = self.offset[order]
        return replace(self, graph=graph, offset=offset, window=window, pos=None, attributes=attributes, coords=coords)

    def with_attributes(self, attributes: Float[Tensor, "E O axes"]) -> "TabulatedKernel":
        """The same kernel at other attributes of the edges."""
        return replace(self, attributes=attributes, coords=self.locate(attributes))
