"""A level of a study: by name of a factor, its value; and the rows of a table, a variant at a level each."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

Level = Mapping[str, Any]


def row_name(variant: str, level: Level) -> str:
    """The variant at a level in words, e.g. ``E(3) on R3, channels 32``; its name alone without factors."""
    return ", ".join([variant, *level_words(level)])


def level_words(level: Level) -> list[str]:
    """Each factor with its value: ``channels 32``, with the whole name where several factors end alike."""
    last = [name.rpartition(".")[2] for name in level]
    shown = [short if last.count(short) == 1 else name for name, short in zip(level, last, strict=True)]
    return [f"{name} {value_text(value)}" for name, value in zip(shown, level.values(), strict=True)]


def value_text(value: Any) -> str:
    """A value of a factor: text as it is, numbers with all digits, lists in brackets; text like those in quotes."""
    return json.dumps(value) if not isinstance(value, str) or _is_json(value) else value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def grid(factors: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values of some factors, the last factor changing fastest; one empty without factors."""
    return [dict(zip(factors, values, strict=True)) for values in product(*factors.values())]


def is_number(value: Any) -> bool:
    """Whether the values of a factor can be an axis; truth values are no numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool)
