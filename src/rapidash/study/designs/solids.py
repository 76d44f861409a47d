"""The study of generated solids, which need no file: a classification within minutes."""

from dataclasses import replace

from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._ladder import symmetry_ladder, without_exact_kernels
from rapidash.train import TrainConfig

BASE = RapidashConfig(grid="platonic", num_orientations=6, channels=16, num_layers=2, basis_dim=16, basis_hidden_dim=16)


def make_design(full: bool) -> StudyDesign:
    """Five variants on one backbone, each a knob away from its neighbor. Full: wider, and four times as long."""
    base = replace(BASE, channels=32, basis_dim=32, basis_hidden_dim=32) if full else BASE
    ladder = without_exact_kernels(symmetry_ladder(base))
    return StudyDesign(
        "solids", tuple(ladder.values()), training(800 if full else 200), setting="full" if full else "quick"
    )


def training(steps: int) -> TrainConfig:
    """Settings that suit networks of this size on solids."""
    return TrainConfig(
        steps=steps,
        batch_size=32,
        learning_rate=5e-3,
        weight_decay=1e-4,
        warmup_steps=20,
        ema_decay=0.95,
        eval_every=max(20, steps // 4),
        checkpoint_every=steps,
    )
