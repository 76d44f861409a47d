import pytest
import torch
from symmetrize_checks import cloud, clouds, with_variances

from rapidash._seed import seeded
from rapidash.data import Field, RowBatch
from rapidash.groups import SE, SO, Position, Vector
from rapidash.symmetrize import Canonical, Conditional, Frames, regularity, small_frame_network, transport_distance
from rapidash.symmetry import GroupSamples, Haar


def samples(*angles: float, weights: tuple[float, ...] | None = None) -> GroupSamples:
    angle = torch.tensor(angles, dtype=torch.float64)
    g = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=-1).view(1, -1, 2, 2)
    return GroupSamples(g, g.new_zeros(()), None if weights is None else g.new_tensor([weights]))


def test_distances_of_sets_by_hand() -> None:
    half_turn = 2 * 2**0.5  # the norm of 1 - (-1)
    assert float(transport_distance(samples(0.0), samples(torch.pi))) == pytest.approx(half_turn)
    assert float(transport_distance(samples(0.0, torch.pi), samples(torch.pi, 0.0))) < 1e-12  # sets have no order
    moved = transport_distance(samples(0.0, torch.pi, weights=(0.75, 0.25)), samples(0.0, torch.pi))
    assert float(moved) == pytest.approx(half_turn / 4)  # a quarter of the mass turns
    padded = samples(0.0, 1.0, weights=(1.0, 0.0))
    assert float(transport_distance(padded, samples(0.0))) < 1e-12  # weight 0 counts nothing


def test_the_axis_of_a_vector_turns_by_the_angle_of_the_move() -> None:
    """One vector of the plane, moved by a relative d: its axes turn by the part of d across it, sqrt(2) in the norm."""
    vectors = torch.randn(400, 2, generator=seeded(0), dtype=torch.float64)
    rows = RowBatch({"v": vectors}, {"v": Field(Vector(), level="cloud")})
    found = regularity(Frames(SO(2)), rows, 1e-5, seeded(1), num_moves=2)
    assert found.jumps.shape == (2, 400)
    assert found.max == pytest.approx(2**0.5, rel=1e-2)
    assert found.quantile(0.5) == pytest.approx(1.0, rel=0.1)  # sqrt(2) |sin|, at 45 degrees
    assert found.quantile(1.0) == found.max


def test_a_law_that_ignores_the_data_does_not_jump_and_translations_do_not_count() -> None:
    assert regularity(Haar(SO(3)), clouds(), 1e-2, seeded(0), num_samples=3).max == 0
    both = [regularity(Frames(group), clouds(), 1e-3, seeded(0)).jumps for group in (SO(3), SE(3))]
    torch.testing.assert_close(*both)


def test_the_figure_grows_as_one_over_the_step_where_frames_jump_and_stays_where_they_do_not() -> None:
    plain, weighted = Frames(SO(3), degenerate="ignore"), Frames(SO(3), weighted=True)
    for variances in ((1.0, 1.0, 0.3), (1.0, 1.0, 1.0)):
        near = cloud(with_variances(*variances))
        for step in (1e-2, 1e-4):
            assert regularity(plain, near, step, seeded(0), num_moves=4).max > 0.1 / step
            assert regularity(weighted, near, step, seeded(0), num_moves=4).max < 50
    net = small_frame_network(SO(3), clouds()).double()
    for law in (Canonical(net, SO(3)), Conditional(net, SO(3))):
        ratios = [regularity(law, clouds(), step, seeded(0), num_moves=3).quantile(0.5) for step in (1e-4, 1e-5)]
        assert 0 < ratios[0] < 100
        assert ratios[0] == pytest.approx(ratios[1], rel=0.2)


def test_rows_and_what_does_not_fit() -> None:
    places = RowBatch(
        {"x": torch.randn(3, 4, 2, generator=seeded(0), dtype=torch.float64) + 100},
        {"x": Field(Position(), level="cloud")},
    )
    assert regularity(Frames(SE(2), degenerate="ignore"), places, 1e-4, seeded(0)).max < 1000
    with pytest.raises(ValueError, match="step must be positive"):
        regularity(Frames(SO(3)), clouds(), 0.0, seeded(0))
    with pytest.raises(ValueError, match="moves are random"):
        regularity(Frames(SO(3)), clouds())
