"""Planted groups: which motions labels stand, by construction and on the clouds."""

import pytest
import torch

from rapidash.datasets import (
    PLANTED_GROUPS,
    PlantedGroup,
    planted_group_classes,
    planted_group_dataset,
    planted_group_label,
)
from rapidash.groups import SO, parse_group
from rapidash.tasks import get_task


@pytest.mark.parametrize(
    ("group", "hand", "facing", "label"),
    [
        ("E(3)", 1, (1.0, 0.0, 0.0), 1),
        ("SE(3)", 0, (1.0, 0.0, 0.0), 2),
        ("SE(3)", 1, (1.0, 0.0, 0.0), 3),
        ("O2(z)", 1, (0.0, 0.6, 0.8), 2),
        ("O2(z)", 0, (0.0, 0.6, -0.8), 3),
        ("T(3)", 0, (0.6, 0.8, 0.0), 4),
        ("T(3)", 0, (-0.6, 0.8, 0.0), 6),
        ("T(3)", 0, (-0.6, -0.8, 0.0), 7),
    ],
)
def test_labels_of_kind_1_by_hand(group: PlantedGroup, hand: int, facing: tuple[float, ...], label: int) -> None:
    found = planted_group_label(group, torch.tensor([1]), torch.tensor([hand]), torch.tensor([facing]))
    assert found.tolist() == [label]
    assert label < planted_group_classes(group)


@pytest.mark.parametrize("group", PLANTED_GROUPS)
def test_labels_stand_the_motions_of_the_group_and_no_others(group: PlantedGroup) -> None:
    rng = torch.Generator().manual_seed(0)
    facing = torch.nn.functional.normalize(torch.randn(300, 3, generator=rng, dtype=torch.float64), dim=1)
    kind, hand = torch.zeros(300, dtype=torch.long), torch.zeros(300, dtype=torch.long)
    before = planted_group_label(group, kind, hand, facing)
    for name, keeps in (("SO(3)", group in ("E(3)", "SE(3)")), ("SO2(z)", group != "T(3)")):
        linear = parse_group(name).without_translations().sample(300, generator=rng)[:, :3, :3]
        after = planted_group_label(group, kind, hand, torch.einsum("bij,bj->bi", linear, facing))
        assert torch.equal(before, after) == keeps, name
    mirrored = planted_group_label(group, kind, 1 - hand, facing)
    assert torch.equal(before, mirrored) == (group != "SE(3)")


@pytest.mark.parametrize("group", PLANTED_GROUPS)
def test_clouds_are_the_same_for_all_groups(group: PlantedGroup) -> None:
    data = planted_group_dataset("train", group, size=20, seed=3)
    other = planted_group_dataset("train", "E(3)", size=30, seed=3)
    assert torch.equal(data.tensors["pos"], other.tensors["pos"][: 20 * 12])
    assert data.num_points.tolist() == [12] * 20
    assert not torch.equal(data.tensors["pos"], planted_group_dataset("val", group, size=20, seed=3).tensors["pos"])


def test_hands_are_mirror_images() -> None:
    data = planted_group_dataset("train", "SE(3)", size=40, noise=0.0)
    pos = data.tensors["pos"].reshape(40, 12, 3).double()
    offset = pos - pos.mean(dim=1, keepdim=True)
    volume = torch.linalg.det(offset[:, :3])
    for kind in (0, 1):
        of_kind = data.tensors["kind"] == kind
        hands = data.tensors["hand"][of_kind]
        assert len(set(hands.tolist())) == 2
        signs = volume[of_kind].sign() * (1 - 2 * hands)
        assert len(set(signs.tolist())) == 1  # one sign for each hand
        assert torch.allclose(volume[of_kind].abs(), volume[of_kind].abs()[0], rtol=1e-4)


def test_poses_are_uniform_and_clouds_have_size_1() -> None:
    data = planted_group_dataset("train", "E(3)", size=400, noise=0.0)
    assert float(data.tensors["facing"].mean(dim=0).abs().max()) < 0.12
    pos = data.tensors["pos"].reshape(400, 12, 3)
    offset = pos - pos.mean(dim=1, keepdim=True)
    assert torch.allclose(offset.square().sum(dim=2).mean(dim=1), torch.ones(400), atol=1e-4)
    assert SO(3).dim == 3


def test_wrong_values() -> None:
    with pytest.raises(ValueError, match="unknown group 'E'"):
        planted_group_dataset("train", "E", size=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown split"):
        planted_group_dataset("all", "E(3)", size=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size >= 1"):
        planted_group_dataset("train", "E(3)", size=0)
    with pytest.raises(ValueError, match="group must be one of"):
        get_task("planted-groups", group="E(2)")


def test_the_task_knows_its_truth() -> None:
    for group in PLANTED_GROUPS:
        task = get_task("planted-groups", group=group, num_train=4, num_val=2, num_test=2)
        assert task.truth == parse_group(group)  # type: ignore[attr-defined]
        assert len(task.class_names()) == planted_group_classes(group)  # type: ignore[attr-defined]
        assert len(task.dataset("val")) == 2
