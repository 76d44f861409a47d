"""Variants as earlier versions wrote them, in records and saved models: what they mean today."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from rapidash._plain import with_absent
from rapidash.models import DGCNNConfig, EGNNConfig, Interface
from rapidash.registry import METHODS, NETWORKS, Registry

_BASELINES: dict[str, tuple[type[EGNNConfig] | type[DGCNNConfig], str]] = {
    "EGNN": (EGNNConfig, "E"),
    "DGCNN": (DGCNNConfig, "T"),
}


def modern_variant(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The plain form of a variant as this version writes it; one that is of this version stays as it is.

    Fields that configurations have got since have the value that their absence means. Up to version 0.1.0 of November
    2026 a network's knobs and its sizes stood together, its kind was guessed, and a variant had the fields ``augment``,
    ``tta`` and ``tta_group`` where it has methods now.
    """
    if not isinstance(plain.get("model"), Mapping):
        return dict(plain)
    if "methods" in plain:
        methods = _completed(plain["methods"], METHODS)
        return {**plain, "model": _completed(plain["model"], NETWORKS), "methods": methods}
    rest = {name: value for name, value in plain.items() if name not in ("model", "augment", "tta", "tta_group")}
    methods = []
    if plain.get("augment") is not None:
        methods.append({"kind": "augment", "group": plain["augment"]})
    if plain.get("tta"):
        methods.append({"kind": "average", "group": plain["tta_group"], "num": plain["tta"]})
    return {**rest, "model": _completed(_modern_model(plain["model"]), NETWORKS), "methods": methods, "objective": None}


def _completed(plain: Any, registry: Registry[Any]) -> Any:
    """A configuration, and those within it, with the fields that they lack; as it is where its kind is unknown here."""
    if isinstance(plain, list):
        return [_completed(part, registry) for part in plain]
    if not isinstance(plain, Mapping) or "kind" not in plain:
        return plain
    try:
        config = registry.get(plain["kind"])
    except (KeyError, TypeError, ValueError, ImportError):
        return plain
    found = {name: _completed(value, registry) for name, value in plain.items()}
    return with_absent(config, found) if isinstance(config, type) and is_dataclass(config) else found


def _modern_model(plain: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {field.name for field in fields(Interface)} - {"pool"}
    knobs = {name: value for name, value in plain.items() if name not in sizes}
    kind = knobs.pop("kind", "rapidash")
    if kind not in _BASELINES:
        return {"kind": kind, **knobs}
    config, letter = _BASELINES[kind]
    known = {field.name for field in fields(config)}
    return {"kind": kind, "symmetry": f"{letter}({plain.get('dim', 3)})"} | {
        k: v for k, v in knobs.items() if k in known
    }
