"""The study of a table: rows without positions go the way of clouds; how large should an MLP be?"""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.models import MLPConfig
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Three variants, each a knob away from its neighbor, on one table of the task's option ``table``."""
    model = MLPConfig(hidden_dim=128 if full else 32)
    variants = (
        Variant("linear", replace(model, num_layers=0)),
        Variant("MLP", model, neighbor="linear", knob="two hidden layers"),
        Variant("MLP + dropout", replace(model, dropout=0.3), neighbor="MLP", knob="30 % of the features dropped"),
    )
    train = TrainConfig(
        steps=3000 if full else 300,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=1e-2,
        warmup_steps=30,
        ema_decay=0.98,
        eval_every=300 if full else 50,
        checkpoint_every=300 if full else 100,
    )
    return StudyDesign("tables", variants, train, setting="full" if full else "quick")
