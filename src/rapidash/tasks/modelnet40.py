"""Classification of CAD models: which of the 40 classes of ModelNet40 does a surface belong to?"""

from dataclasses import dataclass, field
from typing import ClassVar

from rapidash.datasets import MODELNET40_CLASSES, ReadDataset, modelnet40_dataset
from rapidash.methods import Split
from rapidash.tasks._shape_classes import ShapeClassesTask


@dataclass(frozen=True)
class ModelNet40Task(ShapeClassesTask):
    """Classes of 12,311 CAD models in the official split, a tenth of its training part held out; error rate in percent.

    The models are aligned: up is y in the sampled layouts of the data, z in the meshes.

    Args: as for every `ShapeClassesTask`; num_points is 1024 by default, as in the benchmark.
    Source: Wu et al., "3D ShapeNets", CVPR 2015; corruptions: Ren et al., ICML 2022; Sun et al., 2022.
    """

    num_points: int = 1024

    name: str = field(default="modelnet40", init=False)
    num_classes: ClassVar[int] = len(MODELNET40_CLASSES)
    max_points: ClassVar[int] = 10_000

    def read(self, split: Split) -> ReadDataset:
        """The shapes of a split as the files have them."""
        return modelnet40_dataset(split, num_points=self.num_points, data_dir=self.data_dir, on_error=self.on_error)
