"""Probes of frozen features: what a small model reads off them, beside what a constant scores."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_PENALTIES = tuple(10.0**power for power in range(-8, 3))  # of a ridge, relative to the largest eigenvalue
_SAME = 1e-12  # relative to the size of the values: less is rounding


@dataclass(frozen=True)
class Probe:
    """The score of a probe on samples that it was not fitted to.

    Args:
        score: share of right classes, or the mean of R^2 over the columns of a target.
        constant: what the best constant of the training samples scores there: the most frequent class, or the means.
        columns: (T,) R^2 of each column of a regression; empty for classes.
        fitted_features: how many directions the probe was fitted to, see `linear_regression`.
        unexplained: of classes, the squared error of their indicators (1 for the class, 0 for others) over that of the
            constant; 0 is best, and where few samples are named wrongly it still tells features apart.
    """

    score: float
    constant: float
    columns: tuple[float, ...] = field(default=(), repr=False)
    fitted_features: int = 0
    unexplained: float = 1.0


def column_r2(prediction: Float[Tensor, "B T"], target: Float[Tensor, "B T"]) -> Float[Tensor, " T"]:
    r"""Share of the variance of each column that is predicted, 1 - sum (y - \hat y)^2 / sum (y - \bar y)^2.

    The mean is that of the column in these samples, so that no constant has more than 0; with one mean for all entries
    a constant can score well.

    Raises: ValueError for shapes that differ, fewer than two samples, or a column that does not vary.
    """
    if prediction.shape != target.shape or target.dim() != 2 or len(target) < 2:
        raise ValueError(
            f"R^2 needs predictions and targets (B, T) of at least 2 samples, got {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}"
        )
    prediction, target = prediction.double(), target.double()
    spread = (target - target.mean(dim=0)).square().sum(dim=0)
    if constant := (spread <= _SAME * target.square().sum(dim=0)).nonzero().flatten().tolist():
        raise ValueError(f"R^2 is not defined for column {constant[0]} of the target: it does not vary")
    return 1 - (target - prediction).square().sum(dim=0) / spread


def linear_regression(
    train: tuple[Float[Tensor, "A F"], Float[Tensor, "A T"]], test: tuple[Float[Tensor, "B F"], Float[Tensor, "B T"]]
) -> Probe:
    """R^2 per column of a ridge regression from features to a target.

    Features are standardized by the training samples. The penalty is the one of eleven with the least error where each
    training sample is left out once, and never 0, so that the fit is unique with more features than samples too; the
    features are then first taken to at most a third as many principal directions as there are training samples
    (``fitted_features``), since leaving one sample out cannot tell a good penalty where the others fit anything.

    Args:
        train: features and targets that the probe is fitted to.
        test: others, on which it is scored.
    Raises: ValueError for fewer than 3 training samples, features or targets that are not finite, or other shapes.
    """
    fit = _ridge(train[0], train[1], test[0])
    constant = train[1].double().mean(dim=0).expand(len(test[1]), -1)
    columns = column_r2(fit.prediction, test[1])
    return Probe(
        float(columns.mean()), float(column_r2(constant, test[1]).mean()), tuple(columns.tolist()), fit.directions
    )


def linear_classifier(
    train: tuple[Float[Tensor, "A F"], Int[Tensor, " A"]], test: tuple[Float[Tensor, "B F"], Int[Tensor, " B"]]
) -> Probe:
    """Share of samples whose class a linear classifier names: a ridge regression to 1 for the class and 0 for others.

    The penalty, and what is done with more features than samples, are as of `linear_regression`.

    Args:
        train: features and classes, whole numbers of at least 0, that the probe is fitted to.
        test: others, on which it is scored.
    Raises: ValueError for classes that are no whole numbers, or as `linear_regression`.
    """
    for name, (_, label) in (("train", train), ("test", test)):
        if label.dim() != 1 or label.is_floating_point() or (len(label) and int(label.min()) < 0):
            raise ValueError(
                f"classes of {name} must be whole numbers (B,) of at least 0, got {label.dtype} {label.shape}"
            )
    num = int(max(train[1].max(), test[1].max())) + 1
    fit = _ridge(train[0], nn.functional.one_hot(train[1], num), test[0])
    shares = train[1].bincount(minlength=num) / len(train[1])
    right = fit.prediction.argmax(dim=1) == test[1]
    indicators = nn.functional.one_hot(test[1], num)
    rest = (fit.prediction - indicators).square().sum() / (shares - indicators).square().sum().clamp(min=_SAME)
    return Probe(
        float(right.double().mean()),
        float((test[1] == shares.argmax()).double().mean()),
        fitted_features=fit.directions,
        unexplained=float(rest),
    )


def mlp_regression(
    train: tuple[Float[Tensor, "A F"], Float[Tensor, "A T"]],
    test: tuple[Float[Tensor, "B F"], Float[Tensor, "B T"]],
    *,
    seed: int = 0,
    hidden_dim: int = 256,
    steps: int = 600,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
) -> Probe:
    """R^2 per column of a perceptron of two hidden layers, trained on the squared error by Adam for a fixed time.

    Features and targets are standardized by the training samples, and features whose deviation is below 1e-6 of the
    largest are left out. With more features than samples nothing else changes: the time is fixed, not the fit.

    Args:
        train: features and targets that the probe is fitted to.
        test: others, on which it is scored.
        seed: of weights and order.
        hidden_dim, steps, batch_size, learning_rate: of the training; the rate falls to 0 as a cosine.
    Raises: as `linear_regression`.
    """
    _check(train[0], train[1], test[0])
    x, mean, deviation = _standardized(train[0])
    kept = deviation > 1e-6 * deviation.max()
    if not bool(kept.any()):  # nothing to read: the constant
        constant = train[1].double().mean(dim=0).expand(len(test[1]), -1)
        columns = column_r2(constant, test[1])
        return Probe(float(columns.mean()), float(columns.mean()), tuple(columns.tolist()), 0)
    target, middle, scale = _standardized(train[1])
    x, other = (rows[:, kept].float() for rows in (x, _in_units(test[0], mean, deviation)))
    y, width = target.float(), x.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(width, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, hidden_dim), nn.ReLU(),
            nn.Linear(hidden_dim, y.shape[1]),
        )  # fmt: skip
    rng = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            chosen = torch.randint(len(x), (min(batch_size, len(x)),), generator=rng)
            optimizer.zero_grad(set_to_none=True)
            (network(x[chosen]) - y[chosen]).square().mean().backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        prediction = network(other).double() * scale + middle
    columns = column_r2(prediction, test[1])
    constant = column_r2(middle.expand(len(test[1]), -1), test[1])
    return Probe(float(columns.mean()), float(constant.mean()), tuple(columns.tolist()), int(kept.sum()))


@dataclass(frozen=True)
class _Fit:
    prediction: Float[Tensor, "B T"]
    directions: int


def _ridge(x: Float[Tensor, "A F"], y: Float[Tensor, "A T"], other: Float[Tensor, "B F"]) -> _Fit:
    """Predictions for other features, see `linear_regression`."""
    _check(x, y, other)
    y = y.double()
    rows, mean, deviation = _standardized(x)
    left, sizes, right = torch.linalg.svd(rows, full_matrices=False)
    most = len(x) // 3 if x.shape[1] > len(x) else len(sizes)
    kept = (sizes > 1e-10 * sizes[0].clamp(min=1e-300)) & (torch.arange(len(sizes)) < max(1, most))
    if not bool(kept.any()) or not bool(sizes[0] > 0):
        return _Fit(y.mean(dim=0).expand(len(other), -1), 0)
    left, sizes, right = left[:, kept], sizes[kept], right[kept]
    middle = y.mean(dim=0)
    inner = left.T @ (y - middle)
    best, weights = None, inner
    for penalty in _PENALTIES:
        shrink = sizes.square() / (sizes.square() + penalty * sizes[0].square())
        leverage = (left.square() * shrink).sum(dim=1) + 1 / len(x)  # with that of the mean
        residual = (y - middle - left @ (shrink[:, None] * inner)) / (1 - leverage).clamp(min=1e-6)[:, None]
        error = residual.square().sum()
        if best is None or error < best:
            best, weights = error, shrink[:, None] / sizes[:, None] * inner
    return _Fit(_in_units(other, mean, deviation) @ (right.T @ weights) + middle, int(kept.sum()))


def _standardized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Columns with mean 0 and deviation 1, and these; one that does not vary becomes 0."""
    x = x.double()
    mean, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
    size = x.abs().amax(dim=0)
    deviation = torch.where(deviation > 1e-9 * size, deviation, torch.zeros_like(deviation))
    return _in_units(x, mean, deviation), mean, deviation


def _in_units(x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Columns less their means, in deviations; 0 where there is none."""
    return torch.where(deviation > 0, (x.double() - mean) / deviation.where(deviation > 0, 1.0), 0.0)


def _check(x: Tensor, y: Tensor, other: Tensor) -> None:
    if x.dim() != 2 or y.dim() != 2 or other.dim() != 2 or len(x) != len(y) or x.shape[1] != other.shape[1]:
        shapes = f"{tuple(x.shape)}, {tuple(y.shape)}, {tuple(other.shape)}"
        raise ValueError(f"a probe takes features (A, F), targets (A, T) and other features (B, F), got {shapes}")
    if len(x) < 3 or len(other) < 1 or x.shape[1] < 1:
        raise ValueError(
            f"a probe needs at least 3 samples to be fitted to, one to be scored on and one feature, got {len(x)}, "
            f"{len(other)} and {x.shape[1]}"
        )
    for name, values in (("features", x), ("targets", y), ("features of the scored samples", other)):
        if not bool(torch.isfinite(values.double()).all()):
            raise ValueError(f"a probe needs finite {name}: there are NaN or infinite values")
