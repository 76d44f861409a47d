"""Errors are averaged and compared only where they are of one metric, in one unit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

R = TypeVar("R", bound=Mapping[str, Any])
_KEYS: Final = ("metric", "unit")


def metric_faults(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each record why its errors cannot be compared with the others', empty where they can.

    What most finished records say is expected; where two say it equally often, what the earlier started run says. A
    record that does not say is taken for one of the others.
    """
    finished = [record for record in records if record.get("status") == "done"]
    finished.sort(key=lambda record: str(record.get("started") or ""))
    counts = Counter(tuple(record.get(key) for key in _KEYS) for record in finished)
    if len(counts) < 2:
        return ["" for _ in records]
    expected, count = counts.most_common(1)[0]
    return [_fault(record, expected, count) for record in records]


def of_one_metric(records: Sequence[R]) -> list[R]:
    """The records without those of another metric or unit than most."""
    return [record for record, fault in zip(records, metric_faults(records), strict=True) if not fault]


def _fault(record: Mapping[str, Any], expected: tuple[Any, ...], count: int) -> str:
    if record.get("status") != "done":
        return ""
    for key, value in zip(_KEYS, expected, strict=True):
        found = record.get(key)
        if found is not None and value is not None and found != value:
            others = "another finished record has" if count == 1 else f"{count} other finished records have"
            return f"{key}: expected {value!r}, as {others}, found {found!r}"
    return ""
