"""The study of molecular properties: the dipole vector, or a number by a task option."""

from dataclasses import replace

from rapidash.models import DGCNNConfig, EGNNConfig, RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._baselines import baselines
from rapidash.study.designs._ladder import symmetry_ladder, without_exact_kernels
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Five variants on one backbone, each a knob away from its neighbor, and two baselines, on 10,000 molecules.

    Atoms see those within 1 unit = 2 angstrom, the bonded ones (full: 1.5 units, and their neighbors), layer by layer
    further: with all atoms of a molecule the networks learn the dipole at half the pace. The baselines see all atoms.

    Quick: narrow networks, few steps, 2,000 molecules to train on. Full: all of the 10,000, 8,000 of them for training,
    and wider networks, with the learning rate at which EGNN does best; planned for 70 core-minutes with three seeds.
    """
    base = RapidashConfig(grid="platonic", num_orientations=12, channels=16, num_layers=2, edges="radius-1.0")
    base = replace(base, basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, channels=64, num_layers=5, widening=2, basis_dim=64, basis_hidden_dim=32)
        base = replace(base, edges="radius-1.5", layer_scale=0.1)

    ladder = without_exact_kernels(symmetry_ladder(base))
    egnn = EGNNConfig(channels=16, num_layers=3, num_fourier=4)
    dgcnn = DGCNNConfig(channels=32, num_layers=3, aggregate="mean")
    if full:
        egnn, dgcnn = replace(egnn, channels=32, num_layers=4), replace(dgcnn, channels=48, num_layers=4)
    quick = TrainConfig(
        steps=1200,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=1e-4,
        warmup_steps=100,
        ema_decay=0.99,
        eval_every=300,
        checkpoint_every=300,
        optimizer="muon",
    )
    long = TrainConfig(
        steps=2000,
        batch_size=16,
        learning_rate=5e-3,
        weight_decay=1e-4,
        warmup_steps=200,
        ema_decay=0.99,
        eval_every=500,
        checkpoint_every=500,
        optimizer="muon",
    )
    sizes = {} if full else {"num_train": 2000, "num_val": 250, "num_test": 500}
    return StudyDesign(
        "qm9",
        (*ladder.values(), *baselines(egnn, dgcnn)),
        long if full else quick,
        task_options=sizes,
        setting="full" if full else "quick",
    )
