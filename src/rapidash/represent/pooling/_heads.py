"""Classifiers of scikit-learn on a representation, their settings chosen by an inner cross-validation."""

import importlib.util
import warnings
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

HeadName = Literal["linear head", "MLP head"]
HEADS: tuple[HeadName, ...] = ("linear head", "MLP head")
_INNER_FOLDS = 3
_LINEAR = {"model__C": (0.01, 0.1, 1.0, 10.0)}
_MLP = {"model__alpha": (0.1, 3.0)}


def nested_head(
    name: HeadName,
    fitted: Float[Tensor, "N n"],
    label: Int[Tensor, " N"],
    site: Int[Tensor, " N"],
    asked: Float[Tensor, "M n"],
    *,
    seed: int = 0,
) -> Int[Tensor, " M"]:
    """The classes of further rows by a classifier whose penalty is chosen within the fitted rows alone.

    Logistic regression (C of 0.01, 0.1, 1, 10), or a perceptron with a hidden layer of 32 (alpha of 0.1 and 3, 60
    epochs), on standardized columns. The inner folds leave out sites, three groups of them, where there are at least
    three, as the test does; else they are stratified rows. The outer fold is the caller's: ``asked`` takes no part.

    Args:
        name: which of the two.
        fitted, label, site: rows to learn from.
        asked: rows to label.
        seed: of the perceptron and the stratified folds.
    Raises: ModuleNotFoundError without scikit-learn; ValueError for another name, or a single class.
    """
    if name not in HEADS:
        raise ValueError(f"head must be one of {HEADS}, got {name!r}")
    if importlib.util.find_spec("sklearn") is None:
        raise ModuleNotFoundError("heads of representations need scikit-learn: pip install 'rapidash[tabular]'")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    x, y, groups = fitted.detach().double().numpy(), label.numpy(), site.numpy()
    if len(np.unique(y)) < 2:
        raise ValueError(f"a head needs at least two classes to learn from, got {np.unique(y).tolist()}")
    model: Any = LogisticRegression(max_iter=1000)
    if name == "MLP head":
        model = MLPClassifier((32,), max_iter=60, learning_rate_init=3e-3, random_state=seed)
    by_site = len(np.unique(groups)) >= _INNER_FOLDS
    folds: Any = GroupKFold(_INNER_FOLDS)
    if not by_site:
        folds = StratifiedKFold(_INNER_FOLDS, shuffle=True, random_state=seed)
    pipeline = Pipeline([("scale", StandardScaler()), ("model", model)])
    search = GridSearchCV(pipeline, _LINEAR if name == "linear head" else _MLP, cv=folds, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is the setting
        search.fit(x, y, groups=groups if by_site else None)
    return torch.from_numpy(search.predict(asked.detach().double().numpy()).astype(np.int64))
