"""What tasks share that label the points of a shape of a known category: the network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import one_hot

from rapidash.data import CloudBatch
from rapidash.models import build_backbone
from rapidash.train._variant import Variant
from rapidash.train.tasks._point_inputs import displacements, point_inputs


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
        self.backbone = build_backbone(self.inputs.config(variant.model, scalars=1 + num_categories, **shape))

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
