"""Is the model not equivariant, or is it only rounding? Each layer in the model's precision against float64."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.measure._action import Action, Function, first_tensor
from rapidash.measure._equivariance_error import EquivarianceError, equivariance_error
from rapidash.measure._guard import measuring
from rapidash.measure._norms import norm, wide
from rapidash.measure._report import Report
from rapidash.measure._trace import Call, leaves, recording


@dataclass(frozen=True)
class PrecisionCheck:
    """The equivariance error in the given precision and in float64, and where rounding enters.

    Args:
        error: in the precision of the input.
        error_float64: of a float64 copy on the same input.
        rounding: by call of a layer, (name, class, relative difference of its output from the float64 copy's).
        dtype: the precision of the input.
    """

    error: EquivarianceError
    error_float64: EquivarianceError
    rounding: tuple[tuple[str, str, float], ...]
    dtype: torch.dtype

    @property
    def is_rounding(self) -> bool:
        """Whether float64 removes the error: at least a thousandfold, or down to 1e-9."""
        return self.error_float64.max <= max(1e-9, 1e-3 * self.error.max)

    @property
    def conclusion(self) -> str:
        """The conclusion from the two errors, in words."""
        if self.is_rounding:
            here = f"{self.error.max:.1e} in {str(self.dtype).removeprefix('torch.')}"
            return f"equivariant up to rounding: {here}, {self.error_float64.max:.1e} in float64"
        return f"not equivariant: the error is {self.error_float64.max:.1e} in float64 too, so it is not rounding"

    def report(self) -> Report:
        """One row per layer, in the order of the calls; the first large difference is where digits are lost."""
        rows = [{"layer": name, "class": kind, "difference from float64": value} for name, kind, value in self.rounding]
        return Report(self.conclusion, tuple(rows))


def precision_check(
    model: nn.Module, x: Any, action: Action, *, num_elements: int = 8, seed: int = 0
) -> PrecisionCheck:
    """Measure the equivariance error in the model's precision and in float64, and compare every layer's output.

    Args:
        model: in eval mode, with the precision of ``x``; it is copied, not changed.
        x: the input, in float32 or below.
        action: the group with the representations of inputs and outputs.
        num_elements: random elements of the group.
        seed: of the elements.
    Raises: ValueError for an input that is float64 already, or as `equivariance_error` does.
    """
    dtype = first_tensor(x).dtype
    if dtype.to_real() == torch.float64:
        raise ValueError("the input is float64 already: pass the model and input in the precision that you doubt")
    twin, x64 = copy.deepcopy(model).double(), _double(x)
    options: dict[str, Any] = {"num_elements": num_elements, "seed": seed}
    calls, calls64 = (_calls(part, value, action) for part, value in ((model, x), (twin, x64)))
    rounding = [
        (call.name, type(call.module).__name__, _difference(call.output, other.output))
        for call, other in zip(calls, calls64)
    ]
    return PrecisionCheck(
        equivariance_error(model, x, action, **options),
        equivariance_error(twin, x64, action, **options),
        tuple(rounding),
        dtype,
    )


def _calls(model: nn.Module, x: Any, action: Action) -> list[Call]:
    run: Function = model
    with measuring(model), recording(leaves(model, lambda name, module: False)) as calls:
        action.call(run, x)
    return calls


def _difference(output: Any, other: Any) -> float:
    """Norm of the difference of two outputs relative to the second; of the first tensor where there are several.

    Where the second is zero, and where digits are lost altogether (numbers that leave the range), it is infinite.
    """
    first, second = _tensor(output), _tensor(other)
    if first is None or second is None:
        return 0.0
    difference = wide(first) - wide(second)
    if not bool(torch.isfinite(difference).all()):
        return math.inf
    gap, size = norm(difference), norm(second)
    return gap / size if size > 0 else math.inf if gap > 0 else 0.0


def _tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    values = output if isinstance(output, tuple | list) else ()
    return next((value for value in values if isinstance(value, Tensor)), None)


def _double(x: Any) -> Any:
    if isinstance(x, Tensor):
        return wide(x) if x.is_floating_point() or x.is_complex() else x
    if isinstance(x, Batch):
        for name, value in x.tensors.items():
            x = x.with_tensor(name, _double(value))
        return x
    if isinstance(x, dict):
        return {name: _double(value) for name, value in x.items()}
    return type(x)(_double(value) for value in x) if isinstance(x, tuple | list) else x
