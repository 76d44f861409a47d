"""Measure the data of a task before any training: what `rapidash measure FILES` prints."""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from rapidash.data import CloudDataset, Field
from rapidash.groups import SO, Position
from rapidash.measure import Report, symmetry_breaking_score, task_symmetry_breaking
from rapidash.report._split_section import split_verdict
from rapidash.study.measures.split_distance import ACROSS, COPIES, NUM_TEST, WITHIN, split_distances

_MOST: Final = 2000  # training clouds
_FEWEST: Final = 8
_CLEAR: Final = 3.0  # standard errors
_NOTHING: Final = 2.0  # within so many, chance is enough


@dataclass(frozen=True)
class MeasuredData:
    """Tables, and sentences that say what they mean."""

    tables: tuple[Report, ...]
    sentences: tuple[str, ...]


def measure_data(task: Any, *, steps: int = 300, num_turns: int = 19, seed: int = 0) -> MeasuredData:
    """Whether training clouds are stored in a preferred pose, whether the pose tells about the target, and leaks.

    The first two are of the training clouds, at most 2,000, about their centroids; of a vector or tensor the target is
    its norm. Test clouds are compared with training clouds by their shapes alone.

    Args:
        task: of a user's files, such as own-data.
        steps: of the classifier that tells clouds from turned ones, and of the predictors of the target from the pose.
        num_turns: sets of random turns.
        seed: of everything.
    Raises: ValueError for fewer than 8 training clouds.
    """
    data = task.dataset("train")
    if len(data) < _FEWEST:
        raise ValueError(f"the pose is measured on at least {_FEWEST} training clouds, got {len(data)}")
    data = data.subset(torch.linspace(0, len(data) - 1, min(_MOST, len(data))).long())
    clouds = _about_centroids(data)
    stored = symmetry_breaking_score(clouds, SO(task.dim), steps=steps, seed=seed)
    tables = [_told(stored.report(), clouds=len(clouds))]
    sentences = [_pose_sentence(stored.accuracy, stored.standard_error)]
    target, what = _invariant(data, task)
    if target is None:
        sentences.append(f"Whether the pose tells about {what} is not measured: it is a target of each point.")
    elif bool((target == target[:1]).all()):
        sentences.append(f"Whether the pose tells about {what} cannot be measured: it is the same for all of them.")
    else:
        knows = task_symmetry_breaking(clouds, target, steps=steps, num_turns=num_turns, seed=seed)
        tables.append(_told(knows.report(), target=what))
        sentences.append(_target_sentence(what, knows.ratio, knows.standard_error, knows.z))
    found = split_distances(task)
    row = {
        "test to training": found.across, "training to training, elsewhere": found.within,
        "copies": found.copies, "test clouds": found.num_test,
    }  # fmt: skip
    tables.append(Report("distance to the nearest cloud (medians)", (row,), {"split": task.split}))
    figures = {ACROSS: found.across, WITHIN: found.within, COPIES: found.copies}
    known = {name: value for name, value in figures.items() if value is not None}
    verdict = split_verdict({**known, NUM_TEST: float(found.num_test)})
    sentences.append(f"Split by {task.split}: {verdict}.")
    return MeasuredData(tuple(tables), tuple(sentences))


def _pose_sentence(accuracy: float, error: float) -> str:
    """Whether clouds can be told from turned ones: clearly by 3 standard errors above chance, and not within 2."""
    shown = f"accuracy {accuracy:.2f} +- {error:.2f} at telling clouds from turned ones, 0.5 by chance"
    away = (accuracy - 0.5) / error
    if away > _CLEAR:
        return f"The clouds are stored in a preferred pose ({shown})."
    if away > _NOTHING:
        return f"Perhaps the clouds are stored in a preferred pose ({shown}): more clouds would tell."
    return f"No sign of a preferred pose ({shown})."


def _target_sentence(what: str, ratio: float, error: float, z: float) -> str:
    """Whether the target is predicted better from the pose of the data than from random ones, by the same limits."""
    shown = f"ratio {ratio:.2f} +- {error:.2f}, 1 where it does not"
    if z > _CLEAR:
        return (
            f"The pose tells about {what} ({shown}): rotations that are built in, or by which training clouds are "
            "turned, throw this away. Compare T(D) with E(D)."
        )
    if z > _NOTHING:
        return f"Perhaps the pose tells about {what} ({shown}): more clouds would tell."
    if z < -_NOTHING:
        return (
            f"Whether the pose tells about {what} cannot be told ({shown}): what was learned from the pose is worse "
            "than nothing on other clouds, as with too few of them."
        )
    return f"No sign that the pose tells about {what} ({shown}; a lower bound)."


def _about_centroids(data: CloudDataset) -> CloudDataset:
    """The points alone, each cloud about its centroid."""
    pos, owner = data.tensors["pos"].double(), torch.repeat_interleave(torch.arange(len(data)), data.num_points)
    mean = pos.new_zeros(len(data), pos.shape[1]).index_add(0, owner, pos) / data.num_points[:, None]
    return CloudDataset({"pos": (pos - mean[owner]).float()}, {"pos": Field(Position())}, data.num_points)


def _invariant(data: CloudDataset, task: Any) -> tuple[Tensor | None, str]:
    """The part of the target of each cloud that rotations leave, and its name; None for one of each point."""
    name = task.target or "the class"
    if data.fields["target"].level == "point":
        return None, name
    target = data.tensors["target"]
    if target.dim() == 1:
        return target, name
    return target.flatten(1).norm(dim=1), f"the norm of {name}"


def _told(report: Report, **notes: Any) -> Report:
    return Report(report.title, report.rows, {**report.metadata, **notes})
