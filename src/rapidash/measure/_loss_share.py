"""The cost of broken symmetry: the part of the loss that averaging the model over the group would remove."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from rapidash.groups import enumerated
from rapidash.measure._action import Action, Function
from rapidash.measure._defect import moved_back, refuse_other_shapes
from rapidash.measure._equivariance_error import DEFAULT_NUM_ELEMENTS, draw_elements
from rapidash.measure._guard import measuring
from rapidash.measure._norms import magnitudes, refuse_not_finite, wide
from rapidash.measure._report import Report


@dataclass(frozen=True)
class LossShare:
    """The squared loss over the group, split into what a symmetrized model would keep and what it would lose.

    Args:
        total: (B,) E_g ||rho(g)^-1 f(g x) - y||^2 of each sample.
        symmetric: (B,) ||f_bar(x) - y||^2, f_bar the average over the group.
        broken: (B,) E_g ||rho(g)^-1 f(g x) - f_bar(x)||^2; total = symmetric + broken.
        group: name of the group.
    """

    total: Float[Tensor, " B"]
    symmetric: Float[Tensor, " B"]
    broken: Float[Tensor, " B"]
    group: str

    @property
    def share(self) -> float:
        """Share of the loss that is due to broken symmetry, in [0, 1] up to sampling noise."""
        return float(self.broken.sum() / self.total.sum())

    @property
    def standard_error(self) -> float:
        """Standard error of the share over samples (delta method for the ratio)."""
        num = len(self.total)
        if num < 2:
            return float("nan")
        residual = self.broken - self.share * self.total
        return float(residual.std() / num**0.5 / self.total.mean())

    def report(self) -> Report:
        """One row per part."""
        rows = [
            {"part": name, "mean": float(value.mean()), "share": float(value.sum() / self.total.sum())}
            for name, value in (
                ("total", self.total),
                ("kept by symmetrization", self.symmetric),
                ("broken symmetry", self.broken),
            )
        ]
        metadata = {"group": self.group, "samples": len(self.total), "standard error of the share": self.standard_error}
        return Report("share of the loss due to broken symmetry", tuple(rows), metadata)


def symmetry_loss_share(
    fn: Function,
    x: Any,
    target: Inexact[Tensor, "..."],
    action: Action,
    *,
    num_elements: int | None = None,
    seed: int = 0,
) -> LossShare:
    r"""Split the squared loss of a model on an equivariant task into a symmetric part and one from broken symmetry.

    .. math:: E_g \|\rho(g)^{-1} f(gx) - y\|^2 = \|\bar f(x) - y\|^2 + E_g \|\rho(g)^{-1} f(gx) - \bar f(x)\|^2

    Unbiased from G >= 2 elements: the second part is the sample variance with G - 1 (a finite group that is enumerated
    needs no correction), the first the difference. Representations must be orthogonal or affine isometries.

    Args:
        fn: a model with one output; in eval mode.
        x: the input.
        target: y, the equivariant target of x, with the shape of the output (for classes: one-hot, the Brier loss).
        action: the group with the representations of inputs and outputs.
        num_elements: None takes all elements of a finite group, 16 random ones of any other.
        seed: of the elements.
    Raises: ValueError for fewer than 2 elements, a target of another shape, an output or target that is not finite, a
        zero output, or a loss of 0.
    Source: Shen et al., arXiv 2512.02303, TMLR 2025; derived here.
    """
    elements, is_complete = orbit_elements(action, num_elements, seed)
    with measuring(fn):
        orbit = _orbit(fn, x, action, elements)
    name = next(iter(action.output_fields))
    if target.shape != orbit.shape[1:]:
        raise ValueError(
            f"target has shape {tuple(target.shape)}, the output {tuple(orbit.shape[1:])}: make them equal"
        )

    refuse_not_finite("target", target, "leave out samples without one")

    def per_sample(values: Tensor) -> Tensor:
        return action.per_sample(name, values, x)

    total = per_sample(magnitudes(orbit - wide(target)).square().mean(dim=0))
    count = len(elements) if is_complete else len(elements) - 1
    broken = per_sample(magnitudes(orbit - orbit.mean(dim=0)).square().sum(dim=0) / count)
    refuse_not_finite("the squared loss", total, "measure output and target in a larger unit")
    if not bool(total.sum() > 0):
        raise ValueError("the loss is 0 on every sample: there is nothing to share")
    return LossShare(total, total - broken, broken, action.group.name)


def equivariance_gap(
    fn: Function,
    x: Any,
    loss: Callable[[Tensor], Tensor],
    action: Action,
    *,
    num_elements: int | None = None,
    seed: int = 0,
) -> float:
    """Risk of the model minus the risk of its average over the group: what symmetrization would gain.

    Args:
        fn: a model with one output; in eval mode.
        x: the input.
        loss: maps the output on x to a scalar; the target is captured in it.
        action: the group with the representations of inputs and outputs.
        num_elements: None takes all elements of a finite group, 16 random ones of any other.
        seed: of the elements.
    Raises: ValueError for fewer than 2 elements, a zero output, or an output or a loss that is not finite.
    """
    elements, _ = orbit_elements(action, num_elements, seed)
    with measuring(fn):
        before = next(iter(action.call(fn, x).values())).detach()
        average = _orbit(fn, x, action, elements).mean(dim=0).to(before.dtype)
    gap = float(loss(before)) - float(loss(average))
    if not math.isfinite(gap):
        raise ValueError("the loss is not finite: look for targets that are missing")
    return gap


def orbit_elements(action: Action, num_elements: int | None, seed: int) -> tuple[Tensor, bool]:
    """The elements, and whether they are all of the group. Raises: ValueError for fewer than 2."""
    everything = enumerated(action.group) if num_elements is None else None
    if everything is not None:
        return everything, True
    num = DEFAULT_NUM_ELEMENTS if num_elements is None else num_elements
    if num < 2:
        raise ValueError(f"num_elements must be at least 2 to estimate a variance, got {num}")
    return draw_elements(action.group, num, seed=seed), False


def _orbit(fn: Function, x: Any, action: Action, elements: Tensor) -> Tensor:
    """All of `orbit_predictions`, (G, *out)."""
    return torch.stack(list(orbit_predictions(fn, x, action, elements)))


def orbit_predictions(fn: Function, x: Any, action: Action, elements: Tensor) -> Iterator[Tensor]:
    """rho(g)^-1 f(g x) for every element, float64, one after another.

    Raises: ValueError for several outputs, one whose shape changes, and, at the end, where all were zero.
    """
    before: dict[str, Tensor] = {}
    is_zero = True
    for g in elements:
        outputs = moved_back(fn, x, action, g)
        if len(outputs) != 1:
            raise ValueError(f"one output is needed, got {list(outputs)}: pick one in an adapter")
        before = before or outputs
        refuse_other_shapes(before, outputs)
        (value,) = outputs.values()
        is_zero = is_zero and not bool(value.any())
        yield value
    if is_zero:
        raise ValueError(
            "the output is zero for all elements, which would read as perfect symmetry: measure a trained or randomly "
            "initialized model"
        )
