"""Contrastive pre-training on the common loop, concatenated encoders, and features of points."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rapidash._plain import from_plain, to_plain
from rapidash.data import CloudBatch, seeded
from rapidash.methods import Variant, build_model
from rapidash.models import (
    DGCNNConfig,
    EGNNConfig,
    OrderedMLPConfig,
    RapidashConfig,
    RenderedCNNConfig,
    TransformerConfig,
)
from rapidash.predict import TrainedModel
from rapidash.represent import (
    APPEARANCE,
    POSE,
    ConcatenatedEncoder,
    ConcatenatedPretraining,
    ContrastivePretraining,
    PointEncoder,
    SplitEncoder,
    augmented,
    features_of,
    halves,
    info_nce,
)
from rapidash.study import RunConfig, Store, run_one
from rapidash.tasks import get_task
from rapidash.train import TrainConfig

OPTIONS = {"num_train": 40, "num_val": 16, "num_test": 16, "num_templates": 3, "num_points": 8}
TASK = get_task("template-clouds", **OPTIONS)
NET = TransformerConfig(channels=8, num_layers=1, num_heads=2)
ONE = ContrastivePretraining(invariant_dim=6, augmentations=("rotation",), hidden_dim=8, projected_dim=4)
TWO = ConcatenatedPretraining(invariant_dim=6, augmentations=("rotation",), further=(("jitter", "drop"),), hidden_dim=8)
TRAIN = TrainConfig(steps=4, batch_size=8, warmup_steps=1, eval_every=2, checkpoint_every=2)


def model_of(objective: ContrastivePretraining, network: Any = NET) -> Any:
    return build_model(TASK, Variant("one", network, objective=objective)).eval()


def clouds(num: int = 5) -> CloudBatch:
    return TASK.dataset("val").batch(torch.arange(num))


def test_a_step_is_the_loss_of_two_augmented_views() -> None:
    model, batch = model_of(ONE), clouds()
    views = ONE.views(batch, seeded(3))
    assert views.num_samples == 10
    assert torch.equal(views.pos, augmented(batch.repeat(2), ["rotation"], seeded(3)).pos)
    assert not torch.allclose(*halves(views.pos), atol=0.1)  # each view has a draw of its own
    first, second = halves(model.heads(model.features(views).both))
    step = ONE.step(model, TASK, views, seeded(0))
    assert torch.allclose(step.loss, info_nce(first, second, temperature=0.2))
    assert not torch.allclose(step.loss, info_nce(first, second, temperature=0.5))


def test_an_invariant_encoder_finds_every_pair_of_rotated_views() -> None:
    net = RapidashConfig(symmetry="E(3)", space="R3", channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8)
    model = model_of(ONE, net).double()
    batch = clouds(6).to(dtype=torch.float64)
    sharp = replace(ONE, temperature=1e-8)
    assert sharp.step(model, TASK, sharp.views(batch, seeded(0)), seeded(0)).loss < 1e-3


@pytest.mark.parametrize("objective", [ONE, TWO], ids=["one", "concatenated"])
def test_runs_are_trained_saved_and_read_again(objective: ContrastivePretraining, tmp_path: Path) -> None:
    variant = Variant("one", NET, objective=objective)
    assert from_plain(Variant, to_plain(variant)) == variant
    config = RunConfig("template-clouds", variant, 0, TRAIN, task_options=OPTIONS)
    record = run_one(config, tmp_path)
    assert record is not None
    assert record["status"] == "done", record["error"]
    loaded = TrainedModel.from_pretrained(Store(tmp_path).work_dir(config.key)).model
    assert features_of(loaded, clouds()).shape == (5, 6 if objective is ONE else 12)
    if objective is TWO:
        assert {"loss/encoder 1", "loss/encoder 2"} <= record["history"][0].keys()


def test_concatenated_encoders_are_trained_as_if_each_were_alone() -> None:
    model, batch = model_of(TWO), clouds()
    step = TWO.step(model, TASK, batch, seeded(0))
    assert torch.allclose(step.loss, step.parts["encoder 1"] + step.parts["encoder 2"])
    both = list(model.encoder.encoders)
    assert not torch.equal(both[0].backbone.embedding.weight, both[1].backbone.embedding.weight)
    gradient = torch.autograd.grad(step.parts["encoder 1"], list(both[1].parameters()), allow_unused=True)
    assert all(one is None for one in gradient)


def test_modes_of_concatenation_by_hand() -> None:
    class Sums(torch.nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, batch: CloudBatch) -> torch.Tensor:
            return self.factor * batch.pos.unflatten(0, (batch.num_clouds, -1)).sum(dim=1)

    batch = clouds(2)
    total = Sums(1.0)(batch)
    assert torch.allclose(ConcatenatedEncoder([Sums(1.0), Sums(2.0)])(batch), torch.cat([total, 2 * total], dim=1))
    assert torch.allclose(ConcatenatedEncoder([Sums(1.0), Sums(2.0)], "add")(batch), 3 * total)
    assert torch.allclose(ConcatenatedEncoder([Sums(1.0), Sums(2.0)], "mean")(batch), 1.5 * total)
    split = SplitEncoder(Sums(1.0), 2, 1)
    assert torch.allclose(ConcatenatedEncoder([split, Sums(2.0)], "mean")(batch), 1.5 * total)
    with pytest.raises(ValueError, match="encoders is empty"):
        ConcatenatedEncoder([])
    with pytest.raises(ValueError, match="mode of concatenated encoders: 'sum'"):
        ConcatenatedEncoder([split], "sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="equally many features"):
        ConcatenatedEncoder([split, ConcatenatedEncoder([split, split])], "add")(batch)


@pytest.mark.parametrize(
    "network",
    [
        NET,
        RapidashConfig(symmetry="E(3)", space="R3", channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8),
        RapidashConfig(symmetry="T(3)", space="R3", channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8),
        EGNNConfig(channels=8, num_layers=1),
    ],
    ids=["transformer", "E(3)", "T(3)", "EGNN"],
)
@pytest.mark.parametrize("objective", [ONE, TWO], ids=["one", "concatenated"])
def test_features_of_a_cloud_are_the_mean_of_those_of_its_points(objective: ContrastivePretraining, network) -> None:
    model, batch = model_of(objective, network), clouds()
    points = PointEncoder(model)(batch)
    assert points.shape == (40, features_of(model, batch).shape[1])
    assert torch.allclose(points.unflatten(0, (5, 8)).mean(dim=1), features_of(model, batch), atol=1e-5)
    assert points.unflatten(0, (5, 8)).std(dim=1).max() > 1e-4


def test_networks_without_features_of_points_are_refused() -> None:
    pooled = DGCNNConfig(channels=8, num_layers=1, edges="knn-3", pools_features=True)
    with pytest.raises(ValueError, match="pools_features=True"):
        PointEncoder(model_of(ONE, pooled))
    scales = RapidashConfig(symmetry="T(3)", space="R3", channels=(8, 8), num_layers=(1, 1), ratios=0.5, edges="fc")
    with pytest.raises(ValueError, match="several scales"):
        PointEncoder(model_of(ONE, scales))
    for whole in (OrderedMLPConfig(OPTIONS["num_points"]), RenderedCNNConfig(size=8, channels=2)):
        with pytest.raises(ValueError, match="reads a cloud as a whole"):
            PointEncoder(model_of(ONE, whole))
    with pytest.raises(ValueError, match="no network of clouds"):
        PointEncoder(torch.nn.Linear(2, 2))


def test_vectors_are_features_too_and_turn_with_the_cloud() -> None:
    net = RapidashConfig(symmetry="SE(3)", num_orientations=12, grid="platonic", channels=8, num_layers=1)
    objective = replace(ONE, has_vectors=True, equivariant_dim=6)
    model = model_of(objective, net)
    assert features_of(model, clouds()).shape == (5, 12)
    step = objective.step(model, TASK, objective.views(clouds(), seeded(0)), seeded(0))
    assert step.loss.isfinite()


@pytest.mark.usefixtures("shape_checks_off")
def test_bad_settings_and_batches_are_refused() -> None:
    for match, changes in {
        "unknown transformation of clouds 'spin'": {"augmentations": ("spin",)},
        "augmentations is empty": {"augmentations": ()},
        "named twice": {"augmentations": ("yaw", "yaw")},
        "temperature must be positive": {"temperature": 0.0},
        "projected_dim at least 1": {"projected_dim": 0},
    }.items():
        with pytest.raises(ValueError, match=match):
            replace(ONE, **changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown transformation of clouds 'spin'"):
        replace(TWO, further=(("spin",),))
    with pytest.raises(ValueError, match="give further augmentations"):
        replace(TWO, further=())
    for objective in (ONE, TWO):
        model, alone = model_of(objective), objective.views(clouds(1), seeded(0))
        with pytest.raises(ValueError, match="at least 2 samples in a batch, got 1: raise batch_size"):
            objective.step(model, TASK, alone, seeded(0))
    digits = get_task("rotated-digits", num_train=4, num_val=2, num_test=2)
    with pytest.raises(ValueError, match="clouds in three dimensions"):
        ONE.views(digits.dataset("train").batch(torch.arange(2)), seeded(0))
    assert {*POSE, *APPEARANCE} == set(ContrastivePretraining().augmentations)
