"""The factors of a study: named knobs of network, training or task, at several values each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, get_type_hints

from rapidash._names import unknown_name
from rapidash._plain import as_number_of, is_of, type_words
from rapidash.methods import Variant
from rapidash.study._level import Level
from rapidash.tasks import option_types
from rapidash.train import WITHOUT_EFFECT, TrainConfig

_EXPECTED = "expected seed, fraction, model.FIELD, train.FIELD or task.OPTION"


def checked_factor(name: str, values: Sequence[Any], *, task: str, variants: Iterable[Variant]) -> tuple[Any, ...]:
    """The values of a factor, numbers as the knob has them: 1 is 1.0 for a learning rate.

    It must be a knob of all variants, in which they do not differ, and the values must be of the knob's type.

    Args:
        name: ``model.FIELD``, ``train.FIELD`` or ``task.OPTION``.
        values: its levels, each once.
        task: name of the task.
        variants: of the study.
    Raises: ValueError naming the factor, what was expected and what came.
    """
    variants = tuple(variants)
    part, _, knob = name.partition(".")
    owners: dict[str, Mapping[str, Any]] = {}
    if part == "model":
        owners = {f"the network of variant {v.name!r}": _field_types(type(v.model)) for v in variants}
    elif part == "train":
        types = _field_types(TrainConfig)
        owners = {"the training": {key: hint for key, hint in types.items() if key not in WITHOUT_EFFECT}}
    elif part == "task":
        owners = {f"task {task!r}": option_types(task)}
    else:
        raise ValueError(f"unknown factor {name!r}: {_EXPECTED}")
    for owner, knobs in owners.items():
        if knob not in knobs:
            raise ValueError(unknown_name(f"knob of {owner} in factor {name!r}:", knob, knobs))
        for value in values:
            if not is_of(value, knobs[knob]):
                raise ValueError(f"factor {name!r}: expected {type_words(knobs[knob])} for {owner}, got {value!r}")
    if part == "model":
        first, *others = variants
        for other in others:
            if (one := getattr(first.model, knob)) != (two := getattr(other.model, knob)):
                raise ValueError(
                    f"factor {name!r} would overwrite a knob in which variants differ: it is {one!r} in {first.name!r} "
                    f"and {two!r} in {other.name!r}. Leave out the factor, or one of the variants"
                )
    for knobs in owners.values():
        typed = tuple(as_number_of(value, knobs[knob]) for value in values)
        if all(is_of(value, other[knob]) for other in owners.values() for value in typed):
            values = typed
    return tuple(values)


def at_level(
    level: Level, variant: Variant, train: TrainConfig, task_options: Mapping[str, Any]
) -> tuple[Variant, TrainConfig, dict[str, Any]]:
    """A variant, its training and the options of its task at a level of the factors.

    Raises: ValueError, naming the factors, for a value that the network or the training refuses.
    """
    knobs: dict[str, dict[str, Any]] = {"model": {}, "train": {}, "task": {}}
    for name, value in level.items():
        part, _, knob = name.partition(".")
        knobs[part][knob] = value
    try:
        if knobs["model"]:
            variant = replace(variant, model=replace(variant.model, **knobs["model"]))  # type: ignore[type-var]
        return variant, replace(train, **knobs["train"]), {**task_options, **knobs["task"]}
    except ValueError as error:
        raise ValueError(f"factors {dict(level)!r} of variant {variant.name!r}: {error}") from error


def as_levels(factors: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The factors with their values as tuples, as lists of a file are read.

    Raises: ValueError for factors that are not lists by name.
    """
    if not isinstance(factors, Mapping):
        raise ValueError(f"factors: expected lists of values by name of a factor, got {factors!r}")
    for name, values in factors.items():
        if not isinstance(values, list | tuple):
            raise ValueError(f"factor {name!r}: expected a list of values, got {values!r}")
    return {str(name): _frozen(values) for name, values in factors.items()}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _field_types(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {entry.name: hints[entry.name] for entry in fields(cls)}
