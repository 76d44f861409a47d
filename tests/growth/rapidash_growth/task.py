"""A task on rings: the sum of the products of neighbors, which shifts do not change."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rapidash.data import Field, seeded
from rapidash.groups import Permutation, Scalar
from rapidash.methods import Variant
from rapidash.models import Interface
from rapidash.symmetry import Ledger
from rapidash_growth.ring import Rings, Shifts

SIZE = 6


class RingModel(nn.Module):
    """A network on the numbers of a ring, side by side."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.backbone = variant.model.build(Interface(dim=0, in_scalars=SIZE))

    def forward(self, batch: Rings) -> Tensor:
        return self.backbone(batch["signal"])


@dataclass(frozen=True)
class RingTask:
    num_train: int = 40
    name: str = field(default="growth-ring", init=False)
    dim: int = field(default=0, init=False)
    metric: str = field(default="MSE of sums", init=False)
    unit: str = field(default="1", init=False)
    output: Field = field(default=Field(Scalar(), level="cloud"), init=False)

    moves = Shifts(SIZE)
    measured_groups = (Shifts(SIZE),)

    def dataset(self, split: str) -> Rings:
        signal = torch.randn(self.num_train, SIZE, generator=seeded("ring", split), dtype=torch.float64)
        target = (signal * signal.roll(1, dims=1)).sum(dim=1, keepdim=True)
        fields = {"signal": Field(Permutation(-1), level="cloud"), "target": Field(Scalar(), level="cloud")}
        return Rings({"signal": signal, "target": target}, fields)

    def build(self, variant: Variant) -> nn.Module:
        return RingModel(variant)

    def ledger(self, variant: Variant) -> Ledger:
        none = Shifts(SIZE, 1)
        return Ledger(none, none, ("an MLP sees every number of the ring by itself",), True, False)

    def loss(self, prediction: Tensor, batch: Rings) -> Tensor:
        return (prediction - batch["target"]).square().mean()

    def errors(self, prediction: Tensor, batch: Rings) -> Tensor:
        return (prediction - batch["target"]).square()[:, 0]
