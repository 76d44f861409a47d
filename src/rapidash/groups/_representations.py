"""Representations of groups on fields: declared for every input and output, never guessed."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


class Representation(ABC):
    """A linear (or affine) action of matrices on a tensor, differentiable in x, and in g where the docstring says so.

    ``act(g, x)`` takes one element g (n, n) for all of x, or one per sample, g (B, n, n) for x (B, ...), and then
    ``act(g, x)[b] == act(g[b], x[b])``. Most representations act on trailing axes, for which the first axis of x may
    hold anything; one that counts axes from the front counts those of what a single element moves: of x, or of x[b].

    What only changes places moves values of every type; what multiplies moves real and complex ones, and refuses whole
    numbers, truth values and bytes.
    """

    @property
    def acts_on_rows(self) -> bool:
        """Whether it can move the rows of a sample, such as the points of a cloud: it needs them together."""
        return False

    @property
    def is_homomorphism(self) -> bool:
        """Whether rho(g h) = rho(g) rho(h), as it must be where g^-1 is to move back what g moved."""
        return True

    @abstractmethod
    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The transformed field rho(g) x."""

    def inverse(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The field moved back, rho(g)^-1 x = rho(g^-1) x, so that ``inverse(g, act(g, x))`` is x."""
        return self.act(torch.linalg.inv(g), x)


@dataclass(frozen=True)
class Scalar(Representation):
    """Unchanged by every element; whole numbers too, such as labels and elements."""

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """X itself."""
        return x


@dataclass(frozen=True)
class Vector(Representation):
    """A direction (..., D): rotates and reflects, does not move under translation."""

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """R x."""
        return torch.matmul(_align(self, g, x)[..., :-1, :-1], x.unsqueeze(-1)).squeeze(-1)


@dataclass(frozen=True)
class Position(Representation):
    """A point (..., D): R x + t."""

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """R x + t."""
        aligned = _align(self, g, x)
        return torch.matmul(aligned[..., :-1, :-1], x.unsqueeze(-1)).squeeze(-1) + aligned[..., :-1, -1]


@dataclass(frozen=True)
class Pseudoscalar(Representation):
    """Entries that change sign under a reflection, such as a chirality or a volume with sign: sign(det R) x."""

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """X, with the other sign where R reflects."""
        check_elements(g, x)
        if not x.dtype.is_signed:
            raise ValueError(f"values of {x.dtype} have no sign that a reflection could change: use a signed type")
        return spread(torch.linalg.det(g[..., :-1, :-1]).sign().to(x), x) * x


@dataclass(frozen=True)
class Pseudovector(Representation):
    """An axial vector (..., D), such as an angular momentum or the cross product of two vectors: sign(det R) R x."""

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """R x, with the other sign where R reflects."""
        return Pseudoscalar().act(g, Vector().act(g, x))


@dataclass(frozen=True)
class Tensor2(Representation):
    """A second-rank tensor (..., D, D): R x R^T."""

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """R x R^T."""
        linear = _align(self, g, x[..., 0] if x.dim() else x)[..., :-1, :-1]
        return linear @ x @ linear.transpose(-1, -2)


@dataclass(frozen=True)
class DirectSum(Representation):
    """Several fields side by side on the last axis, e.g. energy and force, ``(Scalar(), 1), (Vector(), 3)``.

    Args:
        parts: each representation with the number of entries it takes; it acts on the last axis.
    Raises: ValueError for no part or a width below 1; in ``act`` for a tensor of another width.
    """

    parts: tuple[tuple[Representation, int], ...]

    def __post_init__(self) -> None:
        if not self.parts or min(width for _, width in self.parts) < 1:
            raise ValueError(f"DirectSum needs parts, each of width at least 1, got {self.parts}")

    @property
    def acts_on_rows(self) -> bool:
        """Whether one of the parts does."""
        return any(part.acts_on_rows for part, _ in self.parts)

    @property
    def is_homomorphism(self) -> bool:
        """Whether all parts are."""
        return all(part.is_homomorphism for part, _ in self.parts)

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Each part as its representation says."""
        widths = [width for _, width in self.parts]
        if x.shape[-1] != sum(widths):
            raise ValueError(f"the last axis has {x.shape[-1]} entries, the parts have {widths}")
        pieces = torch.split(x, widths, dim=-1)
        return torch.cat([part.act(g, piece) for (part, _), piece in zip(self.parts, pieces)], dim=-1)


def check_elements(g: Tensor, x: Tensor) -> None:
    """Refuse elements that are neither one for all of x nor one for each sample.

    Raises: ValueError.
    """
    if g.dim() not in (2, 3) or g.shape[-1] != g.shape[-2]:
        raise ValueError(f"a group element is a matrix (n, n), or (B, n, n) for B samples; got shape {tuple(g.shape)}")
    if g.dim() == 3 and (x.dim() == 0 or len(g) != len(x)):
        raise ValueError(
            f"{len(g)} elements for a field of shape {tuple(x.shape)}: give one element (n, n) for all of it, or one "
            "for each entry of its first axis"
        )


def spread(values: Tensor, x: Tensor) -> Tensor:
    """Numbers of the elements, () or (B,), in a shape that multiplies x (B, ...) sample by sample."""
    return values if values.dim() == 0 else values.reshape(-1, *(1,) * (x.dim() - 1))


def refuse_whole_numbers(representation: Representation, x: Tensor) -> None:
    """A matrix cannot move whole numbers, truth values or bytes: in their type its entries would be cut to 0 and 1.

    Raises: ValueError for values that are neither real nor complex.
    """
    if not (x.is_floating_point() or x.is_complex()):
        raise ValueError(
            f"{type(representation).__name__} cannot move a field of {x.dtype} with shape {tuple(x.shape)}: convert it "
            "with .double() or .float(), or declare Scalar() if it does not move, as indices and elements do not"
        )


def _align(representation: Representation, g: Tensor, x: Tensor) -> Tensor:
    """Elements with the dtype of x and one axis for each of its middle axes: (N, 1, ..., D + 1, D + 1)."""
    refuse_whole_numbers(representation, x)
    if x.dim() == 0 or x.shape[-1] != g.shape[-1] - 1:
        raise ValueError(
            f"a field with shape {tuple(x.shape)} cannot be moved by a group on R^{g.shape[-1] - 1}: its last axis "
            f"must have {g.shape[-1] - 1} components"
        )
    g = g.to(x)
    return g if g.dim() == 2 else g.reshape(len(g), *(1,) * (x.dim() - 2), *g.shape[1:])
