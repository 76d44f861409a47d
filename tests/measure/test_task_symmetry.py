"""Does the pose tell about the target? A case that must reject, cases that must not, and what is refused."""

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.groups import SO, Position, Scalar, Vector, random_rotation
from rapidash.measure import symmetry_breaking_score, task_symmetry_breaking
from rapidash.measure._task_symmetry import orientations

BUDGET = {"steps": 60, "num_turns": 19, "batch_size": 32}


def clouds(num: int = 300, dim: int = 3, seed: int = 0) -> Tensor:
    """Lopsided clouds, all in one pose."""
    points = torch.randn(num, 12, dim, generator=seeded("lopsided", seed)) * torch.tensor([0.6, 1.2, 0.3])[:dim]
    return points + 0.5 * points.square()


def upside_down(num: int = 300, dim: int = 3) -> tuple[Tensor, Tensor]:
    """Clouds whose class is whether they stand on their head: the pose is all there is to know."""
    label = torch.randint(2, (num,), generator=seeded("label"))
    head = torch.diag(torch.tensor([1.0, -1.0, -1.0] if dim == 3 else [-1.0, -1.0]))
    points = clouds(num, dim)
    return torch.where(label[:, None, None] == 0, points, points @ head), label


def turned(points: Tensor) -> Tensor:
    rotation = random_rotation(len(points), points.shape[2], generator=seeded("turned")).to(points)
    return torch.einsum("bij,bnj->bni", rotation, points)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_class_that_is_the_pose_is_detected(dim: int) -> None:
    score = task_symmetry_breaking(*upside_down(dim=dim), **BUDGET)
    assert score.ratio - 1 > score.standard_error
    assert score.ratio > 1.1
    assert score.p_value == 1 / 20
    assert score.z > 2
    assert score.turned_loss == pytest.approx(0.693, abs=0.1)  # ln 2: a random pose tells nothing
    assert score.group == f"SO({dim})"
    assert score.report().rows[0]["test"] == 150


def test_turned_data_and_targets_without_relation_are_not_rejected() -> None:
    points, label = upside_down()
    symmetric = task_symmetry_breaking(turned(points), label, **BUDGET)
    assert abs(symmetric.ratio - 1) < 3 * symmetric.standard_error
    assert symmetric.p_value > 0.05
    chance = torch.randn(300, 2, generator=seeded("chance"))
    unrelated = task_symmetry_breaking(clouds(), chance, **BUDGET)
    assert abs(unrelated.ratio - 1) < 3 * unrelated.standard_error
    assert unrelated.p_value > 0.05
    # the poses are canonical all the same: that score does not know the target
    assert symmetry_breaking_score(clouds(), SO(3), Position(), steps=60).p_value < 1e-3


def test_numbers_and_data_sets_are_accepted() -> None:
    points, label = upside_down()
    height = torch.where(label == 0, 1.0, -1.0) + 0.1 * torch.randn(300, generator=seeded("height"))
    fields = {"pos": Field(Position()), "y": Field(Scalar(), level="cloud"), "d": Field(Vector(), level="cloud")}
    tensors = {"pos": points.reshape(-1, 3), "y": height[:, None], "d": torch.ones(300, 3)}
    data = CloudDataset(tensors, fields, torch.full((300,), 12))
    score = task_symmetry_breaking(data, "y", **BUDGET)
    assert score.p_value == 1 / 20
    assert score.turned_loss == pytest.approx(1.0, abs=0.2)  # in units of the variance
    again = task_symmetry_breaking(points, height, **BUDGET)
    assert again == score
    with pytest.raises(TypeError, match="target 'd' transforms as Vector"):
        task_symmetry_breaking(data, "d")
    with pytest.raises(ValueError, match="target 'z' is no field of the data"):
        task_symmetry_breaking(data, "z")


@pytest.mark.parametrize("dim", [2, 3])
def test_orientations_turn_with_the_cloud_and_forget_place_and_size(dim: int) -> None:
    points = clouds(5, dim).double()
    batch = torch.repeat_interleave(torch.arange(5), 12)
    frames = orientations(points.reshape(-1, dim), batch, 5, generator=seeded(0))
    assert torch.allclose(torch.linalg.det(frames), torch.ones(5).double())
    g = random_rotation(1, dim, generator=seeded("g")).double()[0]
    moved = orientations(7 * points.reshape(-1, dim) @ g.T + 3, batch, 5, generator=seeded(0))
    assert torch.allclose(moved, g @ frames, atol=1e-10)
    assert not torch.allclose(orientations(points.reshape(-1, dim), batch, 5, generator=seeded(1)), frames)


def test_the_random_state_stays() -> None:
    state = torch.get_rng_state()
    task_symmetry_breaking(clouds(16), torch.arange(16) % 2, steps=2, num_turns=2)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": clouds(4), "target": torch.arange(4)}, "at least 8 samples"),
        ({"num_turns": 1}, "num_turns=1"),
        ({"steps": 0}, "steps=0"),
        ({"test_fraction": 1.0}, "test_fraction=1.0"),
        ({"data": torch.zeros(20, 3)}, r"\(B, N, D\), got \(20, 3\)"),
        ({"data": torch.zeros(20, 5, 4)}, "2 or 3 dimensions, got 4"),
        ({"data": torch.full((20, 5, 3), torch.nan)}, "not finite"),
        ({"target": torch.zeros(19)}, "for 20 clouds, got the shape"),
        ({"target": torch.zeros(20, dtype=torch.int64)}, "all targets are equal"),
        ({"target": torch.full((20,), torch.inf)}, "not finite, or all equal"),
        ({"target": "label"}, "is no field of the data"),
    ],
)
def test_bad_input_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_symmetry_breaking(**{"data": clouds(20), "target": torch.arange(20) % 2, **changes})
