"""Runs that must find what is planted, on seeds that nothing was tuned on."""

import math
from typing import Any

import pytest
import torch

from rapidash.learn import Augerino, LearnedHistogram
from rapidash.methods import Method, Variant, build_model
from rapidash.models import MLPConfig, OrderedMLPConfig
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, train

pytestmark = pytest.mark.slow
SEED = 11


def learned(method: Method, tmp_path, *, steps: int, **options: Any) -> dict[str, float]:
    """The values of a method at the end of a training."""
    task = get_task("partial-symmetry", data_seed=2, num_train=2000, num_val=200, **options)
    mlp = OrderedMLPConfig(12, symmetry="T(2)", hidden_dim=64, num_layers=2)
    variant = Variant("a", mlp, methods=(method,))
    config = TrainConfig(
        steps=steps,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=0.0,
        warmup_steps=50,
        eval_every=steps // 4,
        checkpoint_every=steps,
    )
    sets = {f"{split}_set": task.dataset(split) for split in ("train", "val")}
    model = build_model(task, variant, seed=SEED)
    result = train(model, task, config, **sets, seed=SEED, run_dir=tmp_path, progress=False, methods=variant.methods)
    values = {key.removeprefix("value/"): float(value) for key, value in result.history[-1].items()}
    return {key: value for key, value in values.items() if key.startswith(("half-width", "share"))}


@pytest.mark.parametrize("weight", [0.01, 0.05])
def test_the_range_of_rotations_is_found_and_sizes_are_not_confused(weight: float, tmp_path) -> None:
    """Harmless half-widths are pi / 4 and log(2) / 2; the penalty overshoots a little."""
    found = learned(Augerino("SO(2) + scaling(2)", 0.157, weight=weight), tmp_path, steps=1500)
    assert found["half-width of rotation"] == pytest.approx(math.pi / 4, rel=0.15)
    assert found["half-width of scaling"] < math.log(2) / 2


def test_without_a_penalty_half_widths_shrink(tmp_path) -> None:
    found = learned(Augerino("SO(2) + scaling(2)", 0.157, weight=0.0), tmp_path, steps=1500)
    assert max(found.values()) < 0.7 * 0.157


@pytest.mark.parametrize("planted", ["C4", "none"])
def test_a_histogram_finds_a_discrete_subgroup_and_the_absence_of_one(planted: str, tmp_path) -> None:
    found = learned(LearnedHistogram("SO(2)", weight=0.02), tmp_path, steps=1000, planted=planted)
    shares = {round(float(name.rsplit(" ", 1)[1]) * 12 / math.pi): share for name, share in found.items()}
    expected = dict.fromkeys((-6, 0, 6, 12), 0.25) if planted == "C4" else {0: 1.0}
    for place, share in shares.items():
        assert share == pytest.approx(expected.get(place, 0.0), abs=0.05), place


def test_without_the_entropy_no_subgroup_is_found(tmp_path) -> None:
    found = learned(LearnedHistogram("SO(2)", weight=0.0), tmp_path, steps=1000, planted="C4")
    assert torch.tensor(list(found.values())).max() > 0.5


@pytest.mark.parametrize(("planted", "group", "start"), [("turns", "SO(2)", 0.15), ("shifts", "T(2)", 0.5)])
def test_ranges_of_images_are_found_and_close_without_a_penalty(planted, group: str, start: float, tmp_path) -> None:
    """Turns up to pi / 4 and shifts up to 1 pixel leave labels; of two shifts the norm opens one first."""
    task = get_task("partial-images", planted=planted, data_seed=2)
    truth = min(task.tolerated.values())
    found = []
    for weight in (0.0, 0.01):
        variant = Variant("a", MLPConfig(hidden_dim=64, num_layers=2), methods=(Augerino(group, start, weight=weight),))
        config = TrainConfig(
            steps=1500, batch_size=64, learning_rate=3e-3, weight_decay=0.0, eval_every=500, checkpoint_every=1500
        )
        sets = {f"{split}_set": task.dataset(split) for split in ("train", "val")}
        model, folder = build_model(task, variant, seed=SEED), tmp_path / str(weight)
        result = train(model, task, config, **sets, seed=SEED, run_dir=folder, progress=False, methods=variant.methods)
        found.append(max(float(v) for k, v in result.history[-1].items() if k.startswith("value/half-width")))
    assert found[0] < 0.9 * start
    assert found[1] == pytest.approx(truth, rel=0.2)
