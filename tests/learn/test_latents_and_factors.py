"""What latents do: motions that are known, codes that are known, pictures, and the measure of a run."""

import base64
import math
import zlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.datasets import hooks_images, squares_images
from rapidash.groups import Image
from rapidash.learn import (
    ACTIVE,
    DCI_NAMES,
    EXPLAINED,
    FACTOR_VAE,
    MIG,
    MOTIONS,
    NEXT_IMAGE,
    PERIODICITY,
    TRAVERSALS,
    WHOLE_TURN,
    CommutativeLieGroupVAE,
    Posterior,
    VAEConfig,
    affine_transport,
    by_latent_of,
    measure_factors,
)
from rapidash.learn._factors_measure import Codes, _direction
from rapidash.methods import Measurement, Picture, Subject, Variant, build_model
from rapidash.models import MLPConfig
from rapidash.tasks import get_task
from rapidash.testing import check_task


def smooth(num: int = 3, side: int = 16) -> Tensor:
    """Random blobs on a dark ground."""
    places = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    y, x = torch.meshgrid(places, places, indexing="ij")
    spots = torch.randn(num, 4, 2, generator=seeded("spots"), dtype=torch.float64) * 2
    square = (x - spots[..., 0, None, None]) ** 2 + (y - spots[..., 1, None, None]) ** 2
    return (-square / 4).exp().mul(torch.tensor([1.0, 0.6, 0.8, 0.3])[:, None, None]).sum(dim=1)


def field_of(image: Tensor, speeds: Tensor) -> Tensor:
    """-u . grad x of the definition, written out anew with the centers of the images."""
    gx, gy = torch.zeros_like(image), torch.zeros_like(image)
    gx[:, :, 1:-1] = (image[:, :, 2:] - image[:, :, :-2]) / 2
    gx[:, :, 0], gx[:, :, -1] = image[:, :, 1] - image[:, :, 0], image[:, :, -1] - image[:, :, -2]
    gy[:, 1:-1] = (image[:, 2:] - image[:, :-2]) / 2
    gy[:, 0], gy[:, -1] = image[:, 1] - image[:, 0], image[:, -1] - image[:, -2]
    places = torch.arange(image.shape[-1], dtype=torch.float64)
    mass = image.sum(dim=(1, 2))
    x = places[None, None, :] - ((image * places[None, None, :]).sum(dim=(1, 2)) / mass)[:, None, None]
    y = places[None, :, None] - ((image * places[None, :, None]).sum(dim=(1, 2)) / mass)[:, None, None]
    a, b, turn, scaling, stretch, shear = speeds
    u = a - turn * y + scaling * x + stretch * x + shear * y
    v = b + turn * x + scaling * y - stretch * y + shear * x
    return -(u * gx + v * gy)


def test_speeds_of_a_known_field() -> None:
    speeds = torch.tensor([0.7, -0.4, 0.3, -0.2, 0.15, 0.05], dtype=torch.float64)
    image = smooth()
    found = affine_transport(image, field_of(image, speeds))
    torch.testing.assert_close(found.speeds, speeds.expand(3, 6), atol=1e-9, rtol=0)
    assert found.explained == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("motion", MOTIONS)
def test_speeds_of_images_that_move(motion: str) -> None:
    """By another route: the image itself moved a little by a matrix of `rapidash.groups.Image`."""
    step, image = 0.02, smooth()
    algebra = {
        "shift along x": [[0, 0, 1], [0, 0, 0]],
        "shift along y": [[0, 0, 0], [0, 0, 1]],
        "turn": [[0, -1, 0], [1, 0, 0]],
        "scaling": [[1, 0, 0], [0, 1, 0]],
        "stretch": [[1, 0, 0], [0, -1, 0]],
        "shear": [[0, 1, 0], [1, 0, 0]],
    }[motion]
    matrix = torch.tensor([*algebra, [0, 0, 0]], dtype=torch.float64)
    ends = [Image(boundary="zeros").act(torch.linalg.matrix_exp(s * step * matrix), image) for s in (1, -1)]
    found = affine_transport(image, (ends[0] - ends[1]) / (2 * step))
    # about the middle of the image, not of the shape: the linear part is the same
    index = MOTIONS.index(motion)
    linear = found.speeds if motion.startswith("shift") else found.speeds[:, 2:]
    expected = torch.zeros(linear.shape[1], dtype=torch.float64)
    expected[index if motion.startswith("shift") else index - 2] = 1
    torch.testing.assert_close(linear, expected.expand_as(linear), atol=0.06, rtol=0)
    assert found.explained > 0.97


def test_what_no_motion_explains() -> None:
    image = smooth()
    assert affine_transport(image, image).explained < 0.5  # all of it brighter
    assert math.isnan(affine_transport(image, 0 * image).explained)
    assert affine_transport(0 * image, image).speeds.abs().max() == 0  # nothing to see
    noise = torch.randn(3, 16, 16, generator=seeded("noise"), dtype=torch.float64)
    assert affine_transport(image, noise).explained < 0.1
    for wrong, message in ((image[0], "must be"), (image[:, :2], "must be"), (image * math.nan, "must be finite")):
        with pytest.raises(ValueError, match=message):
            affine_transport(wrong, wrong)


def test_images_are_what_they_say() -> None:
    squares, hooks = squares_images(), hooks_images()
    assert (len(squares), len(hooks)) == (600, 1800)
    for data in (squares, hooks):
        image = data.tensors["image"]
        assert image.shape[1:] == (1, 16, 16)
        assert 0 == image.min() < image.max() <= 1
        assert len(torch.unique(image.flatten(1), dim=0)) == len(data)  # every combination is another image
    chosen = squares.tensors["size"] == 1  # of side 4: nothing is cut off
    mass = squares.tensors["image"][chosen, 0]
    torch.testing.assert_close(mass.sum(dim=(1, 2)), torch.full((100,), 16.0).double(), atol=0.3, rtol=0)
    places = torch.arange(16).double() + 0.5
    for name, axis in (("x", 1), ("y", 2)):
        middle = (mass.sum(dim=axis) * places).sum(dim=1) / mass.sum(dim=(1, 2))
        torch.testing.assert_close(middle, 4 + 8 / 9 * squares.tensors[name][chosen].double(), atol=0.02, rtol=0)
    # the first square reaches from 2.5 to 5.5: the middles 2.5 to 5.5 of pixels are 0, 2, 4, 6 deviations from its left
    row = squares.tensors["image"][0, 0, 3]
    phi = {2: 0.9772498680518208, 4: 0.9999683287581669, 6: 1 - 9.865876e-10}
    inside = phi[2] + phi[4] - 1
    edge = 0.5 + phi[6] - 1
    assert row[2:6].tolist() == pytest.approx([edge * inside, inside**2, inside**2, edge * inside], abs=1e-9)


def test_a_hook_is_turned_by_its_angle() -> None:
    """Six steps of 15 degrees are a quarter turn, which pixels can do: x to the right goes to y downward."""
    hooks = hooks_images()
    levels, image = hooks.tensors, hooks.tensors["image"][:, 0]
    here = (levels["angle"] == 2) & (levels["x"] == 1) & (levels["y"] == 4) & (levels["size"] == 1)
    there = (levels["angle"] == 8) & (levels["x"] == 0) & (levels["y"] == 1) & (levels["size"] == 1)
    torch.testing.assert_close(torch.rot90(image[here], -1, (1, 2)), image[there])
    assert not torch.equal(image[here], image[there])


def test_the_task_keeps_its_promises() -> None:
    for shapes in ("squares", "hooks"):
        task = get_task("shape-images", shapes=shapes)
        check_task(task, [Variant("mlp", MLPConfig(hidden_dim=8)), Variant("vae", VAEConfig(2, 8, 1))])
        assert [len(task.dataset(split)) for split in ("train", "val", "test")] == (
            [480, 60, 60] if shapes == "squares" else [1440, 180, 180]
        )
    assert (task.factors, task.periodic) == (("angle", "x", "y", "size"), ("angle",))


def test_a_picture_is_a_png() -> None:
    """Read back by hand: 2 x 3 pixels, gray, a filter byte of 0 before each row."""
    picture = Picture.of_gray("it", torch.tensor([[0.0, 0.5, 1.0], [-1.0, 2.0, 0.2]]), view="seen")
    content = base64.b64decode("".join(picture.png))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[16:26] == b"\x00\x00\x00\x03\x00\x00\x00\x02\x08\x00"
    start = content.index(b"IDAT")
    size = int.from_bytes(content[start - 4 : start], "big")
    assert zlib.decompress(content[start + 4 : start + 4 + size]) == bytes([0, 0, 128, 255, 0, 0, 255, 51])
    assert int.from_bytes(content[start + 4 + size : start + 8 + size], "big") == zlib.crc32(
        content[start : start + 4 + size]
    )
    for wrong in (torch.zeros(3), torch.zeros(0, 3), torch.full((2, 2), math.nan), torch.zeros(1024, 1024)):
        with pytest.raises(ValueError, match="a picture needs a matrix of 1 to 131072 finite numbers"):
            Picture.of_gray("it", wrong)


class Oracle(CommutativeLieGroupVAE):
    """Codes that are the factors themselves, times 1/5, read off the image; the angle on a line, or on a circle."""

    def __init__(self, *, circle: bool) -> None:
        super().__init__(256, 4 + circle, 4, [4])
        self.circle = circle
        data = hooks_images()
        self.known = data.tensors["image"].flatten(1)
        columns = [data.tensors[name].double() / 5 for name in ("angle", "x", "y", "size")]
        if circle:
            angle = 2 * math.pi / 24 * data.tensors["angle"].double()
            columns[0:1] = [angle.cos(), angle.sin()]
        self.codes = torch.stack(columns, dim=1)

    def encode(self, x: Tensor) -> Posterior:
        code = self.codes[torch.cdist(x.double(), self.known).argmin(dim=1)].to(x)
        return Posterior(code, torch.zeros_like(code))

    def decode(self, codes: Tensor) -> Tensor:
        """The image at the nearest angle, interpolated to the next, of the nearest place and size."""
        angle = torch.atan2(codes[:, 1], codes[:, 0]) * 24 / (2 * math.pi) if self.circle else 5 * codes[:, 0]
        rest = (5 * codes[:, -3:]).round().long().clamp(min=0)
        rest = torch.minimum(rest, torch.tensor([4, 4, 2]))
        index = (rest * torch.tensor([15, 3, 1])).sum(dim=1)
        first = angle.floor()
        share = (angle - first)[:, None]
        images = [self.known[(first.long() + k) % 24 * 75 + index] for k in (0, 1)]
        return torch.logit((1 - share) * images[0] + share * images[1], eps=1e-6)


def subject_of(model: Any, moment: Any = "after", **options: Any) -> Subject:
    task = get_task("shape-images", **{"shapes": "hooks"} | options)
    ledger = task.ledger(Variant("it", VAEConfig()))
    return Subject(model.eval(), task, task.dataset("val"), ledger, moment, "full", 0)


def measured(subject: Subject) -> tuple[dict[str, float | None], list[Picture]]:
    found = list(measure_factors(subject))
    figures = [one for one in found if isinstance(one, Measurement)]
    assert {(one.moment, one.view) for one in found} == {(subject.moment, subject.view)}
    return {one.name: one.value for one in figures}, [one for one in found if isinstance(one, Picture)]


def test_codes_on_a_line_and_on_a_circle() -> None:
    line, pictures = measured(subject_of(Oracle(circle=False)))
    assert 0.97 < (line[MIG] or 0) < 0.99  # 20 bins cannot tell 24 angles apart
    assert line[FACTOR_VAE] == 1
    assert min(line[name] or 0 for name in DCI_NAMES) > 0.95
    assert line[ACTIVE] == 4
    # a step is 15 degrees, and a fifth of the latent: 1.3 rad; chords of the interpolation are a little slower
    turn = line[by_latent_of("turn", "angle")]
    assert turn == pytest.approx(5 * math.pi / 12, rel=0.15)
    assert abs(line[by_latent_of("scaling", "angle")] or 0) < 0.3
    assert (line[by_latent_of(EXPLAINED, "angle")] or 0) > 0.6
    assert line[by_latent_of(EXPLAINED, "x")] is None  # the oracle rounds: nothing changes
    assert (line[f"{NEXT_IMAGE}, angle"] or 0) < 0.01  # 24 steps of 1/5 along the line are as good as a circle here
    assert (line[f"{WHOLE_TURN}, angle"] or 0) < 0.01
    assert [picture.name for picture in pictures] == [TRAVERSALS]
    assert sum(map(len, pictures[0].png)) < 20_000
    circle, _ = measured(subject_of(Oracle(circle=True), "before"))
    assert (circle[MIG] or 0) < 0.9  # two latents share the angle
    assert (circle[f"{NEXT_IMAGE}, angle"] or 0) > 0.1  # no step is the same everywhere on the circle


def test_the_element_of_a_whole_turn() -> None:
    """Skew generators come back after a turn that fits them, others do not."""
    skew, growing = torch.tensor([[[0.0, -1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])
    for algebra, expected in ((skew, 0.0), (growing, 1.0)):
        model = Oracle(circle=False)
        with torch.no_grad():
            model.action.generators.zero_()
            model.action.generators[0, :2, :2] = algebra * 2 * math.pi / 4.8  # a turn is 24 steps of 1/5
        found, pictures = measured(subject_of(model, "before"))
        assert found[f"{PERIODICITY}, angle"] == pytest.approx(expected, abs=1e-6)
        assert not pictures


def test_other_models_and_tasks_are_left_alone() -> None:
    task = get_task("shape-images")
    model = build_model(task, Variant("mlp", MLPConfig(hidden_dim=4)), seed=0)
    assert not list(measure_factors(replace(subject_of(model), task=task)))
    vae = VAEConfig(2, 8, 1)
    network = build_model(task, Variant("vae", vae), seed=0)
    assert not list(measure_factors(replace(subject_of(network), task=SimpleNamespace(name="other"))))  # type: ignore[arg-type]
    before = torch.get_rng_state(), {name: value.clone() for name, value in network.state_dict().items()}
    figures, _ = measured(subject_of(network, "before", shapes="squares"))
    assert torch.equal(before[0], torch.get_rng_state())
    assert all(torch.equal(value, before[1][name]) for name, value in network.state_dict().items())
    assert figures[MIG] is not None
    assert f"{WHOLE_TURN}, angle" not in figures


def test_a_single_latent_has_no_shares() -> None:
    network = build_model(get_task("shape-images"), Variant("vae", VAEConfig(1, 8, 1)), seed=0)
    figures, _ = measured(subject_of(network, "before", shapes="squares"))
    assert figures[DCI_NAMES[0]] is figures[DCI_NAMES[1]] is None


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_latent_goes_in_the_direction_in_which_the_level_rises(sign: float) -> None:
    level = torch.tensor([0, 3, 1, 2])
    codes = Codes(torch.zeros(4, 1, 3, 3), torch.stack([level, sign * level], dim=1).double(), {"x": level})
    assert _direction(codes, "x", 0) == 1
    assert _direction(codes, "x", 1) == sign
