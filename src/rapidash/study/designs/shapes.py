"""The study of shapes: aligned data reward a network that sees directions, turned data one that cannot."""

from dataclasses import replace

from rapidash.models import BaselineConfig, RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._baselines import baselines
from rapidash.study.designs._ladder import symmetry_ladder
from rapidash.train import TrainConfig, Variant


def make_design(full: bool) -> StudyDesign:
    """Seven variants on one backbone of two scales, each a knob away from its neighbor, and two baselines; aligned or,
    by an option, turned.

    Quick: narrow networks, 128 points of each shape, few steps, a part of the validation and test shapes. Full: 512
    points, all shapes.
    """
    base = RapidashConfig(dim=3, grid="platonic", num_orientations=8, edges=("knn-8", "knn-8"), ratios=0.25)
    base = replace(base, channels=(16, 32), num_layers=(1, 1), basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, num_orientations=12, channels=(32, 64), num_layers=(2, 2), edges=("knn-16", "knn-16"))
        base = replace(base, basis_dim=32, basis_hidden_dim=32)

    ladder = symmetry_ladder(base)
    egnn = BaselineConfig("EGNN", channels=32, num_layers=3, edges="knn-8", pools_features=True)
    dgcnn = replace(egnn, kind="DGCNN", is_dynamic=True, norm="batch")
    if full:
        egnn, dgcnn = (replace(model, channels=48, edges="knn-16") for model in (egnn, dgcnn))
    chiral = Variant(
        "SE(3) on R3xS2",
        replace(base, symmetry="SE(3)", space="R3xS2"),
        neighbor="E(3) on R3xS2",
        knob="kernels tell a shape from its mirror image",
    )
    quick = TrainConfig(
        steps=400,
        batch_size=16,
        learning_rate=5e-3,
        weight_decay=1e-4,
        warmup_steps=40,
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
        ema_decay=0.995,
        eval_every=500,
        checkpoint_every=500,
    )
    sizes = {"num_points": 512} if full else {"num_points": 128, "num_val": 200, "num_test": 300}
    return StudyDesign(
        "shapes",
        (*ladder.values(), chiral, *baselines(egnn, dgcnn)),
        long if full else quick,
        task_options=sizes,
        setting="full" if full else "quick",
    )
