"""The symmetry that a model has, measured beside the one that its ledger claims, before and after training."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, CloudBatch, Dataset
from rapidash.groups import Group, MatrixGroup, T, motion
from rapidash.measure import Action, equivariance_error
from rapidash.methods import Task
from rapidash.study._earlier_symmetry import modern_symmetry
from rapidash.study._moves import measured_groups
from rapidash.symmetry import Ledger

MEASURED_CLOUDS: Final = 64  # of the validation set, for the equivariance error
MEASURED_ELEMENTS: Final = 16
CLAIM_ELEMENTS: Final = 4  # of each part of the group that a ledger claims exactly: one that fails refutes it
EXACT_LIMIT: Final = 1e-6  # relative error in float64 above which a symmetry that should be exact is not there
MOMENTS: Final = ("before", "after")
PARTS: Final = ("rotations", "reflections", "translations", "elements")
_ENTRIES: Final = ("equivariance", "equivariance_reflections")  # of the first two groups that are measured
_UNDEFINED: Final = {"mean": None, "max": None, "output_norm": 0.0}  # a relative error, where the output is zero

Measured = dict[str, Any]


def measure_symmetry(model: nn.Module, task: Task, dataset: Dataset, ledger: Ledger) -> dict[str, Measured]:
    """The errors of one model, by the key under which a record has them.

    The groups of the task are measured for every model (of clouds rotations and reflections), translations where the
    ledger has any, and of the group that the ledger claims exactly a few elements of each part. The model, its mode and
    every random stream are left alone.
    """
    groups = measured_groups(task)
    names = [*_ENTRIES, *(f"equivariance {group.name}" for group in groups[len(_ENTRIES) :])]
    found = {
        name: {"group": group.name, **measure_equivariance(model, task, dataset, group)}
        for name, group in zip(names, groups)
    }
    twin, batch = in_float64(model, dataset)
    parts = _parts(ledger, _spread(batch))
    errors = _errors_of_parts(twin, batch, task, ledger.effective, parts)
    if "translations" in parts and isinstance(ledger.effective, Group):
        shifts = errors.pop("translations")
        group = T(task.dim).name if ledger.effective.translations else ledger.effective.name
        found["equivariance_translations"] = {"group": group, **shifts}
        if isinstance(ledger.claimed_exactly, Group) and len(ledger.claimed_exactly.translation_basis()):
            errors["translations"] = shifts
    if errors and ledger.claimed_exactly is not None:
        worst = {part: measured["max"] for part, measured in errors.items()}
        found["exact_symmetry"] = {"group": ledger.claimed_exactly.name, **worst}
    return found


def before_and_after(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> dict[str, Measured]:
    """Two measurements of the same model as a record has them; a symmetry that training has found was not there before.

    Where the claim is another one after training each moment has the error of its own.
    """
    return {
        entry: {
            "group": measured["group"],
            **{
                moment: _without_group(values[entry])
                for moment, values in zip(MOMENTS, (before, after))
                if entry in values
            },
        }
        for entry, measured in after.items()
    }


def measure_equivariance(model: nn.Module, task: Task, dataset: Dataset, group: MatrixGroup) -> dict[str, float | None]:
    r"""Relative error ||f(g x) - g f(x)|| / ||f(x)|| over 16 random elements, on a float64 copy of the model.

    Where f is zero the relative error is not defined: ``mean`` and ``max`` are None and ``output_norm`` is 0.
    """
    twin, batch = in_float64(model, dataset)
    if _is_zero(twin, batch):
        return dict(_UNDEFINED)
    error = equivariance_error(twin, batch, Action(group, outputs=task.output), num_elements=MEASURED_ELEMENTS)
    return {"mean": error.mean, "max": error.max, "output_norm": error.output_norm}


def claim_errors(record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By part of the group and moment, the error of what the ledger of a record claims exactly; empty: not measured.

    Records of earlier versions have rotations and reflections only: those count where the claim contains all of them.
    """
    entry = record.get("exact_symmetry")
    if entry is not None:
        found = {part: {moment: (entry.get(moment) or {}).get(part) for moment in MOMENTS} for part in PARTS}
    elif (symmetry := modern_symmetry(record.get("symmetry"))).get("exact") is True:
        entries = {"rotations": "equivariance", "reflections": "equivariance_reflections"}
        found = {part: _earlier(record, entries[part]) for part in symmetry["keeps"] if part in entries}
    else:
        found = {}
    known = {part: {k: float(v) for k, v in moments.items() if v is not None} for part, moments in found.items()}
    return {part: moments for part, moments in known.items() if moments}


def refuted(errors: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """The parts of a claim that the measurement refutes, before or after training."""
    return {part: moments for part, moments in errors.items() if max(moments.values()) > EXACT_LIMIT}


def refutation(parts: Mapping[str, Mapping[str, float]]) -> str:
    """The parts that `refuted` found, in words: ``rotations 0.17 before and 0.053 after training``."""
    return "; ".join(
        f"{part} {' and '.join(f'{error:.2g} {moment}' for moment, error in moments.items())} training"
        for part, moments in parts.items()
    )


def worst_errors(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """`claim_errors` of several runs of one variant: the largest of each."""
    worst: dict[str, dict[str, float]] = {}
    for errors in map(claim_errors, records):
        for part, moments in errors.items():
            kept = worst.setdefault(part, {})
            for moment, error in moments.items():
                kept[moment] = max(error, kept.get(moment, 0.0))
    return worst


def _earlier(record: Mapping[str, Any], name: str) -> dict[str, float | None]:
    entry = record.get(name) or {}
    return {moment: (entry.get(moment) or {}).get("mean") for moment in MOMENTS}


def _without_group(measured: Measured) -> Measured:
    return {key: value for key, value in measured.items() if key != "group"}


def in_float64(model: nn.Module, dataset: Dataset) -> tuple[nn.Module, Batch]:
    """A float64 copy of a model, in eval mode, and the first 64 samples, both on the CPU."""
    batch = dataset.batch(torch.arange(min(MEASURED_CLOUDS, len(dataset))))
    return copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval(), batch.to("cpu", torch.float64)


def _is_zero(model: nn.Module, batch: Batch) -> bool:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        return not model(batch).any()


def _spread(batch: Batch) -> float:
    """Standard deviation of the positions, the length by which clouds are moved; 1 where all of them coincide."""
    return (float(batch.pos.std(correction=0)) if isinstance(batch, CloudBatch) else 0.0) or 1.0


def _parts(ledger: Ledger, length: float) -> dict[str, Float[Tensor, "G n n"]]:
    """Random rotations and reflections that the ledger claims exactly, and translations that it claims; none empty.

    Of a group that does not move space, random elements.
    """
    parts = {}
    effective, claimed = ledger.effective, ledger.claimed_exactly
    if not isinstance(effective, Group):
        if claimed is None:
            return {}
        drawn = claimed.sample(16 * CLAIM_ELEMENTS, generator=seeded("claim", claimed.name))
        moved = drawn[(drawn - claimed.identity()).abs().amax(dim=(1, 2)) > 1e-9][:CLAIM_ELEMENTS]
        return {"elements": moved} if len(moved) else {}
    if isinstance(claimed, Group):
        turns = claimed.without_translations()
        drawn = turns.sample(16 * CLAIM_ELEMENTS, generator=seeded("claim", claimed.name))
        moved = drawn[(drawn - turns.identity()).abs().amax(dim=(1, 2)) > 1e-9]
        is_proper = torch.linalg.det(moved) > 0
        parts = {"rotations": moved[is_proper], "reflections": moved[~is_proper]}
    directions = effective.translation_basis()
    if len(directions):
        generator = seeded("claim", "translations")
        along = torch.randn(CLAIM_ELEMENTS, len(directions), generator=generator, dtype=torch.float64)
        unmoved = torch.eye(effective.dim, dtype=torch.float64).expand(CLAIM_ELEMENTS, -1, -1)
        parts["translations"] = motion(unmoved, length * along @ directions)
    return {part: elements[:CLAIM_ELEMENTS] for part, elements in parts.items() if len(elements)}


def _errors_of_parts(
    model: nn.Module, batch: Batch, task: Task, group: MatrixGroup, parts: Mapping[str, Float[Tensor, "G n n"]]
) -> dict[str, dict[str, float | None]]:
    """The error under each part, not measured where the output is zero."""
    if not parts or _is_zero(model, batch):
        return {part: dict(_UNDEFINED) for part in parts}
    elements = torch.cat(list(parts.values()))
    error = equivariance_error(model, batch, Action(group, outputs=task.output), elements=elements)
    errors = error.per_element.split([len(elements) for elements in parts.values()])
    return {
        part: {"mean": float(own.mean()), "max": float(own.max()), "output_norm": error.output_norm}
        for part, own in zip(parts, errors, strict=True)
    }
