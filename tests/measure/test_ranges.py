"""Measures without a unit depend neither on that of the output nor on the range of a type; no number, no measure."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import SO, Position, Scalar, Vector
from rapidash.measure import (
    Action,
    SplitConformal,
    brier_score,
    check_equivariance,
    correlation_study,
    effective_invariance,
    empirical_equivariance_deviation,
    equivariance_error,
    equivariance_gap,
    error_against_severity,
    expected_calibration_error,
    feature_statistics,
    invariance_scores,
    invariance_similarity,
    last_layer_laplace,
    layerwise_equivariance_error,
    lie_derivative,
    local_equivariance_error,
    negative_log_likelihood,
    point_shares,
    precision_check,
    relative_rms_deviation,
    resampled_coverage,
    symmetry_breaking_score,
    symmetry_loss_share,
    task_symmetry_breaking,
)

VECTORS, SCALARS = Action(SO(3), Vector(), Vector()), Action(SO(3), Vector(), Scalar())
X = torch.randn(30, 3, generator=seeded(0), dtype=torch.float64)
WEIGHT = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
Fn = Callable[[Tensor], Tensor]
UNITLESS: dict[str, Callable[[Fn, Tensor], object]] = {
    "error": lambda f, x: equivariance_error(f, x, VECTORS).mean,
    "variance": lambda f, x: equivariance_error(f, x, VECTORS, normalization="variance").mean,
    "relative deviation": lambda f, x: relative_rms_deviation(f, x, VECTORS).mean(),
    "deviation": lambda f, x: empirical_equivariance_deviation(f, x, VECTORS),
    "cosine": lambda f, x: empirical_equivariance_deviation(f, x, VECTORS, distance="cosine", normalize=False),
    "features": lambda f, x: invariance_similarity(f, x, VECTORS).mean_cosine,
    "distance": lambda f, x: invariance_similarity(f, x, VECTORS).mean_mahalanobis,
    "local": lambda f, x: local_equivariance_error(f, x, VECTORS, relative=True).total(),
}


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("name", UNITLESS)
def test_the_unit_of_the_output_does_not_matter(name: str, scale: float) -> None:
    expected = UNITLESS[name](lambda v: v * WEIGHT, X)
    found = UNITLESS[name](lambda v: scale * (v * WEIGHT), X)
    assert float(expected) > 0.01 or name == "features"
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e20, 1e25])
@pytest.mark.parametrize("name", [*UNITLESS, "share"])
def test_the_range_of_float32_does_not_matter(name: str, scale: float) -> None:
    measures = UNITLESS | {"share": lambda f, x: symmetry_loss_share(f, x, f(x).roll(1, 0), VECTORS).share}
    expected = measures[name](lambda v: v * WEIGHT, X)
    found = measures[name](lambda v: scale * (v * WEIGHT.to(v)), X.float())
    assert float(found) == pytest.approx(float(expected), rel=1e-3)


def offset(v: Tensor) -> Tensor:
    return 300 + 30 * v[:, :1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_outputs_above_256_in_half_precision_have_their_error(dtype: torch.dtype) -> None:
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    expected = equivariance_error(offset, x, SCALARS)
    assert expected.mean == pytest.approx(0.145, abs=0.001)
    found = equivariance_error(offset, x.to(dtype), SCALARS)
    assert found.mean == pytest.approx(expected.mean, rel=0.02)
    assert found.output_norm == pytest.approx(expected.output_norm, rel=0.01)
    assert not check_equivariance(offset, x.to(dtype), SCALARS)
    large = lambda v: 2e4 * v[:, :1].clamp(-3, 3)  # noqa: E731  differences above 65504
    assert equivariance_error(large, x.to(dtype), SCALARS).mean == pytest.approx(
        equivariance_error(large, x, SCALARS).mean, rel=0.02
    )
    small = lambda v: 1e-4 * v[:, :1]  # noqa: E731  squares are zero in float16
    assert equivariance_error(small, x.to(dtype), SCALARS).mean == pytest.approx(
        equivariance_error(small, x, SCALARS).mean, rel=0.02
    )


@pytest.mark.parametrize("method", ["auto", "forward", "difference"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_slopes_in_half_precision_are_not_taken_for_rounding(dtype: torch.dtype, method: str) -> None:
    expected = local_equivariance_error(offset, X, SCALARS).total()
    found = local_equivariance_error(offset, X.to(dtype), SCALARS, method=method).total()
    assert found == pytest.approx(expected, rel=0.02)
    with pytest.raises(ValueError, match=r"not differentiable|not smooth here"):
        lie_derivative(lambda v: (v[:, :1] > 0).to(v), X.to(dtype), SCALARS, method="forward")


def test_a_loss_in_half_precision_is_split_as_in_float64() -> None:
    target = offset(X)
    expected = symmetry_loss_share(offset, X, target, SCALARS)
    found = symmetry_loss_share(offset, X.half(), target.half(), SCALARS)
    assert found.share == pytest.approx(expected.share, rel=0.01)
    assert float(found.total.sum()) == pytest.approx(float(expected.total.sum()), rel=0.01)


def energy(scale: float) -> Callable[[CloudBatch], Tensor]:
    def model(batch: CloudBatch) -> Tensor:
        term = scale * batch.pos[:, 0].square() * batch.pos[:, 1]
        return term.new_zeros(batch.num_clouds).index_add(0, batch.batch, term)[:, None]

    return model


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1e25, torch.float32), (1e-25, torch.float32), (1e200, torch.float64), (1e-200, torch.float64)]
)
def test_shares_of_points_have_the_unit_of_the_output(scale: float, dtype: torch.dtype) -> None:
    batch = clouds().batch(torch.arange(4))
    action = Action(SO(3), outputs=Field(Scalar(), level="cloud"))
    one, other = (
        point_shares(energy(s), b, action, SO(3).generators()[0])
        for s, b in ((1.0, batch), (scale, batch.to(dtype=dtype)))
    )
    for name in ("share", "own", "total"):
        torch.testing.assert_close(getattr(other, name) / scale, getattr(one, name), rtol=1e-4, atol=1e-5)
    assert one.total.min() > 0.1


def clouds() -> CloudDataset:
    pos = torch.randn(60, 3, generator=seeded(0), dtype=torch.float64)
    fields = {"pos": Field(Position()), "label": Field(Scalar(), level="cloud")}
    return CloudDataset({"pos": pos, "label": torch.arange(6) % 3}, fields, torch.full((6,), 10))


def test_layers_of_a_large_output_have_their_shares() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)).eval()
    expected = layerwise_equivariance_error(net, X.float(), VECTORS, Vector())
    with torch.no_grad():
        net[1].weight.mul_(1e25)
        net[1].bias.mul_(1e25)
    found = layerwise_equivariance_error(net, X.float(), VECTORS, Vector())
    torch.testing.assert_close(found.shares, expected.shares, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.rms / 1e25, expected.rms, rtol=1e-3, atol=0)
    probed = layerwise_equivariance_error(net, X.float(), VECTORS, Vector(), method="hutchinson", probes=500)
    torch.testing.assert_close(probed.rms, found.rms, rtol=0.3, atol=0)


def test_a_layer_that_leaves_the_range_of_its_type_has_infinite_rounding() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh()).half().eval()
    with torch.no_grad():
        net[0].weight.fill_(60000.0)
    (first, second) = precision_check(net, 2 + X[:4].abs().half(), VECTORS).rounding
    assert first[2] == math.inf
    assert second[2] < 1e-2


def test_probabilities_in_half_precision_are_probabilities() -> None:
    logits = torch.randn(200, 12, generator=seeded(0))
    target = torch.arange(200) % 12
    for dtype in (torch.bfloat16, torch.float16):
        p = logits.softmax(dim=1).to(dtype)
        wide = p.double() / p.double().sum(dim=1, keepdim=True)
        torch.testing.assert_close(
            effective_invariance(p, p.roll(1, 0)), effective_invariance(wide, wide.roll(1, 0)), rtol=0.01, atol=0
        )
        for measure in (brier_score, expected_calibration_error, negative_log_likelihood):
            assert measure(p, target) == pytest.approx(measure(wide, target), rel=0.02)
        found = SplitConformal("aps").calibrate(p, target)
        assert found.threshold == pytest.approx(SplitConformal("aps").calibrate(wide, target).threshold, rel=0.01)


def test_intervals_in_half_precision_hold_what_they_were_calibrated_for() -> None:
    prediction, target = torch.full((100,), 1000.0).half(), (1000 + torch.arange(100) / 100).half()
    conformal = SplitConformal("abs", alpha=0.2).calibrate(prediction, target)
    low, high = conformal.predict_set(prediction).unbind(dim=1)
    inside = ((target.double() >= low) & (target.double() <= high)).double().mean()
    assert float(inside) == conformal.evaluate(prediction, target).coverage >= 0.8


def test_correlations_have_no_unit() -> None:
    a, b = np.array([1.0, 2.0, 4.0, 3.0, 5.0]), np.array([1.0, 2.5, 3.0, 4.0, 4.5])
    expected = correlation_study(a, b)
    for scale in (1e-200, 1e200):
        wide, high = correlation_study(scale * a, b), correlation_study(a, scale * b)
        for found in (wide, high):
            assert found.pearson == pytest.approx(expected.pearson)
            assert found.spearman_interval == expected.spearman_interval
        assert wide.slope * scale == pytest.approx(expected.slope)
        assert high.slope / scale == pytest.approx(expected.slope)
        assert wide.intercept == pytest.approx(expected.intercept)
        assert high.intercept / scale == pytest.approx(expected.intercept)
    with pytest.raises(ValueError, match="effective invariance is the same for all models"):
        correlation_study([0.1 + 0.2, 0.3, 0.3, 0.3], [1, 2, 3, 4])


def test_features_that_differ_by_rounding_do_not_vary() -> None:
    with pytest.raises(ValueError, match="do not vary"):
        feature_statistics(torch.full((20, 3), 0.1).double() * (1 + 1e-15 * X[:20]))
    assert feature_statistics(1e-200 * X).rank == 3


def test_the_pose_of_clouds_of_any_size_tells_the_same() -> None:
    data = torch.randn(64, 8, 3, generator=seeded(1), dtype=torch.float64)
    target = data.norm(dim=2).mean(dim=1)
    ratios = [
        task_symmetry_breaking(data * a, target * b, steps=10, num_turns=2).ratio
        for a, b in ((1.0, 1.0), (2.0**-700, 2.0**700), (2.0**600, 2.0**-900))
    ]
    assert ratios[1:] == [ratios[0]] * 2
    with pytest.raises(ValueError, match="all equal"):
        task_symmetry_breaking(data, 0.1 + 1e-17 * target, steps=10, num_turns=2)


NAN, INF = float("nan"), float("inf")
MODELS: dict[str, Callable[[Fn], object]] = {
    **{name: (lambda f, m=measure: m(f, X)) for name, measure in UNITLESS.items()},
    "check": lambda f: check_equivariance(f, X, VECTORS),
    "none": lambda f: equivariance_error(f, X, VECTORS, normalization="none"),
    "derivative": lambda f: lie_derivative(f, X, VECTORS),
    "share": lambda f: symmetry_loss_share(f, X, X, VECTORS),
    "gap": lambda f: equivariance_gap(f, X, lambda y: y.sum(), VECTORS),
    "scores": lambda f: invariance_scores(f, X, SCALARS),
}


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("where", ["everywhere", "in one place", "under the group"])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_that_are_not_finite_are_refused_by_every_measure(name: str, where: str, value: float) -> None:
    def model(v: Tensor) -> Tensor:
        out = v * WEIGHT
        if where == "everywhere":
            return out + value
        if where == "in one place" or not torch.equal(v, X):
            out = out + 0 * out
            out[3, 1] = value
        return out

    with pytest.raises(ValueError, match="not finite"):
        MODELS[name](model)


def test_logits_of_classes_that_are_left_out_are_no_error() -> None:
    """Minus infinity is the logit of probability 0: three classes, one of them masked, are two."""
    two, masked = (lambda v: (v * WEIGHT)[:, :2]), (lambda v: (v * WEIGHT).index_fill(1, torch.tensor([2]), -INF))
    for a, b in zip(
        invariance_scores(two, X, SCALARS).report().rows, invariance_scores(masked, X, SCALARS).report().rows
    ):
        assert a == pytest.approx(b)
    with pytest.raises(ValueError, match="leaves every class out"):
        effective_invariance(torch.full((2, 3), -INF), torch.zeros(2, 3), from_logits=True)


def test_values_that_are_not_finite_are_refused_without_a_model() -> None:
    p, target = torch.full((6, 3), 1 / 3), torch.arange(6) % 3
    bad = p.clone()
    bad[2, 1] = NAN
    for pair in ((bad, p), (p, bad)):
        for from_logits in (False, True):
            with pytest.raises(ValueError, match=r"p(_moved)? is not finite"):
                effective_invariance(*pair, from_logits=from_logits)
    for measure in (brier_score, expected_calibration_error, negative_log_likelihood):
        with pytest.raises(ValueError, match="must be probabilities"):
            measure(bad, target)
    intervals = SplitConformal("abs").calibrate(torch.zeros(20), torch.rand(20, generator=seeded(0)))
    with pytest.raises(ValueError, match="a prediction is not finite"):
        intervals.predict_set(torch.tensor([0.0, NAN]))
    with pytest.raises(ValueError, match="must be finite"):
        intervals.evaluate(torch.tensor([0.0, INF]), torch.zeros(2))
    with pytest.raises(ValueError, match="threshold must be a number, got nan"):
        SplitConformal("abs", 0.1, NAN)
    with pytest.raises(ValueError, match="scores must be numbers, got nan"):
        resampled_coverage(torch.tensor([0.1, 0.2, NAN, 0.3]))
    with pytest.raises(ValueError, match="must be finite"):
        correlation_study([1, 2, NAN, 4], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="not finite"):
        feature_statistics(bad)
    for at in range(3):
        given = [torch.ones(6, 2), torch.ones(3, 2), torch.ones(6, 3)]
        given[at][1, 1] = INF
        with pytest.raises(ValueError, match=r"(features|weight|target) is not finite"):
            last_layer_laplace(given[0], given[1], given[2], likelihood="regression")
    with pytest.raises(ValueError, match="target is not finite"):
        symmetry_loss_share(lambda v: v * WEIGHT, X, X / 0, VECTORS)
    with pytest.raises(ValueError, match="the loss is not finite"):
        equivariance_gap(lambda v: v * WEIGHT, X, lambda y: y.sum() * NAN, VECTORS)


def test_data_that_are_not_finite_are_refused() -> None:
    data = torch.randn(20, 5, 3, generator=seeded(0), dtype=torch.float64)
    with pytest.raises(ValueError, match="'data' in float32 is not finite"):
        symmetry_breaking_score(1e100 * data, SO(3), Vector(), steps=5)
    data[3, 1, 0] = NAN
    with pytest.raises(ValueError, match="'data' in float32 is not finite"):
        symmetry_breaking_score(data, SO(3), Vector(), steps=5)
    with pytest.raises(ValueError, match="not finite"):
        task_symmetry_breaking(data, torch.arange(20) % 2, steps=5)


def test_predictions_that_are_not_finite_are_refused_though_their_errors_are() -> None:
    errors = lambda logits, batch: (logits.argmax(dim=1) != batch["label"]).double()  # noqa: E731
    with pytest.raises(ValueError, match="a prediction is not finite"):
        error_against_severity(lambda b: torch.full((b.num_clouds, 3), NAN), clouds(), errors, corruptions=("scale",))
    masked = lambda b: torch.tensor([0.0, -INF, 1.0]).expand(b.num_clouds, 3)  # noqa: E731
    (curve,) = error_against_severity(masked, clouds(), errors, corruptions=("scale",))
    assert curve.error[0] == pytest.approx(2 / 3)
