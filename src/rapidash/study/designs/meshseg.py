"""The study of segmentations by people: twins such as left and right legs can only be told by what breaks symmetry."""

from rapidash.study._design import StudyDesign
from rapidash.study.designs._ladder import symmetry_ladder
from rapidash.study.designs.shapenet_part import segmentation_base
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Six variants on one backbone of three scales, each a knob away from its neighbor.

    Quick: narrow networks, 192 points of each of the 380 shapes, few steps. Full: 1024 points and wider networks.
    """
    quick = TrainConfig(
        steps=300,
        batch_size=16,
        learning_rate=5e-3,
        weight_decay=1e-4,
        warmup_steps=30,
        ema_decay=0.98,
        eval_every=100,
        checkpoint_every=100,
    )
    long = TrainConfig(
        steps=10_000,
        batch_size=16,
        learning_rate=2e-3,
        weight_decay=1e-3,
        warmup_steps=300,
        ema_decay=0.998,
        eval_every=500,
        checkpoint_every=500,
    )
    return StudyDesign(
        "meshseg",
        tuple(symmetry_ladder(segmentation_base(full)).values()),
        long if full else quick,
        task_options={"num_points": 1024 if full else 192},
        setting="full" if full else "quick",
    )
