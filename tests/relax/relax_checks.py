"""What tests of relaxed networks share: a small task, short runs, and the equivariance error over given elements."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from rapidash.groups import grid_symmetries, motion
from rapidash.methods import Variant, build_model
from rapidash.models import RapidashConfig
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, TrainResult, train

SMALL = RapidashConfig(grid="platonic", num_orientations=12, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
FLAT = replace(SMALL, space="R3")
TASK = get_task("nbody", num_train=40, num_val=20, num_test=8)
STEPS = TrainConfig(steps=12, batch_size=10, warmup_steps=2, eval_every=6, checkpoint_every=6, learning_rate=5e-3)


def trained(variant: Variant, run_dir: Path, steps: TrainConfig = STEPS) -> tuple[nn.Module, TrainResult]:
    """A short run, seed 0."""
    model = build_model(TASK, variant)
    sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": 0, "run_dir": run_dir}
    ends = {"methods": variant.methods, "primary_view": variant.primary_view, "progress": False}
    return model, train(model, TASK, steps, **sets, **ends)


def error(model: nn.Module, elements: Tensor) -> float:
    """The largest relative equivariance error over group elements, in float64."""
    twin = model.double().eval()
    batch = TASK.dataset("val").batch(torch.arange(3)).to(dtype=torch.float64)
    with torch.no_grad():
        out = twin(batch)
        errors = [(twin(batch.transform(g)) - batch.act(TASK.output, g, out)).norm() / out.norm() for g in elements]
    return float(torch.stack(errors).max())


def every_rotation_of_the_grid(model: nn.Module) -> Tensor:
    """The 60 rotations of the icosahedron."""
    turns = grid_symmetries(model.backbone.grid).elements
    assert len(turns) == 60
    return motion(turns, torch.zeros(60, 3, dtype=torch.float64))
