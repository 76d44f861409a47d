"""The study of shapes: aligned data reward a network that sees directions, turned data one that cannot."""

from dataclasses import replace

from rapidash.models import DGCNNConfig, EGNNConfig, RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._baselines import baselines
from rapidash.study.designs._ladder import symmetry_ladder, without_exact_kernels
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Four variants on one backbone of two scales, each a knob away from its neighbor, and two baselines; aligned or,
    by an option, turned.

    128 points of each shape. Quick: narrow networks, few steps, a part of the validation and test shapes. Full: wider
    networks, all shapes; planned for 40 core-minutes with three seeds.
    """
    base = RapidashConfig(grid="platonic", num_orientations=6, edges=("knn-8", "knn-8"), ratios=0.25)
    base = replace(base, channels=(16, 32), num_layers=(1, 1), basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, channels=(64, 128), num_layers=(1, 2), edges=("knn-12", "knn-12"))
        base = replace(base, basis_dim=32, basis_hidden_dim=32)

    ladder = without_exact_kernels(symmetry_ladder(base))
    del ladder["E(3) on R3xS2 + global frame"]
    egnn = EGNNConfig(channels=32, num_layers=3, edges="knn-8", pools_features=True)
    dgcnn = DGCNNConfig(channels=32, num_layers=3, edges="knn-8", pools_features=True, is_dynamic=True, norm="batch")
    if full:
        egnn, dgcnn = replace(egnn, edges="knn-12"), replace(dgcnn, edges="knn-12")
    quick = TrainConfig(
        steps=400,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=1e-2,
        warmup_steps=40,
        ema_decay=0.98,
        eval_every=100,
        checkpoint_every=100,
        optimizer="muon",
    )
    long = TrainConfig(
        steps=800,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=1e-2,
        warmup_steps=80,
        ema_decay=0.99,
        eval_every=200,
        checkpoint_every=200,
        optimizer="muon",
    )
    sizes = {"num_points": 128} if full else {"num_points": 128, "num_val": 200, "num_test": 300}
    return StudyDesign(
        "shapes",
        (*ladder.values(), *baselines(egnn, dgcnn)),
        long if full else quick,
        task_options=sizes,
        setting="full" if full else "quick",
    )
