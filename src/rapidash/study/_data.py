"""The data of a run: read once before a study starts, and the part of the training set that a run sees."""

from collections.abc import Mapping
from typing import Any, get_args

import torch

from rapidash._seed import seeded
from rapidash.data import Dataset
from rapidash.methods import Split
from rapidash.study._plugins import load_plugins
from rapidash.tasks import get_task


def check_data(task_name: str, task_options: Mapping[str, Any]) -> None:
    """Read every split of a task once: what is missing or damaged is an error before anything is launched.

    Raises: ValueError for an unknown task or option; FileNotFoundError and DataError of the task's readers.
    """
    load_plugins()
    task = get_task(task_name, **task_options)
    for split in get_args(Split):
        task.dataset(split)


def training_subset(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """The first part of a permutation of the samples that the seed names: smaller subsets lie in larger ones.

    Raises: ValueError for an empty dataset.
    """
    if len(dataset) == 0:
        raise ValueError("the training set has no samples")
    if fraction == 1:
        return dataset
    order = torch.randperm(len(dataset), generator=seeded(seed, "subset"))
    return dataset.subset(order[: max(1, round(fraction * len(dataset)))])
