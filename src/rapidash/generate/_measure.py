"""The measure of a trained generator: figures of its samples."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from rapidash.generate._sampling import is_finite, sample_clouds
from rapidash.generate._task import DenoisingTask
from rapidash.methods import Measurement, Subject

SAMPLES, FLOOR = "samples: ", "training data: "  # of the names of figures
LOST = "samples that are not finite"


def measure_samples(subject: Subject) -> Iterator[Measurement]:
    """The figures of the task for ``num_samples`` clouds, after training only, against test data; the same of as many
    training clouds, which is how near data come to data.

    They select nothing: the weights were chosen by the denoising loss. Clouds that are not finite are counted.

    Raises: ValueError for a task that does not generate.
    """
    task = subject.task
    if not isinstance(task, DenoisingTask):
        raise ValueError(f"samples are drawn from tasks that generate, such as 'ala2-gen', not from {task.name!r}")
    if subject.moment == "before":
        return
    samples = sample_clouds(subject.model, task, task.num_samples, seed=subject.seed, sampler=task.sampler)
    train = task.clouds("train")
    data = train.subset(torch.linspace(0, len(train) - 1, min(len(train), len(samples))).long())
    for prefix, clouds in ((SAMPLES, samples), (FLOOR, data)):
        lost = 100 * float((~is_finite(clouds)).double().mean())
        for figure in (Measurement(LOST, lost, "%", better="lower"), *task.figures(clouds)):
            better = figure.better if prefix == SAMPLES else ""
            yield replace(figure, name=f"{prefix}{figure.name}", view=subject.view, better=better)
