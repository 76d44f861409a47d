"""The group that moves the data of a run, and data that are moved by it."""

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch
from rapidash.groups import SO, MatrixGroup, parse_matrix_group
from rapidash.methods import StepView, Task


class DataGroup:
    """The group of a method, by name or that of the task: found, and checked to move the data, at the first step.

    Args:
        name: as `parse_matrix_group` reads it; None: the group by which the task moves its test data (``moves``),
            rotations about the origin where the data are clouds.
        default: taken instead of the latter.
    """

    def __init__(self, name: str | None, default: MatrixGroup | None = None) -> None:
        self._group = parse_matrix_group(name) if name else default
        self.is_checked = False

    def of(self, view: StepView) -> MatrixGroup:
        """The group.

        Raises: ValueError for data of which the task does not say what moves them.
        """
        if self._group is None:
            self._group = _group_of(task_of(view))
        return self._group

    def moved(self, view: StepView, g: Float[Tensor, "B n n"]) -> Batch:
        """The batch of a step, inputs and targets, sample b by element b.

        Raises: ValueError for a group that cannot act on a field, or moves none of them.
        """
        group = self.of(view)
        try:
            moved = view.batch.transform(g)
        except ValueError as error:
            raise ValueError(
                f"{group.name} cannot move the data: {error}. Name a group by which every field can be moved, or "
                "declare other representations in the task"
            ) from error
        if not self.is_checked and bool((g - torch.eye(g.shape[-1], dtype=g.dtype)).abs().amax() > 1e-6):
            if all(torch.equal(tensor, view.batch[name]) for name, tensor in moved.tensors.items()):
                raise ValueError(
                    f"{group.name} moves nothing: the fields {sorted(moved.tensors)} are declared as scalars. Name a "
                    "group that acts on one of them, or declare in the task how they move"
                )
            self.is_checked = True
        return moved


def task_of(view: StepView) -> Task:
    """The task of the run.

    Raises: ValueError for a view without one.
    """
    if view.task is None:
        raise ValueError("this method needs the task of the run: StepView(task=...), which a training run gives")
    return view.task


def _group_of(task: Task) -> MatrixGroup:
    group: MatrixGroup | None = task.moves if hasattr(task, "moves") else SO(task.dim) if task.dim else None
    if group is None:
        raise ValueError(f"the task {task.name!r} does not say which group moves its data: name one, e.g. group='C4'")
    return group
