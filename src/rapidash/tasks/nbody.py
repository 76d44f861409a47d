"""Charged particles: predict where five particles will be 1000 steps later, from positions, velocities and charges."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.datasets import NBODY_HORIZON, FileCloud, nbody_dataset
from rapidash.geometry import centroids
from rapidash.groups import SO, SO2, Group, Position, Scalar, Vector
from rapidash.methods import Split, Variant
from rapidash.models import Interface, Network, cloud_network
from rapidash.symmetry import GeometricInput, Ledger, combine_inputs, global_frame, symmetry_ledger
from rapidash.tasks._file_task import NeededField, Output, cloud_tensors
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

MAX_CLOUDS = 10_000_000  # of a split: they are simulated, and kept in memory
VELOCITY = "velocity"
DISPLACEMENT = "displacement from the centroid"


def geometric_inputs(variant: Variant) -> tuple[GeometricInput, ...]:
    """Velocity and displacement as inputs of a variant: vectors where there are orientations, otherwise as far as the
    symmetry allows: components for T(3), norms and inner products for groups with rotations.

    Raises: ValueError for an input token other than ``"global frame"``.
    """
    if unknown := set(variant.inputs) - {"global frame"}:
        raise ValueError(f"variant {variant.name!r} has unknown inputs {sorted(unknown)}, nbody knows 'global frame'")
    if variant.model.takes == "vectors":
        vectors = (GeometricInput(VELOCITY, "vector"), GeometricInput(DISPLACEMENT, "vector"))
        return (*vectors, global_frame(3)) if variant.inputs else vectors
    if variant.inputs:
        raise ValueError(f"variant {variant.name!r}: a frame needs orientations, space is {variant.model.space}")
    if variant.model.takes == "components":
        return (GeometricInput(VELOCITY, "vector", "scalars"), GeometricInput(DISPLACEMENT, "vector", "scalars"))
    return (GeometricInput("norms and inner products of velocity and displacement", "invariant", "scalars"),)


class NBodyNetwork(nn.Module):
    """Predicted positions x_i + u_i, with the displacement u_i from a Rapidash network.

    Scalars in: speed and charge; the products of charges modulate the kernels. On R^3 with rotations, where a network
    has no vectors, velocity and displacement enter by their norms and inner product, and u_i is the sum over edges of
    `Rapidash` plus the input vectors times predicted scalars, as in EGNN (Satorras et al., ICML 2021).
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.inputs = geometric_inputs(variant)
        self.uses_invariants = any(entry.quantity == "invariant" for entry in self.inputs)
        widths = {way: sum(max(1, len(e.directions)) for e in self.inputs if e.enters_as == way) for way in _WAYS}
        sizes = Interface(
            in_scalars=2 + (2 if self.uses_invariants else 3 * widths["scalars"]),
            in_vectors=widths["vectors"],
            in_pairs=1,
            out_scalars=2 if self.uses_invariants else 0,
            out_vectors=1,
            level="node",
        )
        self.backbone: Network = cloud_network(variant.model, sizes)

    def forward(self, batch: CloudBatch) -> Float[Tensor, "N 3"]:
        """Positions of frame 40."""
        features, vectors = self._features(batch)
        out = self.backbone(batch.pos, batch.batch, **features)
        displacement = out.vectors[:, 0]
        if self.uses_invariants:
            displacement = displacement + torch.einsum("nv,nvd->nd", out.scalars, vectors)
        return batch.pos + displacement

    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels on one batch, see `Rapidash.calibrate`."""
        self.backbone.calibrate(batch.pos, batch.batch, **self._features(batch)[0])

    def _features(self, batch: CloudBatch) -> tuple[dict[str, Tensor | None], Tensor]:
        """Keyword arguments of the network, and velocity and displacement as vectors (N, 2, 3)."""
        vel, charge = batch["vel"], batch["charge"]
        offset = batch.pos - centroids(batch.pos, batch.batch, batch.num_clouds)[batch.batch]
        speed = torch.linalg.vector_norm(vel, dim=-1, keepdim=True)
        scalars = torch.cat([speed, charge], dim=1)
        both = torch.stack([vel, offset], dim=1)
        if self.uses_invariants:
            distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
            invariants = torch.cat([scalars, distance, (vel * offset).sum(-1, keepdim=True)], dim=1)
            return {"scalars": invariants, "vectors": None, "pairs": charge}, both
        values = [both[:, :1], both[:, 1:]]
        values += [vel.new_tensor(e.directions).expand(len(vel), -1, -1) for e in self.inputs if e.directions]
        scalars_in, vectors_in = combine_inputs(list(zip(self.inputs, values)), scalars)
        return {"scalars": scalars_in, "vectors": vectors_in, "pairs": charge}, both


_WAYS = ("scalars", "vectors")


@dataclass(frozen=True)
class NBodyTask:
    """The field's charged 5-particle benchmark.

    With a uniform field the law knows the vertical: targets are those of all rotations no more, and test data are
    turned about z only.

    Args:
        num_train, num_val, num_test: sizes of the splits, 1 to 10 million; the benchmark has 3000, 2000 and 2000.
        data_seed: seed of the simulation.
        uniform_field: downward acceleration of every particle from the input frame on, lengths per time squared; see
            `rapidash.datasets.nbody_dataset`.
        reports_inertia: whether the error of particles that keep their velocity is reported beside that of the model.
    Raises: ValueError for another size, or a field that is not finite.
    Source: Satorras et al., ICML 2021, after Kipf et al., ICML 2018; simulated by `rapidash.datasets`.
    """

    num_train: int = 3000
    num_val: int = 2000
    num_test: int = 2000
    data_seed: int = 0
    uniform_field: float = 0.0
    reports_inertia: bool = False

    name: str = field(default="nbody", init=False)
    dim: int = field(default=3, init=False)
    metric: str = field(default="MSE of positions", init=False)
    unit: str = field(default="length^2", init=False)
    output: Field = field(default=Field(Position(), "length"), init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        for split, size in split_sizes(self).items():
            if size is None or size > MAX_CLOUDS:
                raise ValueError(f"num_{split} must be 1 to {MAX_CLOUDS}, got {size}")
        if not math.isfinite(self.uniform_field):
            raise ValueError(f"uniform_field must be finite, got {self.uniform_field}")

    def dataset(self, split: Split) -> CloudDataset:
        """One split, simulated on the first call and cached."""
        return nbody_dataset(
            split, size=split_sizes(self)[split], seed=self.data_seed, uniform_field=self.uniform_field
        )

    @property
    def moves(self) -> Group:
        """The group that turns test data: all rotations; with a field, those about z."""
        return SO2("z").without_translations() if self.uniform_field else SO(3)

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a cloud from a file must have, in the units of the simulation."""
        return {
            "pos": NeededField(Field(Position(), "length"), 3),
            "vel": NeededField(Field(Vector(), "length/time"), 3),
            "charge": NeededField(Field(Scalar(), "charge"), 1),
        }

    def reference(self) -> dict[str, Any]:
        """Nothing: targets are learned as they are."""
        return {}

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """Any number of particles, as the file has them."""
        return cloud_tensors(found, self.needs)

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """The positions 1000 steps of 0.001 later."""
        return {"positions": Output(prediction, self.output)}

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return NBodyNetwork(variant)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            network = NBodyNetwork(variant)
        model = network.backbone
        exception = getattr(model, "tie_exception", "")
        return symmetry_ledger(model.symmetry, network.inputs, exact=model.exact_symmetry, except_for=exception)

    def loss(self, prediction: Float[Tensor, "N 3"], batch: CloudBatch) -> Float[Tensor, ""]:
        """Mean squared error over all coordinates."""
        return (prediction - batch["target"]).square().mean()

    def errors(self, prediction: Float[Tensor, "N 3"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """Mean squared error over the coordinates of each cloud."""
        square = (prediction - batch["target"]).square().mean(dim=1)
        total = square.new_zeros(batch.num_clouds).index_add(0, batch.batch, square)
        return total / batch.num_points

    def details(self, prediction: Float[Tensor, "N 3"], batch: CloudBatch) -> Mapping[str, Float[Tensor, " B"]]:
        """The error of constant velocity, where it is asked for: what a model must beat to have learned of forces."""
        if not self.reports_inertia:
            return {}
        straight_on = batch.pos + NBODY_HORIZON * batch["vel"]
        return {"MSE of constant velocity (length^2)": self.errors(straight_on, batch)}
