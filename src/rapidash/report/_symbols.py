"""The names of groups and spaces that occur in a study, explained: one definition for every output of a report."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapidash.groups import AxisRotations, FiniteGroup, Group, Rotations, Trivial, parse_group
from rapidash.report._format import count
from rapidash.study import StudySummary, VariantSummary

_SPACE = re.compile(r"R([23])(xS([12]))?")


@dataclass(frozen=True)
class Symbol:
    """A name, and what it stands for."""

    name: str
    meaning: str


def symbols(summary: StudySummary) -> tuple[Symbol, ...]:
    """Every group and every space that a study names, in the order in which a reader meets them.

    Names that are those of no group of this package, such as those of a group of another one, are left out.
    """
    names = dict.fromkeys(name for variant in summary.variants for name in _group_names(variant))
    groups = [Symbol(name, meaning) for name in names if (meaning := _group_meaning(name))]
    grids: dict[str, set[int]] = {}
    for model in _models(summary):
        space, size = model.get("space"), model.get("num_orientations")
        if isinstance(space, str):
            grids.setdefault(space, set()).update([size] if isinstance(size, int) else [])
    spaces = [Symbol(name, meaning) for name, sizes in grids.items() if (meaning := space_meaning(name, sizes))]
    return (*groups, *spaces)


def group_meaning(group: Group) -> str:
    """The motions of a cloud of points that a group consists of, in a few words; empty for an unknown group."""
    where = "of space" if group.dim == 3 else "of the plane"
    shifts = f"translations perpendicular to {_axis(group.across)}" if group.across is not None else ""
    match group.linear:
        case Trivial():
            return f"translations {where}" if group.translations else shifts or "the identity alone: no symmetry"
        case Rotations(reflections=mirrored):
            moved = f"rotations and reflections {where}" if mirrored else f"rotations {where}"
        case AxisRotations(axis=axis, reflections=mirrored):
            moved = f"rotations about {_axis(axis)}" + (" and mirrors in the planes through it" if mirrored else "")
        case FiniteGroup(elements=elements):
            has_mirrors = bool((elements.det() < 0).any())
            moved = f"a finite group of {len(elements)} rotations" + (" and reflections" if has_mirrors else "")
        case _:
            return ""
    if group.translations or shifts:
        return f"{moved}, with {shifts or 'all translations'}"
    return f"{moved} {'through' if isinstance(group.linear, AxisRotations) else 'about'} the origin"


def space_meaning(name: str, num_orientations: Iterable[int] = ()) -> str:
    """The features of a network on a space, in words; empty for a space that is not of clouds of points."""
    found = _SPACE.fullmatch(name)
    if found is None or (found[3] and int(found[3]) != int(found[1]) - 1):
        return ""
    if not found[2]:
        return "scalar features at every point, no orientations"
    sizes = " or ".join(map(count, sorted(set(num_orientations))))
    sphere = "the sphere" if found[1] == "3" else "the circle"
    return f"features at every point for each orientation of a grid{f' of {sizes}' if sizes else ''} on {sphere}"


def symbols_text(found: Iterable[Symbol]) -> str:
    """The symbols as one sentence; empty where there are none."""
    return "; ".join(f"{symbol.name}: {symbol.meaning}" for symbol in found)


def _group_names(variant: VariantSummary) -> list[str]:
    """The groups of a variant as text and tables name them."""
    augmented = (group for run in variant.runs[:1] for group in _method_groups(run.get("config", "variant")))
    views = (view.effective for view in variant.views)
    return [variant.effective, variant.layers, variant.claimed, *views, *variant.equivariance, *augmented]


def _method_groups(plain: Any) -> list[str]:
    """The groups that the methods of a variant draw from, and the augmentation of records of earlier versions."""
    if not isinstance(plain, Mapping):
        return []
    methods = plain.get("methods")
    methods = methods if isinstance(methods, list) else []
    named = [method.get("group") for method in methods if isinstance(method, Mapping)]
    return [name for name in (*named, plain.get("augment")) if isinstance(name, str)]


def _models(summary: StudySummary) -> list[Mapping[str, Any]]:
    """The configurations of the models: those of the records, then what only the design names."""
    planned = summary.study.design.get("variants")
    configs = [run.get("config", "variant") for run in summary.study.runs]
    configs += planned if isinstance(planned, list) else []
    models = [config.get("model") for config in configs if isinstance(config, Mapping)]
    return [model for model in models if isinstance(model, Mapping)]


def _group_meaning(name: str) -> str:
    try:
        return group_meaning(parse_group(name))
    except ValueError:
        return ""


def _axis(direction: Sequence[float]) -> str:
    named: dict[tuple[float, ...], str] = {(1.0, 0.0, 0.0): "x", (0.0, 1.0, 0.0): "y", (0.0, 0.0, 1.0): "z"}
    if (name := named.get(tuple(direction))) is not None:
        return f"the {name} axis"
    return f"the axis ({', '.join(f'{value:.3g}' for value in direction)})"
