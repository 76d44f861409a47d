"""The same training with another number of steps."""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from rapidash.train import TrainConfig

SCALED = ("steps", "warmup_steps", "eval_every")


def with_steps(train: TrainConfig, steps: int, *, fixed: Collection[str] = ()) -> TrainConfig:
    """A training of another length: warm-up takes the same share of the steps, rounded down.

    Validations stay a whole number of steps apart, the least that makes them no more than before: of 1000 steps with
    one every 50 there are 20, of 130 with one every 7 there are 19.

    Args:
        train: the training.
        steps: of the optimizer.
        fixed: settings that stay as they are, of ``"warmup_steps"`` and ``"eval_every"``.
    Raises: ValueError for a warm-up that stays and is longer than the training.
    """
    if steps == train.steps:
        return train
    validations = math.ceil(train.steps / train.eval_every)
    scaled: dict[str, Any] = {
        "warmup_steps": train.warmup_steps * steps // train.steps,
        "eval_every": math.ceil(steps / validations),
    }
    return replace(train, steps=steps, **{name: value for name, value in scaled.items() if name not in fixed})
