"""Does the prediction of a classifier survive the transformation, and how sure is it? Needs no labels."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.measure._action import Action, Function
from rapidash.measure._defect import refuse_other_shapes
from rapidash.measure._equivariance_error import draw_elements
from rapidash.measure._guard import measuring
from rapidash.measure._norms import are_probabilities, refuse_not_finite, refuse_undefined
from rapidash.measure._report import Report


def effective_invariance(
    p: Float[Tensor, "B K"], p_moved: Float[Tensor, "B K"], *, from_logits: bool = False
) -> Float[Tensor, " B"]:
    r"""EI = sqrt(max p * max p_moved) where both predict the same class, 0 where they do not; in [0, 1].

    Args:
        p: class probabilities of x (or logits).
        p_moved: those of g x.
        from_logits: whether both are logits.
    Raises: ValueError for different shapes, rows that are no probabilities, or logits that are not finite (minus
        infinity apart, which leaves a class out).
    Source: Deng, Gould, Zheng, "On the Strong Correlation Between Model Invariance and Generalization", NeurIPS 2022.
    """
    log_p, log_q = _log_probabilities(p, from_logits, "p"), _log_probabilities(p_moved, from_logits, "p_moved")
    if p.shape != p_moved.shape:
        raise ValueError(f"p has shape {tuple(p.shape)}, p_moved {tuple(p_moved.shape)}: give the same samples")
    (confidence, label), (confidence_moved, label_moved) = log_p.max(dim=-1), log_q.max(dim=-1)
    return torch.where(label == label_moved, torch.exp(0.5 * (confidence + confidence_moved)), 0.0)


@dataclass(frozen=True)
class InvarianceScores:
    """Scores of a classifier over elements g and samples x; each is (G, B).

    Args:
        effective: effective invariance. For an exactly invariant model it is the confidence, so look at both.
        consistent: 1 where x and g x get the same class.
        divergence: 1 - Jensen-Shannon divergence of the two predictions, in bits.
        confidence: mean of the two confidences.
        group: name of the group.
    """

    effective: Float[Tensor, "G B"]
    consistent: Float[Tensor, "G B"]
    divergence: Float[Tensor, "G B"]
    confidence: Float[Tensor, "G B"]
    group: str

    @property
    def mean(self) -> float:
        """The effective invariance of the model on these samples."""
        return float(self.effective.mean())

    def report(self) -> Report:
        """One row per score, with the standard error over samples."""
        scores = {
            "effective invariance": self.effective,
            "consistency": self.consistent,
            "1 - JS divergence": self.divergence,
            "confidence": self.confidence,
        }
        num_elements, num = self.effective.shape
        rows = []
        for name, value in scores.items():
            per_sample = value.mean(dim=0)
            stderr = float(per_sample.std() / num**0.5) if num > 1 else float("nan")
            rows.append({"score": name, "mean": float(per_sample.mean()), "stderr": stderr})
        return Report("invariance of predictions", tuple(rows), {"group": self.group, "elements": num_elements})


def invariance_scores(
    model: Function,
    x: Any,
    action: Action,
    *,
    from_logits: bool = True,
    num_elements: int | None = None,
    elements: Float[Tensor, "G n n"] | None = None,
    seed: int = 0,
) -> InvarianceScores:
    """Effective invariance of a classifier under a group, with the scores it should be read beside.

    Args:
        model: returns logits (B, K), or probabilities with ``from_logits=False``; in eval mode.
        x: the input, as `Action` says.
        action: the group, the representations of the input, and Scalar() outputs.
        from_logits: whether the model returns logits.
        num_elements: None takes all elements but the identity of a finite group, 16 random ones of any other.
        elements: the elements to use instead.
        seed: of the elements.
    Raises: ValueError as `effective_invariance` does, for a model in training mode, or an output that is not (B, K) or
        the same for all samples and classes.
    """
    elements = draw_elements(action.group, num_elements, seed=seed) if elements is None else elements
    columns: list[list[Tensor]] = [[], [], [], []]
    with measuring(model):
        outputs = action.call(model, x, is_finite=False)
        before = _single(outputs).detach()
        log_p = _log_probabilities(before, from_logits, "the output")
        if bool((before == before[0, 0]).all()):
            raise ValueError(
                "the output is the same number for all samples and classes, which would read as perfect invariance: "
                "measure a trained or randomly initialized model"
            )
        for g in elements:
            after = action.call(model, action.transform(g, x), is_finite=False)
            refuse_other_shapes(outputs, after)
            moved = _single(after).detach()
            log_q = _log_probabilities(moved, from_logits, "the output")
            columns[0].append(effective_invariance(before, moved, from_logits=from_logits))
            columns[1].append((log_p.argmax(-1) == log_q.argmax(-1)).to(log_p.dtype))
            columns[2].append(1 - _divergence(log_p, log_q))
            columns[3].append(0.5 * (log_p.amax(-1).exp() + log_q.amax(-1).exp()))
    effective, consistent, divergence, confidence = (torch.stack(column) for column in columns)
    return InvarianceScores(effective, consistent, divergence, confidence, action.group.name)


def _single(outputs: dict[str, Tensor]) -> Tensor:
    value = next(iter(outputs.values()))
    if len(outputs) != 1 or value.dim() != 2 or value.shape[1] < 2:
        shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
        raise ValueError(f"a classifier returns one tensor (B, K) with K >= 2 classes, got {shapes}: use an adapter")
    return value


def _log_probabilities(p: Tensor, from_logits: bool, what: str) -> Tensor:
    """In float64."""
    if from_logits:
        log_p = p.double().log_softmax(dim=-1)
        refuse_undefined(what, p)
        if bool(log_p.isnan().any()):
            raise ValueError(f"{what} is not finite: a row of logits leaves every class out (all minus infinity)")
        return log_p
    refuse_not_finite(what, p)
    if not are_probabilities(p):
        raise ValueError(f"{what} must hold probabilities: rows >= 0 with sum 1. For logits pass from_logits=True")
    return p.double().log()


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Jensen-Shannon divergence in bits, in [0, 1]."""
    p, q = log_p.exp(), log_q.exp()
    bits = _entropy(0.5 * (p + q)) - 0.5 * (_entropy(p) + _entropy(q))
    return (bits / math.log(2)).clamp(0, 1)


def _entropy(p: Tensor) -> Tensor:
    return -torch.special.xlogy(p, p).sum(dim=-1)
