"""The study of split features: do pairs of views teach one part the class, another the pose, and who predicts views?"""

from rapidash.models import OrderedMLPConfig, RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._split_features import split_arms
from rapidash.train import TrainConfig

PERCEPTRON = OrderedMLPConfig(num_points=12, hidden_dim=256, num_layers=2, use_direct=False)


def make_design(full: bool) -> StudyDesign:
    """Features of template clouds from pairs of views: without a split, with one that is learned, and one built in.

    Quick: 800 steps, three seeds. Full: 6,000 steps, five seeds.
    """
    rapidash = RapidashConfig(symmetry="SE(3)", space="R3xS2", num_orientations=12, grid="platonic")
    small = {"channels": 16, "num_layers": 1, "basis_dim": 32, "basis_hidden_dim": 32}
    return StudyDesign(
        "template-clouds",
        split_arms(PERCEPTRON, RapidashConfig(**{**vars(rapidash), **small})),
        pretraining_settings(6_000 if full else 800),
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        setting="full" if full else "quick",
        measures=("representation",),
        seed_option="data_seed",
    )


def pretraining_settings(steps: int, batch_size: int = 128) -> TrainConfig:
    """Settings of a pre-training: no weight decay, so that untrained weights stay as they are, and no average."""
    return TrainConfig(
        steps=steps,
        batch_size=batch_size,
        learning_rate=1e-3,
        weight_decay=0.0,
        warmup_steps=min(50, steps // 10),
        ema_decay=0.0,
        eval_every=steps // 4,
        checkpoint_every=steps // 4,
    )
