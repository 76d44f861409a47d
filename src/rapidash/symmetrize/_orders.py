"""Orders of nodes or points: from scores of an equivariant network, or from the Laplacian of a graph."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch
from rapidash.groups import Permutations, Product
from rapidash.symmetrize._orthogonal import straight_through
from rapidash.symmetrize._projections import Projected, Projection
from rapidash.symmetrize._soft_sort import permutation_entropy, score_gap, soft_sort
from rapidash.symmetry import GroupSamples

EIGENVALUES_EQUAL = 1e-8  # of a Laplacian, below it eigenvectors are arbitrary within their space
DIGITS = 6  # of the sizes of eigenvectors that are compared


@dataclass(frozen=True)
class OrderProjection:
    """N scores -> the permutation that sorts them, for `Canonical` and `Conditional` on S_N.

    The element is a permutation matrix with the gradient of a soft one, see `soft_sort`. Scores that tie are ordered at
    random, wherever a generator is at hand. The gap is the smallest distance of two scores of length 1; 0 for a tie,
    of which symmetric samples have many: pass ``degenerate="ignore"`` where that is meant. The prior is
    `permutation_entropy`, which keeps the gradient near the truth; without gradients no soft matrix is made, and it is
    0.

    Args:
        temperature: of the soft matrix, positive.
        num_sinkhorn: its rounds, at least 0.
    Raises: ValueError for values outside the above; in use for another shape than (B, N).
    """

    temperature: float = 0.01
    num_sinkhorn: int = 20

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.num_sinkhorn < 0:
            raise ValueError(
                "temperature must be positive and num_sinkhorn at least 0, got "
                f"{self.temperature} and {self.num_sinkhorn}"
            )

    def __call__(self, out: Tensor, batch: Batch, generator: torch.Generator | None = None) -> Projected:
        """The permutations, float64."""
        if out.dim() != 2 or len(out) != batch.num_samples:
            raise ValueError(
                f"an order needs a score for each node, of shape ({batch.num_samples}, N), got {tuple(out.shape)}"
            )
        is_soft = out.requires_grad and torch.is_grad_enabled()
        soft, hard = soft_sort(out, self.temperature, self.num_sinkhorn if is_soft else 0, generator=generator)
        if not is_soft:
            return Projected(hard, score_gap(out), hard.new_zeros(()))
        return Projected(straight_through(hard, soft), score_gap(out), permutation_entropy(soft))


@dataclass(frozen=True)
class JointProjection:
    """Outputs side by side -> elements of the factors of a product, from one network for all of them.

    The gap is the smallest of the parts, the prior their sum.

    Args:
        product: the group.
        parts: for each factor its projection and the shape of what it takes of one sample, ``(N,)`` for an order of N
            points, ``(3, 3)`` for three vectors; the output of the network is (B, sum of their sizes).
    Raises: ValueError for another number of parts; in use for another output.
    """

    product: Product
    parts: tuple[tuple[Projection, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.product.groups):
            raise ValueError(
                f"{self.product.name} needs a projection for each of {len(self.product.groups)} factors, got "
                f"{len(self.parts)}"
            )

    def __call__(self, out: Tensor, batch: Batch, generator: torch.Generator | None = None) -> Projected:
        """The elements, block by block."""
        sizes = [torch.Size(shape).numel() for _, shape in self.parts]
        if out.shape != (batch.num_samples, sum(sizes)):
            raise ValueError(
                f"{self.product.name} needs outputs of shape ({batch.num_samples}, {sum(sizes)}), {sizes} side by "
                f"side, got {tuple(out.shape)}"
            )
        found = [
            projection(piece.unflatten(1, shape), batch, generator)
            for (projection, shape), piece in zip(self.parts, out.split(sizes, dim=1))
        ]
        g = self.product.join([one.g.double() for one in found])
        gap = torch.stack([one.gap.double() for one in found]).amin(dim=0)
        return Projected(g, gap, torch.stack([one.prior.double() for one in found]).sum())


@dataclass(frozen=True)
class LaplacianOrder:
    r"""Graphs sorted by the sizes of their Laplacian eigenvectors: frame averaging, ties sampled.

    Node i has the keys :math:`\sum_l u_{il}^2` over the eigenvectors of each eigenvalue, from the smallest up, which do
    not depend on the choice of eigenvectors. Nodes are sorted by them in the order of a dictionary; those with equal
    keys (to 6 digits) are ordered at random, uniformly.

    Symmetry: in law, p(h g | h x) = p(g | x), exactly where no node ties with another; all nodes of a graph do that an
    automorphism takes to each other.

    Args:
        group: S_N.
        field: the adjacency matrices (B, N, N), symmetric.
    Raises: in use ValueError for a field that is no such matrix, or without a generator.
    Source: Puny et al., "Frame Averaging for Invariant and Equivariant Network Design", ICLR 2022.
    """

    group: Permutations
    field: str = "adjacency"

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Independent orders among those that the keys allow."""
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if generator is None:
            raise ValueError("LaplacianOrder orders ties at random: pass a torch.Generator")
        size = self.group.size
        adjacency = batch[self.field] if self.field in batch.fields else None
        if adjacency is None or adjacency.shape[1:] != (size, size):
            shape = None if adjacency is None else tuple(adjacency.shape)
            raise ValueError(f"field {self.field!r} must be symmetric matrices (B, {size}, {size}), got {shape}")
        if not bool(torch.isfinite(adjacency).all()) or not bool((adjacency == adjacency.mT).all()):
            raise ValueError(f"field {self.field!r} must be symmetric matrices of finite numbers, and some are not")
        keys = laplacian_keys(adjacency.double())
        shape = (batch.num_samples, num_samples, size)
        order = torch.rand(shape, generator=generator, dtype=torch.float64).argsort(dim=-1).to(keys.device)
        for key in reversed(keys.unbind(dim=-1)):  # the last comparison decides
            values = key[:, None].expand(shape).gather(-1, order)
            order = order.gather(-1, values.argsort(dim=-1, stable=True))
        g = torch.nn.functional.one_hot(order, size).transpose(-1, -2).to(keys)
        return GroupSamples(g, g.new_zeros(()))


def laplacian_keys(adjacency: Float[Tensor, "B N N"]) -> Float[Tensor, "B N N"]:
    """The keys of each node of a graph, one for every eigenvalue, to 6 digits; the same for equal eigenvalues."""
    laplacian = torch.diag_embed(adjacency.sum(dim=-1)) - adjacency
    values, vectors = torch.linalg.eigh(laplacian)
    same = (values[:, :, None] - values[:, None, :]).abs() < EIGENVALUES_EQUAL * values[:, -1:, None].clamp_min(1)
    return torch.round(vectors.square() @ same.to(vectors), decimals=DIGITS)
