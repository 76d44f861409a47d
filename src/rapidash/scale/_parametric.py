"""The loss as a sum of two power laws, in the size of a model and the samples that it saw, and what that implies."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from rapidash.scale._power_law import (
    Interval,
    Values,
    check_lengths,
    check_sizes,
    checked,
    interval,
    num_points,
    resamples,
)

HUBER = 1e-3  # of log residuals: larger ones count by their size, not by their square


@dataclass(frozen=True)
class ParametricFit:
    r"""L(N, D) = A N^(-alpha) + B D^(-beta) + E.

    Args:
        size_coefficient, size_exponent: A and alpha, of the number of parameters N.
        data_coefficient, data_exponent: B and beta, of the number of samples D.
        irreducible: E; None where it was left out.
        allocation_exponent: beta / (alpha + beta): of the best size with compute, where that is proportional to N D.
        spread: root mean square of the residuals of log L.
        num: runs.
    """

    size_coefficient: Interval
    size_exponent: Interval
    data_coefficient: Interval
    data_exponent: Interval
    irreducible: Interval | None
    allocation_exponent: Interval
    spread: float
    num: int

    def __call__(self, size: float, samples: float) -> float:
        """The loss of a model of this size after so many samples."""
        loss = self.size_coefficient.value * size**-self.size_exponent.value
        loss += self.data_coefficient.value * samples**-self.data_exponent.value
        return loss + (self.irreducible.value if self.irreducible else 0.0)


@dataclass(frozen=True)
class Allocation:
    """The model and the samples that a compute is best spent on."""

    size: float
    samples: float
    loss: float


def fit_chinchilla(
    sizes: ArrayLike,
    samples: ArrayLike,
    losses: ArrayLike,
    *,
    irreducible: bool = False,
    num_bootstrap: int = 200,
    seed: int = 0,
) -> ParametricFit:
    r"""Fit `ParametricFit`: Huber's loss (1e-3) of the residuals of log L, from a grid of starts; bootstrap over runs.

    One pass over data that never repeat and many passes over few data are different regimes: fit them apart. In data
    without noise the constant E is not told from 0 (with 2 % of noise in the loss it was fitted anywhere between 1e-19
    and its true 1e-3), so it is left out unless it is asked for.

    Args:
        sizes: N of every run, in parameters.
        samples: D, samples seen.
        losses: of each run.
        irreducible: fit E too.
        num_bootstrap, seed: resamples of runs for the intervals, and their seed.
    Raises: ValueError for values that are not positive and finite, fewer than three different sizes or samples, or
        fewer pairs of them than coefficients and one more.
    Source: Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, approach 3.
    """
    n, d, loss = (
        np.log(checked(name, values)) for name, values in (("sizes", sizes), ("samples", samples), ("losses", losses))
    )
    check_lengths(sizes=n, samples=d, losses=loss)
    check_sizes("sizes", n)
    check_sizes("samples", d)
    least = 5 + irreducible  # one more than coefficients, or every fit is exact
    if (count := num_points(n, d)) < least:
        raise ValueError(f"a fit needs at least {least} runs that differ in sizes or samples, got {count}")
    starts = _starts(n, d, loss, irreducible)
    best, residual = _fitted(n, d, loss, starts)
    drawn = resamples(np.random.default_rng(seed), num_bootstrap, n, d, least=least)
    table = np.array([_fitted(n[rows], d[rows], loss[rows], [best])[0] for rows in drawn]).reshape(-1, len(best))
    for index in (0, 2, 4)[: 2 + irreducible]:  # coefficients were fitted as logarithms
        best[index], table[:, index] = np.exp(best[index]), np.exp(table[:, index])
    named = [interval(float(value), table[:, index]) for index, value in enumerate(best)]
    return ParametricFit(
        named[0],
        named[1],
        named[2],
        named[3],
        named[4] if irreducible else None,
        interval(_allocation(best), _allocation(table.T)),
        float(np.sqrt(np.square(residual).mean())),
        len(n),
    )


def optimal_allocation(fit: ParametricFit, compute: float, *, per_parameter_and_sample: float = 6.0) -> Allocation:
    r"""The N and D of least loss with N D k = C.

    .. math:: N = \Big(\frac{\alpha A}{\beta B}\Big)^{1 / (\alpha + \beta)} (C / k)^{\beta / (\alpha + \beta)},
        \quad D = C / (k N)

    Args:
        fit: the loss.
        compute: C, in operations.
        per_parameter_and_sample: k, operations for each parameter and sample: count them, since layers that share
            weights between positions and orientations need many more than 6.
    Raises: ValueError for a compute or k that is not positive, or a fit whose exponents are not positive.
    """
    if not (compute > 0 and per_parameter_and_sample > 0):
        raise ValueError(
            f"compute and per_parameter_and_sample must be positive, got {compute, per_parameter_and_sample}"
        )
    a, b = fit.size_exponent.value, fit.data_exponent.value
    if min(a, b) <= 0:
        raise ValueError(f"no allocation is best where an exponent is not positive: size {a:.3g}, data {b:.3g}")
    product = compute / per_parameter_and_sample
    ratio = a * fit.size_coefficient.value / (b * fit.data_coefficient.value)
    size = ratio ** (1 / (a + b)) * product ** (b / (a + b))
    return Allocation(size, product / size, fit(size, product / size))


def _allocation(point: Values) -> Any:
    """The exponent of the best size, of one fit or of many."""
    return point[3] / (point[1] + point[3])


def _starts(n: Values, d: Values, loss: Values, irreducible: bool) -> list[Values]:
    """Exponents from a grid, with coefficients that share the mean loss in three ways; E a tenth of the least loss."""
    found = []
    for alpha, beta, share in itertools.product((0.1, 0.3, 0.6, 1.0), (0.1, 0.3, 0.6, 1.0), (0.1, 0.5, 0.9)):
        a = float(loss.mean() + math.log(share) + alpha * n.mean())
        b = float(loss.mean() + math.log(1 - share) + beta * d.mean())
        found.append(np.array([a, alpha, b, beta, *([float(loss.min()) - math.log(10)] if irreducible else [])]))
    return found


def _fitted(n: Values, d: Values, loss: Values, starts: Sequence[Values]) -> tuple[Values, Values]:
    """The best of the fits from all starts, with its residuals."""

    def parts(point: Values) -> Values:
        rows = [point[0] - point[1] * n, point[2] - point[3] * d]
        return np.stack(rows + [np.full_like(n, value) for value in point[4:]])

    def residuals(point: Values) -> Values:
        return np.logaddexp.reduce(parts(point), axis=0) - loss

    def jacobian(point: Values) -> Values:
        terms = parts(point)
        weights = np.exp(terms - np.logaddexp.reduce(terms, axis=0))
        columns = [weights[0], -n * weights[0], weights[1], -d * weights[1], *weights[2:]]
        return np.stack(columns, axis=1)

    best = None
    for start in starts:
        found = least_squares(residuals, start, jacobian, loss="huber", f_scale=HUBER, x_scale="jac", max_nfev=500)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return best.x, residuals(best.x)
