import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import SO, Scalar, Vector, cyclic
from rapidash.measure import Action, correlation_study, effective_invariance, invariance_scores

ACTION = Action(SO(3), Vector(), Scalar())


def probabilities(num: int, seed: int, temperature: float = 1.0) -> Tensor:
    return (torch.randn(num, 4, generator=seeded(seed), dtype=torch.float64) / temperature).softmax(-1)


@given(seed=st.integers(0, 10**6))
def test_identities(seed: int) -> None:
    p, q = probabilities(30, seed), probabilities(30, seed + 1)
    score = effective_invariance(p, q)
    assert score.min() >= 0
    assert score.max() <= 1
    assert torch.equal(score, effective_invariance(q, p))
    assert (score[p.argmax(-1) != q.argmax(-1)] == 0).all()
    assert torch.allclose(effective_invariance(p, p), p.amax(-1), atol=1e-15)
    assert torch.allclose(effective_invariance(p.log(), q.log(), from_logits=True), score)


@pytest.mark.usefixtures("shape_checks_off")
def test_by_hand_and_bad_input() -> None:
    p, q = torch.tensor([[0.8, 0.2], [0.9, 0.1]]), torch.tensor([[0.5, 0.5], [0.4, 0.6]])
    assert effective_invariance(p, q).tolist() == pytest.approx([math.sqrt(0.4), 0.0])
    with pytest.raises(ValueError, match="from_logits=True"):
        effective_invariance(3 * p, q)
    with pytest.raises(ValueError, match="same samples"):
        effective_invariance(p, q[:1])
    x = torch.randn(5, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="the same number for all samples and classes"):
        invariance_scores(lambda v: 0 * v, x, ACTION)
    with pytest.raises(ValueError, match=r"K >= 2 classes, got \{'output': \(5, 1\)\}"):
        invariance_scores(lambda v: v[:, :1], x, ACTION)


def test_an_invariant_classifier_reads_its_confidence_and_a_broken_one_less() -> None:
    x = torch.randn(50, 3, generator=seeded(0), dtype=torch.float64)
    weight = torch.randn(1, 4, generator=seeded(1), dtype=torch.float64)
    invariant = invariance_scores(lambda v: v.norm(dim=-1, keepdim=True) @ weight, x, ACTION)
    assert (invariant.effective - invariant.confidence).abs().max() < 1e-12
    assert invariant.consistent.min() == 1
    assert invariant.divergence.min() > 1 - 1e-12
    broken = invariance_scores(lambda v: torch.cat([v, -v[:, :1]], dim=1) * 3, x, ACTION)
    assert broken.mean < float(broken.confidence.mean()) - 0.2
    assert broken.consistent.mean() < 0.6
    assert broken.divergence.mean() < 0.9
    assert broken.report().rows[0]["score"] == "effective invariance"


def test_quarter_turns_are_used_without_the_identity() -> None:
    x = torch.randn(5, 2, generator=seeded(0), dtype=torch.float64)
    scores = invariance_scores(lambda v: v, x, Action(cyclic(4), Vector(), Scalar()))
    assert scores.effective.shape == (3, 5)
    with pytest.raises(ValueError, match="K >= 2"):
        invariance_scores(lambda v: v[:, :1], x, Action(cyclic(4), Vector(), Scalar()))


def test_correlation_recovers_a_known_coefficient_and_rejects_noise() -> None:
    rng = np.random.default_rng(1)
    x, noise = rng.normal(size=400), rng.normal(size=400)
    study = correlation_study(x, 0.8 * x + 0.6 * noise, num_resamples=500)
    assert study.pearson_interval[0] < 0.8 < study.pearson_interval[1]
    assert study.spearman_interval[0] < 6 / math.pi * math.asin(0.4) < study.spearman_interval[1]
    assert study.slope == pytest.approx(0.8, abs=0.1)
    unrelated = correlation_study(x, noise, num_resamples=500)
    assert unrelated.pearson_interval[0] < 0 < unrelated.pearson_interval[1]
    assert unrelated.spearman_interval[0] < 0 < unrelated.spearman_interval[1]
    assert study.pearson_interval[0] > unrelated.pearson_interval[1]


@pytest.mark.usefixtures("shape_checks_off")
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], [1, 2, 3], "at least 4"),
        ([1, 2, 3, 4], [1, 2, 3], "at least 4"),
        ([1, 1, 1, 1], [1, 2, 3, 4], "same for all"),
        ([1, 2, 3, math.nan], [1, 2, 3, 4], "finite"),
    ],
)
def test_correlation_refuses(x: list[float], y: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        correlation_study(x, y)


def test_clusters_are_drawn_together() -> None:
    """Five copies of each model are no further evidence: the bootstrap over clusters is that of the models alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=12)
    y = 0.7 * x + rng.normal(size=12)
    alone = correlation_study(x, y, clusters=range(12))
    copied = correlation_study(np.repeat(x, 5), np.repeat(y, 5), clusters=np.repeat(np.arange(12), 5).tolist())
    assert copied.pearson == pytest.approx(alone.pearson)
    assert copied.pearson_interval == pytest.approx(alone.pearson_interval)
    assert copied.spearman_interval == pytest.approx(alone.spearman_interval)
    apart = correlation_study(np.repeat(x, 5), np.repeat(y, 5))
    assert np.ptp(apart.spearman_interval) < 0.7 * np.ptp(copied.spearman_interval)
    with pytest.raises(ValueError, match="clusters must name at least 4 for 12 models, got 2 for 12"):
        correlation_study(x, y, clusters=[k % 2 for k in range(12)])


def test_correlation_of_rows_made_by_hand() -> None:
    """x = 0, 1, 2, 3 and y = 0, 1, 3, 2: sum of products 4, of squares 5 and 5: r = 4 / 5, also of ranks."""
    study = correlation_study([0, 1, 2, 3], [0, 1, 3, 2], num_resamples=50)
    assert (study.pearson, study.spearman) == (pytest.approx(0.8), pytest.approx(0.8))
    assert (study.slope, study.intercept) == (pytest.approx(0.8), pytest.approx(0.3))
