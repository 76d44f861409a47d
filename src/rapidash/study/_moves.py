"""The groups that a task is tested and measured over."""

from collections.abc import Sequence

from rapidash.groups import SO, MatrixGroup, O
from rapidash.methods import Task


def moves_of_tests(task: Task) -> MatrixGroup | None:
    """The group that turns test data: what the task says, SO(D) for clouds, None for other data."""
    if hasattr(task, "moves"):
        found: MatrixGroup | None = task.moves
        return found
    return SO(task.dim) if task.dim else None


def measured_groups(task: Task) -> Sequence[MatrixGroup]:
    """The groups over which the equivariance error is measured, the first of them that of ``"equivariance"``."""
    if hasattr(task, "measured_groups"):
        found: Sequence[MatrixGroup] = task.measured_groups
        return found
    return (SO(task.dim), O(task.dim)) if task.dim else ()
