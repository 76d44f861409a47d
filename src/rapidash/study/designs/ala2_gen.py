"""The study of generated conformations: the density is chiral and has no pose; what must a generator be told?"""

from dataclasses import replace

from rapidash.generate import Denoising
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._generators import generator_ladder, with_objective
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """SE(3), E(3) with and without orientations, T(3) with and without rotations; SE(3) by flow matching.

    Quick: 2 layers of 24 channels, 1,000 steps of 64 frames. Full: 4 layers of 32 channels, 1,500 steps of 128 frames,
    8,000 samples; also an aligned coupling of noise and data, and a modulation by the level.
    """
    base = RapidashConfig(grid="platonic", num_orientations=12, channels=24, num_layers=2)
    base = replace(base, basis_dim=32, basis_hidden_dim=32)
    if full:
        base = replace(base, channels=32, num_layers=4)
    variants = generator_ladder(base)
    flow = Denoising(levels="logit-normal-time")
    variants += (with_objective(variants[0], flow, "flow matching", "levels and weights of flow matching"),)
    if full:
        knob = "frames turned towards their noise"
        aligned = Denoising(levels="logit-normal-time", coupling="aligned")
        aligned_flow = with_objective(variants[0], aligned, "aligned flow", knob)
        variants += (replace(aligned_flow, neighbor=variants[-1].name),)
        modulated = Denoising(conditioning="modulation")
        variants += (with_objective(variants[0], modulated, "modulated", "the level modulates every block"),)
    train = TrainConfig(
        steps=1500 if full else 1000,
        batch_size=128 if full else 64,
        learning_rate=1e-2,
        weight_decay=0.0,
        warmup_steps=50,
        ema_decay=0.999 if full else 0.99,
        eval_every=500,
        checkpoint_every=250,
        optimizer="muon",
    )
    options = {"num_samples": 8000} if full else {"num_samples": 1000, "num_val": 100, "num_test": 100}
    setting, measures = "full" if full else "quick", ("samples", "generator-symmetry")
    return StudyDesign("ala2-gen", variants, train, task_options=options, setting=setting, measures=measures)
