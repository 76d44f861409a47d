"""The study of split features on ModelNet10: pairs of turned CAD models."""

from rapidash.models import RapidashConfig, TransformerConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._split_features import split_arms
from rapidash.study.designs.sie import pretraining_settings
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """As the study of template clouds, without its quaternions; every model is turned in every split.

    Quick: 32 points of each model, parts of the splits and 300 steps. Full: 128 points, all models and 3,000 steps.
    """
    train: TrainConfig = pretraining_settings(3_000 if full else 300, batch_size=32)
    transformer = TransformerConfig(channels=32, num_layers=2)
    rapidash = RapidashConfig(symmetry="SE(3)", space="R3xS2", num_orientations=12, grid="platonic", edges="knn-8")
    small = {"channels": 16, "num_layers": 2, "basis_dim": 16, "basis_hidden_dim": 16}
    sizes = {"num_points": 128} if full else {"num_points": 32, "num_train": 1500, "num_val": 200, "num_test": 300}
    return StudyDesign(
        "modelnet10",
        split_arms(transformer, RapidashConfig(**{**vars(rapidash), **small}), has_quaternions=False),
        train,
        task_options={"protocol": "SO(3)/SO(3)", **sizes},
        setting="full" if full else "quick",
        measures=("representation",),
    )
