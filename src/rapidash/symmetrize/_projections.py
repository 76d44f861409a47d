"""From the output of an equivariant network to an element of a group."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch
from rapidash.groups import Group, MatrixGroup, Rotations, enumerated
from rapidash.symmetrize._orthogonal import orthonormal, straight_through, to_special
from rapidash.symmetrize._points import points_of, rotations_of, with_center


class Projected(NamedTuple):
    """Elements, how far the choice is from another one, and their distance to the identity."""

    g: Float[Tensor, "B n n"]
    gap: Float[Tensor, " B"]
    """0 where the choice is arbitrary."""
    prior: Float[Tensor, ""]
    """The term of a prior for the identity, which a loss adds times its weight."""


class Projection(Protocol):
    """A map from outputs of a network to elements, with project(rho(h) out) = h project(out)."""

    def __call__(self, out: Tensor, batch: Batch, generator: torch.Generator | None) -> Projected:
        """An element for each sample.

        Args:
            out: the output of the network, a row for each sample.
            batch: what the network saw.
            generator: of random numbers that break ties, where the projection needs some.
        """


@dataclass(frozen=True)
class VectorProjection:
    """n vectors -> O(n) by Gram-Schmidt, SO(n) by the sign of the first; translations by the mean of the points.

    The gap is the smallest part of a vector outside the span of those before it, in units of its length or of 1, where
    this is more: a network should return vectors of a length near 1, and 0 where it finds no direction. The prior is
    the mean square of the entries of R - 1.

    Args:
        group: O(n), SO(n), E(n) or SE(n).
        field: whose mean a translation takes from 0; as for `rapidash.symmetrize.Frames`.
    Raises: ValueError for another group.
    """

    group: MatrixGroup
    field: str | None = None

    def __post_init__(self) -> None:
        rotations_of(self.group)

    def __call__(self, out: Tensor, batch: Batch, generator: torch.Generator | None = None) -> Projected:
        """The elements, float64."""
        _, reflections = rotations_of(self.group)
        linear, gap = _orthonormal(out, batch, self.group)
        return _placed(linear if reflections else to_special(linear), gap, batch, self.group, self.field)


@dataclass(frozen=True)
class RotationProjection:
    """n vectors -> SO(n) by Gram-Schmidt of all but the last and the direction that completes them to a rotation.

    The last vector is not used. So a cloud in a plane has a rotation, whose vectors all lie in the plane, and none
    jumps where the determinant of the vectors changes its sign, as it does under `VectorProjection`.

    Args:
        group: SO(n) or SE(n).
        field: as for `VectorProjection`.
    Raises: ValueError for another group.
    """

    group: MatrixGroup
    field: str | None = None

    def __post_init__(self) -> None:
        if rotations_of(self.group)[1]:
            raise ValueError(f"{self.group.name} has reflections, RotationProjection none: use VectorProjection")

    def __call__(self, out: Tensor, batch: Batch, generator: torch.Generator | None = None) -> Projected:
        """The elements, float64."""
        dim, _ = rotations_of(self.group)
        _check_vectors(out, batch, self.group)
        given = out[:, :-1].double()
        # the normal fixes the sign; its gradient is that of the direction orthogonal to the others
        normal = (_turned(given[:, 0]) if dim == 2 else torch.linalg.cross(*given.unbind(1), dim=-1)).detach()
        size = normal.norm(dim=-1, keepdim=True)
        normal = normal / torch.where(size > 0, size, 1.0)
        linear, gap = _orthonormal(torch.cat([given, normal[:, None]], dim=1), batch, self.group)
        return _placed(to_special(linear), gap, batch, self.group, self.field)


def _turned(x: Float[Tensor, "*B 2"]) -> Float[Tensor, "*B 2"]:
    """Vectors of the plane turned by 90 degrees."""
    return torch.stack([-x[..., 1], x[..., 0]], dim=-1)


def _check_vectors(out: Tensor, batch: Batch, group: MatrixGroup) -> None:
    dim, _ = rotations_of(group)
    if out.shape != (batch.num_samples, dim, dim):
        raise ValueError(
            f"{group.name} needs {dim} vectors for each sample, of shape ({batch.num_samples}, {dim}, {dim}) "
            f"with the vector first, got {tuple(out.shape)}"
        )


def _orthonormal(out: Tensor, batch: Batch, group: MatrixGroup) -> tuple[Tensor, Tensor]:
    """Orthogonal matrices, and the gap in units of 1 for short vectors."""
    _check_vectors(out, batch, group)
    linear, gap = orthonormal(out.double())
    return linear, gap * out.detach().double().norm(dim=-1).amin(dim=1).clamp(max=1.0)


def _placed(linear: Tensor, gap: Tensor, batch: Batch, group: MatrixGroup, field: str | None) -> Projected:
    """Elements with the translations to the mean of the points, and the mean square of the entries of R - 1."""
    dim = linear.shape[-1]
    prior = (linear - torch.eye(dim).to(linear)).square().mean()
    center = None
    if isinstance(group, Group) and group.translations:
        center = points_of(batch, field, dim).center
    return Projected(with_center(group, linear[:, None], center).squeeze(1), gap, prior)


@dataclass(frozen=True)
class ChoiceProjection:
    r"""Activations over a finite group -> the element of the largest one, with the gradient of softmax(beta a).

    Activations must move with the group: a_{h x}(h g) = a_x(g). The gap is the difference of the two largest ones in
    units of the largest absolute one. The prior is the cross-entropy of softmax(a) to the identity.

    Args:
        group: finite; activations are in the order of its elements, identity first.
        beta: positive.
    Raises: ValueError for a group that is not finite or too large to list, or a beta that is not positive.
    """

    group: MatrixGroup
    beta: float = 1.0

    def __post_init__(self) -> None:
        if enumerated(self.group) is None:
            raise ValueError(f"{self.group.name} is not finite, or too large to list: a choice needs its elements")
        if not self.beta > 0:
            raise ValueError(f"beta must be positive, got {self.beta}")

    def __call__(self, out: Tensor, batch: Batch, generator: torch.Generator | None = None) -> Projected:
        """The elements; the first of them where activations tie."""
        elements = enumerated(self.group)
        assert elements is not None
        if out.shape != (batch.num_samples, len(elements)):
            raise ValueError(
                f"{self.group.name} needs an activation for each of its {len(elements)} elements, of shape "
                f"({batch.num_samples}, {len(elements)}), got {tuple(out.shape)}"
            )
        wide = out.double()
        hard = torch.nn.functional.one_hot(wide.argmax(dim=1), len(elements)).to(wide)
        chosen = straight_through(hard, torch.softmax(self.beta * wide, dim=1))
        g = torch.einsum("bg,gij->bij", chosen, elements.to(wide))
        return Projected(g, _margin(wide.detach()), -torch.log_softmax(wide, dim=1)[:, 0].mean())


def projection_of(group: MatrixGroup) -> Projection:
    """`VectorProjection` for O(n), SO(n), E(n) and SE(n), `ChoiceProjection` for a finite group.

    Raises: ValueError for any other group.
    """
    if isinstance(group, Group) and isinstance(group.linear, Rotations):
        return VectorProjection(group)
    return ChoiceProjection(group)


def _margin(activations: Float[Tensor, "B G"]) -> Float[Tensor, " B"]:
    if activations.shape[1] == 1:
        return torch.ones_like(activations[:, 0])
    first, second = activations.topk(2, dim=1).values.unbind(1)
    largest = activations.abs().amax(dim=1)
    return torch.where(largest > 0, (first - second) / torch.where(largest > 0, largest, 1.0), 0.0)
