"""The study of scale on charged particles: does equivariance still pay with more compute?"""

from dataclasses import replace

from rapidash.methods import Augment, Variant
from rapidash.models import RapidashConfig
from rapidash.relax import REMUL
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

BATCH = 50


def make_design(full: bool) -> StudyDesign:
    """Rotations built in, learned from rotated samples, learned from an equivariance loss, or not at all.

    See `sweep` for the sizes.
    """
    free = Variant("T(3) on R3", network("T(3)"), neighbor="E(3) on R3", knob="kernels and inputs see all components")
    return sweep(
        full,
        (
            Variant("E(3) on R3", network("E(3)")),
            Variant(
                "E(3) on R3xS2", network("E(3)", "R3xS2"), neighbor="E(3) on R3", knob="orientations hold directions"
            ),
            free,
            replace(
                free,
                name="T(3) on R3 + rotations",
                methods=(Augment("SO(3)"),),
                neighbor=free.name,
                knob="training samples randomly rotated",
            ),
            replace(
                free,
                name="T(3) on R3 + equivariance loss",
                methods=(REMUL(weight=1.0, group="SO(3)"),),
                neighbor=free.name,
                knob="the loss of rotated samples is added",
            ),
        ),
    )


def network(symmetry: str, space: str = "R3") -> RapidashConfig:
    """A network of the width that a factor sets."""
    base = RapidashConfig(symmetry=symmetry, space=space, grid="platonic", num_orientations=6, num_layers=3)
    return replace(base, channels=16, basis_dim=16, basis_hidden_dim=32)


def sweep(full: bool, variants: tuple[Variant, ...], **task_options: float) -> StudyDesign:
    """Widths times lengths of training, each with a run of its own, on samples of which none is seen twice.

    Quick: widths 8, 16 and 32, and 100, 300 and 900 steps, three seeds. Full: 64 and 2,700 too.
    """
    widths, steps = [8, 16, 32], [100, 300, 900]
    if full:
        widths, steps = [*widths, 64], [*steps, 2700]
    train = TrainConfig(
        steps=steps[0],
        batch_size=BATCH,
        learning_rate=5e-3,
        weight_decay=0.0,
        warmup_steps=10,
        ema_decay=0.98,
        eval_every=steps[0],
        checkpoint_every=steps[0],
    )
    return StudyDesign(
        "nbody",
        variants,
        train,
        task_options={"num_train": steps[-1] * BATCH, "num_val": 500, "num_test": 1000, **task_options},
        setting="full" if full else "quick",
        factors={"model.channels": tuple(widths), "train.steps": tuple(steps)},
        measures=("training-operations", "training-seconds"),
    )
