"""Own clouds: a number or the class of each cloud in a user's files, by a network that sees every coordinate."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import Position, Scalar
from rapidash.methods import Split, Variant
from rapidash.models import Interface, Network, cloud_network
from rapidash.symmetry import GeometricInput, Ledger, symmetry_ledger
from rapidash.tasks._own_files import OwnClouds, read_own_clouds

_SHARES = {"train": (0.0, 0.7), "val": (0.7, 0.85), "test": (0.85, 1.0)}
_PLACE = GeometricInput("the place of a point", "position", "scalars")


class OwnCloudsNetwork(nn.Module):
    """One row for each cloud from the places of its points, their elements, and what the network makes of distances."""

    def __init__(self, variant: Variant, dim: int, num_elements: int, num_out: int) -> None:
        super().__init__()
        io = Interface(dim, in_scalars=1 + dim + num_elements, out_scalars=num_out, level="graph", pool="mean")
        self.backbone: Network = cloud_network(variant.model, io)

    def forward(self, batch: CloudBatch) -> Float[Tensor, "B K"]:
        """Logits, or the standardized target."""
        return self.backbone(batch.pos, batch.batch, scalars=self._scalars(batch)).scalars

    def calibrate(self, batch: CloudBatch) -> None:
        """Let the network measure a batch."""
        self.backbone.calibrate(batch.pos, batch.batch, scalars=self._scalars(batch))

    def _scalars(self, batch: CloudBatch) -> Tensor:
        parts = [batch.pos.new_ones(len(batch.pos), 1), batch.pos]
        return torch.cat([*parts, batch["element"]] if "element" in batch.tensors else parts, dim=1)


@dataclass(frozen=True)
class OwnCloudsTask:
    """Predict a number of each cloud, or its folder, from places, so that no motion is built in.

    Positions are taken relative to the mean of all points of the training clouds, in units of their root mean square
    distance from it: a translation has this unit, and rotations are about that mean. Of the clouds, in a random order,
    70 % are for training, 15 % for validation and 15 % for the test.

    Args:
        files: see `rapidash study learn-symmetry`: xyz and npz files, or one folder with a folder for each class.
        target: name of the number; None: the class is the folder.
        num_points: at most so many points of each cloud.
        data_seed: of the split.
    Raises: ValueError for no file, or fewer than 3 points; FileNotFoundError and DataError as the files are read.
    """

    files: tuple[str, ...] = ()
    target: str | None = None
    num_points: int = 64
    data_seed: int = 0

    name: str = field(default="own-clouds", init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", tuple(self.files))
        if not self.files:
            raise ValueError("files: expected xyz or npz files with a target, or a folder of classes, got none")
        if self.num_points < 3:
            raise ValueError(f"num_points must be at least 3, got {self.num_points}")
        self.clouds()

    def clouds(self) -> OwnClouds:
        """All clouds, as the files have them."""
        return read_own_clouds(self.files, self.target, self.num_points)

    @property
    def dim(self) -> int:
        """2 or 3, of the files."""
        return int(self.clouds().pos[0].shape[1])

    @property
    def metric(self) -> str:
        """The metric in words."""
        return "error rate" if self.target is None else f"mean absolute error of {self.target}"

    @property
    def unit(self) -> str:
        """Percent, or that of the target."""
        return "%" if self.target is None else "unit of the target"

    @property
    def output(self) -> Field:
        """Logits, or one number, which do not move."""
        return Field(Scalar(), level="cloud")

    @property
    def length(self) -> float:
        """The unit of lengths, in that of the files."""
        return self._frame()[1]

    def _frame(self) -> tuple[Tensor, float]:
        clouds = self.clouds()
        points = torch.cat([clouds.pos[index] for index in self._indices("train").tolist()])
        middle = points.mean(dim=0)
        unit = float((points - middle).square().sum(dim=1).mean().sqrt())
        return middle, unit or 1.0

    def _indices(self, split: Split) -> Tensor:
        order = torch.randperm(len(self.clouds().pos), generator=seeded("own clouds", self.data_seed))
        first, last = (round(share * len(order)) for share in _SHARES[split])
        return order[first:last]

    def _scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the target over the training clouds."""
        target = self.clouds().target[self._indices("train")].double()
        return float(target.mean()), float(target.std()) or 1.0

    def dataset(self, split: Split) -> CloudDataset:
        """Positions pos, target (B,), and one-hot elements where the files have them."""
        clouds, indices = self.clouds(), self._indices(split)
        middle, unit = self._frame()
        pos = [(clouds.pos[index] - middle) / unit for index in indices.tolist()]
        tensors = {"pos": torch.cat(pos).float(), "target": clouds.target[indices]}
        fields = {"pos": Field(Position(), "length"), "target": Field(Scalar(), level="cloud")}
        if clouds.elements is not None:
            known = self._elements()
            z = torch.cat([clouds.elements[index] for index in indices.tolist()])
            tensors["element"] = (z[:, None] == known).float()
            fields["element"] = Field(Scalar())
        if self.target is not None:
            tensors["target"] = tensors["target"].float()
        return CloudDataset(tensors, fields, torch.tensor([len(each) for each in pos]))

    def _elements(self) -> Tensor:
        elements = self.clouds().elements
        return torch.zeros(0, dtype=torch.long) if elements is None else torch.cat(elements).unique()

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return self._network(variant)

    def _network(self, variant: Variant) -> OwnCloudsNetwork:
        num_out = len(self.clouds().class_names) or 1
        return OwnCloudsNetwork(variant, self.dim, len(self._elements()), num_out)

    def ledger(self, variant: Variant) -> Ledger:
        """None: the network sees places."""
        with torch.random.fork_rng():
            backbone = self._network(variant).backbone
        return symmetry_ledger(backbone.symmetry, [_PLACE], exact=backbone.exact_symmetry)

    def loss(self, prediction: Float[Tensor, "B K"], batch: CloudBatch) -> Float[Tensor, ""]:
        """Cross-entropy, or the mean squared error in standard deviations of the target."""
        if self.target is None:
            return cross_entropy(prediction, batch["target"])
        mean, deviation = self._scale()
        return (prediction[:, 0] - (batch["target"] - mean) / deviation).square().mean()

    def errors(self, prediction: Float[Tensor, "B K"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """100 for every cloud with another class, else 0; or the absolute error."""
        if self.target is None:
            return 100 * (prediction.argmax(dim=1) != batch["target"]).to(prediction.dtype)
        mean, deviation = self._scale()
        return (mean + deviation * prediction[:, 0] - batch["target"]).abs()
