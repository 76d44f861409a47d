import math

import pytest
import torch
from torch import Tensor

from rapidash.data import seeded
from rapidash.represent import linear_probe, probe_penalties
from rapidash.represent._linear_probe import _class_folds


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed, *shape), dtype=torch.float64)


def test_ridge_by_hand() -> None:
    x, y = torch.tensor([[-3.0], [3.0]]), torch.tensor([[1.0], [5.0]])
    probe = linear_probe(x, y, "values", penalties=[0.25], folds=2)
    # x / 3 = (-1, 1), (y - 3) / 2 = (-1, 1): w minimizes (1 - w)^2 / 2 + w^2 / 8, so w = 1 / 1.25
    assert probe(x)[:, 0].tolist() == pytest.approx([3 - 2 * 0.8, 3 + 2 * 0.8])


def test_ridge_solves_the_normal_equations_and_has_no_penalty_on_the_mean() -> None:
    x, y = normal(40, 5) * torch.tensor([1.0, 10, 0.1, 1, 1]) + 7, normal(40, 2, seed=1) + 100
    probe = linear_probe(x, y, "values", penalties=[0.03])
    standard = (x - x.mean(0)) / x.std(0, correction=0)
    unit = y.std(0, correction=0)
    w = torch.linalg.solve(
        standard.T @ standard / 40 + 0.03 * torch.eye(5).double(), standard.T @ ((y - y.mean(0)) / unit) / 40
    )
    assert torch.allclose(probe(x), standard @ w * unit + y.mean(0), atol=1e-9)


def test_logistic_regression_by_hand() -> None:
    x, labels = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]]), torch.tensor([0, 1, 0, 1])
    probe = linear_probe(x, labels, "class", penalties=[0.1], folds=2)
    logits = probe(x)
    w = float(logits[1, 1] - logits[1, 0]) / 2  # by symmetry the weights are (-w, w), the biases 0
    # loss = log(1 + e^{-2w}) + 0.1 w^2: the derivative is -2 / (1 + e^{2w}) + 0.2 w = 0
    assert -2 / (1 + math.exp(2 * w)) + 0.2 * w == pytest.approx(0, abs=1e-4)
    assert probe.accuracy(x, labels) == 1


def test_cross_validation_takes_a_small_penalty_for_clean_values_and_a_large_one_for_noise() -> None:
    x = normal(200, 6)
    clean, noise = x @ normal(6, 1, seed=2), normal(200, 1, seed=3)
    assert linear_probe(x, clean, "values").penalty == pytest.approx(1e-6)
    assert linear_probe(x, noise, "values").penalty > 1
    probe = linear_probe(x, clean, "values")
    assert float(probe.r_squared(x, clean)) == pytest.approx(1, abs=1e-6)
    labels = (clean[:, 0] > 0).long()
    assert linear_probe(x, labels, "class", penalties=(1e-3, 1e3)).penalty == 1e-3
    assert linear_probe(x, labels, "class", penalties=(1e-3, 1e3)).accuracy(x, labels) > 0.95


def test_more_features_than_samples_have_one_solution() -> None:
    x, y = normal(10, 40), normal(10, 2, seed=1)
    probe = linear_probe(x, y, "values", penalties=[0.1])
    assert torch.linalg.matrix_rank(probe.weight) == 2
    residual = (y - probe(x)) / y.std(0, correction=0)
    standard = (x - x.mean(0)) / x.std(0, correction=0)
    slope = -standard.T @ residual / 10 + 0.1 * probe.weight / y.std(0, correction=0)
    assert slope.abs().max() < 1e-9
    labels = torch.arange(10) % 2
    assert linear_probe(x, labels, "class", penalties=[0.1]).accuracy(x, labels) == 1


def test_a_class_with_one_sample_is_never_held_out() -> None:
    x = torch.cat([normal(20, 3), torch.full((1, 3), 9.0).double()])
    labels = torch.cat([torch.arange(20) % 2, torch.tensor([2])])
    probe = linear_probe(x, labels, "class", penalties=(1e-3, 1e-1), folds=10)
    assert probe(x).argmax(dim=1)[-1] == 2
    fold = _class_folds(labels, 10, seed=0)
    assert fold[-1] == -1
    assert [torch.bincount(fold[:20][labels[:20] == k]).tolist() for k in (0, 1)] == [[1] * 10] * 2


def test_features_that_do_not_vary_have_no_weight() -> None:
    x = torch.cat([normal(30, 2), torch.full((30, 1), 0.1).double()], dim=1)
    probe = linear_probe(x, x[:, :1], "values", penalties=[1e-6])
    moved = torch.cat([x[:, :2], x[:, 2:] + 1e6], dim=1)
    assert torch.equal(probe(moved), probe(x))


def test_penalties_grow_with_the_number_of_encoders() -> None:
    one, three = probe_penalties(), probe_penalties(num_encoders=3)
    assert len(one) == 45
    assert (one[0], one[-1]) == pytest.approx((1e-6, 1e5))
    assert three == pytest.approx([1e4 * penalty for penalty in one])


@pytest.mark.usefixtures("shape_checks_off")
def test_bad_probes_are_refused() -> None:
    x, y = normal(6, 2), normal(6, 1, seed=1)
    for match, call in {
        "at least 2 samples": lambda: linear_probe(x[:1], y[:1], "values"),
        "feature 1 is not finite": lambda: linear_probe(x / torch.tensor([1.0, 0.0]), y, "values"),
        "task of a probe: 'clas'.*class": lambda: linear_probe(x, y, "clas"),
        "penalties must be positive": lambda: linear_probe(x, y, "values", penalties=[0.0]),
        "folds must be in 2 to the number of samples, 6, got 7": lambda: linear_probe(x, y, "values", folds=7),
        "targets have 5 rows for 6 samples": lambda: linear_probe(x, y[:5], "values"),
        "at least 2 classes": lambda: linear_probe(x, torch.zeros(6).long(), "class"),
        "whole numbers": lambda: linear_probe(x, y[:, 0], "class"),
        "column 0 of the values does not vary": lambda: linear_probe(x, torch.ones(6, 1), "values"),
        "num must be at least 2": lambda: probe_penalties(1),
        "no R\\^2: ask for accuracy": lambda: linear_probe(x, torch.arange(6) % 2, "class").r_squared(x, y),
        "no accuracy: ask for r_squared": lambda: linear_probe(x, y, "values").accuracy(x, torch.arange(6)),
    }.items():
        with pytest.raises(ValueError, match=match):
            call()
