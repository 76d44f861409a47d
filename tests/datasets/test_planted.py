"""Planted symmetry: labels are made again from the formula after every motion, and say which turns they keep."""

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.datasets import (
    PLANTED,
    planted_classes,
    planted_dataset,
    planted_label,
    planted_templates,
    planted_truth,
)
from rapidash.groups import SO2

DEGREE = math.pi / 180


@cache
def made(symmetry: str, size: int = 400, **options: float) -> CloudDataset:
    return planted_dataset("train", symmetry, size=size, dtype=torch.float64, **options)


def turn(degrees: float, axis: str = "z") -> Tensor:
    angle = torch.tensor([degrees * DEGREE], dtype=torch.float64)
    return SO2(axis).without_translations().exponential(angle)


def share_kept(symmetry: str, degrees: float, axis: str = "z") -> float:
    """Of the labels, after all clouds have been turned and labeled again by the formula."""
    data = made(symmetry)
    whole = data.batch(torch.arange(len(data)))
    moved = whole.transform(turn(degrees, axis))
    again = planted_label(symmetry, moved["kind"], moved["facing"])
    return float((again == whole["label"]).double().mean())


@pytest.mark.parametrize(
    ("symmetry", "facing_degrees", "expected"),
    [
        ("full", 120, 1),
        ("partial", 89, 2),
        ("partial", 91, 3),
        ("discrete", 22, 2),
        ("discrete", 23, 3),
        ("discrete", 91, 2),
        ("none", 44, 4),
        ("none", 46, 5),
        ("none", 180, 6),
        ("none", -90, 7),
        ("wrong axis", 44, 4),
        ("wrong axis", -46, 5),
        ("wrong axis", 134, 6),
        ("wrong axis", 180, 7),
    ],
)
def test_labels_by_hand(symmetry: str, facing_degrees: float, expected: int) -> None:
    """A cloud of kind 1 that faces in the plane, at an angle."""
    angle = facing_degrees * DEGREE
    facing = torch.tensor([[math.cos(angle), math.sin(angle), 0.0]], dtype=torch.float64)
    label = planted_label(symmetry, torch.tensor([1]), facing)
    assert int(label) == expected < planted_classes(symmetry)


def test_the_truth_is_what_turned_clouds_say() -> None:
    """All turns of at most the half-width keep all labels, steps of the order do, and nothing else."""
    grid = [*range(-180, 181, 15), *range(-44, 45, 4), -46, 46]
    for symmetry in PLANTED:
        truth = planted_truth(symmetry)
        kept = {degrees for degrees in grid if share_kept(symmetry, degrees) == 1}
        expected = {d for d in grid if abs(d) * DEGREE < truth.half_width + 1e-9}
        if truth.order > 1:
            expected |= {d for d in grid if d % (360 / truth.order) == 0}
        assert kept == expected | {0}, symmetry
    assert share_kept("partial", 180) == 0
    assert share_kept("discrete", 45) == 0
    assert share_kept("none", 90) == 0
    assert share_kept("none", 30) == pytest.approx(2 / 3, abs=0.06)  # a quadrant loses a third


def test_the_wrong_axis_is_x() -> None:
    assert all(share_kept("wrong axis", degrees, "x") == 1 for degrees in range(-180, 181, 20))
    assert share_kept("wrong axis", 180) == 0
    assert share_kept("wrong axis", 20) < 0.8
    assert share_kept("full", 20, "x") == 1  # the formula of "full" knows kinds only


def test_clouds_face_where_the_field_says() -> None:
    """The rotation from the template to a cloud without noise, by least squares, takes x to its facing."""
    for symmetry in PLANTED:
        data = made(symmetry, 30, noise=0.0)
        clouds, kinds = data.tensors["pos"].reshape(30, 12, 3), data.tensors["kind"]
        template = planted_templates()[kinds]
        u, _, v = torch.linalg.svd(clouds.mT @ template)
        rotation = u @ v
        torch.testing.assert_close(rotation[:, :, 0], data.tensors["facing"])
        torch.testing.assert_close(template @ rotation.mT, clouds)
        assert torch.equal(planted_label(symmetry, kinds, rotation[:, :, 0]), data.tensors["label"])
    templates = planted_templates()
    torch.testing.assert_close(templates.square().sum(dim=(1, 2)), torch.tensor([12.0, 12.0]).double())
    torch.testing.assert_close(templates.mean(dim=1), torch.zeros(2, 3).double(), atol=1e-12, rtol=0)


def test_poses_are_those_of_the_docstring() -> None:
    for symmetry in PLANTED:
        facing, label = made(symmetry, 600).tensors["facing"], made(symmetry, 600).tensors["label"]
        x, y, z = facing.T
        angle = torch.atan2(y, x).abs() / DEGREE
        assert set(label.tolist()) == set(range(planted_classes(symmetry)))
        if symmetry == "wrong axis":
            assert z.abs().max() > 0.9
            continue
        assert z.abs().max() < 1e-12
        in_the_gap = (angle > 46) & (angle < 134)
        assert bool(in_the_gap.any()) == (symmetry != "partial")


def test_samples_depend_on_their_index_only_and_bad_values_are_named() -> None:
    few, many = made("none", 5).tensors, made("none", 9).tensors
    assert torch.equal(few["pos"], many["pos"][:60])
    assert not torch.equal(few["pos"], made("none", 5, seed=1).tensors["pos"])
    with pytest.raises(ValueError, match="unknown symmetry 'half'"):
        made("half")
    with pytest.raises(ValueError, match="unknown symmetry 'half'"):
        planted_truth("half")
    with pytest.raises(ValueError, match="unknown split 'tset'"):
        planted_dataset("tset", "full", size=3)
    with pytest.raises(ValueError, match=r"size >= 1 and noise >= 0, got size=0, noise=0.05"):
        made("full", 0)
