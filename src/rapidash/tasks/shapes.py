"""Classification of shapes: which of 69 classes does a surface belong to, from points on it?"""

from dataclasses import dataclass, field
from typing import ClassVar

from rapidash.datasets import ReadDataset, shapes69_dataset
from rapidash.methods import Split
from rapidash.tasks._shape_classes import ShapeClassesTask


@dataclass(frozen=True)
class ShapesTask(ShapeClassesTask):
    """Classes of 2,470 shapes: folds 2 to 4 for training, 1 for validation, 0 for the test; error rate in percent.

    The file's own orientation ("aligned") is not canonical for all classes.

    Args: as for every `ShapeClassesTask`; num_points is 1 to 1024.
    Source: Shilane et al., "The Princeton Shape Benchmark", SMI 2004; corruptions: Ren et al., ICML 2022.
    """

    name: str = field(default="shapes", init=False)
    num_classes: ClassVar[int] = 69
    max_points: ClassVar[int] = 1024

    def read(self, split: Split) -> ReadDataset:
        """The shapes of a split as the file has them."""
        return shapes69_dataset(
            split, num_points=self.num_points, data_dir=self.data_dir, on_error=self.on_error, verify=self.verify
        )
