"""Small tasks that generate, their networks, and short trainings of them."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from generate_checks import tiny
from torch import nn

from rapidash.generate import Denoising, HeunSampler
from rapidash.methods import Control, Measurement, Method, Scene, Subject, Task, Variant, build_model
from rapidash.registry import MEASURES
from rapidash.tasks.ala2_gen import Ala2GenTask
from rapidash.tasks.qm9_gen import Qm9GenTask
from rapidash.tasks.toy_gen import ToyGenTask
from rapidash.train import TrainConfig, train

TOY = ToyGenTask(num_train=60, num_val=10, num_test=12, num_samples=12, sampling_steps=4)
FAST = HeunSampler(steps=4)
FLAT = Variant("E(2)", tiny("E(2)", "R2"), objective=Denoising())
PLAIN = Variant("E(3) on R3", tiny("E(3)", "R3"), objective=Denoising())
FEW = {"num_test": 6, "num_samples": 20, "sampling_steps": 4, "verify": False}  # of files made for the tests


def small_model(task: Task, variant: Variant) -> nn.Module:
    """Calibrated, with random weights; a readout of random weights as they are lets samples diverge."""
    model = build_model(task, variant)
    model.calibrate(task.dataset("train").batch(torch.arange(32)))
    with torch.no_grad():
        for parameter in model.backbone.readout.parameters():
            parameter.mul_(0.3)
    return model.eval()


def toy_model(variant: Variant = FLAT, task: ToyGenTask = TOY) -> nn.Module:
    return small_model(task, variant)


def ala2(folder: Path, **options: object) -> Ala2GenTask:
    return Ala2GenTask(data_dir=str(folder), **{"num_val": 4, **FEW, **options})


def qm9(folder: Path, **options: object) -> Qm9GenTask:
    return Qm9GenTask(data_dir=str(folder), **{"num_val": 5, **FEW, **options})


def measured(task: Qm9GenTask, variant: Variant, name: str) -> list[Measurement | Scene]:
    subject = Subject(small_model(task, variant), task, task.dataset("val"), task.ledger(variant), "after", "full", 0)
    return list(MEASURES.get(name)(subject))


class StopError(Exception):
    pass


@dataclass(frozen=True)
class Stop(Method):
    """Fails in a step."""

    at: int

    def acts_in_training(self) -> bool:
        return False

    def control(self, model: nn.Module, total_steps: int) -> Control:
        return StopControl(self.at)


class StopControl(Control):
    def __init__(self, at: int) -> None:
        self.at = at

    def before(self, step: int) -> None:
        if step == self.at:
            raise StopError


def trained(
    task: object, variant: Variant, folder: Path, steps: int = 4, stop: Stop | None = None, **changes: object
) -> tuple[nn.Module, list]:
    config = TrainConfig(
        steps=steps, batch_size=8, learning_rate=1e-2, warmup_steps=0, ema_decay=0, eval_every=2, checkpoint_every=2
    )
    model = build_model(task, variant)
    sets = {"train_set": task.dataset("train"), "val_set": task.dataset("val"), "seed": 0, "run_dir": folder}
    rest = {"objective": variant.objective, "methods": (*variant.methods, *([stop] if stop else [])), "progress": False}
    result = train(model, task, replace(config, **changes), **sets, **rest)
    return model, result.history
