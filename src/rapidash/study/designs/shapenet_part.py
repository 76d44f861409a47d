"""The study of parts of shapes: the shapes are aligned, and parts lie above, below or beside each other."""

from dataclasses import replace

from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._ladder import symmetry_ladder
from rapidash.train import TrainConfig


def segmentation_base(full: bool) -> RapidashConfig:
    """A U-shaped network of three scales: down to a sixteenth of the points and up again, with skip connections."""
    base = RapidashConfig(grid="platonic", num_orientations=8, ratios=0.25)
    base = replace(base, edges=("knn-8", "knn-8", "knn-8"), channels=(16, 32, 32), num_layers=(1, 1, 1))
    base = replace(base, basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, num_orientations=12, edges=("knn-16", "knn-16", "knn-16"), channels=(32, 64, 128))
        base = replace(base, num_layers=(1, 2, 2), basis_dim=32, basis_hidden_dim=32)
    return base


def make_design(full: bool) -> StudyDesign:
    """Six variants on one backbone of three scales, each a knob away from its neighbor.

    Quick: narrow networks, 192 points of each shape, few steps, parts of the splits. Full: all shapes with all points.
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
        steps=40_000,
        batch_size=16,
        learning_rate=2e-3,
        weight_decay=1e-3,
        warmup_steps=500,
        ema_decay=0.998,
        eval_every=1000,
        checkpoint_every=1000,
    )
    sizes = {} if full else {"num_points": 192, "num_train": 2000, "num_val": 200, "num_test": 300}
    return StudyDesign(
        "shapenet-part",
        tuple(symmetry_ladder(segmentation_base(full)).values()),
        long if full else quick,
        task_options=sizes,
        setting="full" if full else "quick",
    )
