"""What every task on real data must do: learn through all its weights, and be as symmetric as its ledger says."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch
from rapidash.groups import E, FiniteGroup, Group, grid_symmetries, inverse, motion
from rapidash.methods import Task, Variant
from rapidash.models import Baseline, BaselineConfig, Rapidash
from rapidash.predict import TrainedModel
from rapidash.study import get_design
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, train


def small(variant: Variant) -> Variant:
    """The variant with a tiny network and a grid of 8 orientations that 48 motions permute (16 in the plane)."""
    if isinstance(variant.model, BaselineConfig):
        return replace(variant, model=replace(variant.model, channels=8, num_layers=2))
    size = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8, "num_orientations": 8}
    if isinstance(variant.model.channels, tuple):
        scales = len(variant.model.channels)
        size |= {"channels": (8,) * scales, "num_layers": (1,) * scales}
    return replace(variant, model=replace(variant.model, grid="platonic", **size))


def calibrated(task: Task, variant: Variant, batch: CloudBatch, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A network with random weights that is ready to train."""
    torch.manual_seed(0)
    model = task.build(variant).to(dtype)
    model.calibrate(batch)
    return model


def untrained(name: str, **options: object) -> TrainedModel:
    """A small network with random weights, as a model that can be saved."""
    task, variant = get_task(name, **options), small(get_design(name).variants[0])
    torch.manual_seed(0)
    return TrainedModel(name, options, variant, task.build(variant).eval(), task.reference())


def first_clouds(task: Task, num: int, split: str = "train", dtype: torch.dtype = torch.float64) -> CloudBatch:
    return task.dataset(split).batch(torch.arange(num)).to(dtype=dtype)


def movement(model: nn.Module, task: Task, batch: CloudBatch, g: Tensor) -> float:
    """Largest entry of g^-1 f(g x) - f(x)."""
    with torch.no_grad():
        back = task.output.representation.act(inverse(g), model(batch.transform(g)))
        return float((back - model(batch)).abs().max())


def exact_elements(effective: Group, network: Rapidash | Baseline, num: int = 6) -> Tensor:
    """Motions of the effective group that also permute the orientation grid (any, where there is none)."""
    rng = seeded("exact")
    if isinstance(network, Baseline) or not network.invariants.has_orientations:
        return effective.sample(num, generator=rng)
    motions = grid_symmetries(network.grid, reflections=True).elements
    kept = torch.stack([m for m in motions if effective.linear.contains(m)])
    linear = FiniteGroup("kept", kept).sample(num, network.dim, rng)
    basis = effective.translation_basis()
    return motion(linear, torch.randn(num, len(basis), generator=rng, dtype=torch.float64) @ basis)


def check_ledger(task: Task, variant: Variant, batch: CloudBatch) -> None:
    """What the ledger claims measures as zero, what it denies does not."""
    model, effective = calibrated(task, variant, batch), task.ledger(variant).effective
    assert isinstance(model.backbone, Rapidash | Baseline)
    for g in exact_elements(effective, model.backbone):
        assert movement(model, task, batch, g) < 1e-8, f"{variant.name}: {effective} does not hold"
    every, shift = E(task.dim), torch.eye(task.dim, dtype=torch.float64)
    denied = [
        g for g in every.without_translations().sample(8, generator=seeded("denied")) if not effective.contains(g)
    ]
    denied += [g for g in motion(shift[None].expand(task.dim, -1, -1), 2 * shift) if not effective.contains(g)]
    for g in denied:
        assert movement(model, task, batch, g) > 1e-6, f"{variant.name}: more than {effective} holds"
    assert effective == every or denied


def check_gradients(task: Task, variant: Variant, batch: CloudBatch) -> None:
    """The loss reaches every weight."""
    model = calibrated(task, variant, batch)
    task.loss(model(batch), batch).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without, f"{variant.name}: no gradient at {without}"


def few_steps(task: Task, variant: Variant, run_dir: Path, *, num_clouds: int = 8, steps: int = 5) -> list[dict]:
    """Train for a few steps; the rows of validation."""
    torch.manual_seed(0)
    config = TrainConfig(
        steps=steps,
        batch_size=num_clouds,
        learning_rate=3e-3,
        warmup_steps=0,
        eval_every=1,
        ema_decay=0,
        checkpoint_every=99,
    )
    clouds = torch.arange(num_clouds)
    train_set, val_set = (task.dataset(split).subset(clouds) for split in ("train", "val"))
    sets = {"train_set": train_set, "val_set": val_set, "seed": 0, "run_dir": run_dir, "progress": False}
    result = train(task.build(variant), task, config, **sets)
    assert result.best_val_error > 0
    return result.history
