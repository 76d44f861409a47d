"""Eight random shapes of 24 points, turned about z, scaled and noisy: class, pose and scale are known."""

from dataclasses import dataclass, field

import torch
from torch import nn

from rapidash.data import CloudDataset, Field, seeded
from rapidash.groups import SO2, Position, Scalar
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._classification import CloudClassifier
from rapidash.tasks._label import LabelTask
from rapidash.tasks._point_inputs import network_ledger

NUM_CLASSES, NUM_POINTS, NOISE = 8, 24, 0.05
SIZES = {"train": 1024, "val": 256, "test": 512}


@dataclass(frozen=True)
class PrototypesTask(LabelTask):
    """The class of a prototype; ``yaw`` (radian) and ``log_scale`` are further fields."""

    num_train: int = 1024
    name: str = field(default="prototypes", init=False)
    dim: int = field(default=3, init=False)
    metric: str = field(default="error rate", init=False)
    unit: str = field(default="%", init=False)
    output: Field = field(default=Field(Scalar(), "1", "cloud"), init=False)

    def dataset(self, split: Split) -> CloudDataset:
        """The samples of a split."""
        size = self.num_train if split == "train" else SIZES[split]
        prototypes = torch.randn(NUM_CLASSES, NUM_POINTS, 3, generator=seeded("prototypes"), dtype=torch.float64)
        rng = seeded("prototypes", split)
        label = torch.randint(NUM_CLASSES, (size,), generator=rng)
        yaw = 2 * torch.pi * torch.rand(size, generator=rng, dtype=torch.float64)
        log_scale = torch.rand(size, generator=rng, dtype=torch.float64) - 0.5
        turns = SO2("z").without_translations().exponential(yaw[:, None])[:, :3, :3]
        pos = torch.einsum("bij,bnj->bni", turns, prototypes[label] / 3) * log_scale.exp()[:, None, None]
        pos = pos + NOISE * torch.randn(pos.shape, generator=rng, dtype=torch.float64)
        fields = {"pos": Field(Position(), "length")}
        fields |= {name: Field(Scalar(), "1", "cloud") for name in ("label", "yaw", "log_scale")}
        tensors = {"pos": pos.flatten(0, 1).float(), "label": label, "yaw": yaw.float(), "log_scale": log_scale.float()}
        return CloudDataset(tensors, fields, torch.full((size,), NUM_POINTS))

    def build(self, variant: Variant) -> nn.Module:
        """A classifier."""
        return CloudClassifier(variant, NUM_CLASSES)

    def ledger(self, variant: Variant) -> Ledger:
        """Of the network."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))
