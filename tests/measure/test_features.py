import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import SO, Scalar, Vector, cyclic
from rapidash.measure import (
    Action,
    Whitening,
    empirical_equivariance_deviation,
    feature_statistics,
    invariance_similarity,
    relative_rms_deviation,
    similarity_of_views,
)

ACTION = Action(SO(3), Vector(), Scalar())


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed, *shape), dtype=torch.float64)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_whitened_covariance_is_the_identity_on_the_directions_that_vary(seed: int) -> None:
    h = normal(60, 3, seed=seed) @ normal(3, 5, seed=seed + 1) + normal(1, 5, seed=seed + 2)
    whitening = feature_statistics(h)
    w = whitening(h)
    assert whitening.rank == w.shape[1] <= 3
    assert (torch.cov(w.T) - torch.eye(whitening.rank).double()).abs().max() < 1e-6
    assert w.mean(dim=0).abs().max() < 1e-6


def test_invariant_features_read_one_and_unrelated_ones_zero() -> None:
    x = normal(400, 3)
    radial = lambda v: torch.stack([v.norm(dim=-1), v.norm(dim=-1).sin()], dim=-1)  # noqa: E731
    same = invariance_similarity(radial, x, ACTION, num_elements=3)
    assert (same.cosine - 1).abs().max() < 1e-6
    assert same.mahalanobis.max() < 1e-6
    noise = [lambda v, k=k: normal(400, 3, seed=k + 1) for k in range(3)]
    unrelated = invariance_similarity(lambda v: v, x, noise)
    assert abs(unrelated.mean_cosine) < 3 / math.sqrt(400 * 3)
    assert unrelated.mean_mahalanobis > 1


def test_similarity_does_not_depend_on_a_linear_map_of_the_features() -> None:
    x, mix = normal(100, 3), normal(4, 4, seed=5)
    encode = lambda v: torch.cat([v, v.norm(dim=-1, keepdim=True)], dim=-1)  # noqa: E731
    plain = invariance_similarity(encode, x, ACTION, num_elements=4)
    mixed = invariance_similarity(lambda v: encode(v) @ mix + 3, x, ACTION, num_elements=4)
    assert torch.allclose(plain.cosine, mixed.cosine, atol=1e-6)
    assert 0.05 < plain.mean_cosine < 0.6  # one of four white directions is invariant


def test_whitening_sees_what_a_raw_cosine_hides() -> None:
    x, shift = normal(100, 3), 20.0
    encode = lambda v: v + shift  # noqa: E731
    moved = [lambda v: normal(100, 3, seed=9)]
    raw = torch.cosine_similarity(encode(x), encode(moved[0](x)), dim=-1).mean()
    assert raw > 0.98
    assert abs(invariance_similarity(encode, x, moved).mean_cosine) < 0.2


def test_a_transformation_has_its_name_in_the_report() -> None:
    x = normal(50, 3)
    half = {"half": lambda v: torch.cat([v[:25], -v[25:]]), "turn": lambda v: -v}
    found = invariance_similarity(lambda v: v, x, half)
    assert [row["transformation"] for row in found.report().rows] == ["half", "turn"]
    assert found.report().rows[1]["cosine"] < -0.9  # not -1: the mean of the reference set is not moved
    with pytest.raises(ValueError, match="transformation 'same' leaves x as it is"):
        invariance_similarity(lambda v: v, x, {"turn": lambda v: -v, "same": lambda v: v.clone()})
    with pytest.raises(ValueError, match="transformation number 0 leaves x as it is"):
        invariance_similarity(lambda v: v, x, [lambda v: v])


def test_cosine_and_distance_of_white_features_by_hand() -> None:
    """White, (2 (h_1 - 1), h_2 / 2): (2, 0) and (0, 2) become (2, 0) and (-2, 1); moved, (4, 1.5) and (0, 2.5)."""
    whitening = Whitening(torch.tensor([1.0, 0.0]).double(), torch.diag(torch.tensor([2.0, 0.5]).double()), 2)
    x = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    found = invariance_similarity(lambda v: v, x, [lambda v: v + torch.tensor([1.0, 3.0])], whitening=whitening)
    assert found.cosine[0].tolist() == pytest.approx([4 / math.sqrt(4**2 + 1.5**2), 1 / math.sqrt(5)])
    assert found.mahalanobis[0].tolist() == pytest.approx([math.sqrt(2**2 + 1.5**2)] * 2)
    assert (found.mean_cosine, found.rank) == (pytest.approx(float(found.cosine.mean())), 2)


def test_without_a_whitening_it_is_that_of_the_features_before_the_transformation() -> None:
    x = normal(40, 3)
    stretch = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    found = invariance_similarity(lambda v: v, x, [lambda v: v * stretch])
    given = invariance_similarity(lambda v: v, x, [lambda v: v * stretch], whitening=feature_statistics(x))
    assert torch.equal(found.mahalanobis, given.mahalanobis)
    assert found.mean_mahalanobis > 2  # whitened by themselves the stretched ones would be where they were


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e6])
def test_directions_are_kept_by_their_share_of_the_largest_variance(size: float) -> None:
    """Deviations of 1, 0.02 and 0.005: variances 1, 4e-4 and 2.5e-5, the last below 1e-4; whatever the unit."""
    h = torch.linalg.qr(normal(50, 3) - normal(50, 3).mean(dim=0)).Q * torch.tensor([1.0, 0.02, 0.005])
    found = feature_statistics(size * (h + 10.0))
    assert found.rank == 2


def test_pairs_of_views_by_hand_and_with_self_pairs() -> None:
    whitening = Whitening(torch.zeros(2).double(), torch.eye(2).double(), 2)
    h = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]], dtype=torch.float64)
    cosine, distance = similarity_of_views(h, whitening)
    assert cosine == pytest.approx((0 - 1 + 0) / 3)
    assert distance == pytest.approx((math.sqrt(5) + 2 + math.sqrt(5)) / 3)
    legacy = similarity_of_views(h, whitening, with_self_pairs=True)
    assert legacy == pytest.approx(((1 + 2 * cosine) / 3, 2 * distance / 3))
    with pytest.raises(ValueError, match="at least 2 views"):
        similarity_of_views(h[:, :1], whitening)


@pytest.mark.usefixtures("shape_checks_off")
def test_bad_features_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        feature_statistics(torch.ones(1, 3))
    with pytest.raises(ValueError, match="do not vary"):
        feature_statistics(torch.ones(9, 3))
    with pytest.raises(ValueError, match="transforms is empty"):
        invariance_similarity(lambda v: v, normal(9, 3), [])


def hashed(v: Tensor) -> Tensor:
    """A random vector that depends on every digit of the input."""
    phase = v @ normal(v.shape[1], 64, seed=1) * 1e4
    return torch.sin(phase)


def test_orbit_deviation_of_invariant_equivariant_and_hash_like_maps() -> None:
    x = normal(60, 3)
    assert empirical_equivariance_deviation(lambda v: v.norm(dim=-1), x, ACTION) < 1e-12
    assert empirical_equivariance_deviation(lambda v: 2 * v, x, Action(SO(3), Vector(), Vector())) < 1e-12
    original = empirical_equivariance_deviation(hashed, x, ACTION, reference="original", num_elements=12)
    assert original == pytest.approx(1.0, abs=0.1)
    mean = empirical_equivariance_deviation(hashed, x, ACTION, num_elements=12)
    assert mean == pytest.approx(math.sqrt((1 - 1 / 12) / 2), abs=0.07)


def test_orbit_cosine_of_an_invariant_map_is_one_over_the_mean_between_inputs() -> None:
    x = normal(20, 3)
    encode = lambda v: torch.stack([v.norm(dim=-1), v.norm(dim=-1) ** 2 - 2], dim=-1)  # noqa: E731
    unit = torch.nn.functional.normalize(encode(x), dim=-1)
    pairs = (unit @ unit.T)[~torch.eye(20, dtype=torch.bool)].mean()
    value = empirical_equivariance_deviation(encode, x, ACTION, distance="cosine")
    assert value == pytest.approx(1 / float(pairs))
    assert empirical_equivariance_deviation(encode, x, ACTION, distance="cosine", normalize=False) == pytest.approx(1.0)
    assert empirical_equivariance_deviation(hashed, x, ACTION, distance="cosine", normalize=False) < 0.5


def test_a_finite_orbit_is_complete_and_its_mean_invariant() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    action = Action(cyclic(4), Vector(), Scalar())
    # h = first coordinate: orbit of (1, 0) is 1, 0, -1, 0 with mean 0, of (0, 2) is 0, -2, 0, 2
    value = empirical_equivariance_deviation(lambda v: v[:, 0], x, action, normalize=False)
    assert value == pytest.approx((0.5 + 1.0) / 2)


@pytest.mark.usefixtures("shape_checks_off")
def test_orbit_deviation_refuses_a_constant_map_and_a_single_sample() -> None:
    with pytest.raises(ValueError, match="same for all inputs"):
        empirical_equivariance_deviation(lambda v: torch.ones(5, 1), normal(5, 3), ACTION)
    with pytest.raises(ValueError, match="at least 2 samples"):
        empirical_equivariance_deviation(lambda v: v, normal(1, 3), Action(SO(3), Vector(), Vector()))
    with pytest.raises(ValueError, match="distance"):
        empirical_equivariance_deviation(lambda v: v, normal(5, 3), ACTION, distance="l1")


def test_relative_rms_deviation_is_between_zero_and_one() -> None:
    x = normal(30, 3)
    assert relative_rms_deviation(lambda v: v.norm(dim=-1), x, ACTION).max() < 1e-12
    assert relative_rms_deviation(lambda v: v[:, :1], x, ACTION).mean() > 0.3
    flip = Action(cyclic(2), Vector(), Scalar())
    assert relative_rms_deviation(lambda v: v[:, :1], x[:, :2], flip).tolist() == pytest.approx([1.0])
    with pytest.raises(ValueError, match="output is zero"):
        relative_rms_deviation(lambda v: 0 * v, x, ACTION)
