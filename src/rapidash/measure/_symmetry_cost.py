"""The price of broken symmetry in the error of a model, whatever that error is, and whether it matters."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.measure._action import Action, Function
from rapidash.measure._error_metric import distance_by_error, error_kind
from rapidash.measure._guard import measuring
from rapidash.measure._loss_share import orbit_elements, orbit_predictions
from rapidash.measure._norms import magnitudes, refuse_not_finite, rms, wide
from rapidash.measure._report import Report

CostJudgment = Literal["exact", "negligible", "matters", "dominates", "undecided"]
MATTERS: Final = 0.05  # share of the error above which broken symmetry matters
DOMINATES: Final = 0.5
_EXACT: Final = 1e-6  # the predictions move by less, relative to their size: rounding
_NORMAL: Final = 1.96  # standard errors to either end of a 95 % interval


@dataclass(frozen=True)
class SymmetryCost:
    r"""The error of a model over a group, split into what its average would keep and what that would remove.

    With h_k = rho(g_k)^-1 f(g_k x), their mean h, and the error e of a prediction for a sample:

    Args:
        own: (B,) e(f(x)), in the pose that the data have.
        total: (B,) mean over k of e(h_k): the error over the group.
        cost: (B,) what averaging over the whole group removes: total - e(h). If e is a squared distance, the identity
            E e(h_k) = e(E h) + E ||h_k - E h||^2 gives it exactly; with K random elements it is then multiplied by
            K / (K - 1), which makes it unbiased. Of another error it is that of the K elements.
        moved: root mean square of ||h_k - h|| over elements and rows, in the unit of the output.
        output_norm: root mean square of ||h|| over rows.
        num_elements: K.
        is_complete: whether these are all elements of the group.
        is_squared: whether e is a squared distance.
        group: name of the group.
        apart: (B,) mean over k of the error that h_k would have if f(x) were the target: squared if e is, a rate of
            changed labels if e is one of wrong labels. NaN for any other e but a norm.
    """

    own: Float[Tensor, " B"]
    total: Float[Tensor, " B"]
    cost: Float[Tensor, " B"]
    moved: float
    output_norm: float
    num_elements: int
    is_complete: bool
    is_squared: bool
    group: str
    apart: Float[Tensor, " B"]

    @property
    def share(self) -> float:
        """Share of the error over the group that averaging would remove; below 0 where averaging adds to it."""
        return float(self.cost.sum() / self.total.sum())

    @property
    def standard_error(self) -> float:
        """Of the share, over samples (delta method for the ratio); nan for one sample."""
        num = len(self.total)
        if num < 2:
            return math.nan
        residual = self.cost - self.share * self.total
        return float(residual.std() / num**0.5 / self.total.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share over samples, for these elements of the group; it ends at 1, all of the error."""
        half = _NORMAL * self.standard_error
        high = self.share + half  # nan for one sample
        return self.share - half, max(self.share, 1.0) if high > 1 else high

    @property
    def relative(self) -> float:
        """``moved`` over ``output_norm``."""
        return self.moved / self.output_norm if self.output_norm > 0 else math.inf

    @property
    def symmetry_error(self) -> float:
        """How far turned-back predictions are from the prediction, in the metric of the error; the root of the mean
        square where that is squared. NaN where the error is no metric."""
        return self._rooted(float(self.apart.mean()))

    @property
    def ratio(self) -> float:
        """``symmetry_error`` over the error of the same samples as they are, both roots if that is squared."""
        model_error = self._rooted(float(self.own.mean()))
        return self.symmetry_error / model_error if model_error > 0 else math.nan

    @property
    def ratio_interval(self) -> tuple[float, float]:
        """95 % interval of the ratio over samples (delta method), from 0 on; NaN for one sample."""
        if len(self.own) < 2 or not self.ratio > 0:
            return math.nan, math.nan
        quotient = float(self.apart.mean() / self.own.mean())
        spread = float((self.apart - quotient * self.own).std() / len(self.own) ** 0.5 / self.own.mean())
        half = _NORMAL * spread * (0.5 / self.ratio if self.is_squared else 1.0)
        return max(0.0, self.ratio - half), self.ratio + half

    def _rooted(self, value: float) -> float:
        return max(value, 0.0) ** 0.5 if self.is_squared else value

    @property
    def judgment(self) -> CostJudgment:
        """Whether it matters, see `judge_cost`."""
        return judge_cost(*self.interval, self.relative)

    @property
    def pose_helps(self) -> bool:
        """Whether the model is better on data in their own pose than its average would be, by two standard errors."""
        lost = self.total - self.cost - self.own
        if len(lost) < 2:
            return False
        least = max(_NORMAL * float(lost.std()) / len(lost) ** 0.5, _EXACT * float(self.total.mean()))
        return float(lost.mean()) > least

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values, means over samples."""
        low, high = (value if math.isfinite(value) else None for value in self.interval)
        return {
            "group": self.group,
            "moved": self.moved,
            "relative": self.relative if math.isfinite(self.relative) else None,
            "error": float(self.total.mean()),
            "cost": float(self.cost.mean()),
            "share": self.share,
            "low": low,
            "high": high,
            "symmetry_error": self.symmetry_error if math.isfinite(self.symmetry_error) else None,
            "own_pose": float(self.own.mean()),
            "pose_helps": self.pose_helps,
            "elements": self.num_elements,
            "complete": self.is_complete,
            "squared": self.is_squared,
            "samples": len(self.total),
        }

    def report(self) -> Report:
        """One row."""
        row = self.to_dict()
        row["symmetry error / error"] = self.ratio if math.isfinite(self.ratio) else None
        notes = {"elements": self.num_elements, "samples": row.pop("samples"), "judgment": self.judgment}
        for name in ("elements", "complete", "squared", "pose_helps"):
            row.pop(name)
        return Report("what broken symmetry costs", (row,), notes)


def judge_cost(low: float | None, high: float | None, relative: float) -> CostJudgment:
    """Whether broken symmetry matters, from the 95 % interval of the share of the error that averaging would remove.

    It is exact where the predictions move by less than 1e-6 of their size, ``"negligible"`` where the interval ends
    below 5 %, ``"dominates"`` where it begins above 50 %, ``"matters"`` where it begins above 5 %, and else
    ``"undecided"``, also without an interval.
    """
    if relative < _EXACT:
        return "exact"
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "undecided"
    if high < MATTERS:
        return "negligible"
    return "dominates" if low > DOMINATES else "matters" if low > MATTERS else "undecided"


def symmetry_cost(
    fn: Function,
    x: Any,
    errors: Callable[[Tensor, Any], Tensor],
    action: Action,
    *,
    num_elements: int | None = None,
    seed: int = 0,
) -> SymmetryCost:
    """By how much averaging over the group would lower the error of a model: what its broken symmetry costs.

    Args:
        fn: a model with one output; in eval mode, best in float64.
        x: the input, with its targets.
        errors: maps the output and x to (B,) one number per sample, at least 0, such as `rapidash.methods.Task.errors`.
        action: the group, and the representation of the output.
        num_elements: None takes all elements of a finite group, 16 random ones of any other.
        seed: of the elements.
    Raises: ValueError for fewer than 2 elements, an output or an error that is not finite, a zero output, errors that
        are not one per sample, or all 0.
    """
    elements, is_complete = orbit_elements(action, num_elements, seed)
    if len(elements) < 2:
        raise ValueError(f"{action.group.name} has one element only: nothing moves")

    def error(prediction: Tensor) -> Tensor:
        return errors(prediction, x).detach().double().cpu()

    def checked(prediction: Tensor) -> Tensor:
        found = error(prediction)
        if found.dim() != 1:
            raise ValueError(f"errors must give one number per sample, got the shape {tuple(found.shape)}")
        refuse_not_finite("the error", found, "look for targets that are missing")
        return found

    count, kind = len(elements), None
    with measuring(fn):
        own = wide(next(iter(action.call(fn, x).values())).detach())
        mean, total, square = torch.zeros(()).to(own.device), torch.zeros(()), torch.zeros(()).to(own.device)
        apart = torch.zeros_like(checked(own))
        for k, moved in enumerate(orbit_predictions(fn, x, action, elements)):
            refuse_not_finite("the output", moved, "look for inputs without a value")
            offset = moved - mean
            mean = mean + offset / (k + 1)
            square = square + (magnitudes(offset) * magnitudes(moved - mean)).reshape(len(moved), -1).sum(dim=1)
            total = total + checked(moved) / count
            if not torch.equal(moved, own):
                kind = kind or error_kind(error, own, moved)
                apart = apart + distance_by_error(error, kind, own, moved) / count
    if not bool(total.sum() > 0):
        raise ValueError("the error is 0 on every sample: no share of it can be due to broken symmetry")
    is_squared = kind == "squared"
    cost, spread = total - checked(mean), square / (count if is_complete else count - 1)
    return SymmetryCost(
        own=checked(own),
        total=total,
        cost=cost * (count / (count - 1) if is_squared and not is_complete else 1.0),
        moved=float(spread.mean().sqrt()),
        output_norm=float(rms(magnitudes(mean).reshape(len(mean), -1).norm(dim=1))),
        num_elements=count,
        is_complete=is_complete,
        is_squared=is_squared,
        group=action.group.name,
        apart=apart,
    )
