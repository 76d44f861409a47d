"""How much better is a target predicted with some numbers beside others? A small regression, on held-out clouds."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rapidash._seed import seeded

Values = NDArray[np.float64]
FOLDS: Final = 5
_RIDGES: Final = np.geomspace(1e-4, 10.0, 8)


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error."""

    value: float
    standard_error: float

    @property
    def z(self) -> float:
        """The value in units of its standard error; 0 for a value of 0."""
        if self.value == 0:
            return 0.0
        return self.value / self.standard_error if self.standard_error > 0 else math.copysign(math.inf, self.value)


def gain(
    base: Float[Tensor, "B F"], extra: Float[Tensor, "B E"], target: Float[Tensor, "B K"], *, seed: int = 0
) -> Estimate:
    r"""The share of the variance of a target that further columns explain: (L(base) - L(base, extra)) / variance.

    Both errors are of held-out clouds, in five folds, by kernel ridge regression with a Gaussian kernel whose width is
    the median distance; the ridge, and whether the kernels of the two sets of columns are added or multiplied, is
    chosen by leaving out one training cloud at a time. The standard error is that of the paired difference over clouds.
    Columns that tell nothing give 0 or a little less.

    Args:
        base: what is known already.
        extra: what is asked about.
        target: numbers, or 0 and 1 for every class.
        seed: of the folds.
    Raises: ValueError for fewer than ten clouds.
    """
    if len(target) < 2 * FOLDS:
        raise ValueError(f"a gain needs at least {2 * FOLDS} clouds, got {len(target)}")
    known, added, wanted = (part.double().numpy() for part in (base, extra, target))
    known, added = _kernel(known), _kernel(added)
    candidates = (known + added) / 2, known * added
    order = torch.randperm(len(wanted), generator=seeded(seed, "folds")).numpy()
    without, with_extra = np.zeros(len(wanted)), np.zeros(len(wanted))
    for held in np.array_split(order, FOLDS):
        rest = np.setdiff1d(order, held)
        without[held] = _errors((known,), wanted, rest, held)
        with_extra[held] = _errors(candidates, wanted, rest, held)
    variance = float(np.square(wanted - wanted.mean(axis=0)).sum(axis=1).mean())
    difference = (without - with_extra) / (variance or 1.0)
    return Estimate(float(difference.mean()), float(difference.std(ddof=1)) / math.sqrt(len(wanted)))


def _kernel(columns: Values) -> Values:
    """The Gaussian kernel of standardized columns; constant columns are left out."""
    spread = columns.std(axis=0)
    kept = columns[:, spread > 1e-9 * (np.abs(columns).max(axis=0) + 1e-300)]
    if kept.shape[1] == 0:
        return np.ones((len(columns), len(columns)))
    scaled = np.clip((kept - kept.mean(axis=0)) / kept.std(axis=0), -5, 5)
    square = np.maximum(
        np.square(scaled).sum(axis=1)[:, None] + np.square(scaled).sum(axis=1) - 2 * scaled @ scaled.T, 0
    )
    middle = float(np.median(square[np.triu_indices(len(square), 1)]))
    return np.exp(-square / (middle if middle > 0 else 1.0))


def _errors(kernels: tuple[Values, ...], target: Values, train: Any, held: Any) -> Values:
    """Squared errors of held-out rows by the kernel and ridge with the least error in leaving one out."""
    mean = target[train].mean(axis=0)
    wanted = target[train] - mean
    best = (math.inf, np.zeros((len(held), target.shape[1])))
    for kernel in kernels:
        values, vectors = np.linalg.eigh(kernel[np.ix_(train, train)])
        values, turned = np.maximum(values, 0), vectors.T @ wanted
        for ridge in _RIDGES * len(train) / 100:
            inverse = vectors / (values + ridge)
            weights = inverse @ turned
            left_out = weights / np.einsum("ij,ij->i", inverse, vectors)[:, None]
            score = float(np.square(left_out).sum())
            if score < best[0]:
                best = score, kernel[np.ix_(held, train)] @ weights
    return np.square(target[held] - mean - best[1]).sum(axis=1)
