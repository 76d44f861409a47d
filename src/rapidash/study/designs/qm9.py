"""The study of molecular properties: the dipole vector, or a number by a task option."""

from dataclasses import replace

from rapidash.models import BaselineConfig, RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._baselines import baselines
from rapidash.study.designs._ladder import symmetry_ladder
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Six variants on one backbone, each a knob away from its neighbor, and two baselines, on 10,000 molecules.

    Quick: narrow networks, few steps, 2,000 molecules to train on. Full: all of the 10,000, and wider networks.
    """
    base = RapidashConfig(dim=3, grid="platonic", num_orientations=8, channels=16, num_layers=2)
    base = replace(base, basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, num_orientations=12, channels=64, num_layers=5, basis_dim=64, basis_hidden_dim=64)

    ladder = symmetry_ladder(base)
    egnn = BaselineConfig("EGNN", channels=32, num_layers=3)
    dgcnn = BaselineConfig("DGCNN", channels=32, num_layers=3, aggregate="mean")
    if full:
        egnn, dgcnn = (replace(model, channels=64, num_layers=4) for model in (egnn, dgcnn))
    quick = TrainConfig(
        steps=1200,
        batch_size=32,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=100,
        ema_decay=0.99,
        eval_every=300,
        checkpoint_every=300,
    )
    long = TrainConfig(
        steps=20_000,
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=1e-6,
        warmup_steps=500,
        ema_decay=0.998,
        eval_every=500,
        checkpoint_every=500,
    )
    sizes = {} if full else {"num_train": 2000, "num_val": 250, "num_test": 500}
    return StudyDesign(
        "qm9",
        (*ladder.values(), *baselines(egnn, dgcnn)),
        long if full else quick,
        task_options=sizes,
        setting="full" if full else "quick",
    )
