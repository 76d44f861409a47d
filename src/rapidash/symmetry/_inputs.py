"""Geometric inputs and the way they enter a network: as scalar components, or as vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

Quantity = Literal["position", "vector", "constant", "pose", "height", "invariant"]


@dataclass(frozen=True)
class GeometricInput:
    """One geometric input and the way it enters.

    Args:
        name: what the reports call it, e.g. ``"velocity"``.
        quantity: ``"position"`` (moves with translations), ``"vector"`` (normals, velocities, displacements, an
            equivariant frame), ``"constant"`` (the same vectors for every cloud: a global frame, gravity),
            ``"pose"`` (a frame known from outside that turns with the cloud), ``"height"`` (the component of the
            position along a fixed direction), ``"invariant"`` (norms, charges).
        enters_as: ``"scalars"`` (one per component) or ``"vectors"``.
        directions: of a constant, its vectors (V, D) as nested tuples; of a height, its one direction.
    """

    name: str
    quantity: Quantity
    enters_as: Literal["scalars", "vectors"] = "vectors"
    directions: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.quantity not in get_args(Quantity):
            raise ValueError(f"quantity must be one of {get_args(Quantity)}, got {self.quantity!r}")
        if self.enters_as not in ("scalars", "vectors"):
            raise ValueError(f"enters_as must be 'scalars' or 'vectors', got {self.enters_as!r}")
        if self.quantity in ("invariant", "height") and self.enters_as == "vectors":
            raise ValueError(f"{self.name!r} is one number ({self.quantity}): it can enter as scalars only")
        if (self.quantity in ("constant", "height")) != bool(self.directions):
            raise ValueError(f"{self.name!r}: directions belong to constant inputs and heights, and those need them")
        if self.quantity == "height" and len(self.directions) != 1:
            raise ValueError(f"{self.name!r}: a height needs one direction, got {len(self.directions)}")


def global_frame(dim: int) -> GeometricInput:
    """The coordinate axes as constant input vectors: tells the network where it is looking from."""
    axes = tuple(tuple(float(i == j) for j in range(dim)) for i in range(dim))
    return GeometricInput("global frame", "constant", "vectors", axes)


def combine_inputs(
    inputs: Sequence[tuple[GeometricInput, Float[Tensor, "N _ D"]]], extra_scalars: Float[Tensor, "N S"] | None = None
) -> tuple[Float[Tensor, "N Cs"] | None, Float[Tensor, "N Cv D"] | None]:
    """Scalars and vectors for a network from geometric inputs and further scalars.

    Args:
        inputs: each input with its values, V vectors per point (one for a velocity, D for a frame).
        extra_scalars: invariant features, put first.
    Raises: ValueError for values of another shape.
    """
    scalars = [] if extra_scalars is None else [extra_scalars]
    vectors = []
    for declared, values in inputs:
        if values.dim() != 3:
            raise ValueError(f"values of {declared.name!r} must have shape (N, V, D), got {tuple(values.shape)}")
        if declared.enters_as == "scalars":
            scalars.append(values.flatten(1))
        else:
            vectors.append(values)
    return (torch.cat(scalars, dim=1) if scalars else None), (torch.cat(vectors, dim=1) if vectors else None)
