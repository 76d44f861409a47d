"""At most how many clouds of each split a task takes: the options num_train, num_val and num_test."""

from typing import Protocol

from rapidash.methods import Split


class _Sized(Protocol):
    @property
    def num_train(self) -> int | None: ...
    @property
    def num_val(self) -> int | None: ...
    @property
    def num_test(self) -> int | None: ...


def split_sizes(task: _Sized) -> dict[Split, int | None]:
    """By split, the option of the task; None: all."""
    return {"train": task.num_train, "val": task.num_val, "test": task.num_test}


def check_split_sizes(task: _Sized) -> None:
    """Raises: ValueError for a number below 1."""
    sizes = split_sizes(task).items()
    if wrong := {f"num_{split}": size for split, size in sizes if size is not None and size < 1}:
        raise ValueError(f"num_train, num_val and num_test must be at least 1, got {wrong}")
