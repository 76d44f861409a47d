"""From hidden features to scalars, vectors and tensors, per point or per cloud."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.geometry import Hierarchy, PairInvariants
from rapidash.models._pooling import pool_points
from rapidash.nn import ConvNextBlock, EdgeKernel, project_scalars, project_tensors, project_vectors


class Readout(nn.Module):
    r"""Linear to scalars, vectors and symmetric tensors of rank 2; pooling over points for graph-level outputs.

    On R^D x S^(D-1) scalars are averaged over orientations and vectors are (1/O) sum_a y(o_a) o_a. On R^D with
    translations only, a vector is D scalars. On R^D with rotations a vector is a sum along relative positions,

    .. math:: v_i = \sum_c G_c(f_i) \sum_{j \in N(i)} d_{ij} (K \phi(a_{ij}))_c f_{j,c},

    with gates G linear in the features: the way of EGNN, with the network's kernel in place of an edge MLP.

    A tensor is made of two signals, for its trace and for the rest, see `rapidash.nn.project_tensors`; on R^D with
    translations only, of its D (D + 1) / 2 components. On R^D with rotations there is none.

    Args:
        channels: width of the features.
        out_scalars, out_vectors, out_tensors: number of outputs.
        invariants: what the kernels of the network see.
        basis_dim: number of kernel basis functions.
        level, pool: ``"graph"`` sums (or averages) over the points of each cloud.
    Shape: features (M, O, C) on the points of the last scale -> (M or B, out_scalars), (M or B, out_vectors, D), and
        with tensors (M or B, out_tensors, D, D).
    """

    def __init__(
        self,
        channels: int,
        out_scalars: int,
        out_vectors: int,
        *,
        invariants: PairInvariants,
        basis_dim: int,
        level: Literal["node", "graph"],
        pool: Literal["sum", "mean"],
        out_tensors: int = 0,
    ) -> None:
        super().__init__()
        self.out_tensors = out_tensors
        self.out_scalars, self.out_vectors, self.dim = out_scalars, out_vectors, invariants.group.dim
        self.level, self.pool = level, pool
        self.has_orientations = invariants.has_orientations
        rotates = invariants.group.linear.generators(self.dim).numel() > 0
        uses_edges = bool(out_vectors) and not self.has_orientations and rotates
        if uses_edges and level == "graph":
            raise ValueError(
                "out_vectors at graph level on R^D with rotations: use a space with orientations, or level='node'"
            )
        if out_tensors and rotates and not self.has_orientations:
            raise ValueError(
                f"out_tensors={out_tensors} on R^D with rotations: scalar features cannot make a tensor of rank "
                "2. Use a space with orientations"
            )
        per_tensor = 2 if self.has_orientations else self.dim * (self.dim + 1) // 2
        per_vector = 0 if uses_edges else (1 if self.has_orientations else self.dim)
        self.linear = nn.Linear(channels, out_scalars + per_vector * out_vectors + per_tensor * out_tensors)
        self.edge_kernel = nn.Linear(basis_dim, channels, bias=False) if uses_edges else None
        self.gate = nn.Linear(channels, out_vectors * channels) if uses_edges else None

    def forward(
        self, hidden: Float[Tensor, "M O C"], edges: EdgeKernel, grid: Float[Tensor, "grid D"], hierarchy: Hierarchy
    ) -> tuple[Tensor, ...]:
        """``edges`` are those of the finest scale."""
        values = self.linear(hidden)
        if self.edge_kernel is None or self.gate is None:
            return self.outputs(values, grid, hierarchy)
        moments = edges.vector_conv(hidden, self.edge_kernel.weight).squeeze(2)
        gates = self.gate(hidden.squeeze(1)).unflatten(-1, (self.out_vectors, -1)) / hidden.shape[-1]
        return project_scalars(values), torch.einsum("nvc,dnc->nvd", gates, moments)

    def merges_with(self, block: nn.Module) -> bool:
        """Whether `linear` is all there is, has no more outputs than inputs, and no hook waits for its inputs.

        The product of the block's last linear map and this one is then formed first: cheaper, and the same function.
        """
        if not isinstance(block, ConvNextBlock) or not isinstance(block.linear_2, nn.Linear):
            return False  # a wrapper has no last map of its own, and maps of components have several
        is_watched = any(part._forward_hooks or part._forward_pre_hooks for part in (block, self, self.linear))
        is_plain = type(self.linear) is nn.Linear and self.edge_kernel is None  # another layer may have its own forward
        return is_plain and self.linear.out_features <= self.linear.in_features and not is_watched

    def outputs(
        self, values: Float[Tensor, "M O K"], grid: Float[Tensor, "grid D"], hierarchy: Hierarchy
    ) -> tuple[Tensor, ...]:
        """The outputs of a readout without edges from the values of `linear`."""
        scalars, rest = project_scalars(values[..., : self.out_scalars]), values[..., self.out_scalars :]
        found: tuple[Tensor, ...]
        if self.has_orientations:
            found = (scalars, project_vectors(rest[..., : self.out_vectors], grid))
        else:
            components = rest.squeeze(1)[..., : self.out_vectors * self.dim]
            found = (scalars, components.unflatten(-1, (self.out_vectors, self.dim)))
        if self.out_tensors:
            found = (*found, self._tensors(rest, grid))
        if self.level == "node":
            return found
        clouds = (hierarchy.batch[-1], hierarchy.num_clouds, self.pool)
        return tuple(pool_points(values, *clouds) for values in found)

    def _tensors(self, rest: Float[Tensor, "M O K"], grid: Float[Tensor, "grid D"]) -> Float[Tensor, "M T D D"]:
        """The tensors, whose signals or components come last."""
        num, dim = self.out_tensors, self.dim
        if self.has_orientations:
            trace, traceless = rest[..., -2 * num :].split(num, dim=-1)
            return project_tensors(trace, traceless, grid)
        first, second = torch.triu_indices(dim, dim, device=rest.device)
        components = rest.squeeze(1)[..., self.out_vectors * dim :].unflatten(-1, (num, len(first)))
        full = rest.new_zeros(*components.shape[:-1], dim, dim)
        full[..., first, second] = components
        full[..., second, first] = components
        return full

    @torch.no_grad()
    def calibrate(self, hidden: Float[Tensor, "M O C"], edges: EdgeKernel) -> None:
        """Rescale the kernel of the sums along relative positions so that they have standard deviation 1."""
        if self.edge_kernel is not None:
            spread = edges.vector_conv(hidden, self.edge_kernel.weight).std()
            if torch.isfinite(spread) and spread > 0:
                self.edge_kernel.weight /= spread
