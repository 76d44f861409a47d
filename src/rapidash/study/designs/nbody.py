"""The study of charged particles: does the task want rotations built in, directions in the features, both?"""

from dataclasses import replace

from rapidash.methods import Augment, Variant
from rapidash.models import EGNNConfig, RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._baselines import baselines
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Six variants on one backbone, each a knob away from its neighbor.

    Quick: narrow networks and few steps on the full training set, minutes on two cores. Full: twice as wide, one layer
    more, and longer, with all the validation samples of the benchmark, and an EGNN of the published size.
    """
    base = RapidashConfig(grid="platonic", num_orientations=8, channels=32, num_layers=3)
    base = replace(base, basis_dim=32, basis_hidden_dim=32)
    if full:
        base = replace(base, channels=64, num_layers=4)

    def network(symmetry: str, space: str) -> RapidashConfig:
        return replace(base, symmetry=symmetry, space=space)

    variants = (
        Variant("E(3) on R3xS2", network("E(3)", "R3xS2")),
        Variant(
            "E(3) on R3",
            network("E(3)", "R3"),
            neighbor="E(3) on R3xS2",
            knob="no orientations: scalar features only",
        ),
        Variant(
            "T(3) on R3xS2",
            network("T(3)", "R3xS2"),
            neighbor="E(3) on R3xS2",
            knob="kernels see the direction of the offset",
        ),
        Variant(
            "T(3) on R3",
            network("T(3)", "R3"),
            neighbor="T(3) on R3xS2",
            knob="no orientations: vectors enter as components",
        ),
        Variant(
            "T(3) on R3 + rotations",
            network("T(3)", "R3"),
            methods=(Augment("SO(3)"),),
            neighbor="T(3) on R3",
            knob="training samples randomly rotated",
        ),
        Variant(
            "E(3) on R3xS2 + global frame",
            network("E(3)", "R3xS2"),
            inputs=("global frame",),
            neighbor="E(3) on R3xS2",
            knob="the coordinate axes as input vectors",
        ),
    )
    quick = TrainConfig(
        steps=700,
        batch_size=100,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=100,
        checkpoint_every=200,
    )
    benchmark = TrainConfig(
        steps=3500,
        batch_size=50,
        learning_rate=4e-3,
        weight_decay=1e-5,
        warmup_steps=100,
        ema_decay=0.99,
        eval_every=500,
        checkpoint_every=250,
    )
    compared = baselines(EGNNConfig(channels=64, num_layers=4)) if full else ()
    sizes = {} if full else {"num_val": 1000}
    return StudyDesign(
        "nbody",
        (*variants, *compared),
        benchmark if full else quick,
        task_options=sizes,
        setting="full" if full else "quick",
    )
