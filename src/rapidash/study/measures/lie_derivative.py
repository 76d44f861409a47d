"""Lie derivatives of a model by kind of motion, beside the finite error, and the layers that break rotations."""

import copy
from collections.abc import Iterator
from typing import Literal

from torch import nn

from rapidash.data import Batch
from rapidash.groups import SO, MatrixGroup, T, scaling
from rapidash.measure import (
    Action,
    equivariance_error,
    layerwise_equivariance_error,
    local_equivariance_error,
    rapidash_layers,
)
from rapidash.methods import Measurement, Subject
from rapidash.models import Rapidash
from rapidash.study.measures._on_validation import first, twin

Better = Literal["lower", "higher", ""]
SAMPLES, LAYER_SAMPLES, ELEMENTS = 16, 4, 16
SLOPE, FINITE, SHARE, CLOSURE = (
    "relative Lie derivative",
    "relative finite error",
    "share of layer: ",
    "remainder over total",
)
TOTAL, REMAINDER = "total", "remainder"
ROUNDING = 1e-8  # a relative Lie derivative below it has no layers to share it


def lie_derivative_sizes(subject: Subject) -> Iterator[Measurement]:
    """The speed of the output off its place as the input starts to move, in deviations of the output over the data.

    The Lie derivative under translations (per unit of length), rotations (per radian) and scaling (per unit of the
    logarithm), root mean square over 16 validation samples and the generators; the finite error under 16 random
    rotations in the same unit, which is another quantity; and, for trained networks of this library that break
    rotations, `shares_of_layers` on 4 samples.

    Raises: ValueError for a task whose data have no positions.
    Source: Gruver, Finzi, Goldblum, Wilson, "The Lie Derivative for Measuring Learned Equivariance", ICLR 2023.
    """
    dim = subject.task.dim
    if dim == 0:
        raise ValueError(f"Lie derivatives need positions; the data of task {subject.task.name!r} have none")
    model, batch = twin(subject), first(subject.data, SAMPLES)

    def figure(name: str, value: float, group: MatrixGroup, unit: str = "1", better: Better = "lower") -> Measurement:
        return Measurement(name, value, unit, group.name, subject.moment, subject.view, better)

    def slope(group: MatrixGroup) -> float:
        action = Action(group, outputs=subject.task.output)
        return local_equivariance_error(model, batch, action, relative=True).total()

    shifts, rotations, sizes = T(dim), SO(dim), scaling(dim)
    yield figure(SLOPE, slope(shifts), shifts, "1/length")
    turning = slope(rotations)
    yield figure(SLOPE, turning, rotations, "1/rad")
    yield figure(SLOPE, slope(sizes), sizes)
    action = Action(rotations, outputs=subject.task.output)
    finite = equivariance_error(
        model, batch, action, num_elements=ELEMENTS, normalization="variance", seed=subject.seed
    )
    yield figure(FINITE, finite.mean, rotations)
    has_layers = any(isinstance(part, Rapidash) for part in model.modules())
    if subject.moment == "after" and turning > ROUNDING and has_layers:
        for name, value in shares_of_layers(model, first(subject.data, LAYER_SAMPLES), action).items():
            yield figure(name, value, rotations, better="")


def shares_of_layers(model: nn.Module, batch: Batch, action: Action) -> dict[str, float]:
    """The signed share of every layer in the Lie derivative, and how large the remainder is beside the total.

    Kernels are evaluated exactly, so that their basis is a layer of its own. The shares of the layers and of the
    remainder (what the inputs break before the first layer) add up to 1.
    """
    exact = _with_exact_kernels(model)
    rows = layerwise_equivariance_error(exact, batch, action, rapidash_layers(exact)).report().rows
    found: dict[str, float] = {}
    for row in rows:
        if row["layer"] != TOTAL:
            name = f"{SHARE}{row['layer'].rpartition('backbone.')[2]}"
            found[name] = found.get(name, 0.0) + row["share"]
    sizes = {row["layer"]: row["contribution"] for row in rows}
    return {**found, CLOSURE: sizes[REMAINDER] / sizes[TOTAL]}


def _with_exact_kernels(model: nn.Module) -> nn.Module:
    """A copy whose networks evaluate the kernel basis on every edge."""
    if isinstance(model, Rapidash):
        return model.with_kernel("exact")
    changed = copy.deepcopy(model)
    for name, part in list(changed.named_modules()):
        if isinstance(part, Rapidash):
            changed.set_submodule(name, part.with_kernel("exact"))
    return changed
