"""What tasks share that ask for the class of a shape, from points on its surface: poses, parts, corruptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash.data import CORRUPTIONS, CloudDataset, CorruptionKind, corrupt_dataset
from rapidash.datasets import DataError, FileCloud, ReadDataset
from rapidash.train._prediction import Input
from rapidash.train._task import Split
from rapidash.train._variant import Variant
from rapidash.train.tasks._classification import ClassificationTask, CloudClassifier
from rapidash.train.tasks._samples import Pose, check_pose, check_sizes, keep_fields, random_part, turned
from rapidash.train.tasks._shape_files import SHAPE_INPUTS, read_shape


@dataclass(frozen=True)
class ShapeClassesTask(ClassificationTask):
    """Base of tasks whose data are labeled shapes; a task gives its name, its classes and how its files are read.

    Normals are not used: the sign of those in the files can be wrong.

    Args:
        pose: "aligned", as the files have the shapes, or "rotated": every shape of every split turned by a random
            rotation of its own, the same in every run.
        num_points: points of each shape, the first of the file's order.
        num_train, num_val, num_test: at most so many shapes, a random part that does not depend on the run; None: all.
        corruption: name of a corruption of the test shapes, see `rapidash.data.corrupt`; None: none.
        severity: of the corruption, 1 to 5.
        data_dir: folder or file; default: RAPIDASH_DATA.
    Raises: ValueError for values outside the above.
    """

    pose: Pose = "aligned"
    num_points: int = 256
    num_train: int | None = None
    num_val: int | None = None
    num_test: int | None = None
    corruption: str | None = None
    severity: int = 3
    data_dir: str | None = None

    name: str = field(default="", init=False)
    dim: int = field(default=3, init=False)
    num_classes: ClassVar[int] = 0
    max_points: ClassVar[int] = 0  # of the files
    corruption_kinds: ClassVar[tuple[CorruptionKind, ...]] = get_args(CorruptionKind)  # a class survives them all

    def __post_init__(self) -> None:
        check_pose(self.pose)
        if not 1 <= self.num_points <= self.max_points:
            raise ValueError(f"num_points must be in 1 to {self.max_points}, got {self.num_points}")
        check_sizes(self._sizes)
        if self.corruption is not None and self.corruption not in CORRUPTIONS:
            raise ValueError(unknown_name("corruption", self.corruption, CORRUPTIONS))
        if self.severity not in range(1, 6):
            raise ValueError(f"severity must be in 1 to 5, got {self.severity}")

    @property
    def _sizes(self) -> dict[str, int | None]:
        return {"train": self.num_train, "val": self.num_val, "test": self.num_test}

    def read(self, split: Split) -> ReadDataset:
        """The shapes of a split as the files have them, with pos and label."""
        raise NotImplementedError

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos and label; a corruption acts on the aligned test shapes, before they are turned.

        Raises: FileNotFoundError; DataError for a damaged file or another number of classes.
        """
        data = self.read(split)
        if len(data.info["class_names"]) != self.num_classes:
            raise DataError(f"{data.source} has {len(data.info['class_names'])} classes, expected {self.num_classes}")
        shapes = random_part(keep_fields(data, ("pos", "label")), self._sizes[split], self.name, split)
        if self.corruption is not None and split == "test":
            shapes = corrupt_dataset(shapes, self.corruption, self.severity)
        return shapes if self.pose == "aligned" else turned(shapes, self.dim, self.name, "pose", split)

    @property
    def inputs(self) -> Mapping[str, Input]:
        """What a shape from a file must have: a surface, or enough points."""
        return SHAPE_INPUTS

    def class_names(self) -> Sequence[str]:
        """The names of the classes, from the files."""
        names: Sequence[str] = self.read("val").info["class_names"]
        return names

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One shape, sampled and scaled as those of the training data."""
        return read_shape(found, self.num_points)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudClassifier(variant, self.num_classes)
