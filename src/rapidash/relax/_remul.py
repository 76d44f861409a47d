"""REMUL: equivariance as a second task, beside that of the data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import MatrixGroup, parse_matrix_group
from rapidash.measure import lie_slope
from rapidash.methods import Control, Method, StepView
from rapidash.relax._gradnorm import BalancedWeights, GradNorm
from rapidash.relax._moving import DataGroup, task_of

Anchor = Literal["target", "function", "derivative"]


@dataclass(frozen=True)
class REMUL(Method):
    r"""Adds an equivariance term: the loss is alpha L_task + beta L_equivariance, and the network is free.

    With g drawn for each sample and step, the term is by ``anchor``

    - ``"target"``: the loss of the task for the moved sample, l(f(g x), g y). This is the published one: augmentation
      beside the sample, not in its place; alpha = 0 is augmentation.
    - ``"function"``: the mean square of rho(g)^-1 f(g x) - f(x), in squared units of the output. No target is seen.
    - ``"derivative"``: the mean square of the Lie derivative of f along a random unit direction of the group's Lie
      algebra, exact, by forward mode, see `rapidash.measure.lie_slope`: the limit of the one before for small motions,
      per squared radian (or length).

    Each takes one more pass of the network a step. The group of the layers is as it was; how equivariant the network
    has become is measured in every run.

    Args:
        weight: beta, at least 0; 0 is plain training.
        group: name of a group, e.g. ``"SO(3)"``, ``"C4"``, ``"C4 x C4"``; None: that of the data, the group by which
            the task moves its test data, rotations about the origin for clouds.
        anchor: which term.
        task_weight: alpha, at least 0.
        balance: GradNorm moves both weights from these on, scaled to sum 2; None: they are constant.
    Raises: ValueError for values outside the above, an unknown group, or a derivative along a finite group.
    Source: Elhag et al., "Relaxed Equivariance via Multitask Learning", arXiv 2410.17878 (target, GradNorm); a public
        implementation of the molecular model Orb penalizes the derivative of the energy under rotations ("equigrad").
    """

    weight: float = 1.0
    group: str | None = None
    anchor: Anchor = "target"
    task_weight: float = 1.0
    balance: GradNorm | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not (0 <= self.weight < math.inf and 0 <= self.task_weight < math.inf):
            raise ValueError(
                f"weight and task_weight must be at least 0 (0 switches a loss off), got {self.weight} and "
                f"{self.task_weight}"
            )
        if self.anchor not in get_args(Anchor):
            raise ValueError(f"anchor must be one of {get_args(Anchor)}, got {self.anchor!r}")
        if self.weight == 0 and self.task_weight != 1:
            raise ValueError("with weight=0 there is nothing to balance the task against: leave task_weight at 1")
        if self.balance is not None and self.weight and not self.task_weight:
            raise ValueError("GradNorm moves both weights: task_weight must be above 0")
        if self.group is not None:
            self._check_group(parse_matrix_group(self.group))

    def control(self, model: nn.Module, total_steps: int) -> "REMULControl | None":
        """Adds the term."""
        return REMULControl(self, model) if self.weight else None

    def _check_group(self, group: MatrixGroup) -> None:
        if self.anchor == "derivative" and group.is_finite:
            raise ValueError(f"{group.name} is finite and has no derivative: use anchor='function'")


class REMULControl(Control):
    """The equivariance term and the weights of both losses."""

    def __init__(self, method: REMUL, model: nn.Module) -> None:
        self.method = method
        self.group = DataGroup(method.group)
        weights = {"task": method.task_weight, "equivariance": method.weight}
        self.balance = None if method.balance is None else BalancedWeights(method.balance, model, weights)
        self._constant = list(weights.values())
        self._slope: Literal["forward", "double_backward"] = "forward"
        self._last: Tensor | None = None  # the term of the last step, without its weight

    @property
    def weights(self) -> list[float]:
        """Alpha and beta."""
        return self._constant if self.balance is None else self.balance.weights

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The term, and what the weight of the task changes."""
        loss = view.outcome.loss
        term = self._derivative(view) if self.method.anchor == "derivative" else self._difference(view)
        self._last = term.detach()
        alpha, beta = self.weights
        if self.balance is not None:
            self.balance.step([loss, term])
        terms = {"remul equivariance": beta * term}
        return terms if alpha == 1 and self.balance is None else {**terms, "remul task": (alpha - 1) * loss}

    def values(self) -> Mapping[str, float]:
        """Both weights, and the equivariance term of the last step without its weight."""
        alpha, beta = self.weights
        last = 0.0 if self._last is None else float(self._last)
        return {"remul task weight": alpha, "remul equivariance weight": beta, "remul equivariance term": last}

    def state_dict(self) -> dict[str, Any]:
        """The weights, where they move, the last term, and how derivatives are taken."""
        balance = {} if self.balance is None else self.balance.state_dict()
        return {"balance": balance, "last": self.values()["remul equivariance term"], "slope": self._slope}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        if self.balance is not None:
            self.balance.load_state_dict(state["balance"])
        self._last, self._slope = torch.tensor(state["last"], dtype=torch.float64), state["slope"]

    def _difference(self, view: StepView) -> Tensor:
        """The term of a finite motion, one element for each sample."""
        task, group = task_of(view), self.group.of(view)
        g = group.sample(view.batch.num_samples, generator=view.rng)
        moved = self.group.moved(view, g)
        if self.method.anchor == "target":
            return task.loss(view.predict(moved), moved)
        here = view.outcome.prediction
        if not isinstance(here, Tensor):
            raise ValueError(f"anchor='function' compares predictions, the objective has none: {type(here).__name__}")
        back = view.batch.act(task.output, group.inverse(g), view.predict(moved))
        return (back - here).square().mean()

    def _derivative(self, view: StepView) -> Tensor:
        """The mean square of the Lie derivative along one direction for each sample."""
        task, group = task_of(view), self.group.of(view)
        self.method._check_group(group)
        generators = group.generators()
        u = torch.randn(view.batch.num_samples, len(generators), generator=view.rng, dtype=torch.float64)
        algebra = torch.einsum("bd,dij->bij", u / u.norm(dim=1, keepdim=True), generators)
        if not self.group.is_checked:
            self.group.moved(view, torch.linalg.matrix_exp(algebra))  # or an error that says why not
        try:
            slope = lie_slope(view.predict, view.batch, task.output, algebra, method=self._slope)
        except (NotImplementedError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or self._slope == "double_backward":
                raise
            self._slope = "double_backward"
            slope = lie_slope(view.predict, view.batch, task.output, algebra, method=self._slope)
        return slope.square().mean()
