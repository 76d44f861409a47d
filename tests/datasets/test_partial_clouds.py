"""Clouds with planted partial symmetry: angles and sizes recovered from the points, labels that the truth leaves."""

import math
from typing import Any

import pytest
import torch

from rapidash._seed import seeded
from rapidash.datasets import partial_symmetry_clouds
from rapidash.tasks import get_task


def poses(**options: Any) -> tuple[torch.Tensor, ...]:
    """Angle and size of each cloud against its template, and its label."""
    data = partial_symmetry_clouds("train", size=300, dtype=torch.float64, **options)
    alphabet = torch.randn(2, 12, 2, generator=seeded("partial", 0), dtype=torch.float64)
    alphabet = alphabet - alphabet.mean(dim=1, keepdim=True)
    label = data.tensors["label"]
    per_template = int(label.max() + 1) // 2
    template = alphabet[label // per_template]
    pos = data.tensors["pos"].unflatten(0, (300, 12))
    z, w = torch.view_as_complex(pos), torch.view_as_complex(template)
    factor = (z * w.conj()).sum(dim=1) / w.abs().square().sum(dim=1)
    torch.testing.assert_close(factor[:, None] * w, z)  # turned and sized, and nothing else
    return factor.angle(), factor.abs(), label


def test_upright_and_upside_down_clouds_in_two_sizes() -> None:
    angle, size, label = poses()
    pose, large = label // 2 % 2, label % 2
    assert len(label.unique()) == 8
    torch.testing.assert_close(size, 1.0 + large.double())
    from_pose = torch.remainder(angle - math.pi * pose + math.pi, 2 * math.pi) - math.pi
    assert 0.97 * math.pi / 4 < float(from_pose.abs().max()) <= math.pi / 4
    assert get_task("partial-symmetry").tolerated == pytest.approx(math.pi / 4)


def test_a_planted_quarter_turn_leaves_the_label_and_others_do_not() -> None:
    angle, _, label = poses(num_poses=6, turns=4, spread=0.0, sizes=(1.0,))
    steps = (angle / (math.pi / 12)).round()
    torch.testing.assert_close(angle, steps * math.pi / 12, atol=1e-9, rtol=0)
    assert torch.equal(steps.long() % 6, label % 6)
    assert len((steps[label == 0] % 24).unique()) == 4
    assert get_task("partial-symmetry", planted="C4").tolerated == pytest.approx(math.pi / 24)


def test_splits_and_seeds_differ_and_bad_input_is_named() -> None:
    first = partial_symmetry_clouds("train", size=4)
    assert torch.equal(first.tensors["pos"], partial_symmetry_clouds("train", size=4).tensors["pos"])
    assert not torch.equal(first.tensors["pos"], partial_symmetry_clouds("val", size=4).tensors["pos"])
    bad: list[tuple[dict[str, Any], str]] = [
        ({"split": "all"}, "unknown split 'all'"),
        ({"size": 0}, "size=0"),
        ({"spread": 2.0}, "beyond which poses meet, got 2.0"),
        ({"sizes": (2.0, 1.0)}, "positive and increasing"),
        ({"num_points": 2}, "num_points=2"),
    ]
    for change, message in bad:
        with pytest.raises(ValueError, match=message):
            partial_symmetry_clouds(**{"split": "train", "size": 3, **change})
    for options, message in (
        ({"planted": "C5"}, "planted must be one of"),
        ({"planted": "C4", "turns": 2}, "give it, or them"),
        ({"num_val": 0}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            get_task("partial-symmetry", **options)


def test_the_classes_are_named() -> None:
    task = get_task("partial-symmetry", planted="all", sizes=(1.0,))
    assert task.class_names() == ["template 0, pose 0, size 1", "template 1, pose 0, size 1"]
    assert task.tolerated == math.inf
