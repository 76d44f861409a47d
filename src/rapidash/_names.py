"""Words of what is printed: a name that is not known with the nearest one that is, sentences that end, units."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like the given one, None when none does."""
    lowered = {entry.lower(): entry for entry in known}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.4)
    return lowered[near[0]] if near else None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence of an error: what was given, what exists, what may have been meant."""
    names = list(known)
    near = nearest_name(name, names)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"unknown {kind} {name!r}, expected one of {', '.join(map(repr, names)) or '(none is registered)'}{hint}"


def sentence(words: str) -> str:
    """The words with a full stop, unless they end with a mark already."""
    return words if words.endswith((".", "?", "!")) else f"{words}."


def with_unit(number: str, unit: str | None) -> str:
    """The number and its unit; alone where it has none, which records write as ``"1"``."""
    return number if unit in (None, "", "1") else f"{number} {unit}"
