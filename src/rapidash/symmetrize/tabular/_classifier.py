"""EquiTabPFN as an estimator of scikit-learn."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from rapidash.symmetrize.tabular._prior import fitted_to_width, standardized
from rapidash.symmetrize.tabular._saved import load_in_context

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("EquiTabPFNClassifier needs scikit-learn: pip install 'rapidash[tabular]'") from error

_TOKENS = 200_000  # at a time, where 256 rows have no more: the rows that are asked for do not see each other
_CONSTANT = 1e-12  # a column that reaches less far from its middle, in units of its largest value, is constant
_FAR = 1e100  # reaches from the middle


class EquiTabPFNClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of tables that is not trained on them: a network fitted to random tables reads the training rows.

    ``fit`` keeps the training rows; ``predict_proba`` gives them to an `EquiTabPFN` as context, once for each member,
    and averages the probabilities of the members. Columns are standardized over the context, whatever their unit, and
    missing values (NaN) count as the mean. A table with more columns than the network has (32 in the packaged one) is
    projected on the principal components of the context. More than ``max_context`` training rows are thinned out at
    random, class by class in their shares. Any number of classes, also more than the network was fitted to (10).

    Symmetry: renaming the classes permutes the probabilities, exactly but for rounding.

    Args:
        num_members: passes that are averaged; in all but the first the columns are turned by a random rotation (seeded)
            within the network's width.
        max_context: most training rows that are kept.
        weights: folder of a network, see `load_in_context`; None: the packaged one.
        dtype: ``"float64"``, or ``"float32"`` in half of the time, where a probability changes by about 1e-6 with the
            rows that are asked for beside it.
        random_state: of the thinning and the rotations.
    Attributes: ``classes_``, ``n_features_in_``, ``num_context_`` (rows kept), ``is_projected_``.
    Raises: ImportError where scikit-learn is not installed; ValueError as scikit-learn's estimators.
    Source: Arbel et al., "EquiTabPFN", arXiv 2502.06684; interface of scikit-learn.
    """

    def __init__(
        self,
        num_members: int = 4,
        max_context: int = 2000,
        weights: str | None = None,
        dtype: str = "float64",
        random_state: Any = 0,
    ) -> None:
        self.num_members = num_members
        self.max_context = max_context
        self.weights = weights
        self.dtype = dtype
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> "EquiTabPFNClassifier":
        """Keep the training rows X (n, d), NaN where a value is missing, with their classes y (n,)."""
        for name in ("num_members", "max_context"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        rows, labels = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        random = check_random_state(self.random_state)
        kept = _thinned(codes, self.max_context, random)
        network = load_in_context(self.weights, self.dtype)
        self.context_label_ = torch.from_numpy(codes[kept].astype(np.int64))
        self.num_context_ = len(kept)
        self.is_projected_ = rows.shape[1] > network.num_features
        self.rotations_ = [None, *(_rotation(network.num_features, random) for _ in range(self.num_members - 1))]
        self.scale_ = _middle_and_reach(rows[kept])
        self.context_ = _scaled(rows[kept], *self.scale_)
        self.projection_ = _principal(self.context_, network.num_features) if self.is_projected_ else None
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (n, C) of the classes, in the order of ``classes_``."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        asked = _scaled(rows, *self.scale_)
        if len(self.classes_) == 1:
            return np.ones((len(asked), 1))
        together = max(256, _TOKENS // (1 + len(self.classes_)) - self.num_context_)
        with torch.no_grad():
            return torch.cat([self._probabilities(part) for part in asked.split(together)]).numpy()

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each row."""
        probabilities = self.predict_proba(X)
        classes: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return classes

    def _probabilities(self, asked: torch.Tensor) -> torch.Tensor:
        network = load_in_context(self.weights, self.dtype)
        count = self.num_context_
        x = standardized(torch.cat([self.context_, asked]), count)
        if self.projection_ is not None:
            x = x.nan_to_num(nan=0.0) @ self.projection_
        x = fitted_to_width(x, network.num_features)
        total = torch.zeros(len(asked), len(self.classes_), dtype=torch.float64)
        for rotation in self.rotations_:
            turned = x if rotation is None else x.nan_to_num(nan=0.0) @ rotation
            logits = network(turned.to(network.mask.dtype)[None], self.context_label_[None], len(self.classes_))
            total += logits[0].double().softmax(dim=-1)
        return total / total.sum(dim=1, keepdim=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _thinned(codes: NDArray[np.int64], most: int, random: np.random.RandomState) -> NDArray[np.int64]:
    """Places of at most so many rows in their order: those of every class in its share, at least one where they fit."""
    if len(codes) <= most:
        return np.arange(len(codes))
    order = random.permutation(len(codes))
    counts = np.bincount(codes)
    rank = np.empty(len(codes))  # of a row within its class, from 0 to 1: the first of every class come first
    for code in range(len(counts)):
        rows = order[codes[order] == code]
        rank[rows] = np.arange(len(rows)) / counts[code]
    return np.sort(np.lexsort((random.permutation(len(codes)), rank))[:most])


def _middle_and_reach(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middle of the range of each column, and half of that range; infinite for columns without one."""
    low = np.where(np.isnan(rows), np.inf, rows).min(axis=0)
    high = np.where(np.isnan(rows), -np.inf, rows).max(axis=0)
    reach = high / 2 - low / 2
    is_constant = ~(reach > _CONSTANT * np.maximum(np.abs(low), np.abs(high)))
    middle = np.where(is_constant, 0.0, low) / 2 + np.where(is_constant, 0.0, high) / 2
    return middle, np.where(is_constant, np.inf, reach)


def _scaled(rows: NDArray[np.float64], middle: NDArray[np.float64], reach: NDArray[np.float64]) -> torch.Tensor:
    """Columns about their middle in units of their reach, so that no unit of a table is too small or too large."""
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.clip((rows - middle) / reach, -_FAR, _FAR))


def _rotation(size: int, random: np.random.RandomState) -> torch.Tensor:
    return torch.linalg.qr(torch.from_numpy(random.standard_normal((size, size))))[0]


def _principal(rows: torch.Tensor, size: int) -> torch.Tensor:
    """Directions (d, size) of largest variance of the standardized rows, scaled to mean variance 1."""
    scaled = standardized(rows, len(rows)).nan_to_num(nan=0.0)
    _, spread, directions = torch.linalg.svd(scaled, full_matrices=False)
    kept = directions[:size].T
    variance = spread[:size].square().sum() / len(rows) / size
    kept = kept / variance.sqrt().clamp(min=1e-12)
    return torch.nn.functional.pad(kept, (0, size - kept.shape[1]))
