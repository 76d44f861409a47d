"""Does a measure of symmetry tell which model generalizes? Correlation over a set of models, with intervals."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from rapidash.measure._report import Report

_SAME = 1e-13  # values that differ less, relative to their size, differ by rounding


@dataclass(frozen=True)
class Correlation:
    """Pearson's and Spearman's coefficient with their intervals, and the least-squares line y = slope x + intercept."""

    pearson: float
    pearson_interval: tuple[float, float]
    spearman: float
    spearman_interval: tuple[float, float]
    slope: float
    intercept: float
    num_models: int
    level: float
    x: str
    y: str

    def report(self) -> Report:
        """One row per coefficient."""
        rows = [
            {"coefficient": name, "value": value, "low": low, "high": high}
            for name, value, (low, high) in (
                ("Pearson", self.pearson, self.pearson_interval),
                ("Spearman", self.spearman, self.spearman_interval),
            )
        ]
        return Report(f"{self.y} against {self.x}", tuple(rows), {"models": self.num_models, "level": self.level})


def correlation_study(
    x: Sequence[float | int] | np.ndarray,
    y: Sequence[float | int] | np.ndarray,
    *,
    x_name: str = "effective invariance",
    y_name: str = "accuracy",
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
    clusters: Sequence[Hashable] | None = None,
) -> Correlation:
    """Correlation of two measures over models: one entry for each model (or, for one model, for each test set).

    The interval of Pearson's r is Fisher's, that of Spearman's rho a percentile bootstrap over models. Where models
    come in clusters (the seeds of one variant), both are bootstraps over clusters: their models are drawn together.

    Args:
        x: the measure that needs no labels, e.g. the mean effective invariance.
        y: what it should predict, e.g. the accuracy.
        x_name, y_name: names in the report.
        level: of both intervals, in (0, 1).
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        clusters: of each model, what it belongs to; None: every model stands for itself.
    Raises: ValueError for fewer than 4 models or clusters, unequal lengths, values that are not
        finite, or a constant measure.
    """
    from scipy import stats  # slow to import

    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 4:
        raise ValueError(f"x and y need one value for each of at least 4 models, got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("x and y must be finite: leave out models that failed, and say so")
    for name, values in ((x_name, a), (y_name, b)):
        if np.ptp(values) <= _SAME * np.abs(values).max():
            raise ValueError(f"{name} is the same for all models: no correlation exists")
    names = list(range(len(a))) if clusters is None else list(clusters)
    members = [np.flatnonzero([other == name for other in names]) for name in dict.fromkeys(names)]
    if len(names) != len(a) or len(members) < 4:
        raise ValueError(f"clusters must name at least 4 for {len(a)} models, got {len(members)} for {len(names)}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    a_unit, b_unit = _unit(a), _unit(b)
    a, b = a / a_unit, b / b_unit
    pearson, fit = stats.pearsonr(a, b), stats.linregress(a, b)
    fisher = pearson.confidence_interval(confidence_level=level)
    rng, resampled = np.random.default_rng(seed), []
    for _ in range(num_resamples):
        index = np.concatenate([members[drawn] for drawn in rng.integers(len(members), size=len(members))])
        if np.ptp(a[index]) > 0 and np.ptp(b[index]) > 0:
            resampled.append((np.corrcoef(a[index], b[index])[0, 1], _spearman(a[index], b[index])))
    (low_r, low), (high_r, high) = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    of_pearson = (fisher.low, fisher.high) if clusters is None else (low_r, high_r)
    return Correlation(
        pearson=float(pearson.statistic),
        pearson_interval=(float(of_pearson[0]), float(of_pearson[1])),
        spearman=_spearman(a, b),
        spearman_interval=(float(low), float(high)),
        slope=float(fit.slope) * b_unit / a_unit,
        intercept=float(fit.intercept) * b_unit,
        num_models=len(a),
        level=level,
        x=x_name,
        y=y_name,
    )


def _unit(values: np.ndarray) -> float:
    """A power of two near the largest value, to divide by before it is squared."""
    return float(2.0 ** (np.frexp(np.abs(values).max())[1] - 1))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy import stats

    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])
