"""The study of digits in the plane: they are written upright, and a mirrored digit is another or none."""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._ladder import symmetry_ladder
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Seven variants on one backbone of two scales, each a knob away from its neighbor; aligned or turned by an option.

    Quick: narrow networks, 6,000 digits to train on, a part of the validation and test digits. Full: all digits.
    """
    base = RapidashConfig(symmetry="E(2)", space="R2xS1", num_orientations=6, edges=("knn-8", "knn-8"), ratios=0.25)
    base = replace(base, channels=(24, 48), num_layers=(1, 2), basis_dim=24, basis_hidden_dim=32)
    if full:
        base = replace(base, num_orientations=8, channels=(48, 96), num_layers=(3, 3), edges=("knn-12", "knn-12"))
        base = replace(base, basis_dim=48, basis_hidden_dim=64)

    ladder = symmetry_ladder(base)
    chiral = Variant(
        "SE(2) on R2xS1",
        replace(base, symmetry="SE(2)", space="R2xS1"),
        neighbor="E(2) on R2xS1",
        knob="kernels tell a digit from its mirror image",
    )
    quick = TrainConfig(
        steps=300,
        batch_size=64,
        learning_rate=5e-3,
        weight_decay=1e-4,
        warmup_steps=40,
        ema_decay=0.99,
        eval_every=100,
        checkpoint_every=100,
    )
    long = TrainConfig(
        steps=30_000,
        batch_size=64,
        learning_rate=2e-3,
        weight_decay=1e-3,
        warmup_steps=500,
        ema_decay=0.998,
        eval_every=1000,
        checkpoint_every=1000,
    )
    sizes = {} if full else {"num_train": 6000, "num_val": 1000, "num_test": 2000}
    return StudyDesign(
        "mnist-sp",
        (*ladder.values(), chiral),
        long if full else quick,
        task_options=sizes,
        setting="full" if full else "quick",
    )
