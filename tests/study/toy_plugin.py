"""A plugin with a task of seconds: points to be moved on by one unit of time. Its models misbehave as their name says.

Every build of a model is noted in the file that ``TOY_LOG`` names.
"""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.geometry import Graph
from rapidash.groups import Position, Vector, parse_group
from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.ops import edge_conv
from rapidash.registry import DESIGNS, TASKS
from rapidash.study import StudyDesign
from rapidash.symmetry import Ledger, symmetry_ledger
from rapidash.train import TrainConfig


class Equivariant(nn.Module):
    """x + a v."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(()))

    def forward(self, batch: CloudBatch) -> Tensor:
        return batch.pos + self.factor * batch["vel"]


class Components(nn.Module):
    """x + W [x, v]: not equivariant to rotations."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, batch: CloudBatch) -> Tensor:
        return batch.pos + self.linear(torch.cat([batch.pos, batch["vel"]], dim=1))


class Dying(Components):
    """Kills its process, as the system does when memory runs out."""

    def forward(self, batch: CloudBatch) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(batch)


class Slow(Components):
    """A fifth of a second per step."""

    def forward(self, batch: CloudBatch) -> Tensor:
        if self.training:
            Path(os.environ["TOY_LOG"]).with_suffix(".stepping").touch()
            time.sleep(0.2)
        return super().forward(batch)


class Hungry(Components):
    """Keeps 64 MB for the backward pass of training, in blocks that the C library keeps when they are freed."""

    def forward(self, batch: CloudBatch) -> Tensor:
        if not self.training:
            return super().forward(batch)
        x = self.linear.bias.sum() + torch.zeros(2**20)
        for _ in range(16):
            x = torch.exp(0.1 * x)
        return super().forward(batch) + 0 * x.mean()


class Forces(nn.Module):
    """The gradient of an energy with a convolution over edges, which training differentiates again."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(()))

    def forward(self, batch: CloudBatch) -> Tensor:
        index = torch.arange(len(batch.pos))
        graph = Graph.from_edge_index(torch.stack([index, index]), num_sources=len(index), num_targets=len(index))
        with torch.enable_grad():
            pos = batch.pos.detach().requires_grad_()
            energy = edge_conv(pos[:, None], self.factor * pos[:, None], graph, backend="reference").sum()
            (gradient,) = torch.autograd.grad(energy, pos, create_graph=True)
        return gradient


class Failing(Components):
    """Raises."""

    def forward(self, batch: CloudBatch) -> Tensor:
        raise RuntimeError("this model always fails")


MODELS = {
    "equivariant": Equivariant,
    "components": Components,
    "dying": Dying,
    "slow": Slow,
    "hungry": Hungry,
    "failing": Failing,
    "forces": Forces,
}


@dataclass(frozen=True)
class ToyTask:
    size: int = 20
    name: str = "toy"
    dim: int = 3
    metric: str = "MSE of positions"
    unit: str = "length^2"
    output: Field = field(default=Field(Position(), "length"))

    def dataset(self, split: str) -> CloudDataset:
        num_points = 2 + torch.arange(self.size) % 3
        rng = seeded("toy", split)
        pos, vel = (torch.randn(int(num_points.sum()), 3, generator=rng, dtype=torch.float64) for _ in range(2))
        noise = 0.1 * torch.randn(pos.shape, generator=rng, dtype=torch.float64)
        fields = {"pos": Field(Position()), "vel": Field(Vector()), "target": Field(Position())}
        return CloudDataset({"pos": pos, "vel": vel, "target": pos + vel + noise}, fields, num_points)

    def build(self, variant: Variant) -> nn.Module:
        if log := os.environ.get("TOY_LOG"):
            with Path(log).open("a") as file:
                file.write(f"{variant.name}\n")
        return MODELS[variant.inputs[0]]()

    def ledger(self, variant: Variant) -> Ledger:
        return symmetry_ledger(parse_group("E(3)" if variant.inputs[0] == "equivariant" else "trivial", 3))

    def loss(self, prediction: Tensor, batch: CloudBatch) -> Tensor:
        return (prediction - batch["target"]).square().mean()

    def errors(self, prediction: Tensor, batch: CloudBatch) -> Tensor:
        square = (prediction - batch["target"]).square().mean(dim=1)
        total = square.new_zeros(batch.num_clouds).index_add(0, batch.batch, square)
        return total / torch.bincount(batch.batch, minlength=batch.num_clouds)


def variant(kind: str, **options: object) -> Variant:
    return Variant(kind, RapidashConfig(), (kind,), **options)


def make_task(size: int = 20) -> ToyTask:
    return ToyTask(size)


def make_design(full: bool = False) -> StudyDesign:
    return StudyDesign(
        task="toy",
        variants=(variant("equivariant"), variant("components", neighbor="equivariant", knob="inputs as components")),
        train=TrainConfig(steps=8, batch_size=5, warmup_steps=2, eval_every=4, checkpoint_every=2),
        seeds=(0, 1),
        setting="full" if full else "quick",
    )


TASKS["toy"] = make_task
DESIGNS["toy"] = make_design
