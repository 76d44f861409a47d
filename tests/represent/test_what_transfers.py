"""The claim of the paper on eight prototypes (slow): an augmentation makes features invariant, and pays or costs."""

from pathlib import Path

import pytest
import torch
from prototypes_task import NUM_CLASSES, PrototypesTask

from rapidash.measure import feature_statistics
from rapidash.methods import Variant, build_model
from rapidash.models import RapidashConfig
from rapidash.represent import ContrastivePretraining, encoded, features_of, linear_probe, similarity_to_transforms
from rapidash.train import TrainConfig, train

NET = RapidashConfig(space="R3", symmetry="T(3)", channels=16, num_layers=2, edges="fc", basis_dim=16)
TRAIN = TrainConfig(
    steps=400,
    batch_size=64,
    learning_rate=1e-2,
    weight_decay=1e-5,
    warmup_steps=20,
    ema_decay=0.0,
    eval_every=400,
    checkpoint_every=400,
)


def invariance_and_pose(augmentations: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Similarity under yaw, and R^2 of the yaw given the class, from whitened features."""
    task = PrototypesTask()
    objective = ContrastivePretraining(invariant_dim=16, augmentations=augmentations, select="loss")
    model = build_model(task, Variant("one", NET, objective=objective))
    data = {split: task.dataset(split) for split in ("train", "val", "test")}
    known = {"train_set": data["train"], "val_set": data["val"], "seed": 0, "run_dir": folder, "progress": False}
    train(model, task, TRAIN, objective=objective, **known)
    features = {split: encoded(model, part, 256).both for split, part in data.items()}
    whitening = feature_statistics(features["train"])
    batch = data["val"].batch(torch.arange(128))
    with torch.no_grad():
        found = similarity_to_transforms(
            lambda clouds: features_of(model, clouds), batch, whitening=whitening, names=["yaw"]
        )
    rows, targets = {}, {}
    for split, part in data.items():
        white = whitening(features[split])
        of_class = torch.nn.functional.one_hot(part.tensors["label"], NUM_CLASSES)
        white = torch.cat([white, torch.ones_like(white[:, :1])], dim=1)
        rows[split] = (of_class[:, :, None] * white[:, None]).flatten(1)
        yaw = part.tensors["yaw"]
        targets[split] = torch.stack([yaw.cos(), yaw.sin()], dim=1)
    probe = linear_probe(rows["train"], targets["train"], "values")
    return found["yaw"].mean_cosine, float(probe.r_squared(rows["test"], targets["test"]).mean())


@pytest.mark.slow
def test_augmentations_of_pose_and_of_appearance_make_opposite_features(tmp_path: Path) -> None:
    """Similarity under yaw differs by at least 0.4, R^2 of the yaw by at least 0.5: seed 0 gives 0.8 and 0.8."""
    turned, noisy = (
        invariance_and_pose(names, tmp_path / names[0]) for names in (("yaw",), ("jitter", "anisotropic scale"))
    )
    assert turned[0] - noisy[0] >= 0.4
    assert noisy[1] - turned[1] >= 0.5
