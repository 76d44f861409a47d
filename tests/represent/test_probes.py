"""Probes, their constants, and retrieval, against values worked out by hand or another way."""

import pytest
import torch

from rapidash.data import seeded
from rapidash.represent import (
    column_r2,
    linear_classifier,
    linear_regression,
    mlp_regression,
    retrieval,
    vicreg_covariance,
    vicreg_variance,
)


def normal(*shape: int, seed: object = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded("probes", seed), dtype=torch.float64)


def test_variance_and_covariance_by_hand() -> None:
    z = torch.tensor([[0.0, 1.0], [2.0, 1.0]], dtype=torch.float64)  # variances 2 and 0
    assert float(vicreg_variance(z)) == pytest.approx((0.0 + 1 - 1e-2) / 4)
    z = torch.tensor([[0.0, 3.0], [1.0, 1.0]], dtype=torch.float64)  # covariance 2 (-1/2)(1) = -1, over B - 1 = 1
    assert float(vicreg_covariance(z)) == pytest.approx((1.0 + 1.0) / 2)
    assert float(vicreg_variance(torch.zeros(5, 3))) == pytest.approx(0.495)
    x = normal(50, 4)
    cov = torch.cov(x.T)
    assert float(vicreg_covariance(x)) == pytest.approx(float((cov - cov.diag().diag()).square().sum() / 4))
    for term in (vicreg_variance, vicreg_covariance):
        with pytest.raises(ValueError, match=r"at least 2 samples, got shape \(1, 3\).*larger batch_size"):
            term(torch.zeros(1, 3))


def test_r2_is_that_of_each_column() -> None:
    target = torch.tensor([[0.0, 10.0], [2.0, 10.0], [4.0, 13.0]])
    prediction = torch.tensor([[0.0, 11.0], [2.0, 11.0], [2.0, 11.0]])
    assert column_r2(prediction, target).tolist() == pytest.approx([1 - 4 / 8, 0.0])
    pooled = 1 - (target - target.mean(dim=0)).square().sum() / (target - target.mean()).square().sum()
    assert float(pooled) > 0.8  # so much a constant scores when all entries share one mean
    assert column_r2(target.mean(dim=0).expand(3, -1), target).abs().max() < 1e-6
    with pytest.raises(ValueError, match="column 1 of the target: it does not vary"):
        column_r2(prediction, torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
    with pytest.raises(ValueError, match="at least 2 samples"):
        column_r2(target[:1], target[:1])


def test_a_linear_map_is_read_off_and_noise_is_not() -> None:
    x, y = normal(80, 5), normal(5, 2, seed=1)
    probe = linear_regression((x[:50], x[:50] @ y + 3), (x[50:], x[50:] @ y + 3))
    assert probe.score > 1 - 1e-6
    assert probe.constant <= 0
    noise = linear_regression((x[:50], normal(50, 2, seed=2)), (x[50:], normal(30, 2, seed=3)))
    assert noise.score < 0.1


def test_leaving_one_out_is_what_it_says() -> None:
    """The best penalty, from fits without each sample in turn, gives the same predictions."""
    x, y = normal(12, 3), normal(12, 1, seed=4) + normal(12, 3) @ normal(3, 1, seed=5)
    other, truth = normal(6, 3, seed=6), normal(6, 1, seed=7)
    unit = (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
    largest = torch.linalg.svdvals(unit)[0] ** 2
    best = None
    for power in range(-8, 3):
        weight, error = 10.0**power * largest, 0.0
        for left in range(12):
            kept = torch.arange(12) != left
            design = torch.cat([unit[kept], torch.ones(11, 1, dtype=torch.float64)], dim=1)
            ridge = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)) * weight
            beta = torch.linalg.solve(design.T @ design + ridge, design.T @ y[kept])
            error += float((torch.cat([unit[left], torch.ones(1, dtype=torch.float64)]) @ beta - y[left]) ** 2)
        if best is None or error < best[0]:
            best = (error, weight)
    assert best is not None
    beta = torch.linalg.solve(unit.T @ unit + best[1] * torch.eye(3), unit.T @ (y - y.mean()))
    prediction = (other - x.mean(dim=0)) / x.std(dim=0, correction=0) @ beta + y.mean()
    assert linear_regression((x, y), (other, truth)).columns == pytest.approx(column_r2(prediction, truth).tolist())


def test_more_features_than_samples_are_taken_to_a_third_of_the_samples() -> None:
    x, y = normal(24, 200), normal(24, 1, seed=1)
    probe = linear_regression((x[:18], y[:18]), (x[18:], y[18:]))
    assert probe.fitted_features == 6
    assert probe.score < 0.5  # noise: a fit of all 200 would reproduce the training data
    assert linear_regression((x[:18, :4], y[:18]), (x[18:, :4], y[18:])).fitted_features == 4
    found = mlp_regression((x[:18], y[:18]), (x[18:], y[18:]), steps=5, hidden_dim=8)
    assert found.fitted_features == 200


def test_classes_and_the_most_frequent_one() -> None:
    label = torch.tensor([0, 1, 2] * 20 + [1] * 20)
    x = torch.nn.functional.one_hot(label, 3).double() @ normal(3, 6) + 0.05 * normal(80, 6, seed=1)
    probe = linear_classifier((x, label), (x[:30], label[:30]))
    assert probe.score == 1.0
    assert probe.constant == pytest.approx(1 / 3)  # class 1 is the most frequent one of the training data
    assert probe.unexplained < 0.1
    nothing = linear_classifier((torch.zeros(80, 6), label), (torch.zeros(30, 6), label[:30]))
    assert (nothing.score, nothing.unexplained) == pytest.approx((1 / 3, 1.0))
    with pytest.raises(ValueError, match="whole numbers"):
        linear_classifier((x, label.double()), (x, label))


def test_a_perceptron_reads_what_no_line_does() -> None:
    x = normal(600, 2)
    y = (x[:, :1] * x[:, 1:]).clone()
    split = (x[:400], y[:400]), (x[400:], y[400:])
    assert linear_regression(*split).score < 0.2
    assert mlp_regression(*split, hidden_dim=64, steps=300).score > 0.8
    state = torch.get_rng_state()
    assert mlp_regression(*split, hidden_dim=8, steps=3) == mlp_regression(*split, hidden_dim=8, steps=3)
    assert torch.equal(torch.get_rng_state(), state)
    flat = mlp_regression((torch.ones(400, 2), y[:400]), (torch.ones(200, 2), y[400:]))
    assert flat.score == flat.constant
    assert flat.fitted_features == 0


def test_scored_samples_are_in_the_units_of_the_training_samples() -> None:
    """In units of their own, samples from 1 to 2 would look like any others."""
    x = 4 * torch.rand(400, 1, generator=seeded("units"), dtype=torch.float64)
    other = 1 + torch.rand(100, 1, generator=seeded("units", 1), dtype=torch.float64)
    assert mlp_regression((x, x), (other, other), hidden_dim=32, steps=300).score > 0.9
    assert linear_regression((x, x), (other, other)).score > 0.99


def test_bad_input_of_probes_is_told() -> None:
    x, y = normal(6, 2), normal(6, 1)
    with pytest.raises(ValueError, match="at least 3 samples"):
        linear_regression((x[:2], y[:2]), (x, y))
    with pytest.raises(ValueError, match="finite features"):
        linear_regression((x * torch.nan, y), (x, y))
    with pytest.raises(ValueError, match="takes features"):
        mlp_regression((x, y), (x[:, :1], y))


def test_ranks_by_hand() -> None:
    bank = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]] * 2)
    predicted = torch.tensor([[2.0, 0.1], [0.0, 3.0]])
    found = retrieval(predicted, bank, torch.tensor([0, 2]), at=(1, 2))  # right first, right second
    assert found.mrr == pytest.approx((1 + 1 / 2) / 2)
    assert found.hits == {1: 0.5, 2: 1.0}
    assert found.chance_mrr == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    same = retrieval(torch.ones(4, 2), torch.ones(4, 49, 2), torch.arange(4))
    assert same.mrr == pytest.approx(1 / 25)  # the mean rank of views that are all the same
    assert same.hits[1] == 0.0
    with pytest.raises(ValueError, match="needs predicted"):
        retrieval(predicted, bank[:1], torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="among at least 2 views"):
        retrieval(predicted, bank, torch.tensor([0, 3]))
