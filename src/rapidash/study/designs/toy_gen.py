"""The study of four generated particles in the plane: a density with a known energy and every symmetry."""

from dataclasses import replace

from rapidash.generate import Denoising
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._generators import generator_ladder, with_objective
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """SE(2), E(2) with and without orientations, T(2) with and without rotations; SE(2) by flow matching.

    Quick: 2 layers of 24 channels, 1,000 steps of 64 configurations. Full: 3 layers of 48 channels, 3,000 steps of 128,
    10,000 samples, and the likelihood.
    """
    base = RapidashConfig(symmetry="E(2)", grid="platonic", num_orientations=8, channels=24, num_layers=2)
    base = replace(base, basis_dim=32, basis_hidden_dim=32)
    if full:
        base = replace(base, channels=48, num_layers=3)
    variants = generator_ladder(base)
    flow = Denoising(levels="logit-normal-time")
    variants += (with_objective(variants[0], flow, "flow matching", "levels and weights of flow matching"),)
    train = TrainConfig(
        steps=3000 if full else 1000,
        batch_size=128 if full else 64,
        learning_rate=1e-2,
        weight_decay=0.0,
        warmup_steps=50,
        ema_decay=0.999 if full else 0.99,
        eval_every=1000 if full else 500,
        checkpoint_every=250,
        optimizer="muon",
    )
    sizes = {"num_train": 10_000, "num_samples": 10_000} if full else {"num_val": 100, "num_test": 500}
    setting = "full" if full else "quick"
    measures = ("samples", "generator-symmetry", *(("likelihood",) if full else ()))
    return StudyDesign("toy-gen", variants, train, task_options=sizes, setting=setting, measures=measures)
