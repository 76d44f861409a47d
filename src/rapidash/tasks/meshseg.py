"""Segmentation as people do it: where does a shape of the Princeton benchmark fall into parts?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import CloudBatch, CloudDataset
from rapidash.datasets import ReadDataset, meshseg_dataset
from rapidash.methods import Split, Variant
from rapidash.tasks._file_task import Output
from rapidash.tasks._partitions import best_match, contingency, matched_ious, rand_errors
from rapidash.tasks._segmentation import PointLabeler, SegmentationTask, most_probable

NUM_CATEGORIES = 19
MAX_POINTS = 2048  # of the file


@dataclass(frozen=True)
class MeshsegTask(SegmentationTask):
    """Partitions of 380 shapes of 19 categories; the category is an input.

    Segments have no names: their numbers differ between shapes and people. The network gives each point a distribution
    over ``num_segments`` slots. In the loss, the slots are matched one to one with the segments of the person closest
    to the others, such that the cross-entropy is smallest; the metric needs no match: 100 % times 1 - Rand index, the
    mean over all people who segmented the shape, as the benchmark defines it. Beside it: the mean IoU of that one
    person's segments, after the best match of slots with them.

    A network that is equivariant to a symmetry of the shape labels the points alike that the symmetry exchanges: what
    it cannot do, such as telling the left leg from the right, is what an input that breaks the symmetry must provide.

    Args:
        pose, num_train, num_val, num_test, data_dir, on_error, verify: as for every `PosedTask`; there are 247, 38
            and 95 shapes.
        num_points: points of each shape, the first of the file's random order, 1 to 2048.
        num_segments: slots, at least 2; the file has up to 34 segments, in most shapes at most 12.
    Raises: ValueError for values outside the above.
    Source: Chen, Golovinskiy, Funkhouser, "A Benchmark for 3D Mesh Segmentation", SIGGRAPH 2009.
    """

    num_points: int = 512
    num_segments: int = 12

    name: str = field(default="meshseg", init=False)
    metric: str = field(default="1 - Rand index", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.num_points <= MAX_POINTS:
            raise ValueError(f"num_points must be in 1 to {MAX_POINTS}, got {self.num_points}")
        if self.num_segments < 2:
            raise ValueError(f"num_segments must be at least 2, got {self.num_segments}")

    def read(self, split: Split) -> ReadDataset:
        """The shapes of a split as the file has them."""
        return meshseg_dataset(
            split, num_points=self.num_points, data_dir=self.data_dir, on_error=self.on_error, verify=self.verify
        )

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos, segment, segments (of all people, -1 where there are fewer) and label (the category).

        Raises: FileNotFoundError; DataError for a damaged file or another number of categories.
        """
        fields = ("pos", "segment", "segments", "label")
        return self.posed(self.chosen(split, fields, num_classes=NUM_CATEGORIES), split)

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """The most probable slot of every point, and its probability; slots have no names."""
        return most_probable("segment", prediction)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return PointLabeler(variant, num_categories=NUM_CATEGORIES, num_labels=self.num_segments)

    def loss(self, prediction: Float[Tensor, "N K"], batch: CloudBatch) -> Float[Tensor, ""]:
        """Cross-entropy after the best match of slots with segments, nats; the mean over the points of the matched."""
        log_p, segment = prediction.log_softmax(dim=1), batch["segment"]
        num_segments = int(segment.max()) + 1
        rows = batch.batch * num_segments + segment
        sums = log_p.new_zeros(batch.num_clouds * num_segments, log_p.shape[1]).index_add(0, rows, log_p)
        sizes = torch.bincount(rows, minlength=len(sums))
        gains = sums.detach() - sizes[:, None] * log_p.detach().min()  # at least 0, so that large segments come first
        total, count = log_p.new_zeros(()), 0
        for first in range(0, len(sums), num_segments):
            matched, slots = best_match(gains[first : first + num_segments])
            total = total - sums[first + matched, slots].sum()
            count += int(sizes[first + matched].sum())
        return total / count

    def errors(self, prediction: Float[Tensor, "N K"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """100 times 1 - Rand index, the mean over the people who segmented the shape."""
        people = [_compared(column, prediction, batch) for column in batch["segments"].T]
        errors, weights = torch.stack([rand_errors(table) for table, _ in people]), torch.stack([w for _, w in people])
        return 100 * (errors * weights).sum(0) / weights.sum(0)

    def details(self, prediction: Float[Tensor, "N K"], batch: CloudBatch) -> dict[str, Tensor]:
        """Mean IoU after the best match, with the segments of the person closest to the others."""
        table, _ = _compared(batch["segment"], prediction, batch)
        return {"matched mIoU (%)": 100 * matched_ious(table)}


def _compared(
    segment: Tensor, prediction: Tensor, batch: CloudBatch
) -> tuple[Float[Tensor, "B A K"], Float[Tensor, " B"]]:
    """A person's segments against the predicted ones, and 1 for every shape that this person segmented, else 0."""
    shape = (batch.num_clouds, max(int(segment.max()), 0) + 1, prediction.shape[1])
    table = contingency(segment.clamp(min=0), prediction.argmax(dim=1), batch.batch, shape)
    missing = torch.zeros(batch.num_clouds, device=segment.device).index_add(0, batch.batch, (segment < 0).float())
    return table, (missing == 0).double()
