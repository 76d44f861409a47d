"""Whether a run is one of a design, and at which level of its factors."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rapidash._plain import with_absent
from rapidash.methods import modern_variant
from rapidash.study._level import is_number
from rapidash.study._recorded_run import Run
from rapidash.study._steps import SCALED
from rapidash.train import WITHOUT_EFFECT, TrainConfig

_WORDS: Final = ("neighbor", "knob")  # parts of a variant that describe it and change no result


def belongs(run: Run, design: Mapping[str, Any]) -> bool:
    """Whether the design contains the run; what the design does not say, it allows."""
    variants = {v["name"]: v for v in sequence(design.get("variants")) if isinstance(v, Mapping) and "name" in v}
    seeds, fractions = sequence(design.get("seeds")), sequence(design.get("fractions"))
    if (variants and run.variant not in variants) or (seeds and run.seed not in seeds):
        return False
    if fractions and run.fraction not in fractions:
        return False
    factors = factors_of(design)
    if any(run.level.get(name) not in values for name, values in factors.items()):
        return False
    planned, own = _in_one_form(variants.get(run.variant, {}), run.get("config", "variant"))
    if any(
        _fixed(own.get(key), key, factors) != _fixed(value, key, factors)
        for key, value in planned.items()
        if key not in _WORDS
    ):
        return False
    inits = design.get("inits")
    if (inits.get(run.variant) if isinstance(inits, Mapping) else None) != run.get("config", "init"):
        return False
    overrides = design.get("train_overrides")
    changed = overrides.get(run.variant) if isinstance(overrides, Mapping) else None
    train = _fixed({**(design.get("train") or {}), **(changed or {})}, "train", factors)
    scaled = () if design.get("equal", "steps") == "steps" else SCALED
    free = (*WITHOUT_EFFECT, *(name for name in scaled if name not in (changed or {})))
    trained = run.get("config", "train")
    own_train = with_absent(TrainConfig, trained if isinstance(trained, Mapping) else {})
    if any(own_train.get(key) != value for key, value in train.items() if key not in free):
        return False
    options = design.get("task_options")
    if not options:
        return True
    own = _fixed(run.get("config", "task_options"), "task", {**factors, f"task.{design.get('seed_option')}": ()})
    return bool(own == _fixed(options, "task", factors))


def _fixed(plain: Any, part: str, factors: Mapping[str, Any]) -> Any:
    """The settings of a network, a training or a task without those that are factors."""
    if not isinstance(plain, Mapping):
        return plain
    return {key: value for key, value in plain.items() if f"{part}.{key}" not in factors}


def factors_of(design: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The factors of a design beside seed and fraction; numbers in ascending order."""
    factors = design.get("factors") or {}
    return {name: sorted(values) if all(map(is_number, values)) else list(values) for name, values in factors.items()}


def level_of(run: Run, factors: Iterable[str]) -> dict[str, Any]:
    """The level of a run by what it says, or else by the settings that it was run with."""
    said = run.get("config", "level") or {}
    return {name: said[name] if name in said else run.get("config", *_setting(name)) for name in factors}


def _setting(factor: str) -> tuple[str, ...]:
    """The keys that lead to the value of a factor in the configuration of a run."""
    part, _, knob = factor.partition(".")
    places = {"model": ("variant", "model"), "train": ("train",), "task": ("task_options",)}
    return (*places.get(part, (part,)), knob)


def _in_one_form(planned: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A planned variant and that of a record as this version writes them; as they are where the plan names no model."""
    if not isinstance(planned.get("model"), Mapping):
        return planned, own
    try:
        return modern_variant(planned), modern_variant(own)
    except (KeyError, TypeError, ValueError):  # of no form that ever was: equal or not as they stand
        return planned, own


def sequence(value: Any) -> list[Any]:
    """A list of a file, empty for what is none."""
    return value if isinstance(value, list) else []
