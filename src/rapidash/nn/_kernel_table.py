"""The grid on which kernels are tabulated."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.geometry import Graph, node_attributes, node_coordinates, refinement_matrix, safe_norm
from rapidash.nn._kernel import TabulatedKernel
from rapidash.nn._kernel_basis import KernelBasis
from rapidash.ops import Backend, Interpolation


class KernelTable(nn.Module):
    r"""A regular grid over the attributes [-R, R] (signed ones) and [0, R], for kernels on one or two attributes.

    The kernel basis is evaluated at the nodes of a grid with half as many nodes along each axis (a quarter on a single
    axis); each layer's kernel is refined from there by cubic splines, and interpolated between the fine nodes.

    Args:
        table_size: nodes along a positive attribute; twice as many along a signed one, eight times on a single axis.
        signed: which attributes take both signs.
        interpolation: between the nodes, ``"linear"`` (error of second order) or ``"cubic"`` (fourth).
    Raises: ValueError for fewer than 8 nodes.
    """

    def __init__(self, table_size: int, signed: tuple[bool, ...], interpolation: Interpolation) -> None:
        super().__init__()
        if table_size < 8:
            raise ValueError(f"table_size must be at least 8 nodes, got {table_size}")
        self.signed, self.interpolation = signed, interpolation
        if len(signed) == 1:
            self.num_nodes: tuple[int, ...] = (8 * table_size,)
            num_coarse: tuple[int, ...] = (2 * table_size,)
        else:
            self.num_nodes = tuple(2 * table_size if both else table_size for both in signed)
            num_coarse = tuple(num // 2 for num in self.num_nodes)
        self.register_buffer("nodes", node_attributes(num_coarse, signed), persistent=False)
        for axis, sizes in enumerate(zip(num_coarse, self.num_nodes)):
            self.register_buffer(f"refine_{axis}", refinement_matrix(*sizes), persistent=False)

    def forward(
        self,
        basis: KernelBasis,
        graph: Graph,
        offset: Float[Tensor, "E D"],
        window: Float[Tensor, " E"] | None,
        attributes: Float[Tensor, "E O axes"],
        reach: Float[Tensor, ""],
        backend: Backend,
    ) -> TabulatedKernel:
        """Tabulate over the larger of ``reach`` and the longest offset, so that no edge falls off the table."""
        seen = safe_norm(offset.detach()).max() if graph.num_edges else offset.new_zeros(())
        reach = torch.maximum(reach.to(offset), seen * (1 + 1e-5))
        reach = torch.where(reach > 0, reach, torch.ones_like(reach))
        return TabulatedKernel(
            graph,
            offset,
            window,
            backend,
            basis(self.get_buffer("nodes").to(offset) * reach),
            tuple(self.get_buffer(f"refine_{axis}").to(offset) for axis in range(len(self.signed))),
            node_coordinates(attributes, reach, self.num_nodes, self.signed),
            self.interpolation,
        )
