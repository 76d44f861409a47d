"""The spread of data along motions: exact for clouds that were moved by known amounts."""

import math

import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field, RowDataset
from rapidash.groups import Position, Scalar, affine, generator_names
from rapidash.methods import Subject
from rapidash.study.measures.motion_spread import motion_spread, spreads


def round_cloud() -> torch.Tensor:
    """Points of a square about the origin: equal moments along both axes, and one point farther out."""
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    return torch.cat([corners, 1.2 * torch.eye(2).double(), -1.2 * torch.eye(2).double()])


@pytest.mark.parametrize("motion", [*generator_names(affine(2))])
def test_a_motion_by_known_amounts_is_the_spread_along_it(motion: str) -> None:
    """Amounts -a and a have the deviation a, and a uniform law of that deviation the half-width sqrt(3) a."""
    amount = 0.2
    coordinates = torch.zeros(2, 6, dtype=torch.float64)
    coordinates[:, generator_names(affine(2)).index(motion)] = torch.tensor([-amount, amount]).double()
    cloud = round_cloud()
    cloud[0] *= 1.0 if motion in ("stretch in xy", "shear in xy") else 1.01
    cloud = cloud - cloud.mean(dim=0)
    pos = torch.cat([cloud, cloud])
    batch = CloudBatch({"pos": pos}, {"pos": Field(Position())}, torch.arange(2).repeat_interleave(8), 2)
    found = {name: value for name, _, value in spreads(batch.transform(affine(2).exponential(coordinates)))}
    assert list(found) == list(generator_names(affine(2)))
    expected = math.sqrt(3) * amount
    if motion == "rotation":  # circular: two angles 2 a apart have the resultant cos(a)
        expected = math.sqrt(3) * math.sqrt(-2 * math.log(math.cos(amount)))
    assert found[motion] == pytest.approx(expected, rel=1e-6)
    if motion.startswith(("translation", "scaling", "stretch")):
        others = [value for name, value in found.items() if name != motion and "rotation" not in name]
        assert max(others) < 1e-6


def test_names_in_space_are_those_of_the_affine_group() -> None:
    pos = torch.randn(40, 3, generator=seeded("spread"), dtype=torch.float64)
    batch = CloudBatch({"pos": pos}, {"pos": Field(Position())}, torch.arange(4).repeat_interleave(10), 4)
    assert [name for name, _, _ in spreads(batch)] == list(generator_names(affine(3)))
    assert all(0 < value < 10 for _, _, value in spreads(batch))


def test_data_without_positions_are_refused() -> None:
    class Task:
        name = "rows"

    data = RowDataset({"x": torch.zeros(3, 2)}, {"x": Field(Scalar(), level="cloud")})
    subject = Subject(torch.nn.Identity(), Task(), data, None, "after", "full", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'rows' has none"):
        list(motion_spread(subject))
