"""Template clouds: what is drawn once, what for each sample, and with which spread."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.datasets import template_clouds


def positions(split: str = "train", **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, N, 3) and labels."""
    data = template_clouds(split, dtype=torch.float64, **{"size": 400, "num_points": 5, **options})  # type: ignore[arg-type]
    return data.tensors["pos"].view(len(data), -1, 3), data.tensors["label"]


def test_without_noise_and_turns_a_cloud_is_its_template_of_standard_normal_points_less_their_mean() -> None:
    drawn = torch.randn(10, 5, 3, generator=seeded("templates", 7), dtype=torch.float64)
    expected = drawn - drawn.mean(dim=1, keepdim=True)
    for split in ("train", "val", "test"):  # all have the same templates
        pos, label = positions(split, noise=0.0, is_turned=False, seed=7)
        assert torch.equal(pos, expected[label])
    assert (positions(noise=0.0, is_turned=False, seed=8)[0] - expected[positions(seed=8)[1]]).abs().max() > 0.1


def test_the_first_numbers_are_always_the_same() -> None:
    """Or the studies that are published were not those of this data set."""
    pos, label = positions(size=3, seed=0)
    assert label.tolist() == [7, 5, 3]
    assert pos[0, 0].tolist() == pytest.approx([-0.184737639961, -0.266522160881, 0.2374578261], abs=1e-9)


def test_noise_is_normal_with_its_deviation_on_every_coordinate() -> None:
    pos, label = positions(size=4000, noise=0.25, is_turned=False)
    template, _ = positions(size=4000, noise=0.0, is_turned=False)
    rest = pos - template
    assert rest.std(dim=0) == pytest.approx(torch.full((5, 3), 0.25).numpy(), abs=0.015)
    assert rest.mean(dim=0).abs().max() < 0.02
    flat = rest.flatten(1)
    assert (torch.corrcoef(flat.T) - torch.eye(15)).abs().max() < 0.08  # of each coordinate by itself
    assert len(torch.bincount(label, minlength=10)) == 10
    assert torch.bincount(label, minlength=10).double() / 400 == pytest.approx(torch.ones(10).numpy(), abs=0.2)


def test_every_cloud_has_a_turn_of_its_own_and_none_is_mirrored() -> None:
    pos, label = positions(size=200, noise=0.0)
    template, _ = positions(size=200, noise=0.0, is_turned=False)
    assert torch.allclose(pos @ pos.mT, template @ template.mT)  # all lengths and angles
    handed = [torch.linalg.det(one[:, :3]).sign() for one in (pos, template)]
    assert torch.equal(*handed)
    turns = torch.linalg.lstsq(template, pos).solution.mT  # pos = template R^T
    assert torch.linalg.det(turns) == pytest.approx(torch.ones(200).numpy())
    assert turns.mean(dim=0).abs().max() < 0.15  # 0 by Haar measure, 1 / sqrt(600) the deviation
    assert turns.square().mean(dim=0) == pytest.approx(torch.full((3, 3), 1 / 3).numpy(), abs=0.08)
    assert len(label.unique()) == 10


def test_fields_sizes_and_independent_splits() -> None:
    data = template_clouds("val", size=7, num_templates=2, num_points=4)
    assert isinstance(data, CloudDataset)
    assert data.num_points.tolist() == [4] * 7
    assert data.tensors["pos"].dtype == torch.float32
    assert data.fields["pos"].unit == "length"
    assert data.fields["label"].level == "cloud"
    assert set(data.tensors["label"].tolist()) <= {0, 1}
    noises = [positions(split, is_turned=False)[0] for split in ("train", "val", "test")]
    assert all((a - b).abs().max() > 0.1 for a, b in pairwise(noises))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "all"}, "unknown split 'all', expected one of"),
        ({"size": 0}, "size and num_templates of at least 1.*got size=0"),
        ({"num_templates": 0}, "num_templates=0"),
        ({"num_points": 2}, "num_points=2"),
        ({"noise": -0.1}, "noise=-0.1"),
        ({"noise": float("nan")}, "noise=nan"),
        ({"noise": float("inf")}, "noise=inf"),
    ],
)
def test_bad_values_are_told(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        template_clouds(**{"split": "train", "size": 5, **change})
