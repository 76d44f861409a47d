"""The vectors of a cloud as inputs of a variant's network: vectors, components, or norms and inner products."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash.data import CloudBatch
from rapidash.geometry import centroids, safe_norm
from rapidash.groups import AxisRotations, parse_group
from rapidash.methods import Variant
from rapidash.models import Interface, Network, Takes
from rapidash.symmetry import GeometricInput, Ledger, global_frame, symmetry_ledger

VERTICAL = (0.0, 1.0, 0.0)
AXES = {"vertical": VERTICAL, "z axis": (0.0, 0.0, 1.0)}
TOKENS = ("global frame", *AXES, "height")


@dataclass(frozen=True)
class PointInputs:
    """The geometric inputs of a network.

    Args:
        names: the vectors that the task gives, e.g. ``("velocity", "displacement from the centroid")``.
        way: how they enter, as the network takes them, see `rapidash.models.NetworkConfig.takes`.
        dim: dimension of space.
        constants: vectors that are the same for every cloud and enter along with the others, (V, D).
        has_height: the component of the position along the vertical enters as a scalar.
        entries: the same as the symmetry ledger wants it.
    """

    names: tuple[str, ...]
    way: Takes
    dim: int
    constants: tuple[tuple[float, ...], ...]
    has_height: bool
    entries: tuple[GeometricInput, ...]

    @property
    def num_vectors(self) -> int:
        """Vectors per point, the constant ones included."""
        return len(self.names) + len(self.constants)

    def interface(self, *, scalars: int, **sizes: Any) -> Interface:
        """The sizes of a network for these inputs, a number of further scalars, and other sizes."""
        widths = {"vectors": 0, "components": self.dim * self.num_vectors, "invariants": len(self._pairs())}
        return Interface(
            self.dim,
            in_scalars=scalars + self.has_height + widths[self.way],
            in_vectors=self.num_vectors if self.way == "vectors" else 0,
            **sizes,
        )

    def features(
        self, pos: Float[Tensor, "N D"], vectors: Float[Tensor, "N V D"], scalars: Float[Tensor, "N S"]
    ) -> tuple[Float[Tensor, "N Cs"], Float[Tensor, "N Cv D"] | None, Float[Tensor, "N W D"]]:
        """Scalars and vectors for the network, and all vectors (constant ones last) for sums of them.

        Args:
            pos: positions, for the height.
            vectors: those named by ``names``.
            scalars: invariant features, put first.
        Raises: ValueError for another number of vectors.
        """
        if vectors.shape[1] != len(self.names):
            raise ValueError(f"got {vectors.shape[1]} vectors per point, expected {len(self.names)}: {self.names}")
        if self.constants:
            constants = pos.new_tensor(self.constants).expand(len(pos), -1, -1)
            vectors = torch.cat([vectors, constants], dim=1)
        parts = [scalars]
        if self.has_height:
            parts.append(pos @ pos.new_tensor(VERTICAL)[:, None])
        if self.way == "vectors":
            return torch.cat(parts, dim=1), vectors, vectors
        if self.way == "components":
            parts.append(vectors.flatten(1))
        else:
            products = [
                safe_norm(vectors[:, i]) if i == j else (vectors[:, i] * vectors[:, j]).sum(-1)
                for i, j in self._pairs()
            ]
            parts += [product[:, None] for product in products]
        return torch.cat(parts, dim=1), None, vectors

    def _pairs(self) -> list[tuple[int, int]]:
        """The inner products that differ between points: all but those of constant vectors with each other."""
        given = len(self.names)
        products = [(i, j) for i, j in combinations(range(self.num_vectors), 2) if i < given]
        return [(i, i) for i in range(given)] + products


def point_inputs(variant: Variant, names: Sequence[str]) -> PointInputs:
    """The inputs of a variant's network, made of the vectors that a task gives.

    Tokens in ``variant.inputs``: ``"global frame"`` (the coordinate axes), ``"vertical"`` (the y axis) and ``"z axis"``
    are constant input vectors, ``"height"`` the y coordinate as a scalar. On R^3 with rotations about an axis, the axis
    enters by its inner products even without a token: the layers know it anyway.

    Raises: ValueError for an unknown token, one that needs 3 dimensions, or a frame without orientations.
    """
    for token in variant.inputs:
        if token not in TOKENS:
            raise ValueError(f"variant {variant.name!r}: {unknown_name('input', token, TOKENS)}")
    group, way = parse_group(variant.model.symmetry), variant.model.takes
    dim, linear = group.dim, group.linear
    if dim != 3 and {*AXES, "height"} & set(variant.inputs):
        raise ValueError(f"variant {variant.name!r}: {[*AXES, 'height']} need 3 dimensions, got {dim}")
    if (way != "vectors" and "global frame" in variant.inputs) or (
        way == "components" and AXES.keys() & set(variant.inputs)
    ):
        raise ValueError(
            f"variant {variant.name!r}: constant vectors need orientations, or rotations and one of {list(AXES)}, "
            f"got {variant.inputs} on {variant.model.space}"
        )
    constant = [global_frame(dim)] if "global frame" in variant.inputs else []
    constant += [
        GeometricInput(f"the {token}", "constant", "vectors", (axis,))
        for token, axis in AXES.items()
        if token in variant.inputs
    ]
    if way == "invariants" and isinstance(linear, AxisRotations):
        constant.append(GeometricInput("inner products with the axis", "constant", "vectors", (linear.axis,)))
    match way:
        case "vectors":
            entries = [GeometricInput(name, "vector") for name in names]
        case "components":
            entries = [GeometricInput(name, "vector", "scalars") for name in names]
        case "invariants":
            entries = [GeometricInput(f"norms and inner products of {' and '.join(names)}", "invariant", "scalars")]
            entries = entries if names else []
    entries += constant
    if "height" in variant.inputs:
        entries.append(GeometricInput("height", "height", "scalars", (VERTICAL,)))
    constants = tuple(vector for entry in constant for vector in entry.directions)
    return PointInputs(tuple(names), way, dim, constants, "height" in variant.inputs, tuple(entries))


def displacements(pos: Float[Tensor, "N D"], batch: Tensor, num_clouds: int) -> Float[Tensor, "N D"]:
    """The vector from the centroid of its cloud to each point."""
    return pos - centroids(pos, batch, num_clouds)[batch]


def cloud_means(values: Float[Tensor, " N"], batch: CloudBatch) -> Float[Tensor, " B"]:
    """The mean over the points of each cloud."""
    total = values.new_zeros(batch.num_clouds).index_add(0, batch.batch, values)
    return total / batch.num_points


def network_ledger(network: nn.Module) -> Ledger:
    """Effective symmetry of a task's network, from its parts ``inputs`` (`PointInputs`) and ``backbone``."""
    model: Network = network.backbone  # type: ignore[assignment]
    inputs = network.inputs
    assert isinstance(inputs, PointInputs)
    exception = getattr(model, "tie_exception", "")
    return symmetry_ledger(model.symmetry, inputs.entries, exact=model.exact_symmetry, except_for=exception)
