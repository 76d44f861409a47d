"""Settings as YAML, in files and on the command line: bounded before they are expanded, and plain values only."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rapidash._plain import type_words

try:
    import yaml  # type: ignore[import-untyped]
except ImportError as error:
    raise ImportError('the command line needs PyYAML: pip install "rapidash[study]"') from error

GROUPS = ("train", "model", "task_options", "factors")  # options that hold others
_LISTS = ("variants", "corruptions")
_EARLY = {"task": str, "variant": str, "full": bool}  # what must be known before there is a parser
_NEVER_NULL = ("seeds", "fractions")
_NAMES_CODE = frozenset(("class_path", "init_args", "dict_kwargs"))  # by these the parsing library imports and calls
_MAX_BYTES = 2**20
_MAX_DEPTH = 32
_MAX_VALUES = 100_000
_INLINE = "the text given"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAY_HOLD_VALUES = re.compile(r"[\[{&*:\n]")


class SettingsError(Exception):
    """Settings that are refused. Not a ValueError: the parsing library would take that for "not YAML, so text"."""


def check_words(words: Sequence[str]) -> None:
    """Raises: SettingsError for an option, or a value of one, that names code or is too large to be settings."""
    option = ""
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "=", word)
        if name:
            option = name.removeprefix("--")
            _refuse_code(option, name)
        if equals:
            where = f"--{option}" if option else "the command line"
            check_text(value, where)
            if option in GROUPS:
                _check_group(option, value, where, Path())


def read_settings(given: str) -> dict[str, Any]:
    """The top level of a file of settings, or of YAML in its place.

    Raises: SettingsError naming the file, and the line or key, for what cannot be settings. Of a file that is not
        there nothing is known: the parser reports it.
    """
    if (path := _file_of(given)) is not None:
        return _read_file(path, reading=())
    check_text(given, _INLINE)
    values = _load(given, _INLINE)
    if isinstance(values, str):  # the name of a file that is not there, or of a pipe
        return {}
    return _checked(values, _INLINE, Path(), reading=())


def _read_file(path: Path, reading: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in reading:
        raise SettingsError(f"{path}: config names a file that reads this one")
    return _checked(_values_in(path), str(path), path.parent, reading=(*reading, path.resolve()))


def _checked(values: Any, where: str, folder: Path, *, reading: tuple[Path, ...]) -> dict[str, Any]:
    """Raises: SettingsError for what is no mapping, or an entry at the top of another type than the option."""
    if not isinstance(values, dict):
        raise SettingsError(f"{where} holds {_shown(values)}: expected settings by name, as in 'train: {{steps: 100}}'")
    for key, value in values.items():
        if key == "config" and isinstance(value, str) and (path := _file_of(str(folder / value))) is not None:
            _read_file(path, reading)
        _check_entry(str(key), value, where, folder)
    return values


def check_text(text: str, where: str, *, level: int = 0) -> None:
    """Look at what may become settings as a stream of events: nothing is expanded, built or imported.

    Raises: SettingsError for text that names code, is too large with its aliases written out, or is nested too deep.
        What is not YAML passes: it is text, or the parser has more to say of it.
    """
    if not _MAY_HOLD_VALUES.search(text):
        return
    if level > _MAX_DEPTH or len(text) > _MAX_BYTES:
        raise SettingsError(f"{where}: {len(text)} characters are too many for settings, at most {_MAX_BYTES}")
    size = _Size(where)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            size.add(event)
            if isinstance(event, yaml.ScalarEvent):
                _refuse_code(event.value, where)
                if event.value != text:
                    check_text(event.value, where, level=level + 1)  # text may hold YAML in its turn
    except (yaml.YAMLError, ValueError):  # ValueError: a character that YAML does not allow
        return


class _Size:
    """The number of values in YAML as if every alias were written out, and how deep they are nested."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._complete: dict[str | None, int] = {}  # by anchor
        self._open: list[tuple[str | None, int]] = [(None, 0)]

    def add(self, event: Any) -> None:
        """Count an event of the parser. Raises: SettingsError beyond a limit, or for an alias of what it stands in."""
        anchor, size = getattr(event, "anchor", None), 0
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append((anchor, 1))
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == other for other, _ in self._open):
                raise SettingsError(
                    f"{self._where}: the alias *{anchor} stands in what it repeats: write the values out"
                )
            size = self._complete.get(anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            size = self._complete[anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = self._open.pop()
            self._complete[anchor] = size
        if len(self._open) > _MAX_DEPTH:
            raise SettingsError(f"{self._where}: settings are nested at most {_MAX_DEPTH} deep")
        outer, total = self._open.pop()
        self._open.append((outer, total + size))
        if total + size > _MAX_VALUES:
            raise SettingsError(
                f"{self._where}: settings are at most {_MAX_VALUES} values, what aliases repeat among them"
            )


def _refuse_code(key: str, where: str) -> None:
    """Raises: SettingsError for a key, also one with dots, by which the parsing library would import something."""
    if found := _NAMES_CODE.intersection(key.split(".")):
        raise SettingsError(f"{where}: {min(found)!r} is no setting: settings are plain values, they name no code")


def _check_entry(key: str, value: Any, where: str, folder: Path) -> None:
    """Raises: SettingsError for a value at the top level that is of another type than the option."""
    if key in GROUPS:
        _check_group(key, value, where, folder)
    elif key in _LISTS and value is not None:
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise SettingsError(f"{key} must be a list of texts, such as [name], got {_shown(value)} (in {where})")
    elif key == "variant" and isinstance(value, dict):
        return  # a variant with all its parts
    elif key in _EARLY and not isinstance(value, _EARLY[key]):
        raise SettingsError(f"{key} must be {type_words(_EARLY[key])}, got {_shown(value)} (in {where})")
    elif key in _NEVER_NULL and value is None:
        raise SettingsError(f"{key} must be a number or a list, got null (in {where})")


def _check_group(name: str, value: Any, where: str, folder: Path) -> None:
    """Raises: SettingsError for a group of options that is neither settings by name nor a file of such."""
    shown, source = value, where
    if isinstance(value, str):
        path = _file_of(str(folder / value))
        value, source = (_load(value, where), where) if path is None else (_values_in(path), str(path))
    if not isinstance(value, dict):
        found = _shown(shown if source == where else value)
        raise SettingsError(f"{source}: {name} must be settings by name, got {found}")


def _values_in(path: Path) -> Any:
    """The values in a file. Raises: SettingsError for one that is too large, no text, no YAML, or names code."""
    text = _read(path)
    check_text(text, str(path))
    return _load(text, str(path))


def _file_of(given: str) -> Path | None:
    """The file with this name, None for other text; a pipe is left to the parser, since it can be read once only."""
    try:
        return Path(given) if Path(given).is_file() else None
    except (OSError, ValueError):  # text that cannot be a name
        return None


def _read(path: Path) -> str:
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise SettingsError(f"{path}: {size} bytes are too many for settings, at most {_MAX_BYTES}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text (byte {error.start}): expected YAML") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error


def _load(text: str, where: str) -> Any:
    """Text that `check_text` has seen, as the parser of the options will read it."""
    from jsonargparse import get_loader

    try:
        return get_loader("yaml")(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{where} is not YAML{place}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:  # a forbidden character, or a list as a key
        raise SettingsError(f"{where} is not YAML: {' '.join(str(error).split())}") from error


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
