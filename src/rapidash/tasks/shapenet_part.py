"""Segmentation of ShapeNet part: which part of its shape does every point belong to, given the category?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.datasets import SHAPENET_CATEGORIES, SHAPENET_PARTS, DataError, ReadDataset, shapenet_part_dataset
from rapidash.groups import Vector
from rapidash.methods import Split, Variant
from rapidash.tasks._file_task import NeededField, Output
from rapidash.tasks._partitions import contingency, label_ious
from rapidash.tasks._segmentation import PointLabeler, SegmentationTask, most_probable

NUM_PARTS = 50
PART_NAMES = tuple(f"{name} {part}" for name in SHAPENET_CATEGORIES for part in SHAPENET_PARTS[name])


@dataclass(frozen=True)
class ShapeNetPartTask(SegmentationTask):
    """Parts of 16,881 shapes of 16 categories in the official split; the category is an input, as in the benchmark.

    Only parts of the shape's own category are possible, in the loss and in the prediction. A shape's IoU is the mean
    over all parts of its category, 1 for a part that is neither there nor predicted. Instance mIoU is the mean over
    shapes, class mIoU the mean over categories of their shapes' means. The metric is 100 % minus the instance mIoU, so
    that lower is better as everywhere; both mIoU are reported beside it.

    Args:
        pose, num_train, num_val, num_test, data_dir, on_error, verify: as for every `PosedTask`.
        num_points: points of each shape, the first of its file; None: all, about 2,600 in the txt layout, where shapes
            differ, and 2,048 in the h5 one.
        uses_normals: normals enter as a vector (txt layout).
    Raises: ValueError for values outside the above.
    Source: Yi et al., "A Scalable Active Framework for Region Annotation in 3D Shape Collections", 2016; mIoU as in
        Qi et al., "PointNet", CVPR 2017.
    """

    num_points: int | None = None
    uses_normals: bool = False

    name: str = field(default="shapenet-part", init=False)
    metric: str = field(default="100 % - instance mIoU", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_points is not None and self.num_points < 1:
            raise ValueError(f"num_points must be at least 1 (None for all), got {self.num_points}")

    def read(self, split: Split) -> ReadDataset:
        """The shapes of a split as the files have them.

        Raises: DataError for files without the normals that are asked for.
        """
        data = shapenet_part_dataset(split, num_points=self.num_points, data_dir=self.data_dir, on_error=self.on_error)
        if self.uses_normals and "normal" not in data.fields:
            raise DataError(f"{data.source} has no normals (the h5 layout has none): get the txt layout, or do not ask")
        return data

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos, part, label (the category), and normal if it is used.

        Raises: FileNotFoundError; DataError for a damaged file.
        """
        fields = ("pos", "part", "label", "normal")[: 3 + self.uses_normals]
        return self.posed(self.chosen(split, fields, num_classes=len(SHAPENET_CATEGORIES)), split)

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields of a shape from a file, with normals if they are used; those of a mesh follow its winding."""
        normal = {"normal": NeededField(Field(Vector(), "any length"), 3)} if self.uses_normals else {}
        return {**super().needs, **normal}

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """The most probable part of every point among those of the category, and its probability."""
        return most_probable("part", _possible_only(prediction, batch), PART_NAMES)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return PointLabeler(
            variant,
            num_categories=len(SHAPENET_CATEGORIES),
            num_labels=NUM_PARTS,
            uses_normals=self.uses_normals,
        )

    def loss(self, prediction: Float[Tensor, "N K"], batch: CloudBatch) -> Float[Tensor, ""]:
        """Cross-entropy over the parts of the shape's category, nats; the mean over all points."""
        return cross_entropy(_possible_only(prediction, batch), batch["part"])

    def errors(self, prediction: Float[Tensor, "N K"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """100 minus the mean IoU of every shape, percent."""
        return 100 - _shape_ious(prediction, batch)

    def details(self, prediction: Float[Tensor, "N K"], batch: CloudBatch) -> dict[str, Tensor]:
        """Instance mIoU and class mIoU."""
        iou, label = _shape_ious(prediction, batch), batch["label"]
        by_category = iou.new_full((len(iou), len(SHAPENET_CATEGORIES)), float("nan"))
        by_category[torch.arange(len(iou)), label] = iou
        return {"instance mIoU (%)": iou, "class mIoU (%)": by_category}


def _parts_of_categories() -> Bool[Tensor, "categories K"]:
    """The parts of each category, as a mask."""
    table = torch.zeros(len(SHAPENET_CATEGORIES), NUM_PARTS, dtype=torch.bool)
    for row, name in zip(table, SHAPENET_CATEGORIES):
        row[list(SHAPENET_PARTS[name])] = True
    return table


_POSSIBLE = _parts_of_categories()


def _possible_only(prediction: Tensor, batch: CloudBatch) -> Float[Tensor, "N K"]:
    """The logits, minus infinity for parts of other categories."""
    possible = _POSSIBLE.to(prediction.device)[batch["label"]][batch.batch]
    return prediction.masked_fill(~possible, float("-inf"))


def _shape_ious(prediction: Tensor, batch: CloudBatch) -> Float[Tensor, " B"]:
    """Mean IoU of every shape over the parts of its category, percent."""
    predicted = _possible_only(prediction, batch).argmax(dim=1)
    table = contingency(batch["part"], predicted, batch.batch, (batch.num_clouds, NUM_PARTS, NUM_PARTS))
    possible = _POSSIBLE.to(prediction.device)[batch["label"]]
    return 100 * (label_ious(table) * possible).sum(1) / possible.sum(1)
