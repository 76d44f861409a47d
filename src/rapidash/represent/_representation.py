"""How features follow a group element: a learned linear map of the element, or vectors, which turn with it."""

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.groups import Group, MatrixGroup, parse_matrix_group

Encoding = Literal["matrix", "quaternion", "raw quaternion"]


def element_code(group: MatrixGroup, g: Float[Tensor, "B n n"]) -> Float[Tensor, "B c"]:
    """The entries of elements as rows; of motions those of the linear part, and the translation where there is any."""
    if isinstance(group, Group):
        has_shifts = len(group.translation_basis()) > 0
        g = g[:, : group.dim] if has_shifts else g[:, : group.dim, : group.dim]
    return g.flatten(1)


class FeatureRepresentation(nn.Module, ABC):
    """Matrices W(g) (E, E) that move the equivariant features, v_hat = W(g) v.

    Args:
        group: whose elements move them.
        dim: E, at least 1.
    """

    def __init__(self, group: MatrixGroup, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"a representation needs dim >= 1, got {dim}")
        self.group, self.dim = group, dim

    @abstractmethod
    def between(self, first: Float[Tensor, "B n n"], second: Float[Tensor, "B n n"]) -> Float[Tensor, "B E E"]:
        """W of g = second first^-1, which takes a view moved by ``first`` to the one moved by ``second``."""

    def forward(self, g: Float[Tensor, "B n n"]) -> Float[Tensor, "B E E"]:
        """W(g)."""
        return self.between(self.group.identity().to(g).expand_as(g), g)


class LinearRepresentation(FeatureRepresentation):
    r"""A learned W(g) = reshape(M c(g)), linear in a code c(g) of the element, without a bias.

    So W cannot be constant in g without being zero. It is a representation only approximately, and as far as it was
    trained: see `homomorphism_error`.

    Args:
        group: whose elements are encoded.
        dim: E, at least 1.
        encoding: ``"matrix"``: the entries of the element, of a motion those of its linear part, with the translation
            where the group has any. As controls, of SO(3) alone: ``"quaternion"``, with a real part of at least 0;
            ``"raw quaternion"``, the product of the quaternions of the two views, each with the sign for which its
            largest component is positive: g has two such codes, q and -q.
    Raises: ValueError for an unknown encoding, one that the group does not have, or dim below 1.
    Source: Garrido, Najman, LeCun, "Self-supervised learning of Split Invariant Equivariant Representations", ICML
        2023.
    """

    def __init__(self, group: MatrixGroup | str, dim: int, encoding: Encoding = "matrix") -> None:
        super().__init__(parse_matrix_group(group) if isinstance(group, str) else group, dim)
        if encoding not in get_args(Encoding):
            raise ValueError(f"encoding must be one of {get_args(Encoding)}, got {encoding!r}")
        if encoding != "matrix" and self.group != parse_matrix_group("SO(3)"):
            raise ValueError(f"encoding {encoding!r} is for SO(3), the group is {self.group.name}: take 'matrix'")
        self.encoding = encoding
        identity = self.group.identity()[None]
        size = self.code(identity, identity).shape[1]
        self.weight = nn.Parameter(torch.randn(dim * dim, size) / (dim * size) ** 0.5)

    def code(self, first: Float[Tensor, "B n n"], second: Float[Tensor, "B n n"]) -> Float[Tensor, "B c"]:
        """c(g) of g = second first^-1."""
        if self.encoding == "raw quaternion":
            return quaternion_product(quaternion(second[:, :3, :3]), _conjugate(quaternion(first[:, :3, :3])))
        g = second @ self.group.inverse(first)
        if self.encoding == "quaternion":
            q = quaternion(g[:, :3, :3])
            return torch.where(q[:, :1] < 0, -q, q)
        return element_code(self.group, g)

    def of_code(self, code: Float[Tensor, "B c"]) -> Float[Tensor, "B E E"]:
        """W as a linear function of the code."""
        return (code @ self.weight.T).unflatten(1, (self.dim, self.dim))

    def between(self, first: Float[Tensor, "B n n"], second: Float[Tensor, "B n n"]) -> Float[Tensor, "B E E"]:
        """W of second first^-1."""
        return self.of_code(self.code(first, second))


class VectorRepresentation(FeatureRepresentation):
    """W(g) of features that are vectors of space side by side: the linear part of g for each of them, exact.

    Args:
        group: of motions of R^D.
        dim: E, a multiple of D.
    Raises: ValueError for another group, or a dim that is no multiple of D.
    """

    def __init__(self, group: MatrixGroup | str, dim: int) -> None:
        super().__init__(parse_matrix_group(group) if isinstance(group, str) else group, dim)
        if not isinstance(self.group, Group):
            raise ValueError(f"vectors of space are moved by motions, not by {self.group.name}")
        if dim % self.group.dim:
            raise ValueError(f"dim must be a multiple of {self.group.dim}, the dimension of space, got {dim}")

    def between(self, first: Float[Tensor, "B n n"], second: Float[Tensor, "B n n"]) -> Float[Tensor, "B E E"]:
        """A block of the linear part of second first^-1 for every vector."""
        assert isinstance(self.group, Group)
        space = self.group.dim
        linear = (second @ self.group.inverse(first))[:, :space, :space]
        return torch.block_diag(*[torch.ones(space, space)] * (self.dim // space)).to(linear) * linear.repeat(
            1, self.dim // space, self.dim // space
        )


def homomorphism_error(
    representation: FeatureRepresentation, generator: torch.Generator, *, num_pairs: int = 256
) -> float:
    r"""Mean of ||W(g h) - W(g) W(h)|| / ||W(g h)|| over random pairs of elements, Frobenius norms.

    0 for a representation, about sqrt(2) for matrices that have nothing to do with each other and equal norms.

    Args:
        representation: W.
        generator: of the elements.
        num_pairs: pairs, at least 1.
    Raises: ValueError for a number below 1, or a W(g h) that is zero.
    """
    if num_pairs < 1:
        raise ValueError(f"num_pairs must be at least 1, got {num_pairs}")
    group = representation.group
    like = next(iter(representation.parameters()), torch.empty(0, dtype=torch.float64))
    g, h = (group.sample(num_pairs, generator=generator).to(like) for _ in range(2))
    with torch.no_grad():
        whole, parts = representation(g @ h), representation(g) @ representation(h)
    norm = torch.linalg.matrix_norm(whole)
    if not bool((norm > 0).all()):
        raise ValueError("W(g h) is zero for some elements: the error is relative to it")
    return float((torch.linalg.matrix_norm(whole - parts) / norm).mean())


def quaternion(rotation: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B 4"]:
    """Unit quaternions (w, x, y, z) of rotations, with the sign for which the largest component is positive."""
    diagonal = rotation.diagonal(dim1=1, dim2=2)
    trace = diagonal.sum(dim=1, keepdim=True)
    squares = torch.cat([1 + trace, 1 - trace + 2 * diagonal], dim=1).clamp(min=0)  # four times those of w, x, y, z
    r = rotation
    mixed = torch.stack(  # four times the products of two components
        [
            torch.stack([squares[:, 0], r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], 1),
            torch.stack([r[:, 2, 1] - r[:, 1, 2], squares[:, 1], r[:, 1, 0] + r[:, 0, 1], r[:, 0, 2] + r[:, 2, 0]], 1),
            torch.stack([r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] + r[:, 0, 1], squares[:, 2], r[:, 2, 1] + r[:, 1, 2]], 1),
            torch.stack([r[:, 1, 0] - r[:, 0, 1], r[:, 0, 2] + r[:, 2, 0], r[:, 2, 1] + r[:, 1, 2], squares[:, 3]], 1),
        ],
        dim=1,
    )
    row = mixed[torch.arange(len(r), device=r.device), squares.argmax(dim=1)]
    return row / row.norm(dim=1, keepdim=True)


def quaternion_product(p: Float[Tensor, "B 4"], q: Float[Tensor, "B 4"]) -> Float[Tensor, "B 4"]:
    """Hamilton's product p q: the rotation of q, then that of p."""
    a, b, c, d = p.unbind(dim=1)
    w, x, y, z = q.unbind(dim=1)
    return torch.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        dim=1,
    )


def _conjugate(q: Tensor) -> Tensor:
    return q * q.new_tensor([1.0, -1.0, -1.0, -1.0])
