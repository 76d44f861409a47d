"""The method that learns a histogram over a one-parameter group: which elements, and not only how far."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rapidash.learn._histogram import GroupHistogram
from rapidash.learn._ranged import RangedMethod
from rapidash.methods import Control, DrawControl, ParamGroup, StepView, Task, in_eval_mode
from rapidash.symmetry import Ledger

SHARE = "share of "  # before the name of a generator and the parameter of a bin, in the values of a run


@dataclass(frozen=True)
class LearnedHistogram(RangedMethod):
    r"""Trains sum_k p_k E[loss(f(g_k^-1 x), y)] - weight * H(p) over f and the shares p of a `GroupHistogram`.

    The loss is that of single copies, as of `Augerino`: that of their weighted mean would let a network hide elements
    that confuse it behind others. The network learns from one element for each sample, drawn by the shares. The logits
    learn from sum_k p_k L_k, where L_k is the running mean of the loss of whole batches moved by element k alone, in
    eval mode and without a gradient: each step measures ``num_measured`` of the bins, all in turn. So the gradient of
    the shares has no noise of draws; it lags behind the network by about ``num_bins / num_measured`` steps. In the
    first part of the training, ``delay``, the shares stay: what an untrained network does not notice is no symmetry.

    Args:
        group: name of a group with one generator, e.g. ``"SO(2)"``, ``"SO2(z) about the origin"``, ``"scaling(3)"``.
        num_bins, reach, init_share, weight: as of `GroupHistogram`; weight 0 is the control.
        num_test: copies in evaluation, drawn by the shares; 0: all of them, weighted.
        num_measured: bins measured at each step, a pass of the network without gradients for each.
        learning_rate: of the logits; it has no schedule.
        delay: share of the steps in which the shares stay as they are, in [0, 1).
    Raises: ValueError for an unknown group, one without a single generator, or sizes outside the above.
    """

    num_bins: int | None = None
    reach: float = 1.0
    init_share: float = 0.5
    weight: float = 0.01
    num_test: int = 0
    num_measured: int = 2
    learning_rate: float = 0.03
    delay: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_test < 0 or self.num_measured < 1:
            raise ValueError(
                f"num_test must be at least 0 and num_measured at least 1, got {self.num_test} and {self.num_measured}"
            )
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.delay < 1:
            raise ValueError(f"delay must be in [0, 1), got {self.delay}")
        self._law()

    @property
    def counts(self) -> tuple[int, int]:
        """One in training."""
        return 1, max(self.num_test, 1)

    def law(self, task: Task) -> GroupHistogram:
        """A histogram."""
        return self._law()

    def _law(self) -> GroupHistogram:
        return GroupHistogram(
            self.over,
            self.num_bins,
            reach=self.reach,
            init_share=self.init_share,
            weight=self.weight,
            draws_in_test=self.num_test > 0,
        )

    def in_words(self) -> str:
        """Which elements."""
        tested = f"{self.num_test} in the test" if self.num_test else "all, weighted, in the test"
        number = len(self._law().elements)
        return f"{number} elements exp(u A) of {self.group} with learned shares (1 drawn in training, {tested})"

    def learned_ledger(self, model: nn.Module, before: Ledger, view: str) -> Ledger:
        """Also the elements that the trained model has a share of more than twice the mean for."""
        law = HistogramControl(self, model).law
        large = [
            f"{u:.3g} ({share:.2g})"
            for u, share in zip(law.parameters_of_bins.tolist(), law.shares.tolist())
            if share > 2 / len(law.elements)
        ]
        entropy = f"entropy {float(law.entropy().detach()):.3g} of at most {math.log(len(law.elements)):.3g}"
        ledger = self.ledger(before, view)
        if law.reaches_its_ends:
            entropy += f"; shares up to the ends of the range, {self.reach:.3g} each way: more was not asked"
        found = f"shares above twice their mean, of the chosen weights, {law.names[0]} by {', '.join(large)}; {entropy}"
        return replace(ledger, reasons=(*ledger.reasons, found))

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Trains the logits with a rate of their own."""
        return HistogramControl(self, model)


class HistogramControl(DrawControl):
    """Measures the loss of a few bins at each step, and trains and reports the shares of all."""

    rate_of_means = 0.2  # of the running mean of the loss of a bin

    def __init__(self, method: LearnedHistogram, model: nn.Module) -> None:
        super().__init__(method, model)
        self.learned_by = method
        self.losses = torch.zeros(len(self.law.elements), dtype=torch.float64)
        self.times = torch.zeros(len(self.law.elements), dtype=torch.long)  # that each was measured

    @property
    def law(self) -> GroupHistogram:
        """Of the model."""
        found = self.model.distribution
        assert isinstance(found, GroupHistogram)
        return found

    def param_groups(self) -> Sequence[ParamGroup]:
        """The logits, without average over steps: validation sees the shares that are reported."""
        return [ParamGroup([self.law.raw], lr=self.learned_by.learning_rate, is_averaged=False)]

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The entropy, and a term of value 0 whose gradient is that of sum_k p_k L_k."""
        if view.task is None:
            raise ValueError("a histogram learns from the loss of a task: train it with rapidash.train.train")
        found = dict(super().terms(view))
        self._measure(view)
        if view.step < self.learned_by.delay * view.total_steps:
            return {}
        losses = torch.where(self.times > 0, self.losses, self._mean()).to(self.law.raw)
        expected = (self.law.shares * losses).sum()
        return {**found, f"{self.method.kind} shares": expected - expected.detach()}

    @torch.no_grad()
    def _measure(self, view: StepView) -> None:
        """Measure the loss of the batch moved by some of the elements."""
        assert view.task is not None
        for index in self._turn(view.step):
            with in_eval_mode(self.model.backbone), self.law.only(index):
                loss = float(view.task.loss(view.predict(view.batch), view.batch))
            rate = max(self.rate_of_means, 1 / (1 + int(self.times[index])))
            self.losses[index] += rate * (loss - self.losses[index])
            self.times[index] += 1

    def _turn(self, step: int) -> list[int]:
        """The bins of a step: all come equally often, neighbors not one after another."""
        num, each = len(self.losses), min(self.learned_by.num_measured, len(self.losses))
        stride = next(k for k in range(round(0.382 * num), num) if math.gcd(k, num) == 1)
        return [(step * each + k) * stride % num for k in range(each)]

    def _mean(self) -> Tensor:
        """Of the bins measured so far: what others are taken for."""
        return (self.losses * (self.times > 0)).sum() / (self.times > 0).sum().clamp(min=1)

    def values(self) -> Mapping[str, float]:
        """The share of each bin."""
        law = self.law
        name = f"{SHARE}{law.names[0]} by "
        return {f"{name}{u:.4g}": p for u, p in zip(law.parameters_of_bins.tolist(), law.shares.tolist())}

    def state_dict(self) -> dict[str, Any]:
        """The running means."""
        return {"losses": self.losses.clone(), "times": self.times.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with them."""
        self.losses, self.times = state["losses"].clone(), state["times"].clone()
