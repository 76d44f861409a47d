"""Classification of CAD models: which of the 10 classes of ModelNet10 does a surface belong to?"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from rapidash._names import unknown_name
from rapidash.datasets import ReadDataset, modelnet10_dataset
from rapidash.groups import SO, SO2, Group
from rapidash.methods import Split
from rapidash.tasks._shape_classes import ShapeClassesTask

PoseProtocol = Literal["as posed", "z/z", "z/SO(3)", "SO(3)/SO(3)"]
_TURNS: dict[str, Group] = {"z": SO2("z").without_translations(), "SO(3)": SO(3)}


@dataclass(frozen=True)
class ModelNet10Task(ShapeClassesTask):
    """Classes of 4,899 CAD models in the official split, a tenth of its training part held out; error rate in percent.

    The models are aligned, up is z. The protocols of the field name the poses of training and test data: ``"z/z"``
    turns every model about the vertical, ``"z/SO(3)"`` those of the test by any rotation, ``"SO(3)/SO(3)"`` all.
    A model has one pose, the same in every run; fresh ones at every step are an augmentation. The validation data are
    as those of the training.

    Args: as for every `ShapeClassesTask`; num_points is 1 to 1024, and protocol takes the place of ``pose``, which is
        then ``"aligned"``.
    Raises: ValueError for an unknown protocol, or one beside ``pose="rotated"``.
    Source: Wu et al., "3D ShapeNets", CVPR 2015; the protocols: Esteves et al., "Learning SO(3) Equivariant
        Representations with Spherical CNNs", ECCV 2018.
    """

    protocol: PoseProtocol = "as posed"

    name: str = field(default="modelnet10", init=False)
    num_classes: ClassVar[int] = 10
    max_points: ClassVar[int] = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.protocol not in get_args(PoseProtocol):
            raise ValueError(unknown_name("protocol:", str(self.protocol), get_args(PoseProtocol)))
        if self.protocol != "as posed" and self.pose != "aligned":
            raise ValueError(f"protocol={self.protocol!r} says how clouds are turned: leave pose at 'aligned'")

    def poses(self, split: Split) -> Group | None:
        """By the protocol, where there is one."""
        if self.protocol == "as posed":
            return super().poses(split)
        train, test = self.protocol.split("/")
        return _TURNS[test if split == "test" else train]

    def read(self, split: Split) -> ReadDataset:
        """The shapes of a split as the file has them."""
        return modelnet10_dataset(
            split, num_points=self.num_points, data_dir=self.data_dir, on_error=self.on_error, verify=self.verify
        )
