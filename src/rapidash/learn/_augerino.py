"""Augerino: how far each motion may go is learned with the weights, from the training data alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from rapidash.groups import generator_names
from rapidash.learn._ranged import RangedMethod
from rapidash.learn._widths import LearnedWidths, beyond_the_box
from rapidash.methods import Control, DrawControl, ParamGroup, StepView, Task
from rapidash.symmetry import Ledger

WIDTH = "half-width of "  # before the name of a generator, in the values of a run


@dataclass(frozen=True)
class Augerino(RangedMethod):
    r"""Trains E_g [loss(f(g^-1 x), y)] - weight * ||2 w|| over f and the half-widths w of the law of g.

    The law is g = exp(sum_i u_i w_i A_i) with u_i uniform in [-1, 1], so a rotation of half-width w goes from -w to w
    (the paper's width is 2 w). Training draws one element for each sample: the loss is that of single copies, which
    bounds the loss of their mean from above where it is convex. Evaluation averages the outputs (logits of classes) of
    ``num_test`` copies, moved back where they move. A half-width may grow to half a period (pi); the box is one in the
    basis of the generators, and none in the group where they do not commute.

    Args:
        group: name of a group with generators, e.g. ``"SE(3)"``, ``"SO(2) + scaling(2)"`` or ``"affine(2)"``.
        init_width: initial half-widths in the unit of the generators (radian, length, logarithm), one for all or one
            each in the order of `rapidash.groups.generator_names`; 0 stays 0.
        weight: of the penalty, at least 0; with 0 widths shrink to what the network does not notice.
        num_test: copies in evaluation; 0: the sample as it is, and no average.
        max_width: half-width of a generator without a period from which on there is no penalty, see `width_penalty`.
        learning_rate: of the half-widths (of the numbers of which they are the softplus); it has no schedule.
        learns: whether half-widths are trained; False is augmentation within a fixed box.
    Raises: ValueError for an unknown or finite group, half-widths of another number, negative or beyond half a period,
        a negative weight, or sizes outside the above.
    Source: Benton et al., "Learning Invariances in Neural Networks", NeurIPS 2020.
    """

    init_width: float | tuple[float, ...] = 0.15
    weight: float = 0.01
    num_test: int = 4
    max_width: float = 5.0
    learning_rate: float = 0.01
    learns: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_test < 0:
            raise ValueError(f"num_test must be at least 0, got {self.num_test}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        self._law()

    @property
    def counts(self) -> tuple[int, int]:
        """One in training."""
        return 1, max(self.num_test, 1)

    def law(self, task: Task) -> LearnedWidths:
        """A box."""
        return self._law()

    def _law(self) -> LearnedWidths:
        init = torch.tensor(self.init_width, dtype=torch.get_default_dtype())
        return LearnedWidths(
            self.over,
            init,
            weight=self.weight,
            max_width=self.max_width,
            learns=self.learns,
            moves_in_test=self.num_test > 0,
        )

    def in_words(self) -> str:
        """The box, with the half-widths at the start."""
        start = self.init_width if isinstance(self.init_width, tuple) else (self.init_width,) * len(self._names)
        widths = ", ".join(f"{name} {width:.4g}" for name, width in zip(self._names, start))
        what = "learned half-widths w, at the start" if self.learns else "fixed half-widths w:"
        tested = f"{self.num_test} in the test" if self.num_test else "none in the test"
        return f"exp(sum u w A) of {self.group} with {what} {widths} (1 element in training, {tested})"

    def learned_ledger(self, model: nn.Module, before: Ledger, view: str) -> Ledger:
        """Also the half-widths of the trained model; of one that left the safe box that it did, and what follows."""
        ledger = self.ledger(before, view)
        if not self.learns:
            return ledger
        law = WidthControl(self, model).law
        found = dict(zip(law.names, law.width.tolist()))
        left = [name for name, width in found.items() if width >= law.max_width]
        widths = ", ".join(
            f"{name} {beyond_the_box(name, law.max_width) if name in left else f'{width:.3g}'}"
            for name, width in found.items()
        )
        if left and law.weight:
            widths += f"; outside the box there is no penalty, which had opened {', '.join(found)} until then"
        return replace(ledger, reasons=(*ledger.reasons, f"the half-widths of the chosen weights: {widths}"))

    @property
    def _names(self) -> Sequence[str]:
        return generator_names(self.over)

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Trains the half-widths with a rate of their own."""
        return WidthControl(self, model)


class WidthControl(DrawControl):
    """Trains half-widths without decay or average over steps, keeps them within a period, and reports them."""

    def __init__(self, method: Augerino, model: nn.Module) -> None:
        super().__init__(method, model)
        self.rate = method.learning_rate

    @property
    def law(self) -> LearnedWidths:
        """Of the model."""
        found = self.model.distribution
        assert isinstance(found, LearnedWidths)
        return found

    def param_groups(self) -> Sequence[ParamGroup]:
        """The half-widths. Validation sees them as they are, so that the values of a row are those of its model."""
        raw = self.law.raw_width
        return [ParamGroup([raw], lr=self.rate, is_averaged=False)] if raw.requires_grad else []

    def after(self, view: StepView) -> None:
        """Keep the half-widths within half a period."""
        super().after(view)
        self.law.limit_()

    def values(self) -> Mapping[str, float]:
        """The half-width of each generator."""
        return {f"{WIDTH}{name}": width for name, width in zip(self.law.names, self.law.width.tolist())}
