"""The measures of a trained generator: figures of its samples, and some of them to look at."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from rapidash.data import CloudDataset
from rapidash.generate._pose_figures import pose_figures
from rapidash.generate._sampling import is_finite, sample_clouds
from rapidash.generate._task import DenoisingTask
from rapidash.methods import Measurement, Scene, SceneCloud, Subject

SAMPLES, FLOOR = "samples: ", "training data: "  # of the names of figures
LOST = "samples that are not finite"
SHOWN_SAMPLES, SHOWN_DATA = "samples", "training data"  # names of scenes
_SHOWN = 6


def measure_samples(subject: Subject) -> Iterator[Measurement | Scene]:
    """The figures of the task for ``num_samples`` clouds, after training only, against test data; the same of as many
    training clouds, which is how near data come to data; and the first six finite ones of both, to be drawn.

    They select nothing: the weights were chosen by the denoising loss. Clouds that are not finite are counted.

    Raises: ValueError for a task that does not generate.
    """
    task = generating_task(subject)
    if subject.moment == "before":
        return
    samples = sample_clouds(subject.model, task, task.num_samples, seed=subject.seed, sampler=task.sampler)
    train = task.clouds("train")
    data = train.subset(torch.linspace(0, len(train) - 1, min(len(train), len(samples))).long())
    for prefix, scene, clouds in ((SAMPLES, SHOWN_SAMPLES, samples), (FLOOR, SHOWN_DATA, data)):
        lost = 100 * float((~is_finite(clouds)).double().mean())
        figures = (Measurement(LOST, lost, "%", better="lower"), *task.figures(clouds), *pose_figures(clouds))
        for figure in figures:
            better = figure.better if prefix == SAMPLES else ""
            yield replace(figure, name=f"{prefix}{figure.name}", view=subject.view, better=better)
        yield Scene(scene, scene_clouds(task, clouds), view=subject.view)


def generating_task(subject: Subject) -> DenoisingTask:
    """The task of a subject. Raises: ValueError for one that does not generate."""
    if not isinstance(subject.task, DenoisingTask):
        raise ValueError(
            f"samples are drawn from tasks that generate, such as 'ala2-gen', not from {subject.task.name!r}"
        )
    return subject.task


def scene_clouds(task: DenoisingTask, clouds: CloudDataset, num: int = _SHOWN) -> tuple[SceneCloud, ...]:
    """The first finite clouds with their elements and bonds, as far as the task knows them."""
    kept = torch.nonzero(is_finite(clouds)).flatten()[:num]
    if not len(kept):
        return ()
    shown = clouds.subset(kept)
    elements, bonds, found, first = task.elements(shown) or [], task.bonds(shown), [], 0
    for size, pos in zip(shown.num_points.tolist(), shown.tensors["pos"].split(shown.num_points.tolist())):
        own = bonds[(bonds[:, 0] >= first) & (bonds[:, 0] < first + size)] - first
        found.append(SceneCloud.of(pos, elements[first : first + size], own.tolist()))
        first += size
    return tuple(found)
