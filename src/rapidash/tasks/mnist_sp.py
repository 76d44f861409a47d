"""Digits as clouds of super-pixels in the plane: which digit is it?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from rapidash.data import CloudDataset, Field
from rapidash.datasets import DataError, FileCloud, ReadDataset, mnist_superpixels_dataset
from rapidash.groups import Position, Scalar
from rapidash.methods import Split, Variant
from rapidash.tasks._classification import ClassificationTask, CloudClassifier
from rapidash.tasks._file_task import NeededField

NUM_DIGITS = 10
PIXELS_PER_UNIT = 3.0  # about the distance between super-pixels: the kernels see lengths of order 1
AREA_UNIT = 10.0  # pixel^2, about that of a super-pixel


@dataclass(frozen=True)
class MnistSpTask(ClassificationTask):
    """Digits from about 75 super-pixels, each with its mean position, intensity and area; error rate in percent.

    Args:
        pose, num_train, num_val, num_test, data_dir, on_error, verify: as for every `PosedTask`; there are 55,000,
            5,000 and 10,000 digits. "rotated" makes some errors unavoidable: a turned 6 is a 9.
        num_superpixels: about how many, at least 4; 75 gives 9 x 9.
    Raises: ValueError for values outside the above.
    Source: LeCun et al., Proc. IEEE 86, 2278 (1998); as super-pixels: Monti et al., CVPR 2017 (other super-pixels).
    """

    num_superpixels: int = 75

    name: str = field(default="mnist-sp", init=False)
    dim: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_superpixels < 4:
            raise ValueError(f"num_superpixels must be at least 4, got {self.num_superpixels}")

    def read(self, split: Split) -> ReadDataset:
        """The digits of a split as super-pixels."""
        return mnist_superpixels_dataset(
            split,
            num_superpixels=self.num_superpixels,
            data_dir=self.data_dir,
            on_error=self.on_error,
            verify=self.verify,
        )

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos, intensity, area and label.

        Raises: FileNotFoundError; DataError for a damaged file.
        """
        return self.posed(self.chosen(split, (*self.needs, "label"), num_classes=NUM_DIGITS), split)

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a digit from a file must have, a row per super-pixel."""
        return {
            "pos": NeededField(Field(Position(), "pixel"), 2),
            "intensity": NeededField(Field(Scalar(), "1"), 1),
            "area": NeededField(Field(Scalar(), "pixel^2"), 1),
        }

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One digit, as the file has it. Raises: DataError for intensities outside [0, 1] or areas not above 0."""
        tensors = super().read_cloud(found, reference)
        intensity, area = tensors["intensity"], tensors["area"]
        if float(intensity.min()) < 0 or float(intensity.max()) > 1:
            span = f"from {float(intensity.min()):g} to {float(intensity.max()):g}"
            raise DataError(f"'intensity' goes {span}, expected 0 to 1: divide gray levels by 255")
        if float(area.min()) <= 0:
            raise DataError(f"'area' has the value {float(area.min()):g}, expected numbers of pixels, above 0")
        return tensors

    def class_names(self) -> Sequence[str]:
        """The digits."""
        return tuple("0123456789")

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        units = {"intensity": 1.0, "area": AREA_UNIT}
        return CloudClassifier(variant, NUM_DIGITS, length_unit=PIXELS_PER_UNIT, scalar_units=units)
