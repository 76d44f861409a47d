"""The study of rings."""

from rapidash.methods import Variant
from rapidash.study import StudyDesign
from rapidash.train import TrainConfig
from rapidash_growth.gate import Gate
from rapidash_growth.network import GrowthMLP
from rapidash_growth.noise import Noise
from rapidash_growth.shifts import SameUnderShifts


def make_design(full: bool) -> StudyDesign:
    model = GrowthMLP()
    variants = (
        Variant("plain", model),
        Variant("gated", model, methods=(Gate(),), neighbor="plain", knob="a gated branch"),
        Variant("gated, noisy", model, methods=(Gate(), Noise(0.2)), neighbor="gated", knob="noise"),
        Variant("same under shifts", model, objective=SameUnderShifts(), neighbor="plain", knob="self-supervised"),
    )
    train = TrainConfig(steps=12, batch_size=8, warmup_steps=2, eval_every=4, checkpoint_every=3)
    return StudyDesign(
        "growth-ring", variants, train, seeds=(0, 1), measures=("growth-size",), setting="full" if full else "quick"
    )
