"""Figures that tolerate turns or shifts up to a known extent: how they are drawn, and where classes meet."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash.groups import Image
from rapidash.methods import Variant, build_model
from rapidash.models import MLPConfig
from rapidash.study import get_design
from rapidash.tasks import get_task

F64 = torch.float64


def drawn(task: Any, figure: int, angle: float, shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    found: Tensor = task.drawn(
        torch.tensor([figure]), torch.tensor([angle], dtype=F64), torch.tensor([shift], dtype=F64)
    )
    return found[0]


def motion(angle: float, x: float, y: float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin, x], [sin, cos, y], [0, 0, 1]], dtype=torch.float64)


@pytest.mark.parametrize(("angle", "x", "y"), [(math.pi / 2, 0, 0), (0, 2, 0), (0, 0, -1), (0.6, 0.5, -0.3)])
def test_drawing_at_a_pose_is_moving_the_upright_image(angle: float, x: float, y: float) -> None:
    """Quarter turns and whole pixels exactly, by the representation of images; others up to its interpolation."""
    task = get_task("partial-images")
    moved = Image(boundary="zeros").act(motion(angle, x, y), drawn(task, 1, 0.0))
    error = (moved - drawn(task, 1, angle, (x, y)))[:, 3:-3, 3:-3].abs().max()
    assert float(error) < (1e-12 if (angle, x, y) != (0.6, 0.5, -0.3) else 0.05)


def test_a_blob_has_the_height_1_and_its_place() -> None:
    """Of figure 0 the sum over a large image would be 2 pi sum w^2; the widths are 1 to 1.5 pixels."""
    task = get_task("partial-images")
    total = float(drawn(task, 0, 0.0).sum())
    assert 5 * 2 * math.pi * 0.9 < total < 5 * 2 * math.pi * 1.5**2
    axis = torch.arange(15, dtype=torch.float64) - 7
    middle = [float((drawn(task, 0, 0.0, (2.0, 0.0))[0] * grid).sum()) / total for grid in (axis, axis[:, None])]
    upright = [float((drawn(task, 0, 0.0)[0] * grid).sum()) / total for grid in (axis, axis[:, None])]
    assert middle[0] == pytest.approx(upright[0] + 2, abs=0.05)
    assert middle[1] == pytest.approx(upright[1], abs=0.05)


@pytest.mark.parametrize("planted", ["turns", "shifts"])
def test_every_image_is_its_figure_within_the_range_of_its_class(planted: str) -> None:
    """The nearest of all poses on a fine grid is one of the class, no farther from its middle than the data go."""
    task = get_task("partial-images", planted=planted, noise=0.0, num_train=30)
    data = task.dataset("train")
    image, label = data.tensors["image"], data.tensors["label"]
    num = 2 if planted == "turns" else 4
    places = [(-2.0, -2.0), (2.0, -2.0), (-2.0, 2.0), (2.0, 2.0)]  # left above, right above, left below, right below
    for one, figure, pose in zip(image, (label // num).tolist(), (label % num).tolist()):
        if planted == "turns":
            steps = torch.linspace(-math.pi / 4, math.pi / 4, 91, dtype=torch.float64)
            angles, shifts = math.pi * pose + steps, torch.zeros(91, 2, dtype=torch.float64)
        else:
            steps = torch.linspace(-1, 1, 21, dtype=torch.float64)
            shifts = torch.tensor(places[pose], dtype=torch.float64) + torch.cartesian_prod(steps, steps)
            angles = torch.zeros(len(shifts), dtype=torch.float64)
        tried = task.drawn(torch.full((len(angles),), figure), angles, shifts)
        assert float((tried - one).abs().amax(dim=(1, 2, 3)).min()) < 0.08
    assert len(task.class_names()) == 2 * num
    assert set(label.tolist()) <= set(range(2 * num))


def test_classes_meet_at_twice_the_tolerance() -> None:
    """Upright turned by 45 degrees and as much again is upside down turned by -45 and as much again."""
    turns = get_task("partial-images")
    assert turns.tolerated == {"rotation": math.pi / 4}
    edge = math.pi / 4 + turns.tolerated["rotation"]
    torch.testing.assert_close(drawn(turns, 0, edge), drawn(turns, 0, math.pi - edge))
    shifts = get_task("partial-images", planted="shifts")
    assert shifts.tolerated == {"translation along x": 1.0, "translation along y": 1.0}
    torch.testing.assert_close(drawn(shifts, 1, 0.0, (-2 + 1 + 1, 2)), drawn(shifts, 1, 0.0, (2 - 1 - 1, 2)))


def test_splits_differ_and_noise_is_as_said() -> None:
    task, quiet = get_task("partial-images", num_train=200), get_task("partial-images", num_train=200, noise=0.0)
    noise = task.dataset("train").tensors["image"] - quiet.dataset("train").tensors["image"]
    assert float(noise.std()) == pytest.approx(0.1, rel=0.05)
    assert not torch.equal(task.dataset("val").tensors["image"][:9], task.dataset("train").tensors["image"][:9])
    other = get_task("partial-images", num_train=200, data_seed=1)
    assert not torch.equal(other.dataset("train").tensors["label"], task.dataset("train").tensors["label"])


def test_the_network_sees_every_pixel() -> None:
    task, variant = get_task("partial-images", planted="shifts"), Variant("a", MLPConfig(hidden_dim=4, num_layers=1))
    batch = task.dataset("val").batch(torch.arange(3)).to(dtype=torch.float32)
    assert build_model(task, variant)(batch).shape == (3, 8)
    assert task.ledger(variant).effective.name == "trivial"


@pytest.mark.parametrize(("options", "message"), [({"planted": "all"}, "planted must be"), ({"noise": -1.0}, "noise")])
def test_options_outside_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_task("partial-images", **options)


@pytest.mark.parametrize("full", [False, True])
def test_every_learned_range_has_its_control_without_a_penalty(full: bool) -> None:
    design = get_design("augerino-images", full=full)
    found = {v.name: (v.methods[0].group, v.methods[0].weight) for v in design.variants if v.methods}
    assert found == {
        f"{moves}, weight {weight:g}": (group, weight)
        for moves, group in (("turns", "SO(2)"), ("shifts", "T(2)"))
        for weight in (0.0, 0.01, 0.05)
    }
    assert not set(design.seeds) & {0, 1, 2}  # on which it was tuned
    assert len(design.runs()) == 7 * 2 * len(design.seeds)
