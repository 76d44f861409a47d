"""The base of tasks that ask for the class of a shape, from points on its surface: poses, parts, corruptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash.data import CORRUPTIONS, CloudDataset, CorruptionKind, corrupt_dataset
from rapidash.datasets import FileCloud
from rapidash.methods import Split, Variant
from rapidash.tasks._classification import ClassificationTask, CloudClassifier
from rapidash.tasks._file_task import NeededField
from rapidash.tasks._shape_files import NEEDS_OF_SHAPES, read_shape


@dataclass(frozen=True)
class ShapeClassesTask(ClassificationTask):
    """Base of tasks whose data are labeled shapes; a task gives its name, its classes and how its files are read.

    Normals are not used: the sign of those in the files can be wrong.

    Args:
        pose, num_train, num_val, num_test, data_dir, on_error, verify: as for every `PosedTask`.
        num_points: points of each shape, the first of the file's order.
        corruption: name of a corruption of the test shapes, see `rapidash.data.corrupt`; None: none.
        severity: of the corruption, 1 to 5.
    Raises: ValueError for values outside the above.
    """

    num_points: int = 256
    corruption: str | None = None
    severity: int = 3

    num_classes: ClassVar[int] = 0
    max_points: ClassVar[int] = 0  # of the files
    corruption_kinds: ClassVar[tuple[CorruptionKind, ...]] = get_args(CorruptionKind)  # a class survives them all

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.num_points <= self.max_points:
            raise ValueError(f"num_points must be in 1 to {self.max_points}, got {self.num_points}")
        if self.corruption is not None and self.corruption not in CORRUPTIONS:
            raise ValueError(unknown_name("corruption", self.corruption, CORRUPTIONS))
        if self.severity not in range(1, 6):
            raise ValueError(f"severity must be in 1 to 5, got {self.severity}")

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos and label; a corruption acts on the aligned test shapes, before they are turned.

        Each shape is brought to the size and place that the benchmark of the corruption wants, and back after it.

        Raises: FileNotFoundError; DataError for a damaged file or another number of classes.
        """
        shapes = self.chosen(split, ("pos", "label"), num_classes=self.num_classes)
        if self.corruption is not None and split == "test":
            shapes = corrupt_dataset(shapes, self.corruption, self.severity, normalization="each")
        return self.posed(shapes, split)

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a shape from a file must have: a surface, or enough points."""
        return NEEDS_OF_SHAPES

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
