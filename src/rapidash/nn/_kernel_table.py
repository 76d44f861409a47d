"""The grid on which kernels are tabulated, and the tables kept for inference."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.geometry import Graph, is_watched, node_attributes, node_coordinates, refinement_matrix, safe_norm
from rapidash.nn._kept import are_same, copies
from rapidash.nn._kernel import TabulatedKernel
from rapidash.nn._kernel_basis import KernelBasis
from rapidash.ops import Backend, Interpolation, KeptTable, product_settings


@dataclass(frozen=True)
class CachedKernel(TabulatedKernel):
    """A tabulated kernel without gradients whose tables are made once and kept until a weight changes."""

    basis: None  # type: ignore[assignment]  # made when a table is missing
    reach: float
    make_basis: Callable[[], Tensor]
    tables: dict[Hashable, tuple[list[Tensor], KeptTable]]

    def kernel(self, weight: Float[Tensor, "C basis"]) -> Float[Tensor, "*nodes C"] | KeptTable:  # type: ignore[override]
        """See `TabulatedKernel.kernel`; kept for weights that are a layer's own, not for what is made of them."""
        if not isinstance(weight, nn.Parameter):
            return self._refined(weight, self.make_basis())
        key = id(weight), self.reach
        kept = self.tables.get(key)  # read once: another thread may write it
        if kept is None or not are_same([weight], kept[0]):
            kept = self.tables[key] = copies([weight]), KeptTable(self._refined(weight, self.make_basis()))
        return kept[1]


class KernelTable(nn.Module):
    r"""A grid over the attributes [-R, R] (signed ones) and [0, R], finer near 0, for kernels on one or two attributes.

    The kernel basis is evaluated at the nodes of a grid with half as many nodes along each axis (a quarter on a single
    axis); each layer's kernel is refined from there by cubic splines, and interpolated between the fine nodes.
    Without gradients, and within the calibrated range, the tables are made once and kept until a weight changes, or
    what multiplies them, or a pass with gradients comes. In transforms, and where torch looks on, none is kept or used.

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
        # `product_settings` and the weights of the kernel basis, as they were in the tables, and the tables
        self._kept: tuple[tuple[str, ...], list[Tensor], dict[Hashable, tuple[list[Tensor], KeptTable]]] | None = None
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
        calibrated, seen = reach.to(offset), seen * (1 + 1e-5)
        weights = tuple(basis.parameters())
        is_kept = not (
            is_watched(offset, *weights) or torch.is_grad_enabled() or torch.is_autocast_enabled(offset.device.type)
        ) and bool((seen <= calibrated) & (seen > 0))
        reach = calibrated if is_kept else torch.maximum(calibrated, seen)
        if not is_kept:
            reach = torch.where(reach > 0, reach, torch.ones_like(reach))
        refine = tuple(self.get_buffer(f"refine_{axis}").to(offset) for axis in range(len(self.signed)))
        locate = partial(node_coordinates, reach=reach, num_nodes=self.num_nodes, signed=self.signed)

        def make_basis() -> Tensor:
            # not called: hooks that watch the layers see what depends on the points, and the nodes do not
            nodes = self.get_buffer("nodes").to(offset) * reach
            return basis.forward(nodes, backend) if type(basis) is KernelBasis else basis.forward(nodes)

        plain = graph, offset, window, backend, refine, attributes, locate, locate(attributes), self.interpolation
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self._kept = None  # an optimizer step may follow, and a fused one does not tell the weights that it did
        if not is_kept:
            return TabulatedKernel(*plain, make_basis())
        settings, kept = product_settings(), self._kept  # read once: another thread may write it
        if kept is None or kept[0] != settings or not are_same(weights, kept[1]):
            kept = self._kept = settings, copies(weights), {}
        return CachedKernel(*plain, None, float(calibrated), make_basis, kept[2])

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the tables: a copy of the module makes its own."""
        return {**self.__dict__, "_kept": None}
