"""Files of an advice that are read again: whole and of this version, or a sentence that names the file."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from rapidash._plain import check_fields, from_plain

T = TypeVar("T")

_DAMAGED: Final = (ValueError, KeyError, TypeError, AttributeError)


class SchemaError(ValueError):
    """A file of another version."""


def read_saved(
    path: Path,
    what: str,
    made: Callable[[dict[str, Any]], T],
    *,
    schema: int | None,
    mend: str = "remove it, or choose another --out",
) -> T:
    """The entries of a JSON file, as a function reads them.

    Args:
        path: of the file.
        what: it holds, in words.
        made: of the entries without their schema.
        schema: that the file must have; None for a file without one.
        mend: what can be done about a damaged file.
    Raises: FileNotFoundError; SchemaError for a file of another version; ValueError for one that is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refused)
        if not isinstance(content, dict):
            raise ValueError(f"expected entries by name, got {type(content).__name__}")
        found = None if schema is None else content.pop("schema")
        if found == schema:
            return made(content)
    except FileNotFoundError:
        raise
    except _DAMAGED as error:
        said = f"the entry {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is no {what} ({said}): {mend}") from error
    raise SchemaError(f"{path} has schema {found!r}, this version reads {schema}: choose another --out")


def record(kind: type[T], entries: Mapping[str, Any]) -> T:
    """The dataclass of its plain form. Raises: ValueError for an entry that is unknown, or of another type."""
    if not isinstance(entries, Mapping):
        raise ValueError(f"expected the entries of a {kind.__name__}, got {entries!r}")
    made = from_plain(kind, entries)
    check_fields(made)
    return made


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of such a file")
