"""Classification of scanned objects: which of the 15 classes of ScanObjectNN is it, with clutter and parts missing?"""

from dataclasses import dataclass, field
from typing import ClassVar, get_args

from rapidash._names import unknown_name
from rapidash.datasets import SCANOBJECTNN_CLASSES, ReadDataset, ScanVariant, scanobjectnn_dataset
from rapidash.methods import Split
from rapidash.tasks._shape_classes import ShapeClassesTask


@dataclass(frozen=True)
class ScanObjectNNTask(ShapeClassesTask):
    """Classes of 2,902 scanned objects in the official split, a tenth of its training part held out; error rate in %.

    Args: as for every `ShapeClassesTask` (num_points is 1 to 2048, 1024 by default, as in the benchmark), and
        scans: the perturbation; the default is the hardest, PB_T50_RS.
        background: with what is around the object.
    Raises: ValueError for an unknown perturbation.
    Source: Uy et al., "Revisiting Point Cloud Classification", ICCV 2019.
    """

    num_points: int = 1024
    scans: ScanVariant = "augmentedrot_scale75"
    background: bool = True

    name: str = field(default="scanobjectnn", init=False)
    num_classes: ClassVar[int] = len(SCANOBJECTNN_CLASSES)
    max_points: ClassVar[int] = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scans not in get_args(ScanVariant):
            raise ValueError(unknown_name("scans of scanobjectnn", self.scans, get_args(ScanVariant)))

    def read(self, split: Split) -> ReadDataset:
        """The scans of a split as the file has them."""
        return scanobjectnn_dataset(
            split,
            variant=self.scans,
            background=self.background,
            num_points=self.num_points,
            data_dir=self.data_dir,
            on_error=self.on_error,
        )
