"""Preconditioning, samplers and likelihood against closed forms."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from generate_checks import gaussian_denoiser, ideal_denoiser
from torch import Tensor

from rapidash._seed import seeded
from rapidash.generate import (
    Denoiser,
    FlowLevels,
    FlowSampler,
    HeunSampler,
    LogNormalLevels,
    StateSpace,
    flow_scale,
    log_likelihood,
    network_input,
    network_target,
    numbered_noise,
    random_noise,
    unit_length,
)

FLAT = StateSpace(2)


def unchanged(z: Tensor) -> Tensor:
    return z


@pytest.mark.parametrize(("sigma", "loss"), [(0.05, 0.975), (0.3, 0.545), (1.0, 0.165), (3.0, 0.099)])
def test_the_irreducible_loss_of_a_gaussian(sigma: float, loss: float) -> None:
    """Data of standard deviation 0.3 with spread 1: 1 - (correlation of input and target)^2 times Var T, by hand."""
    rng = seeded("loss")
    x, noise = (torch.randn(200_000, 1, generator=rng, dtype=torch.float64) for _ in range(2))
    level, spread = torch.full((1, 1), sigma, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    target, seen = network_target(0.3 * x, noise, level, spread), network_input(0.3 * x, noise, level, spread)
    unexplained = target.var() - (target * seen).mean() ** 2 / seen.var()
    assert float(unexplained) == pytest.approx(loss, abs=0.006)
    assert float(network_target(x, noise, level, spread).var()) == pytest.approx(1, abs=0.01)
    assert float(network_input(x, noise, level, spread).var()) == pytest.approx(1, abs=0.01)


def test_preconditioning_by_hand() -> None:
    """Sigma 3, spread 4, x 8, noise 2: x_sigma 14, total 5, input 2.8, target (3 * 8 / 4 - 4 * 2) / 5 = -0.4."""
    x, noise, sigma, spread = (torch.tensor([[value]], dtype=torch.float64) for value in (8.0, 2.0, 3.0, 4.0))
    assert float(network_input(x, noise, sigma, spread[0])) == pytest.approx(2.8)
    target = network_target(x, noise, sigma, spread[0])
    assert float(target) == pytest.approx(-0.4)
    denoiser = ideal_denoiser(lambda z, sigma: torch.full_like(z, 8.0), spread[0])
    assert float(denoiser.denoised(x + sigma * noise, 3.0)) == pytest.approx(8)
    assert float(denoiser.velocity(x + sigma * noise, 3.0)) == pytest.approx(2)  # (14 - 8) / 3


def test_flow_matching_has_the_same_input_and_target() -> None:
    rng = seeded("flow")
    spread = torch.tensor([0.7, 1.3], dtype=torch.float64)
    for _ in range(100):
        time = torch.rand(1, 1, generator=rng, dtype=torch.float64)
        x, noise = (torch.randn(4, 2, generator=rng, dtype=torch.float64) for _ in range(2))
        sigma, scale = (1 - time) * 1.7 / time, flow_scale(time, 1.7, spread)
        state, wanted = (1 - time) * 1.7 * noise + time * x, x - 1.7 * noise
        torch.testing.assert_close(state / scale, network_input(x, noise, sigma, spread), rtol=1e-12, atol=1e-12)
        denoiser = ideal_denoiser(lambda z, level: x, spread)  # noqa: B023  (called within the loop)
        denoiser.network = lambda scaled, code: network_target(x, noise, sigma, spread)  # noqa: B023
        torch.testing.assert_close(denoiser.flow_velocity(state, float(time), 1.7), wanted, rtol=1e-10, atol=1e-10)


def test_weight_of_flow_is_the_error_of_its_velocity() -> None:
    levels, sigma = FlowLevels(source_scale=2.0), torch.tensor([2.0], dtype=torch.float64)  # t = 1/2, spread 3
    assert float(levels.weight(sigma, 3.0)) == pytest.approx(36 / (1 + 2.25))  # (2 * 3)^2 / (0.5^2 2^2 + 0.5^2 3^2)
    assert float(levels.quantile(torch.tensor([0.25]))) == pytest.approx(6)  # 0.75 / 0.25 * 2
    logit = FlowLevels("logit-normal").quantile(torch.tensor([0.5, 0.841344746], dtype=torch.float64))
    torch.testing.assert_close(logit, torch.tensor([1.0, math.exp(-1)], dtype=torch.float64), rtol=1e-6, atol=0)


def test_quantiles_of_log_normal_levels() -> None:
    found = LogNormalLevels().quantile(torch.tensor([0.5, 0.841344746], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([math.exp(-1.2), 1.0], dtype=torch.float64), rtol=1e-6, atol=0)


def relative_error(steps: int) -> float:
    sampler = HeunSampler(steps=steps, churn=0)
    noise = torch.ones(1, 1, 1, dtype=torch.float64)
    found = float(sampler.sample(gaussian_denoiser(0.7, 1), noise, unchanged))
    return abs(found / (math.sqrt(101) * 0.7 / math.sqrt(0.7**2 + 100)) - 1)


def test_heun_is_of_second_order() -> None:
    """The exact solution is x(0) = x(sigma_max) s / sqrt(s^2 + sigma_max^2)."""
    errors = [relative_error(steps) for steps in (16, 32, 64, 128)]
    for error, known in zip(errors, (2.8e-2, 6.2e-3, 1.5e-3, 3.5e-4), strict=True):
        assert error == pytest.approx(known, rel=0.1)
    slope = math.log2(errors[-2] / errors[-1])
    assert slope == pytest.approx(2.0, abs=0.15)


def test_eulers_method_is_not() -> None:
    """The same levels with half of the work: the check of the order would see it."""
    errors = []
    for steps in (64, 128):
        denoiser, levels = gaussian_denoiser(0.7, 1), HeunSampler(steps=steps, churn=0).levels()
        z = torch.full((1, 1), math.sqrt(101), dtype=torch.float64)
        for sigma, below in pairwise(levels):
            z = z + (below - sigma) * denoiser.velocity(z, sigma)
        errors.append(abs(float(z) / (math.sqrt(101) * 0.7 / math.sqrt(0.7**2 + 100)) - 1))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("churn", [0.0, 0.4])
def test_two_points_are_met(churn: float) -> None:
    """Data at -1 and 1: D = tanh(x / sigma^2)."""
    denoiser = ideal_denoiser(lambda z, sigma: torch.tanh(z / sigma**2), torch.ones(1, dtype=torch.float64))
    sampler = HeunSampler(churn=churn)
    noise = torch.randn(sampler.num_draws, 20_000, 1, generator=seeded("two"), dtype=torch.float64)
    found = sampler.sample(denoiser, noise, unchanged)
    assert float((found.abs() - 1).abs().max()) < 1e-6
    assert float((found > 0).double().mean()) == pytest.approx(0.5, abs=3 * 0.5 / math.sqrt(20_000))


def test_the_start_decides_the_spread() -> None:
    """From standard deviation sigma_max = 1 the samples of a normal law of spread 1 have 1 / sqrt(2) of it."""
    noise = torch.ones(1, 1, 1, dtype=torch.float64)
    narrow = HeunSampler(steps=50, sigma_max=1.0, churn=0, start="noise")
    right = HeunSampler(steps=50, sigma_max=1.0, churn=0)
    denoiser = gaussian_denoiser(1.0, 1)
    assert float(narrow.sample(denoiser, noise, unchanged)) == pytest.approx(1 / math.sqrt(2), rel=1e-3)
    assert float(right.sample(denoiser, noise, unchanged)) == pytest.approx(1, rel=1e-3)
    published = HeunSampler(steps=50, sigma_min=0.002, sigma_max=1.0, rho=7.0, churn=10 / 50, start="noise")
    assert HeunSampler.released() == published


def test_churn_keeps_the_law_of_a_gaussian() -> None:
    sampler = HeunSampler(steps=64)
    noise = torch.randn(sampler.num_draws, 20_000, 1, generator=seeded("churn"), dtype=torch.float64)
    found = sampler.sample(gaussian_denoiser(0.7, 1), noise, unchanged)
    assert float(found.std()) == pytest.approx(0.7, rel=0.03)


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({"churn": 0.25}, (9, 4, 1)),
        ({"churn": 0.25, "churn_min": 2.0}, (9, 4, 0)),
        ({"churn": 0.25, "churn_max": 5.0}, (0, 4, 1)),
        ({"churn": 0.25, "churn_noise": 2.0}, (18, 8, 2)),
        ({"churn": 5.0}, (12, 16 / 3, 4 / 3)),
    ],
)
def test_added_noise_by_hand(options: dict[str, float], weights: tuple[float, ...]) -> None:
    """Where D(z) = z no step moves, and each adds sigma sqrt(1.25^2 - 1) = 3/4 sigma of its noise; at most sigma."""
    sampler = HeunSampler(steps=3, sigma_min=1.0, sigma_max=9.0, rho=2.0, **options)  # levels 9, 4, 1
    denoiser = ideal_denoiser(lambda z, sigma: z, torch.ones(1, dtype=torch.float64))
    noise = torch.tensor([1.0, 10.0, 100.0, 1000.0], dtype=torch.float64).view(4, 1, 1)
    expected = math.sqrt(82) + 0.75 * sum(weight * 10**place for place, weight in enumerate(weights, start=1))
    assert float(sampler.sample(denoiser, noise, unchanged)) == pytest.approx(expected, rel=1e-9)


def test_levels_and_times_by_hand() -> None:
    sampler = HeunSampler(steps=3, sigma_min=1.0, sigma_max=9.0, rho=2.0)
    assert sampler.levels() == pytest.approx([9.0, 4.0, 1.0, 0.0])
    assert FlowSampler(steps=2, grid="quadratic").times() == [0.0, 0.75, 1.0]
    assert (HeunSampler(steps=5).num_draws, HeunSampler(steps=5, churn=0).num_draws) == (6, 1)


def test_both_samplers_end_at_one_point() -> None:
    """From the same noise, up to sigma_max, which the flow does not have; both errors fall as N^-2."""
    denoiser, noise = gaussian_denoiser(0.7, 1), torch.ones(1, 1, 1, dtype=torch.float64)
    flow = [float(FlowSampler(n).sample(denoiser, noise, unchanged)) for n in (16, 32, 64)]
    heun = float(HeunSampler(2048, sigma_max=1000.0, churn=0).sample(denoiser, noise, unchanged))
    assert heun == pytest.approx(0.7, abs=1e-4)
    errors = [abs(value - heun) for value in flow]
    assert errors[0] < 3e-3
    assert math.log2(errors[0] / errors[2]) == pytest.approx(4, abs=0.6)


def test_likelihood_of_a_gaussian() -> None:
    """Of 40 clouds of three points in the plane, four degrees of freedom each."""
    scale, num = 0.7, 40
    z = scale * random_noise(FLAT, torch.arange(num).repeat_interleave(3), num, seeded("likelihood"))
    square = z.unflatten(0, (num, 3)).square().sum((1, 2))
    exact = -square / (2 * scale**2) - 2 * math.log(2 * math.pi * scale**2)
    denoiser = gaussian_denoiser(scale, 2)
    errors = []
    for steps in (16, 32):
        found = log_likelihood(denoiser, z, num, FLAT, grid=HeunSampler(steps, sigma_max=40.0, churn=0))
        errors.append(float((found.log_density - exact).abs().mean()))
    assert found.freedom == 4
    assert errors[1] < 0.2
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.4)
    torch.testing.assert_close(found.per_freedom(math.e), found.log_density / 4 - 1)


def test_the_likelihood_ends_at_noisy_data() -> None:
    """Up to level 2 only, where data of spread 1 have the variance 2^2 + 1."""
    z = random_noise(FLAT, torch.zeros(3, dtype=torch.long), 1, seeded("ends"))
    exact = -float(z.square().sum()) / 2 - 2 * math.log(2 * math.pi)
    grid = HeunSampler(64, sigma_max=2.0, churn=0)
    found = log_likelihood(gaussian_denoiser(1.0, 2), z, 1, FLAT, grid=grid)
    assert float(found.log_density) == pytest.approx(exact, abs=0.01)


def test_probes_give_the_divergence_on_average() -> None:
    num, grid = 100, HeunSampler(3, churn=0)
    z = random_noise(FLAT, torch.arange(num).repeat_interleave(3), num, seeded("probed"))
    denoiser = gaussian_denoiser(0.7, 2)
    whole = log_likelihood(denoiser, z, num, FLAT, grid=grid).log_density
    probed = log_likelihood(denoiser, z, num, FLAT, grid=grid, num_probes=10, generator=seeded("probes")).log_density
    difference = probed - whole
    assert 0 < float(difference.std()) < 3
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / math.sqrt(num)


def test_likelihood_refuses_what_it_has_none_of() -> None:
    denoiser = gaussian_denoiser(1.0, 3)
    with pytest.raises(ValueError, match="one size"):
        log_likelihood(denoiser, torch.zeros(5, 3), 2, StateSpace(3))
    with pytest.raises(ValueError, match="num_probes must be at least 1"):
        log_likelihood(denoiser, torch.zeros(4, 3), 2, StateSpace(3), num_probes=0)
    with pytest.raises(ValueError, match="set num_probes"):
        log_likelihood(denoiser, torch.zeros(40, 3), 1, StateSpace(3))
    with pytest.raises(ValueError, match="at least 2"):
        log_likelihood(denoiser, torch.zeros(2, 3), 2, StateSpace(3))
    with pytest.raises(ValueError, match="at least one cloud, got 0"):
        log_likelihood(denoiser, torch.zeros(0, 3), 0, StateSpace(3))


def test_noise_has_zero_mean_and_the_covariance_of_the_subspace() -> None:
    space, num = StateSpace(3, 2), 20_000
    noise = random_noise(space, torch.arange(num).repeat_interleave(4), num, seeded("noise"))
    clouds = noise.unflatten(0, (num, 4))
    assert float(clouds[..., :3].sum(1).abs().max()) < 1e-12
    covariance = torch.einsum("bik,bjk->ij", clouds[..., :3], clouds[..., :3]) / (3 * num)
    torch.testing.assert_close(covariance, torch.eye(4).double() - 0.25, rtol=0, atol=0.02)
    assert float(clouds[..., 3:].var()) == pytest.approx(1, abs=0.02)


def test_churned_states_keep_zero_mean_in_float32() -> None:
    """Also with a network that pushes all clouds to one side; without the projection they drift away."""
    sampler, space = HeunSampler(64), StateSpace(3)
    batch = torch.arange(3).repeat_interleave(torch.tensor([2, 5, 9]))
    noise = numbered_noise(space, [2, 5, 9], [0, 1, 2], sampler.num_draws, 0).float()
    ideal = gaussian_denoiser(1.0, 3)
    spread = ideal.spread.float()
    pushing = Denoiser(lambda scaled, code: ideal.network(scaled, code).float() + 0.1, spread)

    def largest_sum(project: Callable[[Tensor], Tensor]) -> float:
        found = sampler.sample(pushing, noise, project)
        return max(float(found[batch == cloud].sum(0).abs().max()) for cloud in range(3))

    assert largest_sum(lambda z: space.project(z, batch, 3)) < 1e-5
    assert largest_sum(unchanged) > 0.1


def test_numbered_noise_depends_on_the_number_alone() -> None:
    space = StateSpace(3)
    many = numbered_noise(space, [4, 5, 6], [7, 8, 9], 3, seed=1)
    torch.testing.assert_close(many[:, 4:9], numbered_noise(space, [5], [8], 3, seed=1), rtol=0, atol=0)
    assert not torch.equal(many[:, 4:9], numbered_noise(space, [5], [8], 3, seed=2))


def test_unit_length_by_hand() -> None:
    """Two points at -1 and 1: sum |x|^2 = 2 over 3 degrees of freedom."""
    from rapidash.data import CloudDataset, Field
    from rapidash.groups import Position

    pos = torch.tensor([[4.0, 0.0, 0.0], [6.0, 0.0, 0.0]])
    data = CloudDataset({"pos": pos}, {"pos": Field(Position())}, torch.tensor([2]))
    assert unit_length(data) == pytest.approx(math.sqrt(2 / 3))
    with pytest.raises(ValueError, match="cloud 0 has 1 point"):
        unit_length(CloudDataset({"pos": pos[:1]}, data.fields, torch.tensor([1])))
    assert StateSpace(3).degrees_of_freedom(torch.tensor([5])).tolist() == [12]
    assert StateSpace(2, 3).degrees_of_freedom(torch.tensor([5])).tolist() == [23]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 1}, "steps must be at least 2"),
        ({"sigma_min": 0.0}, "sigma_min must be a noise level"),
        ({"sigma_max": math.nan}, "sigma_max must be a noise level"),
        ({"sigma_max": 1e9}, "sigma_max must be a noise level"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "below sigma_max"),
        ({"rho": 0.0}, "rho must be positive"),
        ({"churn": -1.0}, "churn must be at least 0"),
        ({"churn_min": 2.0, "churn_max": 1.0}, "churn_max must be at least churn_min, got 1.0 and 2.0"),
        ({"churn_max": math.nan}, "churn_max must be at least churn_min"),
        ({"steps": 10.5}, "steps must be a whole number, got 10.5"),
        ({"sigma_max": "10"}, "sigma_max must be a number, got '10'"),
        ({"start": "zero"}, "start must be"),
    ],
)
def test_bad_settings_of_heun_are_told(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HeunSampler(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"steps": 10.5}, {"grid": "cubic"}, {"source_scale": 0.0}])
def test_bad_settings_of_the_flow_are_told(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FlowSampler(**wrong)  # type: ignore[arg-type]


def test_bad_laws_of_levels_are_told() -> None:
    with pytest.raises(ValueError, match="std positive"):
        LogNormalLevels(std=0.0)
    with pytest.raises(ValueError, match="law must be"):
        FlowLevels("normal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dim must be"):
        StateSpace(4)
    with pytest.raises(ValueError, match="spread must be"):
        StateSpace(3, spread=0.0)


def test_a_flow_from_a_wider_source_ends_at_the_data() -> None:
    """From 2 of a source of standard deviation 2 to 0.7 of data of 0.7."""
    noise = torch.ones(1, 1, 1, dtype=torch.float64)
    found = float(FlowSampler(64, source_scale=2.0).sample(gaussian_denoiser(0.7, 1), noise, unchanged))
    assert found == pytest.approx(0.7, rel=1e-3)
