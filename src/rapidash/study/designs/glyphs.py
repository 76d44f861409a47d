"""The study of glyphs: how far does turned training data help, and a wider network?"""

from dataclasses import replace

from rapidash.methods import Augment, Variant
from rapidash.models import MLPConfig
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Three variants on pairs of glyphs. Quick: 600 training images; full: 3,000."""
    model = MLPConfig(hidden_dim=64, num_layers=1)
    variants = (
        Variant("small", model),
        Variant(
            "small + turns",
            model,
            methods=(Augment("C4 x C4"),),
            neighbor="small",
            knob="every glyph turned anew in every step",
        ),
        Variant("wide", replace(model, hidden_dim=256), neighbor="small", knob="a head of 256 features"),
    )
    train = TrainConfig(
        steps=3000 if full else 600,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=1e-3,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=300 if full else 100,
        checkpoint_every=300,
    )
    options = {"num_train": 3000 if full else 600}
    return StudyDesign("glyphs", variants, train, task_options=options, setting="full" if full else "quick")
