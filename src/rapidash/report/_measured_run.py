"""Measure a trained run on its validation data: what `rapidash measure` prints and draws."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rapidash.data import CloudBatch, CloudDataset
from rapidash.groups import Group, parse_group
from rapidash.measure import (
    Action,
    Portrait,
    Report,
    SeverityCurve,
    SymmetryCost,
    equivariance_error,
    error_against_severity,
    irrep_spectrum,
    layerwise_equivariance_error,
    local_equivariance_error,
    portrait,
    rapidash_layers,
    severity_report,
    symmetry_cost,
)
from rapidash.methods import FULL, build_model, view_ledger
from rapidash.models import Rapidash
from rapidash.report._cost_sentences import CostFigures, cost_sentences
from rapidash.report._symmetry_ratio import ratio_sentence
from rapidash.study import TrainedRun, plan_corruptions

_LAYER = re.compile(r"(^|\.)(embedding|readout|blocks\.\d+)$")  # of a Rapidash network, without what is on edges


def measure_run(
    run: TrainedRun,
    *,
    groups: Sequence[str | Group] = (),
    num_elements: int = 16,
    num_clouds: int = 64,
    seed: int = 0,
) -> Portrait:
    """Errors by group, what broken symmetry costs, Lie derivative by generator and layer, the defect over rotations and
    points, errors by severity, irreps of the layers before and after training.

    Everything in float64, on validation data.

    Args:
        run: a trained run, from `rapidash.study.load_run`; its model is cast to float64.
        groups: groups or their names; default: translations, rotations, and rotations with reflections.
        num_elements: random elements of each group.
        num_clouds: clouds of the validation set, at least 1.
        seed: of the random elements.
    Raises: ValueError for an unknown group, or a model whose output is zero, or data that are no clouds.
    """
    if num_clouds < 1:
        raise ValueError(f"num_clouds must be at least 1, got {num_clouds}")
    task, dim, data = run.task, run.task.dim, run.task.dataset("val")
    if not isinstance(data, CloudDataset):
        raise ValueError(f"the page of measures is for clouds of points, the data of {task.name} are no clouds")
    batch = data.batch(torch.arange(min(num_clouds, len(data)))).to(device="cpu", dtype=torch.float64)
    model = run.model.to(device="cpu", dtype=torch.float64).eval()
    few = data.batch(torch.arange(min(8, num_clouds, len(data)))).to(device="cpu", dtype=torch.float64)
    motions = Action(parse_group(f"SE({dim})", dim), outputs=task.output)
    rotations = Action(parse_group(f"SO({dim})", dim), outputs=task.output)
    errors = []
    for group in [parse_group(name, dim) for name in groups or (f"T({dim})", f"SO({dim})", f"O({dim})")]:
        error = equivariance_error(
            model, batch, Action(group, outputs=task.output), num_elements=num_elements, seed=seed
        )
        errors.append({"group": group.name, "mean": error.mean, "max": error.max, "output norm": error.output_norm})
    unit = next(iter(motions.output_fields.values())).unit
    notes = {
        "clouds": batch.num_clouds, "elements": num_elements, "seed": seed, "dtype": "float64",
        "unit of the output norm": unit,
    }  # fmt: skip
    layers = []
    if any(isinstance(part, Rapidash) for part in model.modules()):
        found = layerwise_equivariance_error(model, few, rotations, rapidash_layers(model)).report()
        layers.append(_noted(found, clouds=few.num_clouds, unit=f"{unit} per radian"))
    spectra = _spectra(model, run, min(2, num_clouds))
    ledger = view_ledger(task, run.config.variant, run.view)
    cost = _cost(model, run, batch, num_elements, seed)
    severity = _severity(model, run, data.subset(torch.arange(batch.num_clouds)), seed)
    return portrait(
        model,
        batch,
        motions,
        title=run.config.label,
        facts={
            "Effective symmetry": ledger.effective.name + ("" if ledger.exact else " (approximately)"),
            "Because": "; ".join(ledger.reasons) or "the layers keep it and every input transforms",
            "Measured on": f"the first {batch.num_clouds} of {len(data)} validation clouds, seed {seed} of the motions",
            "Task": task.name + (f" ({_in_words(run.config.task_options)})" if run.config.task_options else ""),
            **({} if run.view == FULL else {"View": run.view}),
            "Parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        },
        tables=(
            Report("relative equivariance error", tuple(errors), notes),
            *(
                []
                if cost is None
                else [_noted(cost.report(), **{"unit of the error": task.unit, "unit of moved": unit})]
            ),
            _noted(
                local_equivariance_error(model, batch, motions).report(),
                unit=f"{unit} per radian, or per unit of length",
            ),
            *layers,
            *([severity_report(severity, unit=task.unit)] if severity else []),
        ),
        severity=severity,
        metric=f"{task.metric} ({task.unit})" if task.unit not in ("", "1") else task.metric,
        source="validation clouds",
        sentences=() if cost is None else _sentences(cost, run, unit),
        spectra=spectra,
        seed=seed,
    )


def _cost(model: nn.Module, run: TrainedRun, batch: CloudBatch, num_elements: int, seed: int) -> SymmetryCost | None:
    """The cost of broken symmetry under rotations; None where the error of the task is no sum over predictions."""
    if run.config.variant.objective is not None or num_elements < 2:
        return None
    rotations = Action(parse_group(f"SO({run.task.dim})", run.task.dim), outputs=run.task.output)
    try:
        return symmetry_cost(model, batch, run.task.errors, rotations, num_elements=num_elements, seed=seed)
    except ValueError as error:  # an error of 0, or one that is not finite
        warnings.warn(f"what broken symmetry costs is left out: {error}", stacklevel=3)
        return None


def _spectra(model: nn.Module, run: TrainedRun, num_clouds: int) -> list[Report]:
    """The irreps of the layers of clouds in space: before and after training, or after alone if layers changed."""
    if run.task.dim != 3:
        return []
    batch = run.task.dataset("val").batch(torch.arange(num_clouds)).to(device="cpu", dtype=torch.float64)
    action = Action(parse_group("O(3)", 3), outputs=run.task.output)
    spectra = []
    try:
        for moment, one in (("before training", _before(run)), ("after training", model)):
            has_rapidash = any(isinstance(part, Rapidash) for part in one.modules())
            hidden = rapidash_layers(one) if has_rapidash else None
            names = None if hidden is None else [name for name in map(str, hidden) if _LAYER.search(name)]
            found = irrep_spectrum(one, batch, action, hidden, degree=5, layers=names)
            spectra.append((found.layers, found.report(moment=moment, clouds=batch.num_samples)))
    except ValueError as error:  # edges that come and go
        warnings.warn(f"what the layers hold is left out: {error}", stacklevel=3)
        return []
    (before, first), (after, last) = spectra
    return [first, last] if before == after else [last]


def _before(run: TrainedRun) -> nn.Module:
    """The model as the training started from it, in float64."""
    model = build_model(run.task, run.config.variant, seed=run.config.seed).to(dtype=torch.float64)
    if callable(calibrate := getattr(model, "calibrate", None)):
        data = run.task.dataset("train")
        first = torch.arange(min(run.config.train.batch_size, len(data)))
        calibrate(data.batch(first).to(device="cpu", dtype=torch.float64))
    return model.eval()


def _sentences(cost: SymmetryCost, run: TrainedRun, unit: str) -> tuple[str, ...]:
    figures = CostFigures.of(cost.to_dict(), moved_unit=unit, metric=run.task.metric, unit=run.task.unit, over="clouds")
    return tuple(filter(None, (ratio_sentence(cost), *cost_sentences(figures))))


def _noted(report: Report, **notes: Any) -> Report:
    return replace(report, metadata={**report.metadata, **notes})


def _in_words(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def _severity(model: nn.Module, run: TrainedRun, data: CloudDataset, seed: int) -> list[SeverityCurve]:
    """Error against severity under the corruptions that make sense for the task; none for clouds in the plane."""
    try:
        names = plan_corruptions(run.task).names
    except ValueError:
        return []
    curves: list[SeverityCurve] = []
    for name in names:
        try:
            curves += error_against_severity(model, data, run.task.errors, corruptions=(name,), seed=seed)
        except ValueError as error:  # clouds that are too small
            warnings.warn(f"{name} is left out: {error}", stacklevel=3)
    return curves
