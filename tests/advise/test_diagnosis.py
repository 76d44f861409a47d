"""Data that have a property, and data that do not, by construction."""

from collections.abc import Callable

import pytest
import torch

from rapidash.advise import Finding, Target, diagnose
from rapidash.advise import _target as target_module
from rapidash.advise._descriptors import describe, unit_of
from rapidash.advise._diagnosis import aligned, turned
from rapidash.advise._finding import Asked, clouds_needed
from rapidash.advise._gain import Estimate, gain
from rapidash.data import CloudDataset, Field
from rapidash.datasets import planted_group_dataset
from rapidash.groups import SE, SO, Position, Scalar

NUM, POINTS = 240, 8


def clouds(seed: int = 0, *, num: int = NUM, dim: int = 3) -> torch.Tensor:
    """Random clouds (num, POINTS, dim) in every pose."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(num, POINTS, dim, generator=rng, dtype=torch.float64)


def dataset(pos: torch.Tensor) -> CloudDataset:
    num, points, _ = pos.shape
    return CloudDataset({"pos": pos.flatten(0, 1)}, {"pos": Field(Position(), "m")}, torch.full((num,), points))


def numbers(values: torch.Tensor) -> Target:
    values = values.double().reshape(len(values), -1)
    return Target("y", "y", (values - values.mean(dim=0)) / values.std(dim=0))


def asked(pos: torch.Tensor, target: Target | None, *only: str) -> dict[str, Finding]:
    return {found.key: found for found in diagnose(dataset(pos), target, only=only or None)}


def spread(pos: torch.Tensor) -> torch.Tensor:
    """A number of the shape."""
    return (pos - pos.mean(dim=1, keepdim=True)).norm(dim=2).mean(dim=1)


def test_a_target_of_the_shape_alone() -> None:
    pos = clouds()
    found = asked(pos, numbers(spread(pos)))
    assert found["pose"].says == "no"
    for key in ("pose beyond shape", "vertical", "hand", "place"):
        assert found[key].says == "no", found[key]
    assert found["heading"].says == "not asked"
    assert found["size"].says == "yes"


def test_a_vertical_is_found_with_its_axis() -> None:
    pos = clouds()
    offset = pos - pos.mean(dim=1, keepdim=True)
    found = asked(pos, numbers(offset[:, :, 1].square().mean(dim=1)), "vertical", "pose beyond shape", "heading")
    assert found["vertical"].says == "yes"
    assert found["vertical"].axis == "y"
    assert "along y" in found["vertical"].sentence
    assert found["pose beyond shape"].says == "yes"
    assert found["heading"].says == "no"


def test_a_heading_beside_the_heights() -> None:
    pos = clouds()
    offset = pos - pos.mean(dim=1, keepdim=True)
    height, ahead = offset[:, :, 2].square().mean(dim=1), offset[:, :, 0].square().mean(dim=1)
    target = numbers(height + 0.5 * (ahead - offset[:, :, 1].square().mean(dim=1)))
    found = asked(pos, target, "vertical", "heading")
    assert found["vertical"].says == "yes"
    assert found["heading"].says == "yes"


def test_left_and_right() -> None:
    data = planted_group_dataset("train", "SE(3)", size=NUM, noise=0.05)
    other = planted_group_dataset("train", "E(3)", size=NUM, noise=0.05)
    for given, expected in ((data, "yes"), (other, "no")):
        label = given.tensors["label"]
        target = Target("label", "label", torch.nn.functional.one_hot(label).double(), label)
        places = CloudDataset({"pos": given.tensors["pos"]}, {"pos": given.fields["pos"]}, given.num_points)
        (found,) = diagnose(places, target, only=["hand"])
        assert (found.says == "yes") == (expected == "yes"), found


def test_the_place_and_clouds_that_stand_in_one_pose() -> None:
    pos = aligned(dataset(clouds())).tensors["pos"].reshape(NUM, POINTS, 3) + 3 * clouds(1)[:, :1]
    found = asked(pos, numbers(pos.mean(dim=1)[:, 0]), "pose", "place")
    assert found["pose"].says == "yes"
    assert found["place"].says == "yes"
    assert "no variant of the race sees it" in found["place"].sentence


def test_vectors_with_a_direction() -> None:
    vectors = clouds(3)[:, 0] + torch.tensor([0.0, -1.0, 0.0])
    for given, expected in ((vectors, "yes"), (clouds(3)[:, 0], "no")):
        target = Target("v", "the length of v", numbers(given.norm(dim=1)).values, vectors=given)
        found = asked(clouds(), target, "direction")["direction"]
        assert found.says == expected
        if expected == "yes":
            assert found.axis == "y"
            assert found.value is not None
            size = float(given.square().sum(dim=1).mean().sqrt())
            assert found.value.value == pytest.approx(abs(float(given[:, 1].mean())) / size)
        assert asked(clouds(), target, "pose tells")["pose tells"].says == "not asked"


def test_controls_are_what_they_are_said_to_be() -> None:
    pos = clouds()
    offset = pos - pos.mean(dim=1, keepdim=True)
    target = numbers(offset[:, :, 2].square().mean(dim=1))
    for found in asked(pos, target, "vertical", "heading", "hand", "place", "size").values():
        if found.value is None:
            continue
        assert found.without is not None
        assert found.planted is not None
        away = (found.without.value - found.null) / found.without.standard_error
        assert away < 3, found
        if found.says == "no":
            assert (found.planted.value - found.null) / found.planted.standard_error >= 3


def test_too_few_clouds_for_any_statement() -> None:
    with pytest.raises(ValueError, match=r"19 training clouds say nothing .*at least 20"):
        diagnose(dataset(clouds(num=19)), None)
    pos = clouds(num=20)
    found = asked(pos, numbers(spread(pos)), "pose beyond shape", "vertical", "hand", "size")
    few = [each for each in found.values() if each.says == "cannot tell"]
    assert few
    assert all("too few" in each.sentence for each in few)


@pytest.mark.parametrize(
    ("value", "says", "ending"),
    [
        (0.6, "no", "It is not"),
        (0.74, "no", "not by much: 2.4 standard errors, and 3 would be a yes"),
        (0.81, "yes", "It is"),
    ],
)
def test_a_no_that_is_nearly_a_yes_says_so(value: float, says: str, ending: str) -> None:
    """0.5 without the property, with a standard error of 0.1."""
    planted = Estimate(1.0, 0.1)
    asked = Asked(
        "k",
        "?",
        "It is",
        "It is not",
        "f",
        lambda: (Estimate(value, 0.1), ""),
        lambda: planted,
        lambda: planted,
        null=0.5,
    )
    found = asked.answer(50)
    assert found.says == says
    assert found.sentence.endswith(ending)


def test_how_many_clouds_are_needed() -> None:
    assert clouds_needed(100, 3.0) == 100
    assert clouds_needed(100, 1.5) == 400
    assert clouds_needed(100, 1.0) == 900
    assert clouds_needed(50, 2.0) == 120  # 112.5, to two digits upwards
    assert clouds_needed(100, 0.1) is None


def test_clouds_that_cannot_be_told_apart() -> None:
    points = dataset(clouds()[:, :1])
    found = {each.key: each for each in diagnose(points, numbers(clouds()[:, 0, 0]))}
    assert found["pose"].says == found["hand"].says == "not asked"
    assert "a single point" in found["pose"].sentence
    flat = clouds()
    flat[:, :, 2] = 0
    hand = asked(flat, numbers(spread(flat)), "hand", "vertical")["hand"]
    assert hand.says == "not asked"
    assert "own mirror image" in hand.sentence


def test_questions_end_with_their_time() -> None:
    pos = clouds()
    ticks = iter(range(0, 1000, 10))  # ten seconds between two looks at the clock, of which every question takes one
    found = diagnose(
        dataset(pos), numbers(spread(pos)), only=["hand", "place", "size"], seconds=15, clock=lambda: next(ticks)
    )
    assert [each.key for each in found if each.value is not None] == ["hand"]  # begun after 10 s; the next after 20
    assert all(each.says == "not asked" and "--minutes" in each.sentence for each in found[1:])


def test_in_the_plane() -> None:
    pos = clouds(dim=2)
    found = asked(pos, numbers(spread(pos)), "pose", "pose beyond shape", "vertical")
    assert "vertical" not in found
    assert found["pose"].says == found["pose beyond shape"].says == "no"


@pytest.mark.parametrize(
    "move", [lambda d: turned(d, SE(3).sample(len(d), generator=torch.Generator().manual_seed(1)))]
)
def test_what_descriptors_keep(move: Callable[[CloudDataset], CloudDataset]) -> None:
    data = dataset(clouds())
    before, after = (describe(each, unit=unit_of(data)) for each in (data, move(data)))
    for name in ("shape", "form", "size", "hand"):
        assert torch.allclose(getattr(before, name), getattr(after, name), atol=1e-9), name
    assert not torch.allclose(before.pose, after.pose, atol=0.1)
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64)).repeat(NUM, 1, 1)
    mirrored = describe(turned(data, mirror), unit=unit_of(data))
    assert torch.allclose(before.hand, -mirrored.hand, atol=1e-9)
    assert torch.allclose(before.shape, mirrored.shape, atol=1e-9)
    assert float(before.hand.abs().max()) > 0.3


def test_descriptors_of_two_points_by_hand() -> None:
    data = dataset(torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]], dtype=torch.float64))
    found = describe(data, unit=1.0)
    assert found.place.tolist() == [[0.0, 0.0, 0.0]]
    assert float(found.size) == 0.0  # log 1
    assert found.shape[0, :4].tolist() == [1.0, 1.0, 1.0, 1.0]  # moments of distances that are 1
    assert found.heights["z"][0, :2].tolist() == [1.0, 1.0]
    assert found.heights["x"][0, :2].tolist() == [0.0, 0.0]
    assert unit_of(data) == 1.0


def test_aligned_clouds_have_diagonal_moments() -> None:
    batch = aligned(dataset(clouds()))
    pos = batch.tensors["pos"].reshape(NUM, POINTS, 3)
    moments = torch.einsum("bni,bnj->bij", pos, pos)
    diagonal = torch.diagonal(moments, dim1=1, dim2=2)
    assert float((moments - torch.diag_embed(diagonal)).abs().max()) < 1e-9
    assert bool((diagonal[:, :-1] <= diagonal[:, 1:]).all())


def test_a_gain_by_hand() -> None:
    x = torch.linspace(-1, 1, 100, dtype=torch.float64)[:, None]
    nothing = torch.zeros(100, 1, dtype=torch.float64)
    told = gain(nothing, x, x)
    assert told.value == pytest.approx(1.0, abs=0.06)  # all of the variance
    assert told.z > 10
    noise = torch.randn(100, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert gain(nothing, noise, x).value < 0.05
    with pytest.raises(ValueError, match="at least 10 clouds, got 9"):
        gain(x[:9], x[:9], x[:9])
    assert Estimate(0.0, 0.0).z == 0.0
    assert Estimate(1.0, 0.0).z == float("inf")


def test_rotations_of_the_pose_control_are_about_the_centroid() -> None:
    """Clouds far from the origin have a place, and no pose by it."""
    found = asked(clouds() + 100.0, None, "pose")
    assert found["pose"].says == "no"
    assert SO(3).dim == 3


def test_a_class_that_no_cloud_has_is_no_number_of_the_target() -> None:
    """Labels of points 0 and 2 of three classes, in shares 1/2, 1/4, ... of four points; a constant column leaves."""
    labels = torch.tensor([[0, 0, 2, 2], [0, 2, 2, 2]]).repeat(20, 1)
    tensors = {"pos": torch.randn(160, 3, generator=torch.Generator().manual_seed(0)), "part": labels.reshape(-1)}
    tensors["heat"] = torch.stack([tensors["part"].float(), torch.ones(160)], dim=1)
    fields = {"pos": Field(Position()), "part": Field(Scalar()), "heat": Field(Scalar())}
    data = CloudDataset(tensors, fields, torch.full((40,), 4))
    part, heat = target_module._targets(data.batch(torch.arange(40)), ["part", "heat"])
    assert part.values[:2].tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert heat.values.shape == (40, 1)
    assert heat.values.std().item() == pytest.approx(1.0)
    (found,) = diagnose(data.subset(torch.arange(40)), part, only=["pose tells"])
    assert found.says in ("no", "cannot tell")


def test_a_gain_is_a_share_of_the_variance_of_all_numbers_of_a_target() -> None:
    """Twice the same number is told as well as once; the standard error is that of the mean over clouds."""
    rng = torch.Generator().manual_seed(5)
    x = torch.randn(60, 1, generator=rng, dtype=torch.float64)
    y = x + torch.randn(60, 1, generator=rng, dtype=torch.float64)
    nothing = torch.zeros(60, 1, dtype=torch.float64)
    once, twice = (gain(nothing, x, target) for target in (y, torch.cat([y, y], dim=1)))
    assert twice.value == pytest.approx(once.value)
    assert twice.standard_error == pytest.approx(once.standard_error)
    drawn = []
    for seed in range(40):
        rng = torch.Generator().manual_seed(100 + seed)
        x, noise = (torch.randn(60, 1, generator=rng, dtype=torch.float64) for _ in range(2))
        drawn.append(gain(nothing, x, x + noise))
    spread = torch.tensor([each.value for each in drawn]).std()
    typical = torch.tensor([each.standard_error for each in drawn]).mean()
    assert 0.6 < float(typical / spread) < 1.6


def test_a_clear_effect_that_is_too_small_is_no_yes() -> None:
    """5 standard errors above 0 and less than the least that counts."""
    planted = Estimate(1.0, 0.1)
    for least, says in ((0.4, "yes"), (0.6, "no")):
        made = Asked(
            "k", "?", "It is", "It is not", "f", lambda: (Estimate(0.5, 0.1), ""), lambda: planted, lambda: planted,
            least=least,
        )  # fmt: skip
        assert made.answer(50).says == says


def test_a_position_that_follows_from_heights_is_none() -> None:
    """Clouds that stand on the ground: the centroid is as high as the cloud is tall, which heights tell already."""
    pos = clouds()
    tall = torch.linspace(0.5, 3.0, NUM)[:, None]
    pos[:, :, 2] *= tall
    pos[:, :, 2] -= pos[:, :, 2].min(dim=1, keepdim=True).values
    height = pos[:, :, 2].square().mean(dim=1).sqrt()
    found = asked(pos, numbers(height), "vertical", "place")
    assert (found["vertical"].says, found["vertical"].axis) == ("yes", "z")
    assert found["place"].says == "no"
    raised = pos + torch.tensor([0.0, 0.0, 1.0]) * 4 * torch.rand(NUM, 1, 1, generator=torch.Generator().manual_seed(3))
    found = asked(raised, numbers(raised[:, :, 2].mean(dim=1)), "vertical", "place")
    assert found["place"].says == "yes"
