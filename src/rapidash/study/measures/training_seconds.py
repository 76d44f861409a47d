"""The seconds of a training step of each sample, measured in a run."""

from collections.abc import Iterator

import torch

from rapidash.methods import Measurement, Subject
from rapidash.scale import pass_seconds

SECONDS = "seconds of a training step, per sample"
SAMPLES = 32


def training_seconds(subject: Subject) -> Iterator[Measurement]:
    """Forward and backward pass over validation samples, after training, in seconds of the processor.

    See `pass_seconds`. Passes for terms of methods, and the optimizer, are not in it.
    """
    if subject.moment != "after":
        return
    like = next(subject.model.parameters())
    num = min(SAMPLES, len(subject.data))
    batch = subject.data.batch(torch.arange(num)).to(like.device, like.dtype)
    seconds = pass_seconds(subject.model, batch, backward=True) / num
    yield Measurement(SECONDS, seconds, "s", "", subject.moment, subject.view)
