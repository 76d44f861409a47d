"""The base of tasks that label the points of a shape of a known category: network, and predictions for files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import one_hot

from rapidash.data import CloudBatch, CorruptionKind, Field
from rapidash.datasets import FileCloud
from rapidash.groups import Scalar
from rapidash.methods import Variant
from rapidash.models import Network, cloud_network
from rapidash.tasks._file_task import NeededField, Output, category_number
from rapidash.tasks._point_inputs import displacements, point_inputs
from rapidash.tasks._posed_task import PosedTask
from rapidash.tasks._shape_files import NEEDS_OF_SHAPES, read_shape_by_points

MOST_POINTS: Final = 100_000  # of a cloud that a saved model may ask for; training data have some thousands


class PointLabeler(nn.Module):
    """A logit of every label for each point (N, K).

    Inputs of a point: a constant, the category of its shape (field ``label``) as a one-hot scalar, its displacement
    from the centroid, and its normal if that is asked for; on R^D the vectors enter as components (T(D)), or by norms
    and inner products (with rotations).

    Args:
        variant: network and inputs, see `point_inputs`.
        num_categories: of the shapes.
        num_labels: K.
        uses_normals: the field ``normal`` enters.
    """

    def __init__(self, variant: Variant, *, num_categories: int, num_labels: int, uses_normals: bool = False) -> None:
        super().__init__()
        self.num_categories, self.uses_normals = num_categories, uses_normals
        self.inputs = point_inputs(variant, ("displacement from the centroid", "normal")[: 1 + uses_normals])
        shape = {"out_scalars": num_labels, "out_vectors": 0, "level": "node"}
        self.backbone: Network = cloud_network(
            variant.model, self.inputs.interface(scalars=1 + num_categories, **shape)
        )

    def forward(self, batch: CloudBatch) -> Float[Tensor, "N K"]:
        """A logit for every label."""
        return self.backbone(batch.pos, batch.batch, **self._features(batch)).scalars

    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels on one batch, see `Rapidash.calibrate`."""
        self.backbone.calibrate(batch.pos, batch.batch, **self._features(batch))

    def _features(self, batch: CloudBatch) -> dict[str, Tensor | None]:
        """Keyword arguments of the network."""
        pos = batch.pos
        category = one_hot(batch["label"], self.num_categories).to(pos)[batch.batch]
        given = [displacements(pos, batch.batch, batch.num_clouds)]
        if self.uses_normals:
            given.append(batch["normal"])
        scalars = torch.cat([pos.new_ones(len(pos), 1), category], dim=1)
        scalars, vectors, _ = self.inputs.features(pos, torch.stack(given, dim=1), scalars)
        return {"scalars": scalars, "vectors": vectors}


@dataclass(frozen=True)
class SegmentationTask(PosedTask):
    """Base of tasks whose points have labels and whose shapes have a category, the field ``label``.

    Predictions for files: a network sees clouds of as many points as in training, since its neighborhoods would shrink
    with the distances of a denser cloud; every point (or vertex) of the file takes the labels of the nearest of these.
    """

    unit: str = field(default="%", init=False)
    output: Field = field(default=Field(Scalar()), init=False)
    corruption_kinds: ClassVar[tuple[CorruptionKind, ...]] = ("rigid", "noise", "deformation")  # points keep labels

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a shape from a file must have: a surface, or enough points, and a category."""
        return {**NEEDS_OF_SHAPES, "label": NeededField(Field(Scalar(), "category, its name or number", "cloud"), 0)}

    @property
    def reference_kinds(self) -> Mapping[str, Any]:
        """The entries of `reference` and their types."""
        return {"class_names": list[str], "num_points": tuple[int, int]}

    def reference(self) -> dict[str, Any]:
        """The names of the categories, and how few and how many points the clouds of the validation part have."""
        data = self.read("val")
        sizes = [int(data.num_points.min()), int(data.num_points.max())]
        return {"class_names": list(data.info["class_names"]), "num_points": sizes}

    def check_reference(self, reference: Mapping[str, Any]) -> None:
        """Raises: ValueError for clouds of no points, or of more than any training data have."""
        fewest, most = reference["num_points"]
        if not 1 <= fewest <= most <= MOST_POINTS:
            raise ValueError(
                f"'num_points' in 'reference' must be the fewest and most points of a cloud, 1 to {MOST_POINTS}, "
                f"got {[fewest, most]}"
            )

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One shape, sampled and scaled as those of the training data, and its category."""
        points = {name: spec for name, spec in self.needs.items() if spec.field.level == "point"}
        why_none = found.left_out.get("label", "")
        label = category_number(found.label, reference["class_names"], why_none=why_none)
        return {**read_shape_by_points(found, points, *reference["num_points"]), "label": torch.tensor([label])}


def most_probable(name: str, logits: Float[Tensor, "N K"], labels: tuple[str, ...] = ()) -> dict[str, Output]:
    """The label of every point, under a name, and its probability."""
    probability, label = logits.softmax(dim=1).max(dim=1)
    return {name: Output(label, Field(Scalar()), labels), "probability": Output(probability, Field(Scalar()))}
