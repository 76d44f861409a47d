"""Texts that a page can hold, whatever a record has."""

from typing import Any, Final

LONGEST_TEXT: Final = 4000  # characters of one text that a report shows; the file keeps all of it
_DEEPEST: Final = 32  # levels of lists and objects; a record has six


def printable(value: Any, depth: int = 0) -> Any:
    """A JSON value whose texts can be shown: long ones without their middle, lone surrogates as escapes.

    Raises: ValueError for a value that is nested too deeply.
    """
    if depth > _DEEPEST:
        raise ValueError(f"expected at most {_DEEPEST} levels of lists and objects, found more")
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, dict):
        return {_shown(key): printable(item, depth + 1) for key, item in value.items()}
    return [printable(item, depth + 1) for item in value] if isinstance(value, list) else value


def _shown(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode() if not text.isascii() else text
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out; the file has them ...]\n{text[-half:]}"
