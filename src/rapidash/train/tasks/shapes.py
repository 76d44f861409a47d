"""Classification of shapes: which of 69 classes does a surface belong to, from points on it?"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rapidash._names import unknown_name
from rapidash._seed import seeded
from rapidash.data import MODELNET40_C, POINTCLOUD_C, CloudBatch, CloudDataset, Field, corrupt_dataset
from rapidash.datasets import DataError, shapes69_dataset
from rapidash.groups import SO, Scalar
from rapidash.models import build_backbone
from rapidash.symmetry import Ledger
from rapidash.train._task import Split
from rapidash.train._variant import Variant
from rapidash.train.tasks._point_inputs import displacements, network_ledger, point_inputs

Pose = Literal["aligned", "rotated"]
NUM_CLASSES = 69
MAX_POINTS = 1024  # of the file


class ShapesNetwork(nn.Module):
    """Logits of the classes (B, 69), the mean over the points of the coarsest scale of a Rapidash network.

    Inputs of a point: a constant, and its displacement from the centroid of the shape as a vector; on R^3 as components
    (T(3)), or by its length (with rotations). Normals are not used: the sign of those in the file can be wrong.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.inputs = point_inputs(variant, ("displacement from the centroid",))
        shape = {"out_scalars": NUM_CLASSES, "out_vectors": 0, "level": "graph", "pool": "mean"}
        self.backbone = build_backbone(self.inputs.config(variant.model, scalars=1, **shape))

    def forward(self, batch: CloudBatch) -> Float[Tensor, "B K"]:
        """A logit for every class."""
        return self.backbone(batch.pos, batch.batch, **self._features(batch)).scalars

    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels on one batch, see `Rapidash.calibrate`."""
        features = self._features(batch)
        self.backbone.calibrate(batch.pos, batch.batch, scalars=features["scalars"], vectors=features["vectors"])

    def _features(self, batch: CloudBatch) -> dict[str, Tensor | None]:
        offset = displacements(batch.pos, batch.batch, batch.num_clouds)
        constant = batch.pos.new_ones(len(batch.pos), 1)
        scalars, vectors, _ = self.inputs.features(batch.pos, offset[:, None], constant)
        return {"scalars": scalars, "vectors": vectors}


@dataclass(frozen=True)
class ShapesTask:
    """Classes of 2,470 shapes: folds 2 to 4 for training, 1 for validation, 0 for the test; error rate in percent.

    Args:
        pose: "aligned", as the file has the shapes (not canonical for all classes), or "rotated": every shape of every
            split turned by a random rotation of its own, the same in every run.
        num_points: points of each shape, the first of the file's random order, 1 to 1024.
        num_train, num_val, num_test: at most so many shapes, a random part that does not depend on the run; None: all.
        corruption: name of a corruption of the test shapes, see `rapidash.data.corrupt`; None: none.
        severity: of the corruption, 1 to 5.
        data_dir: folder or file; default: RAPIDASH_DATA.
    Raises: ValueError for values outside the above.
    Source: Shilane et al., "The Princeton Shape Benchmark", SMI 2004; corruptions: Ren et al., ICML 2022.
    """

    pose: Pose = "aligned"
    num_points: int = 256
    num_train: int | None = None
    num_val: int | None = None
    num_test: int | None = None
    corruption: str | None = None
    severity: int = 3
    data_dir: str | None = None

    name: str = field(default="shapes", init=False)
    dim: int = field(default=3, init=False)
    metric: str = field(default="error rate", init=False)
    unit: str = field(default="%", init=False)
    output: Field = field(default=Field(Scalar(), "1", "cloud"), init=False)

    def __post_init__(self) -> None:
        if self.pose not in get_args(Pose):
            raise ValueError(f"pose must be one of {get_args(Pose)}, got {self.pose!r}")
        if not 1 <= self.num_points <= MAX_POINTS:
            raise ValueError(f"num_points must be in 1 to {MAX_POINTS}, got {self.num_points}")
        if wrong := {split: size for split, size in self._sizes.items() if size is not None and size < 1}:
            raise ValueError(f"num_train, num_val and num_test must be at least 1, got {wrong}")
        corruptions = {**POINTCLOUD_C, **MODELNET40_C}
        if self.corruption is not None and self.corruption not in corruptions:
            raise ValueError(unknown_name("corruption", self.corruption, corruptions))
        if self.severity not in range(1, 6):
            raise ValueError(f"severity must be in 1 to 5, got {self.severity}")

    @property
    def _sizes(self) -> dict[str, int | None]:
        return {"train": self.num_train, "val": self.num_val, "test": self.num_test}

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos and label; a corruption acts on the aligned test shapes, before they are turned.

        Raises: FileNotFoundError; DataError for a damaged file or another number of classes.
        """
        data = shapes69_dataset(split, num_points=self.num_points, data_dir=self.data_dir)
        if len(data.info["class_names"]) != NUM_CLASSES:
            raise DataError(f"{data.source} has {len(data.info['class_names'])} classes, expected {NUM_CLASSES}")
        kept = ("pos", "label")
        shapes = CloudDataset(
            {name: data.tensors[name] for name in kept}, {name: data.fields[name] for name in kept}, data.num_points
        )
        size = self._sizes[split]
        if size is not None and size < len(shapes):
            shapes = shapes.subset(torch.randperm(len(shapes), generator=seeded("shapes", split))[:size])
        if self.corruption is not None and split == "test":
            shapes = corrupt_dataset(shapes, self.corruption, self.severity)
        if self.pose == "aligned":
            return shapes
        turns = SO(3).sample(len(shapes), generator=seeded("shapes", "pose", split))
        turned = shapes.batch(torch.arange(len(shapes))).transform(turns)
        return CloudDataset(turned.tensors, shapes.fields, shapes.num_points)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return ShapesNetwork(variant)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(ShapesNetwork(variant))

    def loss(self, prediction: Float[Tensor, "B K"], batch: CloudBatch) -> Float[Tensor, ""]:
        """Cross-entropy, nats."""
        return cross_entropy(prediction, batch["label"])

    def errors(self, prediction: Float[Tensor, "B K"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """100 for every shape whose largest logit is not that of its class, else 0."""
        return 100 * (prediction.argmax(dim=1) != batch["label"]).to(prediction.dtype)
