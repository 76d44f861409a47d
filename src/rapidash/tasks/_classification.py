"""The base of tasks that ask for the class of a cloud: network, loss and metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import CloudBatch, Field
from rapidash.datasets import FileCloud
from rapidash.groups import Scalar
from rapidash.methods import Variant
from rapidash.models import Network, cloud_network
from rapidash.tasks._file_task import NeededField, Output, cloud_tensors
from rapidash.tasks._label import LabelTask
from rapidash.tasks._point_inputs import displacements, point_inputs
from rapidash.tasks._posed_task import PosedTask


class CloudClassifier(nn.Module):
    """Logits of the classes (B, K), the mean over the points of the coarsest scale.

    Inputs of a point: a constant, some of its scalars, and its displacement from the centroid of the cloud as a vector;
    on R^D as components (T(D)), or by its length (with rotations).

    Args:
        variant: network and inputs, see `point_inputs`.
        num_classes: K.
        length_unit: unit of length inside the network, in that of the data.
        scalar_units: scalar fields (N, 1) that enter, each with its unit inside the network.
    """

    def __init__(
        self,
        variant: Variant,
        num_classes: int,
        *,
        length_unit: float = 1.0,
        scalar_units: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.length_unit, self.scalar_units = length_unit, dict(scalar_units or {})
        self.inputs = point_inputs(variant, ("displacement from the centroid",))
        shape = {"out_scalars": num_classes, "out_vectors": 0, "level": "graph", "pool": "mean"}
        num_scalars = 1 + len(self.scalar_units)
        self.backbone: Network = cloud_network(variant.model, self.inputs.interface(scalars=num_scalars, **shape))

    def forward(self, batch: CloudBatch) -> Float[Tensor, "B K"]:
        """A logit for every class."""
        pos, features = self._features(batch)
        return self.backbone(pos, batch.batch, **features).scalars

    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels on one batch, see `Rapidash.calibrate`."""
        pos, features = self._features(batch)
        self.backbone.calibrate(pos, batch.batch, **features)

    def _features(self, batch: CloudBatch) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Positions in the network's unit of length, and the keyword arguments of the network."""
        pos = batch.pos / self.length_unit
        given = [batch[name] / unit for name, unit in self.scalar_units.items()]
        offset = displacements(pos, batch.batch, batch.num_clouds)
        constant = pos.new_ones(len(pos), 1)
        scalars, vectors, _ = self.inputs.features(pos, offset[:, None], torch.cat([constant, *given], dim=1))
        return pos, {"scalars": scalars, "vectors": vectors}


@dataclass(frozen=True)
class Classification(LabelTask):
    """The base of tasks whose clouds have a ``label``: cross-entropy, and the error rate in percent."""

    metric: str = field(default="error rate", init=False)
    unit: str = field(default="%", init=False)
    output: Field = field(default=Field(Scalar(), "1", "cloud"), init=False)

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a cloud from a file must have."""
        raise NotImplementedError

    def class_names(self) -> Sequence[str]:
        """The names of the labels 0, 1, ..."""
        raise NotImplementedError

    @property
    def reference_kinds(self) -> Mapping[str, Any]:
        """The entries of `reference` and their types."""
        return {"class_names": list[str]}

    def reference(self) -> dict[str, Any]:
        """The names of the classes."""
        return {"class_names": list(self.class_names())}

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One cloud, as the file has it."""
        return cloud_tensors(found, self.needs)

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """The most probable class, its probability, and those of all classes."""
        names, every = tuple(reference["class_names"]), prediction.softmax(dim=1)
        if len(names) != every.shape[1]:
            raise ValueError(f"'reference' has {len(names)} class_names, the model has {every.shape[1]} classes")
        best, label = every.max(dim=1)
        return {
            "class": Output(label, self.output, names),
            "probability": Output(best, self.output),
            "probabilities": Output(every, self.output, names),
        }


@dataclass(frozen=True)
class ClassificationTask(Classification, PosedTask):
    """Base of such tasks whose clouds are read from files."""
