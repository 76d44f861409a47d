"""Tools that the checks share: an error that says what is wrong and what to do, and exact comparisons."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def demand(condition: bool, message: str) -> None:
    """Raise AssertionError with this message unless the condition holds; also where Python runs without assertions."""
    if not condition:
        raise AssertionError(message)


def first_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """The first name under which two mappings of tensors and plain values differ in any bit, None where none does."""
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second:
            return name
        if not _is_same(first[name], second[name]):
            return name
    return None


def largest(values: Tensor) -> float:
    """The largest absolute value, 0 for no values."""
    return float(values.detach().abs().max()) if values.numel() else 0.0


def is_close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    """Whether two tensors of one shape differ by at most the tolerance, relative to 1 and to their size; never NaN."""
    if first.shape != second.shape:
        return False
    limit = tolerance * max(1.0, largest(second)) if second.is_floating_point() else 0.0
    return not first.numel() or bool(((first - second).abs() <= limit).all())


def is_frozen(value: object) -> bool:
    """Whether a value is of a frozen dataclass of its own, not only of a subclass of one."""
    parameters = vars(type(value)).get("__dataclass_params__")
    return parameters is not None and parameters.frozen


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        if first.dtype != second.dtype:
            return False
        return torch.equal(first, second) or bool(
            first.shape == second.shape and ((first == second) | (first.isnan() & second.isnan())).all()
        )
    return type(first) is type(second) and bool(first == second)
