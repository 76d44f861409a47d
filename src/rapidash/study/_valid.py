"""The demands on a record and a design that are read: the type of every key, and numbers that are finite."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

Check = Callable[[Any], bool]
Kinds = dict[str, tuple[str, Check]]

_OF_BASE64: Final = re.compile("[A-Za-z0-9+/]*={0,2}")
LARGEST: Final = 1e300  # of a number that sums and ratios are made of


def record_fault(record: Mapping[str, Any], *, to_resume: bool = False) -> str:
    """The first key of a record that is not what it must be, with what was expected and found; empty where all are.

    Args:
        record: as `json` reads it.
        to_resume: what a study needs to go on is asked for too: task and training, and no errors of a run that has
            diverged, which a report shows as such.
    """
    if to_resume:
        return _fault(record, _RESUMED_RECORD, _NEEDED_TO_RESUME)
    return _fault(record, _RECORD, _NEEDED)


def design_fault(design: Mapping[str, Any], *, to_resume: bool = False) -> str:
    """The same of ``study.json``, which may leave out anything that is only read, and nothing to resume."""
    if to_resume:
        return _fault(design, _RESUMED_DESIGN, ("variants", "seeds", "fractions", "train_overrides"))
    return _fault(design, _DESIGN, ())


def _fault(plain: Mapping[str, Any], kinds: Kinds, needed: tuple[str, ...]) -> str:
    for path, (expected, is_right) in kinds.items():
        values = _values(plain, path.split("."))
        if path in needed and not any(value is not None for _, value, _ in values):
            return f"{path}: expected {expected}, found nothing"
        for key, value, is_optional in values:
            if not (is_right(value) or (is_optional and value is None)):
                return f"{key}: expected {expected}, found {_found(value)}"
    return ""


def _values(plain: Any, path: list[str], prefix: str = "", is_optional: bool = True) -> list[tuple[str, Any, bool]]:
    """Every value that a path leads to, with its key in full, and whether null may stand for it; ``*`` is every item.

    A key may be null where it may be left out; an item of a list may not.
    """
    if not path:
        return [(prefix.rstrip("."), plain, is_optional)]
    items: Iterable[tuple[Any, Any]] = ()
    if path[0] != "*":
        items = [(path[0], plain[path[0]])] if isinstance(plain, Mapping) and path[0] in plain else ()
    elif isinstance(plain, Mapping | list):
        items = plain.items() if isinstance(plain, Mapping) else enumerate(plain)
    in_object = isinstance(plain, Mapping)
    return [found for key, value in items for found in _values(value, path[1:], f"{prefix}{key}.", in_object)]


def _found(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _is_nan_or_number(value: Any) -> bool:
    return _is_number(value) or (isinstance(value, float) and not math.isfinite(value))


def _names_a_variant(value: Any) -> bool:
    return bool(value.get("name") if isinstance(value, Mapping) else isinstance(value, str) and value)


_TEXT: Final = ("text", lambda value: isinstance(value, str))
_NAME: Final = ("a name", lambda value: isinstance(value, str) and bool(value))
_KEY: Final = ("a name without slashes", lambda value: isinstance(value, str) and not set(value) & set("/\\"))
_BASE64: Final = ("base64", lambda value: isinstance(value, str) and bool(_OF_BASE64.fullmatch(value)))
_NUMBER: Final = ("a finite number", _is_number)
_ERROR: Final = ("a number", _is_nan_or_number)  # NaN and infinity: the run has diverged
_POSITIVE: Final = ("a number above 0", lambda value: _is_number(value) and value > 0)
_SHARE: Final = ("a share in (0, 1]", lambda value: _is_number(value) and 0 < value <= 1)
_SIZE: Final = ("a number of at least 0", lambda value: _is_number(value) and value >= 0)
_COUNT: Final = (
    "a whole number of at least 0",
    lambda value: isinstance(value, int) and _is_number(value) and value >= 0,
)
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
_NEEDED_TO_RESUME: Final = ("key", *_NEEDED, "config.task", "config.train")
_RECORD: Final[Kinds] = {
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
    "config.variant.model": _OBJECT,
    "config.variant.inputs": _LIST,
    "config.variant.inputs.*": _TEXT,
    "config.variant.methods": _LIST,
    "config.variant.methods.*": _OBJECT,
    "config.variant.methods.*.kind": _TEXT,
    "config.variant.objective": _OBJECT,
    "config.variant.augment": _TEXT,  # of earlier versions, as the next two
    "config.variant.tta": _COUNT,
    "config.variant.tta_group": _TEXT,
    "config.measures": _LIST,
    "config.measures.*": _TEXT,
    "measurements": _LIST,
    "measurements.*": _OBJECT,
    "measurements.*.name": _TEXT,
    **{f"measurements.*.{name}": _NUMBER for name in ("value", "low", "high")},
    **{f"measurements.*.{name}": _TEXT for name in ("unit", "group", "moment", "view", "better")},
    "pictures": _LIST,
    "pictures.*": _OBJECT,
    **{f"pictures.*.{name}": _TEXT for name in ("name", "moment", "view")},
    "pictures.*.png": _LIST,
    "pictures.*.png.*": _BASE64,
    "scenes": _LIST,
    "scenes.*": _OBJECT,
    **{f"scenes.*.{name}": _TEXT for name in ("name", "moment", "view")},
    "scenes.*.clouds": _LIST,
    "scenes.*.clouds.*": _OBJECT,
    **{f"scenes.*.clouds.*.{name}": _LIST for name in ("points", "elements", "bonds")},
    **{f"scenes.*.clouds.*.{name}.*": _LIST for name in ("points", "bonds")},
    "scenes.*.clouds.*.points.*.*": _NUMBER,
    "scenes.*.clouds.*.bonds.*.*": _COUNT,
    "scenes.*.clouds.*.elements.*": _TEXT,
    "views": _OBJECT,
    "views.*": _OBJECT,
    "views.*.test_error": _NUMBER,
    "views.*.test_error_rotated": _NUMBER,
    "views.*.symmetry": _OBJECT,
    "views.*.symmetry.effective": _TEXT,
    **{
        f"views.*.errors_{moment}{path}": kind
        for moment in ("before", "after")
        for path, kind in (("", _OBJECT), (".*", _OBJECT), (".*.group", _TEXT), (".*.mean", _SIZE))
    },
    "config.seed": _COUNT,
    "config.fraction": _SHARE,
    "config.level": _OBJECT,
    "config.train": _OBJECT,
    "config.train.steps": _NUMBER,
    "config.init": _OBJECT,
    "start": _OBJECT,
    "start.folder": _TEXT,
    "start.fresh": _LIST,
    "start.fresh.*": _TEXT,
    **dict.fromkeys(("commit", "device", "started", "metric", "unit"), _TEXT),
    "versions": _OBJECT,
    "versions.*": _TEXT,
    "threads": _COUNT,
    "products": _TEXT,
    "products_made": _LIST,
    "products_made.*": _TEXT,
    "product_error": _SIZE,
    "product_probe": _OBJECT,
    "product_probe.*": _OBJECT,
    "product_probe.*.*": _SIZE,
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
    "symmetry.exactness": _LIST,
    "symmetry.exactness.*": _TEXT,
    "symmetry.keeps": _LIST,
    "symmetry.keeps.*": _TEXT,
    "symmetry.is_trivial": _FLAG,
    "symmetry.oracle": _FLAG,
    "symmetry_cost": _OBJECT,
    "symmetry_cost.group": _TEXT,
    "symmetry_cost.moved_unit": _TEXT,
    **{
        f"symmetry_cost.{name}": _SIZE
        for name in ("moved", "relative", "error", "own_pose", "symmetry_error", "elements", "samples")
    },
    **{f"symmetry_cost.{name}": _NUMBER for name in ("cost", "share", "low", "high")},
    **{f"symmetry_cost.{name}": _FLAG for name in ("complete", "squared", "pose_helps")},
    **_MEASURED,
}
_RESUMED_RECORD: Final[Kinds] = _RECORD | dict.fromkeys(("history.*.*", "val_error", "test_error"), _NUMBER)
_DESIGN: Final[Kinds] = {
    "task": _TEXT,
    "name": _TEXT,
    "setting": _TEXT,
    "task_options": _OBJECT,
    "variants": _LIST,
    "variants.*": ("a name, or an object with a name", _names_a_variant),
    "variants.*.name": _NAME,
    "variants.*.knob": _TEXT,
    "variants.*.neighbor": _TEXT,
    "variants.*.model": _OBJECT,
    "seeds": _LIST,
    "seeds.*": _COUNT,
    "fractions": _LIST,
    "fractions.*": _SHARE,
    "factors": _OBJECT,
    "factors.*": _LIST,
    "equal": _TEXT,
    "train": _OBJECT,
    "train_overrides": _OBJECT,
    "train_overrides.*": _OBJECT,
    "inits": _OBJECT,
    "inits.*": _OBJECT,
}
_RESUMED_DESIGN: Final[Kinds] = _DESIGN | {
    "variants.*": ("an object with a name", lambda value: isinstance(value, Mapping) and bool(value.get("name")))
}
