import math

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import SO
from rapidash.measure import (
    SplitConformal,
    brier_score,
    compare_uncertainty,
    expected_calibration_error,
    last_layer_laplace,
    negative_log_likelihood,
    resampled_coverage,
)


def draw(num: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = seeded(seed)
    p = (2 * torch.randn(num, 5, generator=rng, dtype=torch.float64)).softmax(-1)
    return p, torch.multinomial(p, 1, generator=rng).squeeze(1)


@pytest.mark.parametrize("score", ["thr", "aps"])
def test_sets_reach_their_nominal_coverage_on_exchangeable_data_only(score: str) -> None:
    (p, y), (q, z) = draw(2000, 0), draw(2000, 1)
    predictor = SplitConformal(score, alpha=0.1).calibrate(p, y)
    result = predictor.evaluate(q, z)
    assert result.coverage >= 0.9 - 3 * result.standard_error
    if score == "thr":
        assert result.coverage <= 0.9 + 3 * result.standard_error
    assert 1 <= result.size < 5
    shifted = predictor.evaluate(q, (z + 1) % 5)
    assert shifted.coverage < 0.8  # the guarantee is gone with exchangeability, and the measure shows it


def test_resampled_coverage_has_the_exact_expectation() -> None:
    scores = torch.rand(300, generator=seeded(0), dtype=torch.float64)
    coverages = resampled_coverage(scores, alpha=0.1, trials=400)
    expected = math.ceil(151 * 0.9) / 151
    assert abs(coverages.mean() - expected) < 0.003
    assert abs(resampled_coverage(scores, alpha=0.2, trials=400).mean() - expected) > 0.05


def test_thresholds_by_hand() -> None:
    p = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)
    thr = SplitConformal("thr", alpha=0.25).calibrate(p, torch.tensor([0, 1, 2]))  # rank ceil(4 * 0.75) = 3 of 3
    assert thr.threshold == pytest.approx(0.4)
    assert thr.predict_set(p).tolist() == [[True, False, False], [False, True, False], [False, False, True]]
    aps = SplitConformal("aps", alpha=0.25).calibrate(p, torch.tensor([1, 1, 2]))
    assert aps.threshold == pytest.approx(0.9)
    assert SplitConformal("thr", alpha=0.1).calibrate(p, torch.tensor([0, 1, 2])).threshold == math.inf
    width = SplitConformal("abs", alpha=0.5).calibrate(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 1.0, 5.0]))
    assert width.predict_set(torch.tensor([1.0])).tolist() == [[0.5, 1.5]]
    assert width.evaluate(torch.tensor([1.0, 1.0]), torch.tensor([1.2, 9.0])).coverage == 0.5


def test_coverage_of_an_invariant_model_survives_rotation_and_that_of_a_plain_one_does_not() -> None:
    rng = seeded(3)
    labels = torch.randint(0, 2, (1500,), generator=rng)
    radius = 1.0 + labels + 0.3 * torch.randn(1500, generator=rng)
    x = torch.zeros(1500, 3, dtype=torch.float64)
    x[:, 2] = radius
    moved = torch.einsum("bij,bj->bi", SO(3).sample(1500, generator=rng)[:, :3, :3], x)
    logits = lambda r: torch.stack([-((r - 1) ** 2), -((r - 2) ** 2)], dim=-1) * 5  # noqa: E731
    invariant, plain = (lambda v: logits(v.norm(dim=-1)).softmax(-1)), (lambda v: logits(v[:, 2]).softmax(-1))
    models = {
        name: (model(x[:500]), model(x[500:]), model(moved[500:]))
        for name, model in (("invariant", invariant), ("plain", plain))
    }
    first, second = compare_uncertainty(models, labels[:500], labels[500:]).rows
    assert first["coverage, moved"] == first["coverage"]
    assert first["coverage"] == pytest.approx(0.9, abs=0.04)
    assert second["coverage"] == pytest.approx(0.9, abs=0.04)
    assert second["coverage, moved"] < 0.75


def test_calibration_scores_by_hand() -> None:
    p, y = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1, 0])
    assert expected_calibration_error(p, y, num_bins=10) == pytest.approx((abs(1 - 1.8) + abs(1 - 0.6)) / 3)
    assert brier_score(p, y) == pytest.approx((2 * 0.01 + 2 * 0.81 + 2 * 0.16) / 3)
    assert negative_log_likelihood(p, y) == pytest.approx(-(math.log(0.9) + math.log(0.1) + math.log(0.6)) / 3)
    honest, labels = draw(4000, 0)
    assert expected_calibration_error(honest, labels) < 0.04
    assert expected_calibration_error(honest.square() / honest.square().sum(-1, keepdim=True), labels) > 0.08


def test_evidence_of_a_linear_head_is_exact() -> None:
    rng = seeded(0)
    features = torch.randn(30, 4, generator=rng, dtype=torch.float64)
    target = features @ torch.randn(4, 1, generator=rng, dtype=torch.float64) + 0.3 * torch.randn(30, 1, generator=rng)
    noise, tau = 0.3, 2.0
    gram = features.T @ features / noise**2 + tau * torch.eye(4).double()
    mode = torch.linalg.solve(gram, features.T @ target / noise**2)
    covariance = features @ features.T / tau + noise**2 * torch.eye(30).double()
    exact = torch.distributions.MultivariateNormal(torch.zeros(30).double(), covariance).log_prob(target[:, 0])
    laplace = last_layer_laplace(features, mode.T, target, likelihood="regression", noise=noise)
    assert laplace.log_marginal_likelihood(tau) == pytest.approx(float(exact), abs=1e-6)
    assert laplace.log_marginal_likelihood(10 * tau) != pytest.approx(float(exact), abs=0.1)


def test_evidence_of_a_classifier_prefers_informative_features_and_integrates_to_the_quadrature() -> None:
    rng = seeded(1)
    x = torch.randn(40, 1, generator=rng, dtype=torch.float64)
    labels = (x[:, 0] + 0.5 * torch.randn(40, generator=rng) > 0).long()
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    # two classes with weights (w, -w) / sqrt 2 along the only identified direction, a Gaussian integral across it
    logits = torch.stack([-grid[:, None] * x[:, 0], grid[:, None] * x[:, 0]], dim=-1) / math.sqrt(2)
    log_p = logits.log_softmax(-1)[:, torch.arange(40), labels].sum(-1) - 0.5 * grid**2 - 0.5 * math.log(2 * math.pi)
    exact = float(torch.logsumexp(log_p, 0) + math.log(24 / 4000))
    mode = float(grid[log_p.argmax()]) / math.sqrt(2)
    weight = torch.tensor([[-mode], [mode]], dtype=torch.float64)
    laplace = last_layer_laplace(x, weight, labels, likelihood="classification")
    assert laplace.log_marginal_likelihood(1.0) == pytest.approx(exact, abs=0.1)
    assert laplace.log_marginal_likelihood() >= laplace.log_marginal_likelihood(1.0)


@pytest.mark.usefixtures("shape_checks_off")
def test_bad_input_is_named() -> None:
    p = torch.full((4, 2), 0.5)
    with pytest.raises(ValueError, match="not calibrated"):
        SplitConformal().predict_set(p)
    with pytest.raises(ValueError, match="probabilities"):
        SplitConformal().calibrate(3 * p, torch.zeros(4).long())
    with pytest.raises(ValueError, match="alpha"):
        SplitConformal(alpha=1.5)
    with pytest.raises(ValueError, match=r"both \(B,\), got \(4, 2\) and \(4,\)"):
        SplitConformal("abs").calibrate(p, torch.zeros(4))
    with pytest.raises(ValueError, match="must be finite"):
        SplitConformal("abs").calibrate(torch.tensor([1.0, torch.nan]), torch.zeros(2))
    with pytest.raises(ValueError, match="at least one"):
        SplitConformal("abs").calibrate(p[:0, 0], p[:0, 0])
    for measure in (SplitConformal().calibrate, expected_calibration_error, brier_score, negative_log_likelihood):
        with pytest.raises(ValueError, match="apply a softmax first"):
            measure(p.log(), torch.zeros(4).long())
        with pytest.raises(ValueError, match=r"for each of the 4 predictions, at least one, got \(3,\)"):
            measure(p, torch.zeros(3).long())
        with pytest.raises(ValueError, match=r"torch\.float32"):
            measure(p, torch.zeros(4))
        with pytest.raises(ValueError, match=r"classes 0 \.\. 1, got values from 0 to 2"):
            measure(p, torch.tensor([0, 1, 2, 0]))
        with pytest.raises(ValueError, match="at least one"):
            measure(p[:0], torch.zeros(0).long())
    with pytest.raises(ValueError, match="num_bins"):
        expected_calibration_error(p, torch.zeros(4).long(), num_bins=0)
    with pytest.raises(ValueError, match=r"got \(4, 2\) and \(2, 3\)"):
        last_layer_laplace(p, torch.ones(2, 3), p, likelihood="regression")
    with pytest.raises(ValueError, match="at least 4"):
        resampled_coverage(torch.ones(3))
    with pytest.raises(ValueError, match="likelihood"):
        last_layer_laplace(p, p, p, likelihood="poisson")
    with pytest.raises(ValueError, match=r"expected \(4, 2\)"):
        last_layer_laplace(p, p[:2], p[:, 0], likelihood="regression")
    with pytest.raises(ValueError, match="positive"):
        last_layer_laplace(p, p[:2], p, likelihood="regression").log_marginal_likelihood(0.0)
