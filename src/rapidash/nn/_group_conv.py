"""The separable group convolution on R^D and R^D x S^(D-1)."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.nn._kept import Kept
from rapidash.nn._kernel import EdgeKernel
from rapidash.ops import spherical_conv


class GroupConv(nn.Module):
    r"""Depthwise separable convolution over points and, if there are orientations, over the sphere.

    .. math::
        m_i(o_a) &= \sum_{j \in N(i)} (K \phi(a_{ij,a})) * f_j(o_a)
            \; + \; \sum_p s_i^p \sum_j (K_p \phi(a_{ij,a})) * s_j^p f_j(o_a) \\
        y_i(o_b) &= \tfrac{1}{O} \sum_a (F \phi_s(o_a \cdot o_b)) * m_i(o_a) + \text{bias}

    ``*`` is per channel; the second sum of m_i is there for pair scalars s^p (e.g. charges: their products then
    modulate the kernel, as an edge attribute does). On R^D the kernel acts on the points only. With ``is_chiral``
    (SE(3) on R^3 x S^2) y_i gains the part of the full kernel on (d, o_a, o_b) that is odd in det(d, o_a, o_b):

    .. math:: \tfrac{1}{O} \sum_a (F' \phi_s(o_a \cdot o_b)) *
              \sum_j \det(d_{ij}, o_a, o_b) (K' \phi(a_{ij,a})) * f_j(o_a)

    Symmetry: every motion that keeps the pair attributes; with orientations, exactly those that also permute the grid.
    Args:
        channels: C, at least 1.
        basis_dim: number of kernel basis functions.
        has_orientations: whether the features live on R^D x S^(D-1).
        is_chiral: add the odd part.
        num_pairs: number of pair scalars.
    Shape: x (S, O, C) -> (T, O, C); O = 1 on R^D.
    Source: Vadgama et al., arXiv 2501.01999; Bekkers et al., ICLR 2024. The odd part and the pair scalars are ours.
    """

    def __init__(
        self, channels: int, basis_dim: int, *, has_orientations: bool, is_chiral: bool = False, num_pairs: int = 0
    ) -> None:
        super().__init__()
        if min(channels, basis_dim) < 1:
            raise ValueError(f"GroupConv needs channels >= 1 and basis_dim >= 1, got {channels=}, {basis_dim=}")

        def coefficients() -> nn.Linear:
            return nn.Linear(basis_dim, channels, bias=False)

        self.kernel = coefficients()
        self.fiber_kernel = coefficients() if has_orientations else None
        self.pair_kernels = nn.ModuleList(coefficients() for _ in range(num_pairs))
        self.odd_kernel = coefficients() if is_chiral else None
        self.odd_fiber_kernel = coefficients() if is_chiral else None
        self.bias = nn.Parameter(torch.zeros(channels))
        self._kept = Kept()

    def forward(
        self,
        x: Float[Tensor, "S O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "S P"], Float[Tensor, "T P"]] | None = None,
    ) -> Float[Tensor, "T O C"]:
        """Convolve; ``pairs`` holds the pair scalars at the sources and at the targets."""
        return self._fiber(self._spatial(x, edges, pairs), x, edges, fiber_basis, grid) + self.bias

    def _spatial(self, x: Tensor, edges: EdgeKernel, pairs: tuple[Tensor, Tensor] | None) -> Tensor:
        out = edges.conv(x, self.kernel.weight)
        if pairs is not None:
            for p, kernel in enumerate(self.pair_kernels):
                assert isinstance(kernel, nn.Linear)
                source, target = (scalar[:, p, None, None] for scalar in pairs)
                out = out + target * edges.conv(source * x, kernel.weight)
        return out

    def _fiber(
        self, messages: Tensor, x: Tensor, edges: EdgeKernel, fiber_basis: Tensor | None, grid: Tensor
    ) -> Tensor:
        if self.fiber_kernel is None or fiber_basis is None:
            return messages
        out = spherical_conv(messages, self._on_pairs(self.fiber_kernel, fiber_basis), backend=edges.backend)
        if self.odd_kernel is not None and self.odd_fiber_kernel is not None:
            # det(d, o_a, o_b) = d . (o_a x o_b): the sum over points carries d, the sum over the sphere o_a x o_b
            normals = torch.linalg.cross(*torch.broadcast_tensors(grid[None], grid[:, None]), dim=-1)
            kernel = self._on_pairs(self.odd_fiber_kernel, fiber_basis)
            for component, moment in enumerate(self._moments(x, edges)):
                out = out + spherical_conv(moment, kernel * normals[..., component, None], backend=edges.backend)
        return out

    def _moments(self, x: Tensor, edges: EdgeKernel) -> Tensor:
        """The sums over points that carry the offset, one for each of its components."""
        assert self.odd_kernel is not None
        return edges.vector_conv(x, self.odd_kernel.weight)

    def _on_pairs(self, kernel: nn.Module, fiber_basis: Tensor) -> Tensor:
        """The kernel of every pair of orientations."""
        if type(kernel) is not nn.Linear or kernel is not self.fiber_kernel:
            out: Tensor = kernel(fiber_basis)
            return out
        return self._kept.value(partial(kernel, fiber_basis), kernel, (kernel.weight,), fiber_basis)

    @torch.no_grad()
    def calibrate(
        self,
        x: Float[Tensor, "S O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "S P"], Float[Tensor, "T P"]] | None = None,
    ) -> None:
        """Rescale the kernels so that the standard deviation of the features is kept on this input."""
        messages = self._spatial(x, edges, pairs)
        out = self._fiber(messages, x, edges, fiber_basis, grid)
        for kernel in (self.kernel, *self.pair_kernels, self.odd_kernel):
            if kernel is not None:
                self._rescale(kernel, _ratio(x, messages))
        for kernel in (self.fiber_kernel, self.odd_fiber_kernel):
            if kernel is not None:
                self._rescale(kernel, _ratio(messages, out))

    def _rescale(self, kernel: nn.Module, factor: Tensor) -> None:
        kernel.get_parameter("weight").mul_(factor)


def _ratio(before: Tensor, after: Tensor) -> Tensor:
    """std(before) / std(after), or 1 where it has no meaning (a constant signal, a single number)."""
    if min(before.numel(), after.numel()) < 2:
        return before.new_ones(())
    ratio = before.std() / after.std()
    return torch.where(torch.isfinite(ratio) & (ratio > 0), ratio, torch.ones_like(ratio))
