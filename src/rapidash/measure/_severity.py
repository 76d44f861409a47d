"""Error of a model against the severity of corruptions of its input."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import (
    CORRUPTIONS,
    POINTCLOUD_C,
    SEVERITIES,
    CloudBatch,
    CloudDataset,
    Normalization,
    corrupt_dataset,
)
from rapidash.measure._action import first_tensor
from rapidash.measure._copies import copied
from rapidash.measure._guard import measuring
from rapidash.measure._norms import refuse_undefined
from rapidash.measure._report import Report

Errors = Callable[[Any, CloudBatch], Float[Tensor, " B"]]


@dataclass(frozen=True)
class SeverityCurve:
    """Error under one corruption at the severities 0 (the data as they are) to 5.

    Args:
        name: of the corruption.
        error: mean over the clouds, in the unit of the errors.
        rise_standard_error: standard error over the clouds of the mean of error(severity) - error(0), which are of the
            same clouds. 0 at severity 0, nan for one cloud.
        standard_error: over the clouds, of each mean; nan for one cloud.
        num_clouds: that were measured.
    """

    name: str
    error: tuple[float, ...]
    rise_standard_error: tuple[float, ...]
    standard_error: tuple[float, ...] = ()
    num_clouds: int = 0

    @property
    def severities(self) -> tuple[int, ...]:
        """0 to 5."""
        return tuple(range(len(self.error)))

    @property
    def rise(self) -> float:
        """The mean over the severities from 1 on of the error, minus the error at 0."""
        return sum(self.error[1:]) / len(self.error[1:]) - self.error[0]


def error_against_severity(
    fn: Callable[[CloudBatch], Any],
    data: CloudDataset,
    errors: Errors,
    *,
    corruptions: Sequence[str] = tuple(POINTCLOUD_C),
    normalization: Normalization = "each",
    batch_size: int = 64,
    seed: int = 0,
) -> tuple[SeverityCurve, ...]:
    """The mean error over clouds, as they are and under every corruption at the severities 1 to 5.

    Args:
        fn: a model of clouds in eval mode, called with a batch; it is left as it was.
        data: clouds in three dimensions with their targets, which follow a corruption by their representation.
        errors: prediction and batch -> (B,) the error of each cloud, e.g. that of a task, or
            ``lambda logits, batch: (logits.argmax(1) != batch["label"]).float()``.
        corruptions: keys of `rapidash.data.CORRUPTIONS`. Choose those under which the targets stay true.
        normalization: as for `rapidash.data.corrupt`.
        batch_size: clouds at a time.
        seed: of the corruptions; the cloud i depends on it, the corruption, the severity and i only.
    Returns: a curve for each corruption, in the order given.
    Raises: ValueError for no corruption, an unknown one or one twice, no cloud, errors of another shape or not finite,
        predictions that are not finite (minus infinity, a logit, apart), a model in training mode, or clouds that
        cannot be corrupted.
    """
    if not corruptions or len(set(corruptions)) < len(corruptions) or set(corruptions) - set(CORRUPTIONS):
        raise ValueError(
            f"corruptions must be different names out of {', '.join(CORRUPTIONS)}, got {list(corruptions)}"
        )
    if len(data) == 0 or batch_size < 1:
        raise ValueError(f"need at least one cloud and batch_size >= 1, got {len(data)} clouds and {batch_size=}")
    with measuring(fn):
        clean = _errors(fn, data, errors, batch_size)
        curves = []
        for name in corruptions:
            rows = [clean]
            for severity in SEVERITIES:
                corrupted = corrupt_dataset(data, name, severity, seed=seed, normalization=normalization)
                rows.append(_errors(fn, corrupted, errors, batch_size))
            curves.append(_curve(name, torch.stack(rows)))
    return tuple(curves)


def severity_report(curves: Sequence[SeverityCurve], *, unit: str = "") -> Report:
    """One row per corruption: the error at every severity, and the standard error of the rise to the last."""
    rows = tuple(
        {
            "corruption": curve.name,
            **{f"severity {severity}": error for severity, error in zip(curve.severities, curve.error, strict=True)},
            "stderr of the rise": curve.rise_standard_error[-1],
        }
        for curve in curves
    )
    metadata: dict[str, Any] = {"clouds": curves[0].num_clouds} if curves and curves[0].num_clouds else {}
    return Report("error against severity", rows, {"unit": unit, **metadata} if unit else metadata)


def _errors(
    fn: Callable[[CloudBatch], Any], data: CloudDataset, errors: Errors, batch_size: int
) -> Float[Tensor, " B"]:
    """The error of every cloud, float64 on the CPU."""
    parts = []
    with torch.no_grad():
        for indices in torch.arange(len(data)).split(batch_size):
            batch = _like_parameters(fn, data.batch(indices))
            prediction = copied(fn(copied(batch)))
            for value in _tensors(prediction):
                refuse_undefined("a prediction", value, "look for clouds on which the model fails")
            found = errors(prediction, batch)
            if found.shape != (len(indices),):
                raise ValueError(
                    f"errors returned {tuple(found.shape)} for {len(indices)} clouds, expected one number each"
                )
            parts.append(found.double().cpu())
    values = torch.cat(parts)
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"the error of cloud {int((~torch.isfinite(values)).nonzero()[0])} is not finite")
    return values


def _tensors(value: Any) -> Iterator[Tensor]:
    """The numbers in what a model returns."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
        return
    if is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, part.name) for part in fields(value)]
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ():
        yield from _tensors(item)


def _like_parameters(fn: Any, batch: CloudBatch) -> CloudBatch:
    """The batch in dtype and on the device of a module's parameters; for another function as it is."""
    if not isinstance(fn, torch.nn.Module):
        return batch
    like = next((p for p in fn.parameters() if p.is_floating_point()), first_tensor(batch))
    return batch.to(like.device, like.dtype)


def _curve(name: str, rows: Float[Tensor, "severities B"]) -> SeverityCurve:
    spreads = (_standard_error(rows - rows[0]), _standard_error(rows))
    return SeverityCurve(name, tuple(rows.mean(dim=1).tolist()), *spreads, num_clouds=rows.shape[1])


def _standard_error(rows: Float[Tensor, "severities B"]) -> tuple[float, ...]:
    """Of the mean of each row."""
    num = rows.shape[1]
    return tuple((rows.std(dim=1) / num**0.5).tolist()) if num > 1 else (float("nan"),) * len(rows)
