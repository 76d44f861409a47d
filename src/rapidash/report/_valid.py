"""What a record and a design must look like to be read: types, finite numbers, and texts that a page can hold."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

LONGEST_TEXT: Final = 4000  # characters of one text that a report shows; the file keeps all of it
_DEEPEST: Final = 32  # levels of lists and objects; a record has six
_LARGEST: Final = 1e300

Check = Callable[[Any], bool]


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


def record_fault(record: Mapping[str, Any]) -> str:
    """The first key of a record that is not what it must be, with what was expected and found; empty where all are."""
    return _fault(record, _RECORD, _NEEDED)


def design_fault(design: Mapping[str, Any]) -> str:
    """The same of ``study.json``, which may leave out anything."""
    return _fault(design, _DESIGN, ())


def _shown(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode() if not text.isascii() else text
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out; the file has them ...]\n{text[-half:]}"


def _fault(plain: Mapping[str, Any], kinds: Mapping[str, tuple[str, Check]], needed: tuple[str, ...]) -> str:
    for path, (expected, is_right) in kinds.items():
        values = _values(plain, path.split("."))
        if path in needed and not any(value is not None for _, value in values):
            return f"{path}: expected {expected}, found nothing"
        for key, value in values:
            if value is not None and not is_right(value):
                return f"{key}: expected {expected}, found {_found(value)}"
    return ""


def _values(plain: Any, path: list[str], prefix: str = "") -> list[tuple[str, Any]]:
    """Every value that a path leads to, with its key in full; ``*`` stands for every item."""
    if not path:
        return [(prefix.rstrip("."), plain)]
    items: Iterable[tuple[Any, Any]] = ()
    if path[0] != "*":
        items = [(path[0], plain[path[0]])] if isinstance(plain, Mapping) and path[0] in plain else ()
    elif isinstance(plain, Mapping | list):
        items = plain.items() if isinstance(plain, Mapping) else enumerate(plain)
    return [found for key, value in items for found in _values(value, path[1:], f"{prefix}{key}.")]


def _found(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _is_nan_or_number(value: Any) -> bool:
    return _is_number(value) or (isinstance(value, float) and not math.isfinite(value))


def _names_a_variant(value: Any) -> bool:
    return bool(value.get("name") if isinstance(value, Mapping) else isinstance(value, str) and value)


_TEXT: Final = ("text", lambda value: isinstance(value, str))
_NAME: Final = ("a name", lambda value: isinstance(value, str) and bool(value))
_KEY: Final = ("a name without slashes", lambda value: isinstance(value, str) and not set(value) & set("/\\"))
_NUMBER: Final = ("a finite number", _is_number)
_ERROR: Final = ("a number", _is_nan_or_number)  # NaN and infinity: the run has diverged
_POSITIVE: Final = ("a number above 0", lambda value: _is_number(value) and value > 0)
_SIZE: Final = ("a number of at least 0", lambda value: _is_number(value) and value >= 0)
_WHOLE: Final = ("a whole number", lambda value: isinstance(value, int) and _is_number(value))
_FLAG: Final = ("true or false", lambda value: isinstance(value, bool))
_OBJECT: Final = ("an object", lambda value: isinstance(value, Mapping))
_LIST: Final = ("a list", lambda value: isinstance(value, list))

_MEASURED: Final = {
    f"{entry}{path}": kind
    for entry in ("equivariance", "equivariance_reflections", "equivariance_translations", "exact_symmetry")
    for path, kind in (
        ("", _OBJECT),
        (".group", _TEXT),
        (".before", _OBJECT),
        (".before.*", _SIZE),
        (".after", _OBJECT),
        (".after.*", _SIZE),
    )
}

_NEEDED: Final = ("config", "config.variant", "config.variant.name", "config.seed")
_RECORD: Final[Mapping[str, tuple[str, Check]]] = {
    "key": _KEY,
    "status": _TEXT,
    "error": _TEXT,
    "config": _OBJECT,
    "config.task": _TEXT,
    "config.task_options": _OBJECT,
    "config.variant": _OBJECT,
    "config.variant.name": _NAME,
    "config.variant.knob": _TEXT,
    "config.variant.neighbor": _TEXT,
    "config.seed": _WHOLE,
    "config.fraction": _POSITIVE,
    "config.train": _OBJECT,
    "config.train.steps": _NUMBER,
    **dict.fromkeys(("commit", "device", "started", "metric", "unit"), _TEXT),
    "versions": _OBJECT,
    "seconds": _SIZE,
    "parameters": _SIZE,
    "num_train": _POSITIVE,
    "history": _LIST,
    "history.*": _OBJECT,
    "history.*.*": _ERROR,
    "best_step": _SIZE,
    "seconds_per_step": _SIZE,
    "train_seconds": _SIZE,
    "peak_memory_bytes": _SIZE,
    "val_error": _ERROR,
    "test_error": _ERROR,
    "test_error_rotated": _NUMBER,
    "test_error_tta": _NUMBER,
    "test_details": _OBJECT,
    "test_details.*": _NUMBER,
    "symmetry": _OBJECT,
    "symmetry.layers": _TEXT,
    "symmetry.effective": _TEXT,
    "symmetry.reasons": _LIST,
    "symmetry.reasons.*": _TEXT,
    "symmetry.exact": _FLAG,
    "symmetry.oracle": _FLAG,
    **_MEASURED,
}
_DESIGN: Final[Mapping[str, tuple[str, Check]]] = {
    "task": _TEXT,
    "name": _TEXT,
    "setting": _TEXT,
    "task_options": _OBJECT,
    "variants": _LIST,
    "variants.*": ("a name, or an object with a name", _names_a_variant),
    "variants.*.name": _NAME,
    "variants.*.knob": _TEXT,
    "variants.*.neighbor": _TEXT,
    "seeds": _LIST,
    "seeds.*": _WHOLE,
    "fractions": _LIST,
    "fractions.*": _POSITIVE,
    "train": _OBJECT,
    "train_overrides": _OBJECT,
    "train_overrides.*": _OBJECT,
}
