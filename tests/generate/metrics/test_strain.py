"""The strain of molecules: methane with longer bonds by hand, and molecules that have none."""

import math

import numpy as np
import pytest
import torch

from rapidash.data import CloudDataset, seeded
from rapidash.generate.metrics import molecule_figures, strain
from rapidash.generate.metrics._figure import median_ends
from rapidash.generate.metrics._strain import _motion
from rapidash.groups import SO
from tests.generate.metrics.conftest import METHANE, WATER

ENERGY, MOTION = "strain energy of sound ones (MMFF94)", "motion of sound ones in relaxation (MMFF94)"


def stretched(by: float) -> list[tuple[int, tuple[float, float, float]]]:
    return [(z, tuple(by * x for x in pos)) for z, pos in METHANE]  # type: ignore[misc]


def test_longer_bonds_of_methane_by_hand(by_hand) -> None:
    """Four bonds of MMFF94 at 1.093 + r: 143.9325 / 2 k r^2 (1 - 2 r + 7/3 r^2) with k = 4.766, r = 0.1.

    Its angles of 109.47 degrees, 0.635 above the preferred 108.836, couple to both bonds: 2.5121 * 0.115 for each.
    """
    r = 0.1
    bonds = 4 * 143.9325 / 2 * 4.766 * r**2 * (1 - 2 * r + 7 / 3 * r**2)
    coupled = 6 * 2.5121 * 0.115 * 2 * r * (math.degrees(math.acos(-1 / 3)) - 108.836)
    found = strain(by_hand(stretched(1.193 / 1.09), stretched(1.093 / 1.09)))
    assert found.energy[0] == pytest.approx(bonds + coupled, rel=0.01)
    assert found.energy[1] == pytest.approx(0, abs=0.01)
    assert found.motion[0] == pytest.approx(math.sqrt(4 / 5) * r, rel=0.02)  # four of five atoms move by r


def test_strain_does_not_change_under_motions(by_hand) -> None:
    data = by_hand("nitromethane")
    turn = SO(3).sample(1, generator=seeded("turn"))[0, :3, :3].double()
    moved = CloudDataset({**data.tensors, "pos": data.tensors["pos"] @ turn.T + 3}, data.fields, data.num_points)
    first, second = strain(data), strain(moved)
    assert second.energy == pytest.approx(first.energy, rel=1e-3)
    assert second.motion == pytest.approx(first.motion, rel=1e-2)
    assert 0.01 < float(first.motion[0]) < 0.5


def test_motion_by_hand_of_a_mirror_image() -> None:
    """Axes with squares 18, 8, 2 over 6 points: a mirror image stays 4 * 2 / 6 away, a turned copy comes back."""
    ends = np.diag([3.0, 2.0, 1.0])
    cloud = np.concatenate([ends, -ends])
    turn = SO(3).sample(1, generator=seeded("turn"))[0, :3, :3].double().numpy()
    assert _motion(cloud, cloud @ turn.T + 5) == pytest.approx(0, abs=1e-6)
    assert _motion(cloud, cloud @ np.diag([-1.0, 1, 1]) @ turn.T) == pytest.approx(math.sqrt(8 / 6))


def test_what_is_not_sound_has_no_strain(by_hand) -> None:
    apart = METHANE + [(z, (x + 20, y, w)) for z, (x, y, w) in WATER]
    data = by_hand(METHANE[:-1], apart, "water", "water")
    data.tensors["pos"][-1, 0] = math.nan
    found = strain(data)
    assert np.isfinite(found.energy).tolist() == np.isfinite(found.motion).tolist() == [False, False, True, False]


def test_medians_of_sound_ones_beside_real_ones(by_hand) -> None:
    samples = by_hand(*[stretched(1 + 0.01 * k) for k in range(7)], METHANE[:-1])
    found = {one.name: one for one in molecule_figures(samples, by_hand("methane"), num_resamples=2)}
    alone = strain(samples).energy[:7]
    assert found[ENERGY].value == pytest.approx(float(np.median(alone)))
    assert (found[ENERGY].num, found[ENERGY].unit) == (7, "kcal/mol")
    assert (found[ENERGY].low, found[ENERGY].high) == pytest.approx((alone.min(), alone.max()))
    assert found[ENERGY].real == pytest.approx(float(strain(by_hand("methane")).energy[0]))
    assert found[MOTION].value > found[MOTION].real
    lost = by_hand("water")
    lost.tensors["pos"][:] = math.nan
    nothing = {one.name: one for one in molecule_figures(lost, by_hand("methane"), num_resamples=2)}
    assert math.isnan(nothing[ENERGY].value)
    assert (nothing[ENERGY].num, nothing[ENERGY].low) == (0, None)


def test_the_interval_of_a_median_by_hand() -> None:
    """Of 6 values all: P(all on one side) = 2 / 64; of 9 the second: P(X < 2) = 10 / 512, and P(X < 3) = 46 / 512."""
    assert median_ends([3, 1, 2, 6, 5, 4]) == (1, 6)
    assert median_ends([3, 1, 2, 9, 5, 4, 8, 7, 6]) == (2, 8)
    assert median_ends([1, 2, 3, 4, 5]) == (None, None)
    assert median_ends([]) == (None, None)
    inside = 0
    for seed in range(400):
        low, high = median_ends(torch.randn(20, generator=seeded("median", seed)).tolist())
        assert low is not None
        assert high is not None
        inside += low < 0 < high
    assert 0.93 < inside / 400 < 0.99


def test_real_molecules_are_strained_a_little_and_noise_shows(qm9_test: CloudDataset) -> None:
    real = qm9_test.subset(torch.randperm(len(qm9_test), generator=seeded("strain"))[:40])
    noise = 0.03 * torch.randn(real.tensors["pos"].shape, generator=seeded("noise"))
    noisy = CloudDataset({**real.tensors, "pos": real.tensors["pos"] + noise}, real.fields, real.num_points)
    of_real, of_noisy = (np.nanmedian(strain(data).energy) for data in (real, noisy))
    assert 1 < of_real < 15
    assert of_noisy > 2 * of_real
