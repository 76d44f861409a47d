"""A toy task: two to four points with velocities, to be moved on by one unit of time."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import Position, Vector, parse_group
from rapidash.methods import Augment, Control, Method
from rapidash.symmetry import Ledger, symmetry_ledger
from rapidash.train import TrainConfig, train


class Acts(Method):
    """A method that only has this control; its kind is the name of the control's class."""

    def __init__(self, control: Control) -> None:
        self.made = control

    @property
    def kind(self) -> str:
        return type(self.made).__qualname__

    def control(self, model: nn.Module, total_steps: int) -> Control:
        return self.made


class Network(nn.Module):
    """Sees components, so it is not equivariant; with all that a checkpoint must restore: buffers, random draws."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(6, width), nn.BatchNorm1d(width), nn.GELU(), nn.Linear(width, width), nn.Dropout(0.1)
        )
        self.head = nn.Linear(width, 3)
        self.layer_scale = nn.Parameter(torch.ones(3))
        self.num_calibrations = 0

    def calibrate(self, batch: CloudBatch) -> None:
        self.num_calibrations += 1

    def forward(self, batch: CloudBatch) -> Tensor:
        return batch.pos + self.layer_scale * self.head(self.mlp(torch.cat([batch.pos, batch["vel"]], dim=1)))


class EquivariantNetwork(nn.Module):
    """x + a v: E(3)-equivariant whatever a."""

    def __init__(self, factor: float = 0.7) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, batch: CloudBatch) -> Tensor:
        return batch.pos + self.factor * batch["vel"]


@dataclass(frozen=True)
class ToyTask:
    name: str = "toy"
    dim: int = 3
    metric: str = "MSE of positions"
    unit: str = "length^2"
    output: Field = field(default=Field(Position(), "length"))

    def dataset(self, split: str, size: int = 24) -> CloudDataset:
        num_points = 2 + torch.arange(size) % 3
        rng = seeded("toy", split)
        pos, vel = (torch.randn(int(num_points.sum()), 3, generator=rng, dtype=torch.float64) for _ in range(2))
        fields = {"pos": Field(Position()), "vel": Field(Vector()), "target": Field(Position())}
        return CloudDataset({"pos": pos, "vel": vel, "target": pos + vel}, fields, num_points)

    def build(self, variant: object) -> nn.Module:
        return Network()

    def ledger(self, variant: object) -> Ledger:
        return symmetry_ledger(parse_group("T(3)", 3))

    def loss(self, prediction: Tensor, batch: CloudBatch) -> Tensor:
        return (prediction - batch["target"]).square().mean()

    def errors(self, prediction: Tensor, batch: CloudBatch) -> Tensor:
        square = (prediction - batch["target"]).square().mean(dim=1)
        total = square.new_zeros(batch.num_clouds).index_add(0, batch.batch, square)
        return total / torch.bincount(batch.batch, minlength=batch.num_clouds)


def run_toy(run_dir: Path, *, model: nn.Module | None = None, seed: int = 0, width: int = 16, **kwargs):
    """Train the toy model; keyword arguments are those of `train` and `TrainConfig`. Returns (model, result)."""
    task = ToyTask()
    named = {"task": task, "methods": (), "objective": None, "progress": False}
    named |= {"train_set": task.dataset("train"), "val_set": task.dataset("val", size=10)}
    named |= {name: kwargs.pop(name) for name in list(kwargs) if name in named}
    settings = {"steps": 12, "batch_size": 5, "warmup_steps": 3, "eval_every": 4, "checkpoint_every": 3} | kwargs
    if model is None:
        torch.manual_seed(seed)
        model = Network(width)
    return model, train(model, config=TrainConfig(**settings), seed=seed, run_dir=run_dir, **named)


@pytest.fixture
def toy() -> SimpleNamespace:
    return SimpleNamespace(
        task=ToyTask(),
        Network=Network,
        EquivariantNetwork=EquivariantNetwork,
        run=run_toy,
        acts=lambda *controls: [Acts(control) for control in controls],
        SO3=parse_group("SO(3)", 3),
        turned=[Augment("SO(3)")],
    )


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
