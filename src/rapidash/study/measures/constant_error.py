"""The test error of a prediction that sees no cloud: what any model must beat."""

from collections.abc import Iterator
from typing import Final

from rapidash.methods import Measurement, Subject

CONSTANT: Final = "test error of a constant"


def constant_error(subject: Subject) -> Iterator[Measurement]:
    """The mean of the errors that the task gives to a constant, also of its details; of the data alone, once.

    Raises: ValueError for a task that does not say them.
    """
    if subject.moment != "before":
        return
    errors = getattr(subject.task, "constant_errors", None)
    if errors is None:
        raise ValueError(f"the task {subject.task.name!r} does not say the errors of a constant")
    yield Measurement(CONSTANT, float(errors("test").mean()), subject.task.unit, "", subject.moment, subject.view, "")
    details = getattr(subject.task, "constant_details", None)
    for name, value in (details("test") if details is not None else {}).items():
        yield Measurement(f"{CONSTANT}, {name}", float(value.mean()), "", "", subject.moment, subject.view, "")
