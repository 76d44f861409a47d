"""The same training with another number of steps."""

import math
from dataclasses import replace

from rapidash.train import TrainConfig

SCALED = ("steps", "warmup_steps", "eval_every")


def with_steps(train: TrainConfig, steps: int) -> TrainConfig:
    """A training of another length: warm-up takes the same share of the steps, and there are as many validations."""
    if steps == train.steps:
        return train
    validations = math.ceil(train.steps / train.eval_every)
    warmup = train.warmup_steps * steps // train.steps
    return replace(train, steps=steps, warmup_steps=warmup, eval_every=math.ceil(steps / validations))
