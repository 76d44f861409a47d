"""The study of molecular dynamics: forces turn with the molecule; what is it worth to build that in?"""

from dataclasses import replace

from rapidash.models import DGCNNConfig, EGNNConfig, RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._baselines import baselines
from rapidash.study.designs._ladder import symmetry_ladder, without_exact_kernels
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Four variants on one backbone, each a knob away from its neighbor, and two baselines; ethanol or another.

    Quick: narrow networks, few steps, a part of the test configurations. Full: the published training and test sets,
    atoms that see each other within 2 units = 4 angstrom, and the learning rate at which a small EGNN did best; planned
    for 60 core-minutes with three seeds.
    """
    base = RapidashConfig(grid="platonic", num_orientations=12, channels=16, num_layers=2)
    base = replace(base, basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, channels=96, num_layers=5, basis_dim=64, basis_hidden_dim=64, edges="radius-2.0")
        base = replace(base, layer_scale=0.1)

    ladder = without_exact_kernels(symmetry_ladder(base))
    del ladder["E(3) on R3xS2 + global frame"]
    egnn = EGNNConfig(channels=16, num_layers=3, num_fourier=4)
    dgcnn = DGCNNConfig(channels=32, num_layers=3, aggregate="mean")
    if full:
        egnn, dgcnn = replace(egnn, channels=64, num_layers=4), replace(dgcnn, channels=128, num_layers=5)
    quick = TrainConfig(
        steps=1500,
        batch_size=5,
        learning_rate=2e-2,
        weight_decay=1e-5,
        warmup_steps=150,
        ema_decay=0.99,
        eval_every=250,
        checkpoint_every=250,
        optimizer="muon",
    )
    long = TrainConfig(
        steps=2000,
        batch_size=5,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=200,
        ema_decay=0.99,
        eval_every=500,
        checkpoint_every=500,
        optimizer="muon",
    )
    sizes = {} if full else {"num_test": 300}
    return StudyDesign(
        "md",
        (*ladder.values(), *baselines(egnn, dgcnn)),
        long if full else quick,
        task_options=sizes,
        setting="full" if full else "quick",
    )
