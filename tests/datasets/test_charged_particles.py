import importlib.util
import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from torch import Tensor

from rapidash._seed import seeded
from rapidash.datasets import _charged_particles, simulate_charged_particles
from rapidash.groups import random_rotation

NO_CLIPPING = math.inf
BACKENDS = ["reference", *(["numba"] if importlib.util.find_spec("numba") else [])]


def random_state(*keys: int | str, num_clouds: int = 3, num_points: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    rng = seeded(*keys)
    pos, vel = (torch.randn(num_clouds, num_points, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    return pos, 0.5 * vel, 2.0 * torch.randint(0, 2, (num_clouds, num_points), generator=rng).double() - 1


def repelling_state(*keys: int | str, **sizes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Like charges: no close encounter amplifies rounding errors."""
    pos, vel, charges = random_state(*keys, **sizes)
    return pos, vel, charges.abs()


def momentum_drift(vel_frames: Tensor, vel: Tensor) -> float:
    return float((vel_frames.sum(dim=2) - vel.sum(dim=1)[:, None]).abs().max())


def energy(pos: Tensor, vel: Tensor, charges: Tensor) -> Tensor:
    i, j = torch.triu_indices(pos.shape[-2], pos.shape[-2], offset=1)
    potential = charges[..., i] * charges[..., j] / (pos[..., i, :] - pos[..., j, :]).norm(dim=-1)
    return vel.square().sum(dim=(-1, -2)) / 2 + potential.sum(dim=-1)


def energy_drift(pos: Tensor, vel: Tensor, charges: Tensor, *, num_steps: int, dt: float) -> float:
    """The largest change of energy at any frame, in units of the kinetic plus the absolute potential scale of 1."""
    frames = simulate_charged_particles(
        pos, vel, charges, num_steps=num_steps, sample_every=num_steps // 20, dt=dt, max_force=NO_CLIPPING
    )
    return float((energy(*frames, charges[:, None]) - energy(pos, vel, charges)[:, None]).abs().max())


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_step_by_hand(backend: str) -> None:
    # charges 2, -1, 3 at 0, (2, 0, 0), (0, 0, -4): forces on particle 0 are 2/4 towards 1 and 6/16 away from 2
    pos = torch.tensor([[[0.0, 0, 0], [2, 0, 0], [0, 0, -4]]], dtype=torch.float64)
    vel = torch.tensor([[[0.0, 1, 0], [0, 0, 0], [0, 0, 0]]], dtype=torch.float64)
    out_pos, out_vel = simulate_charged_particles(
        pos, vel, torch.tensor([[2, -1, 3]]), num_steps=1, sample_every=1, dt=0.1, backend=backend
    )
    far = 3 / 20**1.5  # the attraction of 1 and 2, per unit of their offset (2, 0, 4)
    force = [[0.5, 0, 0.375], [-0.5 - 2 * far, 0, -4 * far], [2 * far, 0, -0.375 + 4 * far]]
    expected = vel[0] + 0.1 * torch.tensor(force, dtype=torch.float64)
    torch.testing.assert_close(out_vel[0, 0], expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(out_pos[0, 0], pos[0] + 0.1 * expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_free_particle_falls_by_g_t_squared_over_two(backend: str) -> None:
    """Semi-implicit Euler: n steps move it by g dt^2 n (n + 1) / 2; before the field is on, it flies straight on."""
    vel = torch.tensor([[[1.0, 0.0, 0.5]]], dtype=torch.float64)
    pos, out = simulate_charged_particles(
        torch.zeros(1, 1, 3), vel, torch.ones(1, 1), num_steps=300, sample_every=100, field=(0.0, 0.2, -0.4),
        field_from=100, backend=backend,
    )  # fmt: skip
    for frame, fallen in enumerate((0, 100, 200)):
        time, drop = 0.001 * 100 * (frame + 1), 1e-6 * fallen * (fallen + 1) / 2
        expected = torch.tensor([time, 0.2 * drop, 0.5 * time - 0.4 * drop], dtype=torch.float64)
        torch.testing.assert_close(pos[0, frame, 0], expected, rtol=0, atol=1e-13)
        speed = torch.tensor([1.0, 0.2 * 0.001 * fallen, 0.5 - 0.4 * 0.001 * fallen], dtype=torch.float64)
        torch.testing.assert_close(out[0, frame, 0], speed, rtol=0, atol=1e-13)


def test_a_uniform_field_moves_charges_alike_and_is_not_clipped() -> None:
    pos, vel, charges = repelling_state("field")
    options = {"num_steps": 50, "sample_every": 50}
    plain, _ = simulate_charged_particles(pos, vel, charges, **options)
    pulled, _ = simulate_charged_particles(pos, vel, charges, field=(0.0, 0.0, -1000.0), **options)
    expected = torch.tensor([0.0, 0.0, -1000.0 * 1e-6 * 50 * 51 / 2], dtype=torch.float64).expand_as(plain)
    torch.testing.assert_close(pulled - plain, expected, rtol=0, atol=1e-10)


def test_a_field_that_is_none_is_named() -> None:
    state = random_state("bad field")
    for wrong, error, message in (
        ({"field": (0.0, 1.0)}, ValueError, r"field must be three finite numbers, got \(0\.0, 1\.0\)"),
        ({"field": (0.0, 1.0, math.inf)}, ValueError, "field must be three finite numbers"),
        ({"field_from": -1}, ValueError, "field_from must be at least 0, got -1"),
        ({"field_from": 1.0}, TypeError, "field_from must be an int, got 1.0 of type float"),
    ):
        with pytest.raises(error, match=message):
            simulate_charged_particles(*state, num_steps=1, sample_every=1, **wrong)


def test_frames_begin_at_step_sample_every_and_the_rest_is_dropped() -> None:
    vel = torch.tensor([[[1.0, -2.0, 0.5]]], dtype=torch.float64)
    pos, same_vel = simulate_charged_particles(
        torch.zeros(1, 1, 3), vel, torch.ones(1, 1), num_steps=11, sample_every=3
    )
    assert pos.shape == same_vel.shape == (1, 3, 1, 3)
    times = 0.001 * torch.tensor([3, 6, 9], dtype=torch.float64)
    torch.testing.assert_close(pos[0, :, 0], times[:, None] * vel[0, 0], rtol=0, atol=1e-15)
    assert torch.equal(same_vel[0, :, 0], vel[0].expand(3, 3))


def test_velocities_and_positions_of_a_frame_belong_to_the_same_step() -> None:
    state = random_state("frames")
    pos, vel = simulate_charged_particles(*state, num_steps=20, sample_every=1)
    torch.testing.assert_close(pos[:, 1:] - pos[:, :-1], 0.001 * vel[:, 1:], rtol=0, atol=1e-14)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), num_points=st.integers(1, 7))
def test_momentum_is_conserved(seed: int, num_points: int) -> None:
    state = random_state(seed, num_points=num_points)
    _, vel = simulate_charged_particles(*state, num_steps=300, sample_every=50, max_force=NO_CLIPPING)
    assert momentum_drift(vel, state[1]) < 1e-12 * max(1.0, float(vel.abs().max()))


def test_the_momentum_check_rejects_forces_clipped_out_of_balance() -> None:
    state = random_state("clipped")
    _, vel = simulate_charged_particles(*state, num_steps=300, sample_every=50, max_force=0.1)
    assert momentum_drift(vel, state[1]) > 1e-3


def test_energy_drift_is_bounded_and_of_first_order_in_dt() -> None:
    state = repelling_state("energy", num_clouds=20)
    coarse = energy_drift(*state, num_steps=5000, dt=0.001)
    fine = energy_drift(*state, num_steps=10000, dt=0.0005)
    assert coarse < 0.05
    assert 1.8 < coarse / fine < 2.2
    pos, vel, charges = state
    assert (energy(pos, vel, charges) - energy(pos, 1.1 * vel, charges)).abs().min() > coarse  # the check can see this


def test_energy_drift_does_not_grow_over_bound_orbits() -> None:
    pos, vel, charges = kepler_state(eccentricity=0.3)
    period = 2 * math.pi * math.sqrt(SEMI_MAJOR**3 / 2)
    first = energy_drift(pos, vel, charges, num_steps=int(period / 0.001), dt=0.001)
    later = energy_drift(pos, vel, charges, num_steps=int(6 * period / 0.001), dt=0.001)
    assert later < 1.1 * first < 1e-3


SEMI_MAJOR = 1.5


def kepler_state(eccentricity: float) -> tuple[Tensor, Tensor, Tensor]:
    """Opposite unit charges at the pericenter of the relative orbit, r'' = -2 r / |r|^3 (two unit masses)."""
    separation = SEMI_MAJOR * (1 - eccentricity)
    speed = math.sqrt(2 / SEMI_MAJOR * (1 + eccentricity) / (1 - eccentricity))
    pos = torch.tensor([[[separation / 2, 0, 0], [-separation / 2, 0, 0]]], dtype=torch.float64)
    vel = torch.tensor([[[0, speed / 2, 0], [0, -speed / 2, 0]]], dtype=torch.float64)
    return pos, vel, torch.tensor([[1.0, -1.0]])


def kepler_orbit(eccentricity: float, time: float) -> tuple[float, float]:
    """The relative position by Kepler's equation."""
    mean_anomaly = math.sqrt(2 / SEMI_MAJOR**3) * time
    anomaly = brentq(lambda u: u - eccentricity * math.sin(u) - mean_anomaly, mean_anomaly - 1, mean_anomaly + 1)
    minor = SEMI_MAJOR * math.sqrt(1 - eccentricity**2)
    return SEMI_MAJOR * (math.cos(anomaly) - eccentricity), minor * math.sin(anomaly)


def kepler_error(eccentricity: float, dt: float, *, charge: float = 1.0) -> float:
    pos, vel, charges = kepler_state(eccentricity)
    num_steps = round(10.0 / dt)  # 1.2 periods
    frames, _ = simulate_charged_particles(
        pos, vel, charge * charges, num_steps=num_steps, sample_every=num_steps // 20, dt=dt
    )
    relative = frames[0, :, 0] - frames[0, :, 1]
    exact = torch.tensor([[*kepler_orbit(eccentricity, 0.5 * (k + 1)), 0.0] for k in range(20)], dtype=torch.float64)
    return float((relative - exact).norm(dim=-1).max())


@pytest.mark.parametrize("eccentricity", [0.0, 0.3, 0.6])
def test_two_opposite_charges_follow_the_kepler_ellipse(eccentricity: float) -> None:
    coarse, fine = (kepler_error(eccentricity, dt) for dt in (0.001, 0.0005))
    assert coarse < 0.01 * SEMI_MAJOR
    assert 1.8 < coarse / fine < 2.2  # the method is of first order


def test_the_kepler_check_rejects_a_wrong_strength_of_the_force() -> None:
    assert kepler_error(0.3, 0.001, charge=1.01) > 0.01 * SEMI_MAJOR


def test_five_particles_agree_with_an_adaptive_integrator() -> None:
    pos, vel, charges = repelling_state("ivp", num_clouds=1)
    q = charges[0].numpy()

    def derivative(_: float, state: np.ndarray) -> np.ndarray:
        x, v = state.reshape(2, 5, 3)
        offset = x[:, None] - x[None]
        cubed = np.linalg.norm(offset, axis=-1) ** 3 + np.diag(np.full(5, np.inf))
        return np.stack([v, ((q[:, None] * q / cubed)[..., None] * offset).sum(axis=1)]).ravel()

    initial = torch.stack([pos[0], vel[0]]).numpy().ravel()
    exact = solve_ivp(derivative, (0, 2), initial, method="DOP853", rtol=1e-11, atol=1e-11).y[:, -1].reshape(2, 5, 3)
    errors = []
    for dt in (0.001, 0.0005):
        frames = simulate_charged_particles(
            pos, vel, charges, num_steps=round(2 / dt), sample_every=round(2 / dt), dt=dt
        )
        errors.append(np.abs(torch.stack(frames)[:, 0, 0].numpy() - exact).max())
    assert errors[0] < 0.02
    assert 1.8 < errors[0] / errors[1] < 2.2


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_sum_of_the_forces_is_clipped_in_each_component(backend: str) -> None:
    # on particle 0: 400 along +x from the left, 256 along -x from the right, together 144; clipped singly they cancel
    pos = torch.tensor([[[0.0, 0, 0], [-0.05, 0, 0], [0.0625, 0, 0]]], dtype=torch.float64)
    kwargs = {"num_steps": 1, "sample_every": 1, "dt": 1.0, "backend": backend}
    _, vel = simulate_charged_particles(pos, torch.zeros_like(pos), torch.ones(1, 3), **kwargs)
    assert vel[0, 0].tolist() == [[100.0, 0.0, 0.0], [-100.0, 0.0, 0.0], [100.0, 0.0, 0.0]]
    _, vel = simulate_charged_particles(pos, torch.zeros_like(pos), torch.ones(1, 3), **kwargs, max_force=NO_CLIPPING)
    assert vel[0, 0, 0, 0].item() == pytest.approx(144)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), num_points=st.integers(2, 6))
def test_the_simulation_is_equivariant_to_motions_and_permutations(seed: int, num_points: int) -> None:
    pos, vel, charges = repelling_state(seed, num_points=num_points)
    rng = seeded(seed, "motion")
    rotation, shift = random_rotation(1, 3, generator=rng)[0], torch.randn(3, generator=rng, dtype=torch.float64)
    order = torch.randperm(num_points, generator=rng)
    schedule = {"num_steps": 400, "sample_every": 100, "max_force": NO_CLIPPING}
    plain = simulate_charged_particles(pos, vel, charges, **schedule)
    moved = simulate_charged_particles(
        (pos @ rotation.T + shift)[:, order], (vel @ rotation.T)[:, order], charges[:, order], **schedule
    )
    torch.testing.assert_close(moved[0], (plain[0] @ rotation.T + shift)[:, :, order], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(moved[1], (plain[1] @ rotation.T)[:, :, order], rtol=1e-9, atol=1e-9)


def test_clipping_breaks_the_rotation_symmetry() -> None:  # so the test of equivariance can fail
    pos, vel, charges = repelling_state("clipped rotation")
    rotation = random_rotation(1, 3, generator=seeded(0))[0]
    schedule = {"num_steps": 400, "sample_every": 400, "max_force": 0.1}
    plain, _ = simulate_charged_particles(pos, vel, charges, **schedule)
    moved, _ = simulate_charged_particles(pos @ rotation.T, vel @ rotation.T, charges, **schedule)
    assert (moved - plain @ rotation.T).abs().max() > 1e-4


@pytest.mark.skipif("numba" not in BACKENDS, reason="numba is not installed")
@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (7, 5), (5, 9)], ids=str)
def test_numba_gives_the_numbers_of_the_reference_bit_for_bit(
    sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_charged_particles, "_CHUNK", 3)  # several chunks, the last one shorter
    state = random_state("parity", *sizes, num_clouds=sizes[0], num_points=sizes[1])
    fast, slow = (
        simulate_charged_particles(
            *state,
            num_steps=1000,
            sample_every=99,
            max_force=20.0,
            field=(0.1, -0.2, 0.3),
            field_from=350,
            backend=backend,
        )
        for backend in ("numba", "reference")
    )
    assert torch.equal(fast[0], slow[0])
    assert torch.equal(fast[1], slow[1])
    other, _ = simulate_charged_particles(*state, num_steps=1000, sample_every=99, max_force=20.0, dt=0.00100001)
    assert not torch.equal(other, slow[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_trajectory_does_not_depend_on_its_batch_or_on_the_threads(backend: str) -> None:
    state = random_state("batch", num_clouds=7)
    schedule = {"num_steps": 500, "sample_every": 250, "backend": backend}
    together, _ = simulate_charged_particles(*state, **schedule)
    alone = [simulate_charged_particles(*(a[k : k + 1] for a in state), **schedule)[0] for k in range(7)]
    assert torch.equal(together, torch.cat(alone))
    num_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 if num_threads != 3 else 2)
        assert torch.equal(together, simulate_charged_particles(*state, **schedule)[0])
    finally:
        torch.set_num_threads(num_threads)


def test_inputs_of_any_dtype_are_read_and_left_as_they_were() -> None:
    pos, vel, charges = random_state("inputs")
    inputs = (pos.float().requires_grad_(), vel.float().transpose(1, 2).contiguous().transpose(1, 2), charges.int())
    before = [tensor.detach().clone() for tensor in inputs]
    frames = simulate_charged_particles(*inputs, num_steps=10, sample_every=5)
    assert all(torch.equal(a, b) for a, b in zip(before, inputs))
    assert all(a.dtype == torch.float64 and not a.requires_grad for a in frames)
    arrays = simulate_charged_particles(*(a.numpy() for a in before), num_steps=10, sample_every=5)
    assert torch.equal(frames[0], arrays[0])


BAD_VALUES = [
    ({"pos": torch.zeros(5, 3)}, r"pos must have the shape \(B, N, 3\)"),
    ({"pos": torch.zeros(2, 5, 2)}, r"pos must have the shape"),
    ({"pos": torch.zeros(0, 5, 3)}, r"B and N at least 1"),
    ({"pos": torch.zeros(2, 0, 3)}, r"B and N at least 1"),
    ({"vel": torch.zeros(3, 4, 3)}, r"vel must have the shape of pos, \(3, 5, 3\), got \(3, 4, 3\)"),
    ({"charges": torch.zeros(3, 5, 1)}, r"charges must have the shape \(B, N\)"),
    ({"vel": torch.full((3, 5, 3), math.nan)}, r"vel holds NaN or infinity, first at index \(0, 0, 0\)"),
    ({"charges": torch.full((3, 5), math.inf)}, r"charges holds NaN"),
    ({"pos": torch.ones(3, 5, 3)}, r"particles 0 and 1 of trajectory 0 coincide"),
    ({"num_steps": 0}, r"num_steps must be at least 1, got 0"),
    ({"sample_every": -1}, r"sample_every must be at least 1, got -1"),
    ({"sample_every": 11}, r"no frame would be kept"),
    ({"dt": 0.0}, r"dt must be finite and above 0"),
    ({"dt": math.nan}, r"dt must be finite and above 0"),
    ({"max_force": -1.0}, r"max_force must be above 0"),
    ({"backend": "fortran"}, r"unknown backend 'fortran', expected one of"),
]


def call(**changes: object) -> tuple[Tensor, Tensor]:
    pos, vel, charges = random_state("bad input")
    arguments = {"pos": pos, "vel": vel, "charges": charges, "num_steps": 10, "sample_every": 5}
    return simulate_charged_particles(**{**arguments, **changes})


@pytest.mark.parametrize(("changes", "message"), BAD_VALUES)
def test_bad_input_is_named(changes: dict[str, object], message: str) -> None:
    call()  # is fine without the change
    with pytest.raises(ValueError, match=message):
        call(**changes)


@pytest.mark.parametrize("count", [2.0, True, "5"])
def test_counts_must_be_integers(count: object) -> None:
    with pytest.raises(TypeError, match="sample_every must be an int"):
        call(sample_every=count)


@pytest.mark.parametrize("backend", BACKENDS)
def test_particles_that_meet_on_the_way_are_reported(backend: str) -> None:
    pos = torch.tensor([[[0.0, 0, 0], [3, 0, 0]], [[1.0, 0, 0], [-1, 0, 0]]])
    vel = torch.tensor([[[0.0, 0, 0], [0, 0, 0]], [[-1.0, 0, 0], [1, 0, 0]]])
    with pytest.raises(ValueError, match="trajectory 1 left the finite numbers"):
        simulate_charged_particles(pos, vel, torch.zeros(2, 2), num_steps=3, sample_every=1, dt=1.0, backend=backend)


def test_without_numba_auto_says_so_and_numba_by_name_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = call(backend="reference")
    assert not caplog.records
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert torch.equal(call()[0], expected[0])
    assert "numba is not installed" in caplog.text
    with pytest.raises(RuntimeError, match=r"needs numba: pip install 'rapidash\[fast\]'"):
        call(backend="numba")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_whole_benchmark_takes_under_a_minute(backend: str) -> None:
    state = random_state("speed", num_clouds=7000)
    start = time.perf_counter()
    pos, _ = simulate_charged_particles(*state, num_steps=5000, sample_every=100, backend=backend)
    assert time.perf_counter() - start < 60
    assert pos.shape == (7000, 50, 5, 3)
