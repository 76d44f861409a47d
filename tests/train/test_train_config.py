"""Settings, variants and tasks are checked at the door."""

import re
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import nn

from rapidash.methods import Augment, Average, Supervised, Variant
from rapidash.models import RapidashConfig
from rapidash.registry import TASKS
from rapidash.tasks import get_task
from rapidash.train import TrainConfig
from rapidash.train._training import Setup, describe_training


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", 0, "steps must be a whole number of at least 1, got 0"),
        ("steps", 1.5, "steps must be a whole number of at least 1, got 1.5"),
        ("batch_size", True, "batch_size must be a whole number of at least 1, got True"),
        ("warmup_steps", -1, "warmup_steps must be a whole number of at least 0, got -1"),
        ("warmup_steps", 2000, "warmup_steps must be at most steps=1000, got 2000"),
        ("eval_every", 0, "eval_every must be a whole number of at least 1, got 0"),
        ("checkpoint_every", 0, "checkpoint_every must be a whole number of at least 1, got 0"),
        ("threads", 0, "threads must be a whole number of at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate must be positive"),
        ("learning_rate", float("nan"), "learning_rate must be a finite number of at least 0, got nan"),
        ("weight_decay", -0.1, "weight_decay must be a finite number of at least 0, got -0.1"),
        ("grad_clip", float("inf"), "grad_clip must be a finite number of at least 0, got inf"),
        ("ema_decay", 1.0, "ema_decay must be in [0, 1), got 1.0"),
        ("optimizer", "adam", "optimizer must be one of 'adamw', 'muon', got 'adam'; did you mean 'adamw'?"),
        ("dtype", "float16", "dtype must be one of 'float32', 'float64', got 'float16'"),
        ("device", "gpu", "device must be 'cpu', 'cuda' or 'cuda:INDEX', got 'gpu'"),
        ("log_tensorboard", "yes", "log_tensorboard must be True or False, got 'yes'"),
    ],
)
def test_a_wrong_setting_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainConfig(**{field: value})


def test_the_settings_are_frozen_and_the_defaults_valid() -> None:
    config = TrainConfig()
    with pytest.raises(FrozenInstanceError):
        config.steps = 3


def test_a_variant_checks_what_it_can() -> None:
    model = RapidashConfig()
    variant = Variant("E(3)", model, methods=(Augment("SO(3)"), Average("O(3)", 4)))
    assert variant.average is not None
    assert (variant.average.num, variant.average.group.name) == (4, "O(3)")
    with pytest.raises(ValueError, match="needs a name"):
        Variant("", model)
    with pytest.raises(ValueError, match="num must be at least 0, got -1"):
        Average("SO(3)", -1)
    with pytest.raises(ValueError, match=r"num=0 averages over all elements.*SO\(3\) has too many: give a number"):
        Average("SO(3)")
    with pytest.raises(ValueError, match="unknown symmetry 'SO3'"):
        Augment("SO3")
    with pytest.raises(ValueError, match="variant 'a' has several averages"):
        Variant("a", model, methods=(Average("SO(3)", 2), Average("O(3)", 2)))
    with pytest.raises(ValueError, match="own neighbor"):
        Variant("a", model, neighbor="a")


def test_tasks_are_found_by_name_and_the_nearest_is_suggested() -> None:
    assert "nbody" in TASKS
    with pytest.raises(ValueError, match=r"unknown task 'n-body', expected one of .*'nbody'.*; did you mean 'nbody'"):
        get_task("n-body")


def test_task_options_are_passed_on_and_checked() -> None:
    assert get_task("nbody", num_train=7).num_train == 7
    with pytest.raises(ValueError, match=r"unknown option of task 'nbody': 'num_trains'.*did you mean 'num_train'"):
        get_task("nbody", num_trains=7)


def test_checkpoints_say_nothing_of_fields_that_came_later() -> None:
    """A run of an earlier version goes on: its checkpoint has no schedule, which was a cosine."""
    task = get_task("nbody", num_train=4, num_val=2, num_test=2)
    data = task.dataset("train"), task.dataset("val")

    def told(config: TrainConfig) -> dict[str, str]:
        setup = Setup(task, Supervised(), (), config, *data, 0, torch.device("cpu"))
        return describe_training(nn.Linear(1, 1), setup)

    plain, constant = told(TrainConfig()), told(TrainConfig(schedule="constant"))
    assert constant == {**plain, "train.schedule": "constant"}
    assert plain["train.learning_rate"] == "0.001"
    assert plain["train.grad_clip"] == "1.0"
