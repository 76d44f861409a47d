"""The study of relaxed equivariance on human motion: does relaxing find what the right subgroup gives?"""

from dataclasses import replace

from rapidash.methods import Augment, Variant
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._relaxed import penalized_variants, relaxed_variants
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Nine variants on R^3: E(3), relaxed in four ways, SO2(y) by construction, and T(3), which learns in three ways.

    Walking; running is ``--task_options.motion run``. Quick: narrow networks, few small batches, after which
    errors still fall, a part of the validation and test samples. Full: the published samples with their mirror images,
    and 5 seeds.
    """
    base = RapidashConfig(space="R3", channels=16, num_layers=2, basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, channels=64, num_layers=4, basis_dim=64, basis_hidden_dim=64)
    root = Variant("E(3)", base)
    relaxed = relaxed_variants(root, hidden=64 if full else 32)
    upright = Variant(
        "SO2(y)", replace(base, symmetry="SO2(y)"), neighbor=root.name, knob="kernels and inputs see the vertical"
    )
    plain = Variant(
        "T(3)", replace(base, symmetry="T(3)"), neighbor=upright.name, knob="kernels and inputs see all components"
    )
    turned = Variant(
        "T(3) + rotations",
        plain.model,
        methods=(Augment("SO2(y) about the origin"),),
        neighbor=plain.name,
        knob="training samples randomly turned about the vertical",
    )
    kept = (relaxed[name] for name in ("ungated", "RPP", "ACE", "ACE resilient"))
    told = next(variant for variant in penalized_variants(plain) if variant.name.endswith("REMUL 1"))
    train = TrainConfig(
        steps=1200 if full else 600,
        batch_size=16 if full else 8,
        learning_rate=3e-3 if full else 5e-3,
        weight_decay=1e-4 if full else 1e-5,
        warmup_steps=60,
        ema_decay=0.99 if full else 0.98,
        eval_every=150,
        checkpoint_every=150,
    )
    options = {"mirror": True} if full else {"num_val": 120, "num_test": 240}
    return StudyDesign(
        "cmu",
        (root, *kept, upright, plain, turned, told),
        train,
        seeds=tuple(range(5 if full else 3)),
        task_options=options,
        setting="full" if full else "quick",
    )
