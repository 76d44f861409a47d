"""Checks of the data before a race, and sentences on what they do not allow."""

from collections.abc import Iterable
from typing import Final

import torch

from rapidash.advise._diagnosis import FEWEST
from rapidash.advise._target import Target
from rapidash.advise._trial import Parts
from rapidash.data import CloudDataset
from rapidash.groups import Scalar
from rapidash.methods import Task

FEWEST_TO_JUDGE: Final = 8  # validation clouds


def check_sizes(parts: Parts) -> None:
    """Raises: ValueError for too few training or validation clouds, with the numbers that are needed."""
    if len(parts.train) < FEWEST or len(parts.val) < FEWEST_TO_JUDGE:
        raise ValueError(
            f"{len(parts.train)} training and {len(parts.val)} validation clouds are too few for any statement: at "
            f"least {FEWEST} and {FEWEST_TO_JUDGE} are needed. Of own files about {3 * FEWEST} clouds give both"
        )


def check_finite(parts: Parts, names: Iterable[str]) -> None:
    """Raises: ValueError for a field of the training or validation clouds with a value that is not finite."""
    for part, data in (("training", parts.train), ("validation", parts.val)):
        for name in names:
            if bool((bad := ~torch.isfinite(data.tensors[name])).any()):
                raise ValueError(
                    f"{int(bad.sum())} values of {name!r} of the {part} clouds are not finite: mend these clouds, or "
                    "leave them out"
                )


def check_clouds(given: CloudDataset, target: Target | None, data: CloudDataset) -> None:
    """Whether networks of different symmetry can give different answers about clouds.

    Args:
        given: what the networks see of the training clouds.
        target: of them.
        data: the same with all fields.
    Raises: ValueError for clouds that have nothing to turn, that are all equal, or whose targets are all equal.
    """
    num = len(data)
    if target is not None:
        rows = data.tensors[target.name]
        if bool((rows == rows[:1]).all()):
            raise ValueError(f"the target {target.name!r} is the same for all {num} training clouds: nothing to learn")
    batch = given.batch(torch.arange(num))
    first = torch.cat([batch.num_points.new_zeros(1), batch.num_points.cumsum(0)[:-1]])  # point of every cloud
    offset = batch.pos - batch.pos[first][batch.batch]
    others = [name for name, field in given.fields.items() if not isinstance(field.representation, Scalar)]
    if others == ["pos"] and not bool(offset.any()):
        raise ValueError(
            "the points of every cloud lie at one place, as of a single point: there is nothing to turn, and variants "
            "cannot be told apart by their symmetry"
        )
    counts = given.num_points
    if bool((counts == counts[0]).all()) and all(_all_equal(given, name, offset) for name in given.tensors):
        raise ValueError(
            f"all {num} training clouds are equal to a network (the same points, in the same order): nothing to learn"
        )


def _all_equal(data: CloudDataset, name: str, offset: torch.Tensor) -> bool:
    """Whether every cloud has the same values of a field, of the positions about the first point."""
    rows = (offset if name == "pos" else data.tensors[name]).reshape(len(data), -1)
    return bool((rows == rows[:1]).all())


def copy_cautions(train: CloudDataset, val: CloudDataset) -> list[str]:
    """A sentence on validation clouds that are training clouds again, number for number, as a network is given them."""
    known = {_content(train, index) for index in range(len(train))}
    num = sum(_content(val, index) in known for index in range(len(val)))
    if num == 0:
        return []
    are = "is a copy of a training cloud" if num == 1 else "are copies of training clouds"
    return [
        f"{num} of {len(val)} validation clouds {are}: errors are smaller than on new clouds, and variants that "
        "remember look better than they are. Remove copies, or keep those of one origin on one side (--split "
        "group:NAME)."
    ]


def _content(data: CloudDataset, index: int) -> bytes:
    batch = data.batch(torch.tensor([index]))
    return b"".join(tensor.contiguous().numpy().tobytes() for tensor in batch.tensors.values())


def class_cautions(target: Target | None) -> list[str]:
    """A sentence on classes that are seen once.

    Raises: ValueError where that is at least half of the classes.
    """
    if target is None or target.label is None:
        return []
    counts = torch.bincount(target.label)
    once, every = int((counts == 1).sum()), int((counts > 0).sum())
    if once == 0:
        return []
    if 2 * once >= every:
        raise ValueError(
            f"{once} of {every} classes are seen once in the training part: nothing can be learned of them, and no "
            "race tells variants apart. Give at least a few clouds of each class, or join classes"
        )
    them = "it" if once == 1 else "them"
    return [f"{once} of {every} classes {'is' if once == 1 else 'are'} seen once: nothing is said about {them}."]


def constant_error(task: Task, target: Target | None, parts: Parts) -> float | None:
    """The validation error of a prediction that sees no cloud; None for a task of which it is not known.

    As the task says it, or of classes in per cent the share of those that are not the commonest of the training part.
    """
    if (errors := getattr(task, "constant_errors", None)) is not None:
        return float(errors("val").mean())
    if target is None or target.label is None or task.unit != "%":
        return None
    labels = parts.val.tensors[target.name].reshape(-1)
    return 100 * float((labels != target.label.mode().values).double().mean())
