"""The study of learned actions: which representation does the latent of an autoencoder find?"""

from rapidash.methods import Variant
from rapidash.models import MLPConfig
from rapidash.relax import LatentEquivariance, LearnedLatentAction
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

DIM = 8


def make_design(full: bool) -> StudyDesign:
    """Four variants of an autoencoder of single glyphs with quarter turns and a latent of 8 numbers.

    The counts of irreducible representations of the learned actions stand among the measurements of each run; twice
    the regular representation of C4 is 2, 2, 2, 2.
    """
    model = MLPConfig(hidden_dim=64, num_layers=1)
    variants = (
        Variant("plain", model),
        Variant(
            "learned action, random",
            model,
            methods=(LearnedLatentAction(1.0, "C4", DIM),),
            neighbor="plain",
            knob="a matrix for the quarter turn is learned, from a random orthogonal one",
        ),
        Variant(
            "learned action, near identity",
            model,
            methods=(LearnedLatentAction(1.0, "C4", DIM, init="identity"),),
            neighbor="learned action, random",
            knob="the matrix begins near the identity",
        ),
        Variant(
            "regular latent",
            model,
            methods=(LatentEquivariance(1.0, "C4"),),
            neighbor="plain",
            knob="two copies of the regular representation, known beforehand",
        ),
    )
    train = TrainConfig(
        steps=5000 if full else 1500,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=1e-4,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=500 if full else 300,
        checkpoint_every=500,
    )
    options = {"num_glyphs": 1, "predict": "image", "latent_dim": DIM, "noise": 0.1, "num_train": 600, "num_test": 1000}
    seeds = (0, 1, 2, 3, 4) if full else (0, 1, 2)
    return StudyDesign(
        "glyphs",
        variants,
        train,
        seeds=seeds,
        task_options=options,
        setting="full" if full else "quick",
        measures=("latent-error",),
    )
