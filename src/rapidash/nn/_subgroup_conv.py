"""The separable group convolution of a Rapidash block with kernels for every orbit of a subgroup."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.nn._group_conv import GroupConv
from rapidash.nn._kernel import EdgeKernel
from rapidash.nn._orbit_tables import OrbitTables, Tables, first_of_each, untied
from rapidash.ops import linear


class SubgroupConv(GroupConv):
    r"""`GroupConv` with kernels of its own for every orbit of a subgroup H of the motions of the orientation grid.

    .. math::
        m_i(o_a) &= \sum_{j \in N(i)} (K_{[a]} \phi(a_{ij,a})) * f_j(o_a) \\
        y_i(o_b) &= \tfrac{1}{O} \sum_a (F_{[b, a]} \phi_s(o_a \cdot o_b)) * m_i(o_a) + \text{bias}

    [a] is the orbit of an orientation under H, [b, a] that of a pair; the kernels of pair scalars and of the part that
    is odd in det(d, o_a, o_b) have one table for each orbit too. Where all tables of a kernel are equal it is
    `GroupConv`.

    Symmetry: the motions of the grid that take every pair of orientations to one of the same orbit, H among them.
    Args:
        conv: the convolution, also one of a larger subgroup, whose function and calibration the new one has.
        orbits: for every orientation the number of its orbit.
        pair_orbits: for every pair of orientations, output before input, the number of its orbit.
        can_tie: tables can be tied, and a saved layer has its ties, see `OrbitTables`.
    Shape: as `GroupConv`.
    Raises: ValueError for a convolution without orientations, or orbits that divide those of the given one.
    Source: Maile et al., "Equivariance-aware architectural optimization of neural networks", ICLR 2023, arXiv
        2210.05484, of images; on orientation grids ours. From the equations.
    """

    def __init__(
        self, conv: GroupConv, orbits: Int[Tensor, " O"], pair_orbits: Int[Tensor, "O O"], *, can_tie: bool = False
    ) -> None:
        nn.Module.__init__(self)
        if conv.fiber_kernel is None:
            raise ValueError("a convolution on R^D has no orientations that a subgroup could tell apart")
        on_grid, on_pairs = orbits.flatten(), pair_orbits.flatten()
        self.kernel = untied(conv.kernel, on_grid, can_tie)  # type: ignore[assignment]
        self.fiber_kernel = untied(conv.fiber_kernel, on_pairs, can_tie)  # type: ignore[assignment]
        self.pair_kernels = nn.ModuleList(untied(kernel, on_grid, can_tie) for kernel in conv.pair_kernels)
        self.odd_kernel = self.odd_fiber_kernel = None
        if conv.odd_kernel is not None and conv.odd_fiber_kernel is not None:
            self.odd_kernel = untied(conv.odd_kernel, on_grid, can_tie)  # type: ignore[assignment]
            self.odd_fiber_kernel = untied(conv.odd_fiber_kernel, on_pairs, can_tie)  # type: ignore[assignment]
        self.bias = nn.Parameter(conv.bias.detach().clone())
        self.register_buffer("representatives", first_of_each(pair_orbits.flatten()), persistent=False)

    def draw(self) -> None:
        """Fresh weights for the kernel of every orbit."""
        for tables in self.modules():
            if isinstance(tables, OrbitTables):
                tables.draw(tables.weight.shape[-1])

    def tie(self, orbits: Int[Tensor, " O"], pair_orbits: Int[Tensor, "O O"]) -> None:
        """Tie the tables of the orbits of a larger subgroup; all of them if there is one label, see `OrbitTables.tie`.

        Raises: ValueError for orbits that divide those that have tables.
        """
        for tables in (self.kernel, *self.pair_kernels, self.odd_kernel):
            if isinstance(tables, OrbitTables):
                tables.tie(orbits.flatten())
        for tables in (self.fiber_kernel, self.odd_fiber_kernel):
            if isinstance(tables, OrbitTables):
                tables.tie(pair_orbits.flatten())

    def _spatial(self, x: Tensor, edges: EdgeKernel, pairs: tuple[Tensor, Tensor] | None) -> Tensor:
        out = edges.orbit_conv(x, *self.kernel())
        if pairs is not None:
            for p, kernel in enumerate(self.pair_kernels):
                source, target = (scalar[:, p, None, None] for scalar in pairs)
                out = out + target * edges.orbit_conv(source * x, *kernel())
        return out

    def _moments(self, x: Tensor, edges: EdgeKernel) -> Tensor:
        assert self.odd_kernel is not None
        return edges.orbit_vector_conv(x, *self.odd_kernel())

    def _on_pairs(self, tables: nn.Module, fiber_basis: Float[Tensor, "O O basis"]) -> Float[Tensor, "O O C"]:
        """The kernel of every pair of orientations; all of one orbit have the same value, computed once."""
        assert isinstance(tables, Tables)
        weights, _ = tables()
        if len(weights) == 1:  # that of the whole group, for all its orbits
            return linear(fiber_basis, weights[0])
        basis = fiber_basis.flatten(0, 1)[self.get_buffer("representatives")]
        values = torch.einsum("pk,pck->pc", basis, tables.expanded())
        return values[tables.orbits].unflatten(0, fiber_basis.shape[:2])

    def _rescale(self, kernel: nn.Module, factor: Tensor) -> None:
        assert isinstance(kernel, Tables)
        kernel.rescale(factor)
