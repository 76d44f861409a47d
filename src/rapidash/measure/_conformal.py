"""Prediction sets with a guaranteed coverage, as long as the test data look like the calibration data."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.measure._norms import are_probabilities, refuse_not_finite
from rapidash.measure._report import Report

Score = Literal["thr", "aps", "abs"]


@dataclass(frozen=True)
class Coverage:
    """Coverage of prediction sets: the share that contains the truth, and their mean size (classes, or width)."""

    coverage: float
    size: float
    num: int
    nominal: float

    @property
    def standard_error(self) -> float:
        """Binomial standard error of the coverage."""
        return math.sqrt(self.coverage * (1 - self.coverage) / self.num)


@dataclass(frozen=True)
class SplitConformal:
    r"""Split conformal prediction: sets that contain the truth with probability at least 1 - alpha.

    The threshold is the score of rank ceil((n + 1)(1 - alpha)) among n calibration samples. The guarantee needs test
    samples exchangeable with them: data calibrated in one pose and tested in others break it, unless the model is
    invariant.

    Args:
        score: "thr" (1 - p of the true class), "aps" (probability mass down to the true class, not randomized), or
            "abs" (absolute residual, for regression).
        alpha: admissible error rate, in (0, 1).
        threshold: set by `calibrate`.
    Raises: ValueError for an unknown score or an alpha outside (0, 1).
    Source: as in van der Linden, Timans, Tailor, Bekkers, arXiv 2506.18629.
    """

    score: Score = "thr"
    alpha: float = 0.1
    threshold: float | None = field(default=None)

    def __post_init__(self) -> None:
        if self.score not in get_args(Score) or not 0 < self.alpha < 1:
            raise ValueError(
                f"score must be one of {get_args(Score)} and alpha in (0, 1), got {self.score!r}, {self.alpha}"
            )
        if self.threshold is not None and math.isnan(self.threshold):
            raise ValueError("threshold must be a number, got nan: calibrate on samples that did not fail")

    def scores(self, prediction: Float[Tensor, "B ..."], target: Tensor) -> Float[Tensor, " B"]:
        """Nonconformity of each sample: probabilities (B, K) and classes (B,), or values (B,) and (B,).

        Raises: ValueError for other shapes, classes outside 0 .. K - 1, rows that are no probabilities, values that are
            not finite, or no samples.
        """
        if self.score == "abs":
            if prediction.shape != target.shape or prediction.dim() != 1 or not len(target):
                raise ValueError(
                    "score 'abs' needs at least one prediction and target, both (B,), "
                    f"got {tuple(prediction.shape)} and {tuple(target.shape)}"
                )
            residual = (prediction.double() - target.double()).abs()
            if not bool(torch.isfinite(residual).all()):
                raise ValueError("predictions and targets must be finite: leave out samples that failed, and say so")
            return residual
        _check_classes(prediction, target)
        return self._class_scores(prediction).gather(1, target[:, None]).squeeze(1)

    def calibrate(self, prediction: Float[Tensor, "B ..."], target: Tensor) -> "SplitConformal":
        """The calibrated predictor. With too few samples for alpha the sets are everything (threshold infinity).

        Raises: ValueError as `scores` does.
        """
        return SplitConformal(self.score, self.alpha, _threshold(self.scores(prediction, target), self.alpha))

    def predict_set(self, prediction: Float[Tensor, "B ..."]) -> Bool[Tensor, "B K"] | Float[Tensor, "B 2"]:
        """Membership of every class, or for "abs" the ends of the interval.

        Raises: ValueError before calibration, or for predictions that are not finite or no probabilities.
        """
        threshold = self._calibrated()
        if self.score == "abs":
            refuse_not_finite("a prediction", prediction, "leave out samples that failed, and say so")
            ends = prediction.double()
            return torch.stack([ends - threshold, ends + threshold], dim=-1)
        return self._class_scores(prediction) <= threshold

    def evaluate(self, prediction: Float[Tensor, "B ..."], target: Tensor) -> Coverage:
        """Coverage and mean size of the sets on labeled test data."""
        covered = self.scores(prediction, target) <= self._calibrated()
        sets = self.predict_set(prediction)
        size = sets[:, 1] - sets[:, 0] if self.score == "abs" else sets.sum(dim=1).double()
        return Coverage(float(covered.double().mean()), float(size.mean()), len(covered), 1 - self.alpha)

    def _class_scores(self, p: Tensor) -> Float[Tensor, "B K"]:
        _check_probabilities(p)
        p = p.double()
        if self.score == "thr":
            return 1 - p
        ordered, order = p.sort(dim=-1, descending=True)
        return torch.zeros_like(p).scatter(1, order, ordered.cumsum(dim=-1))

    def _calibrated(self) -> float:
        if self.threshold is None:
            raise ValueError("not calibrated: use the predictor that calibrate(prediction, target) returns")
        return self.threshold


def resampled_coverage(
    scores: Float[Tensor, " B"], *, alpha: float = 0.1, trials: int = 100, seed: int = 0
) -> Float[Tensor, " T"]:
    """Coverage on one half after calibration on the other, over random halves of exchangeable scores.

    Its expectation is ceil((n + 1)(1 - alpha)) / (n + 1) for n calibration scores without ties.
    Raises: ValueError for fewer than 4 scores, or undefined ones.
    """
    if len(scores) < 4:
        raise ValueError(f"at least 4 scores are needed, got {len(scores)}")
    if bool(scores.isnan().any()):
        raise ValueError("scores must be numbers, got nan: leave out samples that failed, and say so")
    half, coverages = len(scores) // 2, []
    for trial in range(trials):
        order = torch.randperm(len(scores), generator=seeded(seed, "resample", trial))
        threshold = _threshold(scores[order[:half]], alpha)
        coverages.append((scores[order[half:]] <= threshold).double().mean())
    return torch.stack(coverages)


def expected_calibration_error(p: Float[Tensor, "B K"], target: Int[Tensor, " B"], *, num_bins: int = 15) -> float:
    """Mean over samples of abs(accuracy - confidence) in bins of equal width of the confidence.

    Raises: ValueError for rows that are no probabilities, targets that are no classes of them, or no bin.
    """
    _check_classes(p, target)
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    p = p.double()
    confidence, label = p.max(dim=-1)
    gap = (label == target).double() - confidence
    index = (confidence * num_bins).long().clamp(max=num_bins - 1)
    return float(p.new_zeros(num_bins).index_add(0, index, gap).abs().sum() / len(p))


def brier_score(p: Float[Tensor, "B K"], target: Int[Tensor, " B"]) -> float:
    """Mean over samples of the squared distance to the one-hot target, summed over classes: in [0, 2].

    Raises: ValueError for rows that are no probabilities, or targets that are no classes of them.
    """
    _check_classes(p, target)
    return float((p.double() - torch.nn.functional.one_hot(target, p.shape[1])).square().sum(dim=-1).mean())


def negative_log_likelihood(p: Float[Tensor, "B K"], target: Int[Tensor, " B"]) -> float:
    """Mean of -log p of the true class, in nats; infinite if the true class of any sample has probability 0.

    Raises: ValueError for rows that are no probabilities, or targets that are no classes of them.
    """
    _check_classes(p, target)
    return float(-p.double().gather(1, target[:, None]).log().mean())


def compare_uncertainty(
    models: dict[str, tuple[Tensor, Tensor, Tensor]],
    calibration_target: Int[Tensor, " B"],
    target: Int[Tensor, " T"],
    *,
    alpha: float = 0.1,
    score: Score = "thr",
) -> Report:
    """Coverage and set size of several classifiers on test data in place and moved, with calibration beside them.

    Args:
        models: by name, the probabilities of the calibration data, of the test data, and of the test data moved by
            random elements of the group.
        calibration_target: classes of the calibration data.
        target: classes of the test data.
        alpha: admissible error rate.
        score: "thr" or "aps".
    Raises: ValueError for rows that are no probabilities, or targets that are no classes of them.
    """
    rows = []
    for name, (calibration, test, moved) in models.items():
        predictor = SplitConformal(score, alpha).calibrate(calibration, calibration_target)
        plain, under_group = predictor.evaluate(test, target), predictor.evaluate(moved, target)
        row = {"model": name, "coverage": plain.coverage, "coverage, moved": under_group.coverage}
        row |= {"set size": plain.size, "set size, moved": under_group.size}
        row |= {"accuracy": float((test.argmax(-1) == target).double().mean())}
        row |= {"accuracy, moved": float((moved.argmax(-1) == target).double().mean())}
        row |= {"ECE": expected_calibration_error(test, target), "Brier": brier_score(test, target)}
        rows.append(row | {"NLL": negative_log_likelihood(test, target)})
    return Report("uncertainty under the group", tuple(rows), {"nominal coverage": 1 - alpha, "test": len(target)})


def _check_probabilities(p: Tensor) -> None:
    if p.dim() != 2 or not are_probabilities(p):
        raise ValueError("predictions must be probabilities (B, K) with row sums 1: apply a softmax first")


def _check_classes(p: Tensor, target: Tensor) -> None:
    """Probabilities (B, K) and, for each, a class in 0 .. K - 1; at least one."""
    _check_probabilities(p)
    if target.dtype != torch.int64 or target.shape != p.shape[:1] or not len(target):
        raise ValueError(
            f"target must hold one class (int64) for each of the {len(p)} predictions, at least one, got "
            f"{tuple(target.shape)} of {target.dtype}"
        )
    if bool((target < 0).any()) or bool((target >= p.shape[1]).any()):
        low, high = int(target.min()), int(target.max())
        raise ValueError(f"target must hold classes 0 .. {p.shape[1] - 1}, got values from {low} to {high}")


def _threshold(scores: Tensor, alpha: float) -> float:
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    return math.inf if rank > len(scores) else float(scores.sort().values[max(rank, 1) - 1])
