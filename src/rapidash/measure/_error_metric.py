"""How far two predictions are apart in the metric of an error, of which only the values are known."""

from collections.abc import Callable
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

ErrorKind = Literal["squared", "norm", "label", "other"]
_ROUNDING: Final = 1e-8
_FAR: Final = 1e6  # sizes of the prediction: so far away the target no longer matters
_CONVERGED: Final = 1e-3
Errors = Callable[[Tensor], Tensor]


def error_kind(error: Errors, first: Tensor, second: Tensor) -> ErrorKind:
    """The kind of an error, along the direction from one prediction to another.

    ``"squared"``: a quadratic function of the prediction; its second difference is the same everywhere. ``"norm"``: far
    away it grows in proportion, and equally in opposite directions. ``"label"``: 0 where the largest entry of a row is
    the right one, and the same number where it is any other. ``"other"``: none of these.

    Args:
        error: predictions -> (B,) numbers of at least 0.
        first, second: two predictions.
    """
    offset = second - first
    size = float(offset.norm())
    if not size > 0:
        return "other"
    step = offset * (float(first.norm()) / size or 1.0)
    if _is_squared(error, first, second, step):
        return "squared"
    if _is_norm(error, first, _FAR * step):
        return "norm"
    return "label" if _label_size(error, first) > 0 else "other"


def distance_by_error(error: Errors, kind: ErrorKind, first: Tensor, second: Tensor) -> Float[Tensor, " B"]:
    """The error that one prediction would have if the other were the target; NaN for a kind ``"other"``."""
    offset = second - first
    size = float(offset.norm())
    own = error(first)
    if kind == "label":
        return _label_size(error, first) * (first.argmax(dim=1) != second.argmax(dim=1)).to(own)
    if kind == "other":
        return own * torch.nan
    if not size > 0:
        return torch.zeros_like(own)
    times = float(first.norm()) / size or 1.0  # far from rounding
    if kind == "squared":
        return (_both_ways(error, first, times * offset) - own) / times**2
    times *= _FAR
    near, far = (_both_ways(error, first, by * times * offset) for by in (1, 2))
    return (far - near) / times


def _both_ways(error: Errors, at: Tensor, step: Tensor) -> Tensor:
    return (error(at + step) + error(at - step)) / 2


def _is_squared(error: Errors, first: Tensor, second: Tensor, step: Tensor) -> bool:
    """Whether the second difference is the same at several places, and grows with the square of the step."""

    def bend(at: Tensor, by: float) -> Tensor:
        return _both_ways(error, at, by * step) - error(at)

    here = bend(first, 1.0)
    if not bool(here.sum() > 0):
        return False
    scale = float(here.max() + error(first).max())
    middle = (first + second) / 2
    others = (bend(first, 2.0) / 4, bend(middle + 0.3 * step, 1.0), bend(-2 * second, 1.0))
    return all(bool((other - here).abs().max() <= _ROUNDING * scale) for other in others)


def _is_norm(error: Errors, first: Tensor, step: Tensor) -> bool:
    """Whether twice as far means twice as much, and the opposite direction the same."""
    near, middle, far = (_both_ways(error, first, by * step) for by in (1, 2, 4))
    grown = float((middle - near).sum())
    if not grown > 0 or not abs(float((far - middle).sum()) / grown - 2) < _CONVERGED:
        return False
    skew = (error(first + step) - error(first - step)).abs().sum()
    return float(skew) <= _CONVERGED * float(near.sum())


def _label_size(error: Errors, like: Tensor) -> float:
    """The error of a wrong label; 0 where the error is none of labels."""
    if like.dim() != 2 or like.shape[1] < 2 or like.is_complex():
        return 0.0
    named = torch.eye(like.shape[1]).to(like)
    every = [error(row.expand_as(like)) for row in named]
    if any(one.shape != like.shape[:1] for one in every):
        return 0.0
    table = torch.stack(every, dim=1)
    largest = float(table.max())
    is_right = (table == 0).sum(dim=1) == 1
    is_wrong = (table == largest).sum(dim=1) == like.shape[1] - 1
    same = error(like) == table.gather(1, like.argmax(dim=1, keepdim=True).to(table.device))[:, 0]
    return largest if bool((is_right & is_wrong & same).all()) else 0.0
