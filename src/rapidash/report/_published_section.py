"""The section on published values: what others report on the task of a study, in a table of its own."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Final

from rapidash.report import _format as fmt
from rapidash.report._sections import Section
from rapidash.study import StudySummary

PUBLISHED_TITLE: Final = "Published values, not of this study"
_HEAD: Final = ("network", "published error", "trained on", "where it was read")
_TEXT: Final = (
    "Others trained these networks, with all data, for long, by recipes of their own, and most tested on more samples. "
    "They say where the field is; they are no arms of this study, and no difference to them is a finding of it."
)


@dataclass(frozen=True)
class PublishedValue:
    """An error that others have published.

    Args:
        task: name of the task.
        options: of the task, with which a study must agree for the value to be shown.
        network: in words.
        value, unit: of the error.
        data: in words, what it was trained on.
        source: where the value was read.
    """

    task: str
    options: Mapping[str, Any]
    network: str
    value: float
    unit: str
    data: str
    source: str


@cache
def published_values() -> tuple[PublishedValue, ...]:
    """All values of the file ``published.toml`` beside this module."""
    return read_values(resources.files("rapidash.report").joinpath("published.toml").read_text(encoding="utf-8"))


def read_values(text: str) -> tuple[PublishedValue, ...]:
    """The values of a file.

    Raises: ValueError naming the entry for a key that is missing or unknown, an empty text, or an error that is not
        positive.
    """
    known = {entry.name for entry in fields(PublishedValue)}
    found = []
    for number, row in enumerate(tomllib.loads(text).get("value", ()), start=1):
        if row.keys() != known:
            missing, unknown = sorted(known - row.keys()), sorted(row.keys() - known)
            raise ValueError(f"published value {number}: the keys {missing} are missing, {unknown} are unknown")
        one = PublishedValue(**row)
        empty = [name for name in known - {"options", "value"} if not isinstance(row[name], str) or not row[name]]
        if empty or not isinstance(one.value, int | float) or not one.value > 0:
            raise ValueError(f"published value {number}: expected texts and an error above 0, got {row!r}")
        found.append(one)
    return tuple(found)


def published_section(summary: StudySummary) -> Section | None:
    """The published values on the task and options of a study, in its unit; None where none are known."""
    values = _matching(summary, published_values())
    if not values:
        return None
    rows = [(one.network, f"{one.value:g} {fmt.unit(one.unit)}", one.data, one.source) for one in values]
    return Section(PUBLISHED_TITLE, _TEXT, _HEAD, rows)


def _matching(summary: StudySummary, values: Sequence[PublishedValue]) -> list[PublishedValue]:
    """Those of the study's task, with options that some row of it has."""
    fixed = summary.study.design.get("task_options") or {}
    levels = [_options(fixed, variant.level) for variant in summary.variants]
    return [
        one
        for one in values
        if one.task == summary.study.task
        and one.unit == summary.unit
        and any(all(options.get(name) == value for name, value in one.options.items()) for options in levels)
    ]


def _options(fixed: Mapping[str, Any], level: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the task at a level."""
    part = "task."
    return {**fixed, **{name.removeprefix(part): value for name, value in level.items() if name.startswith(part)}}
