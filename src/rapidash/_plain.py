"""Frozen dataclasses to plain JSON values and back, and the name that a configuration has by its content."""

import dataclasses
import hashlib
import json
import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rapidash._names import unknown_name
from rapidash._registry import Registry

T = TypeVar("T")

_ALSO = {int: numbers.Integral, float: numbers.Real}  # NumPy's numbers, and whole ones for others

TYPE_WORDS = {  # by name, for errors
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "NoneType": "null",
}
KEY_LENGTH = 16  # hexadecimal digits: 64 bits, no collision among any number of runs that a study can have


def to_plain(value: Any, *, for_key: bool = False) -> Any:
    """Dataclasses and mappings as dicts, sequences as lists, paths as text.

    A configuration of a registered kind carries it: ``{"kind": "rapidash", ...}``.

    Args:
        value: a configuration.
        for_key: leave out every field that has the value which files without this field mean, see `from_plain`: the
            key of a configuration does not change when a field is added.
    Raises: ValueError for a number that is not finite, TypeError for a value that JSON has no form for.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        registry = registry_of(type(value))
        kind = {} if registry is None else {"kind": registry.name_of(type(value))}
        entries = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if kind.keys() & entries.keys():
            raise TypeError(f"{type(value).__name__} has a field named 'kind', which says what it is: rename the field")
        if for_key:
            absent = {field.name: field.metadata for field in dataclasses.fields(value) if "absent" in field.metadata}
            entries = {n: v for n, v in entries.items() if n not in absent or v != absent[n]["absent"]}
        return kind | {name: to_plain(entry, for_key=for_key) for name, entry in entries.items()}
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry, for_key=for_key) for key, entry in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, numbers.Integral):  # of NumPy
        return int(value)
    if isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise ValueError(f"a configuration holds finite numbers only, got {value}")
        return float(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):  # whose order differs between processes
        return sorted((to_plain(entry, for_key=for_key) for entry in value), key=lambda entry: json.dumps(entry))
    if isinstance(value, Sequence):
        return [to_plain(entry, for_key=for_key) for entry in value]
    raise TypeError(f"{type(value).__name__} has no plain form: a configuration holds plain values only")


def with_absent(cls: type, plain: Mapping[str, Any]) -> dict[str, Any]:
    """The plain form with those fields that it lacks of which it is said what their absence means, see `from_plain`."""
    absent = {f.name: to_plain(f.metadata["absent"]) for f in dataclasses.fields(cls) if "absent" in f.metadata}
    return {**absent, **plain}


def registry_of(cls: type) -> Registry[Any] | None:
    """The registry whose kinds are configurations of this class, None for any other dataclass."""
    found = getattr(cls, "registry", None)
    return found if isinstance(found, Registry) else None


def content_key(plain: Any) -> str:
    """A prefix of the SHA-256 of the canonical JSON: equal for equal configurations, whatever the order of keys."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def from_plain(cls: type[T], plain: Mapping[str, Any], *, complete: bool = False) -> T:
    """The dataclass whose `to_plain` form is given; nested dataclasses and tuples by their annotations.

    Of a class with a ``registry`` the plain form says the kind, and the class of that kind is made. A field that was
    added later names in its metadata, ``field(default=..., metadata={"absent": VALUE})``, what files without it mean.

    Args:
        cls: the dataclass.
        plain: by field.
        complete: every field must be there, or say what it means that it is absent: its default may have been another.
    Raises: ValueError for a key that the dataclass does not have, with the nearest one, one that is missing, or an
        unknown kind; PluginError for a kind of another package that cannot be imported.
    """
    if (registry := registry_of(cls)) is not None:
        if "kind" not in plain:
            raise ValueError(f"a {registry.what} needs its 'kind', one of {', '.join(map(repr, registry))}")
        cls, plain = registry.get(plain["kind"]), {key: value for key, value in plain.items() if key != "kind"}
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in plain:
        if key not in fields:
            raise ValueError(unknown_name(f"{cls.__name__} field", key, sorted(fields)))
    values = dict(plain)
    if complete:
        missing = [field for name, field in sorted(fields.items()) if name not in plain and field.init]
        if unsaid := [field.name for field in missing if "absent" not in field.metadata]:
            raise ValueError(f"{cls.__name__} lacks {', '.join(map(repr, unsaid))}")
        values |= {field.name: field.metadata["absent"] for field in missing}
    hints = typing.get_type_hints(cls)
    return cls(**{key: _restore(hints[key], value, complete) for key, value in values.items()})


def is_of(value: object, hint: Any) -> bool:
    """Whether a plain value is of a type: one of `TYPE_WORDS`, a union, or a list, tuple or dict of such.

    A whole number is a float too, and a truth value is no number. Of any other type, such as a Literal, every value is.
    """
    origin, entries = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(is_of(value, entry) for entry in entries)
    if origin is dict:
        return isinstance(value, Mapping) and all(is_of(entry, entries[1]) for entry in value.values())
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            return False
        is_open = origin is list or entries[-1:] == (Ellipsis,)
        expected = entries[:1] * len(value) if is_open else entries
        return len(value) == len(expected) and all(is_of(*pair) for pair in zip(value, expected))
    if not isinstance(hint, type) or hint.__name__ not in TYPE_WORDS:
        return True
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, _ALSO.get(hint, hint))


def as_number_of(value: Any, hint: Any) -> Any:
    """A value in the number type that its hint asks for: 1 is 1.0 where a float is expected, also within a tuple.

    Anything else, such as a whole number where both are expected, is left as it is.
    """
    origin, entries = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        fitting = [entry for entry in entries if is_of(value, entry)]
        exact = [entry for entry in fitting if entry is int]
        return as_number_of(value, (exact or fitting)[0]) if fitting else value
    if origin in (list, tuple) and is_of(value, hint):
        is_open = origin is list or entries[-1:] == (Ellipsis,)
        expected = entries[:1] * len(value) if is_open else entries
        return type(value)(as_number_of(*pair) for pair in zip(value, expected))
    return hint(value) if hint in (int, float) and is_of(value, hint) else value


def check_fields(record: Any) -> None:
    """Raises: ValueError for a field of a dataclass whose value is of another type than its annotation."""
    for name, hint in typing.get_type_hints(type(record)).items():
        if not is_of(value := getattr(record, name), hint):
            raise ValueError(f"{name} must be {type_words(hint)}, got {value!r}")


def type_words(hint: Any) -> str:
    """A type in words, for an error: ``int | None`` is "a whole number or null"."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return " or ".join(map(_words_of_one, options))


def _words_of_one(hint: Any) -> str:
    entries = [entry for entry in typing.get_args(hint) if entry is not Ellipsis]
    if typing.get_origin(hint) in (list, tuple) and len(entries) == 1:
        return f"several, each {type_words(entries[0])}"
    return TYPE_WORDS.get(getattr(hint, "__name__", ""), str(hint))


def _restore(hint: Any, value: Any, complete: bool) -> Any:
    is_record = isinstance(hint, type) and (dataclasses.is_dataclass(hint) or registry_of(hint) is not None)
    if is_record and isinstance(value, Mapping):
        return from_plain(hint, value, complete=complete)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for option in _most_alike(arguments, value):
            restored = _restore(option, value, complete)
            if restored is not value:
                return restored
    if origin is tuple and isinstance(value, list):
        entry = arguments[0] if arguments else Any
        return tuple(_restore(entry, item, complete) for item in value)
    return value


def _most_alike(options: Sequence[Any], value: Any) -> list[Any]:
    """The options of a union, those dataclasses first that have most of the value's keys as fields."""

    def shared(option: Any) -> int:
        is_record = isinstance(value, Mapping) and dataclasses.is_dataclass(option)
        return sum(field.name in value for field in dataclasses.fields(option)) if is_record else 0

    return sorted(options, key=shared, reverse=True)
