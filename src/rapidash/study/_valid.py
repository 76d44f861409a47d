"""What a record and a design must look like to be read: every field of its type, every number finite."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from rapidash._plain import is_of, type_words

_MEASURED = dict[str, float | None]
_NEEDED_OF_A_RECORD = ("key", "config.task", "config.variant.name", "config.seed", "config.train")
_RECORD: dict[str, Any] = {
    "key": str,
    "error": str | None,
    "config.task": str,
    "config.task_options": dict[str, Any],
    "config.variant": dict[str, Any],
    "config.variant.name": str,
    "config.variant.model": dict[str, Any],
    "config.variant.inputs": list[str],
    "config.variant.neighbor": str | None,
    "config.variant.knob": str,
    "config.variant.augment": str | None,
    "config.variant.tta": int,
    "config.variant.tta_group": str | None,
    "config.seed": int,
    "config.fraction": float,
    "config.train": dict[str, Any],
    "commit": str | None,
    "versions": dict[str, str],
    "device": str,
    "threads": int,
    "started": str,
    "seconds": float | None,
    "parameters": int,
    "num_train": int,
    "history": list[_MEASURED],
    "best_step": int,
    "val_error": float,
    "test_error": float,
    "test_error_rotated": float | None,
    "test_error_tta": float | None,
    "test_details": _MEASURED,
    "metric": str,
    "unit": str,
    "seconds_per_step": float | None,
    "train_seconds": float | None,
    "peak_memory_bytes": int | None,
    "symmetry": dict[str, Any],
    "symmetry.layers": str,
    "symmetry.effective": str,
    "symmetry.reasons": list[str],
    **{
        f"{entry}{field}": kind
        for entry in ("equivariance", "equivariance_reflections")
        for field, kind in (("", dict[str, Any]), (".group", str), (".before", _MEASURED), (".after", _MEASURED))
    },
}
_NEEDED_OF_A_DESIGN = ("variants", "seeds", "fractions", "train_overrides")
_DESIGN: dict[str, Any] = {
    "task": str,
    "task_options": dict[str, Any],
    "variants": list[dict[str, Any]],
    "seeds": list[int],
    "fractions": list[float],
    "train": dict[str, Any],
    "train_overrides": dict[str, dict[str, Any]],
    "setting": str,
}
_VARIANT: dict[str, Any] = {"name": str, "neighbor": str | None, "knob": str, "model": dict[str, Any]}
_NO_VALUE = object()


def record_fault(record: Mapping[str, Any]) -> str:
    """The first key of a record that is not what it must be, and how; empty when all are right."""
    if fault := _fault(record, _RECORD, _NEEDED_OF_A_RECORD):
        return fault
    config = record["config"]
    if config["seed"] < 0 or not 0 < config.get("fraction", 1) <= 1:
        found = f"config.seed {config['seed']} and config.fraction {config.get('fraction', 1)}"
        return f"has {found}, expected at least 0 and a share in (0, 1]"
    return "" if config["variant"]["name"] else "has an empty config.variant.name"


def design_fault(design: Mapping[str, Any]) -> str:
    """The same of ``study.json``."""
    if fault := _fault(design, _DESIGN, _NEEDED_OF_A_DESIGN):
        return fault
    for index, variant in enumerate(design["variants"]):
        if fault := _fault(variant, _VARIANT, ("name",), prefix=f"variants.{index}."):
            return fault
    return ""


def _fault(plain: Mapping[str, Any], kinds: Mapping[str, Any], needed: tuple[str, ...], *, prefix: str = "") -> str:
    for key in needed:
        if _value(plain, key) in (_NO_VALUE, None):
            return f"lacks {prefix}{key}"
    for key, kind in kinds.items():
        value = _value(plain, key)
        if value is _NO_VALUE:
            continue
        if not is_of(value, kind):
            return f"has {_shown(value)} as {prefix}{key}, expected {_words(kind)}"
        if any(not math.isfinite(number) for number in _numbers(value)):
            return f"has a number that is not finite in {prefix}{key}"
    return ""


def _value(plain: Any, path: str) -> Any:
    """What is at a path with dots."""
    for key in path.split("."):
        if not isinstance(plain, Mapping) or key not in plain:
            return _NO_VALUE
        plain = plain[key]
    return plain


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value if abs(value) < 2**1000 else math.inf  # no float holds it
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _numbers(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _numbers(entry)


def _words(kind: Any) -> str:
    origin, entries = get_origin(kind), get_args(kind)
    if origin is dict:
        return "an object" + ("" if entries[1] is Any else f", each {_words(entries[1])}")
    return f"several, each {_words(entries[0])}" if origin is list else type_words(kind)


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
