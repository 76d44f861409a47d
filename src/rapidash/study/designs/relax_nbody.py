"""The study of relaxed equivariance on charged particles, whose law has every symmetry: does relaxing help to train?"""

from dataclasses import replace
from typing import Any

from rapidash.methods import Augment, Variant
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._relaxed import penalized_variants, relaxed_variants
from rapidash.train import TrainConfig


def make_design(full: bool, *, uniform_field: float = 0.0) -> StudyDesign:
    """Twelve variants on 300 training samples: built in, relaxed in five ways, left out, and learned in five.

    Quick: narrow networks and few steps. Full: wider ones, more steps, more test samples, 5 seeds.

    Args:
        full: the setting.
        uniform_field: of the task; see `relax_nbody_field`.
    """
    base = RapidashConfig(grid="platonic", num_orientations=12, channels=16, num_layers=2)
    base = replace(base, basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, channels=32, num_layers=3, basis_dim=32, basis_hidden_dim=32)
    root = Variant("E(3)", base)
    plain = Variant("T(3)", replace(base, symmetry="T(3)"), neighbor=root.name, knob="kernels see all components")
    turned = Variant(
        "T(3) + rotations",
        plain.model,
        methods=(Augment("SO2(z) about the origin" if uniform_field else "SO(3)"),),
        neighbor=plain.name,
        knob="training samples randomly turned" + (" about the vertical" if uniform_field else ""),
    )
    variants = (root, *relaxed_variants(root).values(), plain, turned, *penalized_variants(plain))
    train = TrainConfig(
        steps=2000 if full else 400,
        batch_size=50,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=40,
        ema_decay=0.98,
        eval_every=200 if full else 50,
        checkpoint_every=200,
    )
    options: dict[str, Any] = {"num_train": 300, "num_val": 1000 if full else 300, "num_test": 2000 if full else 500}
    if uniform_field:
        options |= {"uniform_field": uniform_field}
    return StudyDesign(
        "nbody",
        variants,
        train,
        seeds=tuple(range(5 if full else 3)),
        task_options=options,
        setting="full" if full else "quick",
    )
