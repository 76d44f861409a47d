"""Linear probes of frozen features: penalized regressions, logistic or of least squares, by cross-validation."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize
from torch import Tensor

from rapidash._names import unknown_name
from rapidash._seed import seeded
from rapidash.represent._probes import column_r2

ProbeTask = Literal["class", "values"]
_GRADIENT = 1e-6  # of the mean loss, at which the logistic regression stops
_ITERATIONS = 300


@dataclass(frozen=True)
class LinearProbe:
    """A linear map of standardized features, see `linear_probe`.

    Args:
        task: ``"class"`` or ``"values"``.
        mean, scale: (F,) of the features that it was fitted to; a feature that did not vary has the scale infinity.
        weight, bias: (F, K) and (K,), float64.
        penalty: that cross-validation chose.
    """

    task: ProbeTask
    mean: Float[Tensor, " F"] = field(repr=False)
    scale: Float[Tensor, " F"] = field(repr=False)
    weight: Float[Tensor, "F K"] = field(repr=False)
    bias: Float[Tensor, " K"] = field(repr=False)
    penalty: float

    def __call__(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """Logits of the classes, or the values."""
        return (features.double() - self.mean) / self.scale @ self.weight + self.bias

    def accuracy(self, features: Float[Tensor, "B F"], labels: Int[Tensor, " B"]) -> float:
        """The share of samples whose class it names. Raises: ValueError for a probe of values."""
        if self.task != "class":
            raise ValueError("a probe of values has no accuracy: ask for r_squared")
        return float((self(features).argmax(dim=1) == labels).double().mean())

    def r_squared(self, features: Float[Tensor, "B F"], values: Float[Tensor, "B K"]) -> Float[Tensor, " K"]:
        """`column_r2` of every column. Raises: ValueError for a probe of classes."""
        if self.task != "values":
            raise ValueError("a probe of classes has no R^2: ask for accuracy")
        return column_r2(self(features), values)


def probe_penalties(num: int = 45, *, num_encoders: int = 1) -> tuple[float, ...]:
    """Logarithmically spaced penalties from 1e-6 to 1e5, a hundred times larger for each further encoder.

    The range follows the number of features, so that concatenated encoders and single ones are compared fairly.

    Raises: ValueError for fewer than 2 penalties, or no encoder.
    Source: Ericsson, Gouk, Hospedales, "Why Do Self-Supervised Models Transfer?", BMVC 2022.
    """
    if num < 2 or num_encoders < 1:
        raise ValueError(f"num must be at least 2 and num_encoders at least 1, got {num} and {num_encoders}")
    return tuple(float(100.0 ** (num_encoders - 1) * value) for value in np.logspace(-6, 5, num))


def linear_probe(
    features: Float[Tensor, "B F"],
    targets: Int[Tensor, " B"] | Float[Tensor, "B K"],
    task: ProbeTask,
    *,
    penalties: Sequence[float] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> LinearProbe:
    r"""The linear map of standardized features x with the least mean loss + (penalty / 2) |W|^2; the bias is free.

    The loss is cross-entropy for ``"class"``, :math:`|y - \hat y|^2 / 2` with columns in units of their standard
    deviation for ``"values"``. The penalty has the least loss over held-out folds (the largest of equal ones), and the
    map is fitted again to all samples. As every penalty is above 0, there is one solution also where there are more
    features than samples. The folds of a classifier have the classes in equal shares; a class with a single sample is
    never held out.

    Args:
        features: of the samples to fit.
        targets: labels 0, 1, ... of the classes, or values.
        task: ``"class"`` or ``"values"``.
        penalties: to choose from, above 0; None: `probe_penalties`.
        folds: at least 2, at most as many as samples.
        seed: of the folds.
    Raises: ValueError for values outside the above, features or values that are not finite, another number of rows,
        fewer than two classes, or a column of values that does not vary.
    """
    x = _checked_features(features)
    penalties = probe_penalties() if penalties is None else tuple(penalties)
    if task not in get_args(ProbeTask):
        raise ValueError(unknown_name("task of a probe:", str(task), get_args(ProbeTask)))
    if not penalties or not all(0 < penalty < math.inf for penalty in penalties):
        raise ValueError(f"penalties must be positive numbers, at least one, got {penalties}")
    if not 2 <= folds <= len(x):
        raise ValueError(f"folds must be in 2 to the number of samples, {len(x)}, got {folds}")
    if len(targets) != len(x):
        raise ValueError(f"targets have {len(targets)} rows for {len(x)} samples")
    if task == "class":
        y, unit = _one_hot(targets), torch.ones((), dtype=torch.float64)
        fold = _class_folds(targets, folds, seed)
    else:
        y, unit = _standardized(targets)
        fold = torch.randperm(len(x), generator=seeded(seed, "folds")) % folds
    solve, falling = _SOLVERS[task], sorted(set(penalties), reverse=True)
    best = falling[0]
    if len(falling) > 1:
        losses = torch.zeros(len(falling), dtype=torch.float64)
        for held in range(folds):
            inside = fold != held
            mean, scale = _standards(x[inside])
            out = (x[~inside] - mean) / scale
            found = solve((x[inside] - mean) / scale, y[inside], falling)
            losses += torch.stack([_LOSSES[task](out @ weight + bias, y[~inside]).sum() for weight, bias in found])
        best = falling[int(losses.argmin())]
    mean, scale = _standards(x)
    *_, (weight, bias) = solve((x - mean) / scale, y, [penalty for penalty in falling if penalty >= best])
    center = 0 if task == "class" else targets.double().mean(dim=0)
    return LinearProbe(task, mean, scale, weight * unit, bias * unit + center, best)


Solution = tuple[Float[Tensor, "F K"], Float[Tensor, " K"]]


def _ridge(x: Float[Tensor, "B F"], y: Float[Tensor, "B K"], penalties: Sequence[float]) -> Iterator[Solution]:
    """Weight and bias of least squares for each penalty; the columns of x have the mean 0."""
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    bias = y.mean(dim=0)
    moments = u.T @ (y - bias)
    for penalty in penalties:
        yield vt.T @ ((s / (s.square() + len(x) * penalty))[:, None] * moments), bias


def _logistic(x: Float[Tensor, "B F"], y: Float[Tensor, "B K"], penalties: Sequence[float]) -> Iterator[Solution]:
    """Weight and bias of logistic regression for each penalty, each started from the one before."""
    columns, one_hot = x.numpy(), y.numpy()
    num, width, classes = len(columns), columns.shape[1], one_hot.shape[1]

    def loss(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        weight, bias = flat[:-classes].reshape(width, classes), flat[-classes:]
        logits = columns @ weight + bias
        logits -= logits.max(axis=1, keepdims=True)
        exps = np.exp(logits)
        total = exps.sum(axis=1, keepdims=True)
        value = (np.log(total[:, 0]) - (logits * one_hot).sum(axis=1)).mean() + penalty / 2 * (weight**2).sum()
        residual = (exps / total - one_hot) / num
        slope = columns.T @ residual + penalty * weight
        return float(value), np.concatenate([slope.ravel(), residual.sum(axis=0)])

    flat = np.zeros(width * classes + classes)
    options = {"gtol": _GRADIENT, "ftol": 0.0, "maxiter": _ITERATIONS}
    for penalty in penalties:
        flat = minimize(loss, flat, (penalty,), jac=True, method="L-BFGS-B", options=options).x
        yield torch.from_numpy(flat[:-classes].reshape(width, classes).copy()), torch.from_numpy(flat[-classes:].copy())


def _squares(prediction: Float[Tensor, "B K"], y: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
    return (prediction - y).square().sum(dim=1)


def _cross_entropy(logits: Float[Tensor, "B K"], y: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
    return -(logits.log_softmax(dim=1) * y).sum(dim=1)


_SOLVERS = {"class": _logistic, "values": _ridge}
_LOSSES = {"class": _cross_entropy, "values": _squares}


def _checked_features(features: Tensor) -> Float[Tensor, "B F"]:
    if features.dim() != 2 or len(features) < 2 or not features.shape[1]:
        raise ValueError(f"features must be (B, F) with at least 2 samples, got shape {tuple(features.shape)}")
    x = features.detach().double().cpu()
    if not bool(x.isfinite().all()):
        raise ValueError(f"feature {int((~x.isfinite()).nonzero()[0, 1])} is not finite: leave out what failed")
    return x


def _standards(x: Float[Tensor, "B F"]) -> tuple[Float[Tensor, " F"], Float[Tensor, " F"]]:
    """Mean and standard deviation of every feature; infinity for one that varies by rounding at most."""
    mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    return mean, torch.where(scale > 1e-12 * x.abs().amax(dim=0), scale, math.inf)


def _one_hot(labels: Tensor) -> Float[Tensor, "B K"]:
    if labels.dim() != 1 or labels.is_floating_point() or int(labels.min()) < 0 or len(labels.unique()) < 2:
        raise ValueError(
            "labels must be whole numbers from 0 on, (B,), of at least 2 classes, got "
            f"{str(labels.dtype).removeprefix('torch.')} {tuple(labels.shape)} with {labels.unique()[:5].tolist()}"
        )
    return torch.nn.functional.one_hot(labels.long().cpu()).double()


def _standardized(values: Tensor) -> tuple[Float[Tensor, "B K"], Float[Tensor, " K"]]:
    """Values less their mean in units of their standard deviation, and these."""
    y = values.detach().double().cpu()
    if y.dim() != 2 or not bool(y.isfinite().all()):
        raise ValueError(f"values must be finite and (B, K), got shape {tuple(values.shape)}")
    y, unit = y - y.mean(dim=0), y.std(dim=0, correction=0)
    if not bool((unit > 0).all()):
        raise ValueError(f"column {int((unit <= 0).nonzero()[0])} of the values does not vary: there is nothing to fit")
    return y / unit, unit


def _class_folds(labels: Tensor, folds: int, seed: int) -> Int[Tensor, " B"]:
    """The fold in which each sample is held out, -1 for none: dealt out class by class, in random order."""
    order = torch.randperm(len(labels), generator=seeded(seed, "folds"))
    order = order[labels.cpu()[order].argsort(stable=True)]
    fold = torch.empty(len(labels), dtype=torch.int64)
    fold[order] = torch.arange(len(labels)) % folds
    fold[torch.bincount(labels.cpu())[labels.cpu()] == 1] = -1
    return fold
