import math

import pytest
import torch

from rapidash._seed import seeded
from rapidash.groups import Image, Intensity, brightness, cyclic, enumerated, motion


def shift(x: float, y: float) -> torch.Tensor:
    return motion(torch.eye(2, dtype=torch.float64), torch.tensor([x, y], dtype=torch.float64))


@pytest.mark.parametrize("interpolation", ["cubic", "fourier"])
@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_whole_pixels_and_quarter_turns_are_exact(interpolation: str, size: tuple[int, int]) -> None:
    image = torch.randn(2, 3, *size, generator=seeded(0), dtype=torch.float64)
    rep = Image(interpolation)
    moved = rep.act(shift(2.0, -1.0), image)
    assert torch.allclose(moved, torch.roll(image, (-1, 2), dims=(-2, -1)), atol=1e-12)
    square = image[..., :5, :5]
    quarter = enumerated(cyclic(4))[1]  # x -> y: right goes down, clockwise on the screen
    assert torch.allclose(rep.act(quarter, square), torch.rot90(square, -1, dims=(-2, -1)), atol=1e-12)


def test_fourier_shift_of_a_wave_is_exact_and_cubic_close() -> None:
    columns = torch.arange(16, dtype=torch.float64)
    wave = lambda t: torch.cos(2 * math.pi * (columns - t) / 16).expand(16, 16)  # noqa: E731
    assert torch.allclose(Image("fourier").act(shift(0.37, 0.0), wave(0.0)), wave(0.37), atol=1e-12)
    assert (Image("cubic").act(shift(0.37, 0.0), wave(0.0)) - wave(0.37)).abs().max() < 5e-3


def test_extent_makes_translations_independent_of_resolution() -> None:
    coarse = torch.randn(4, 4, generator=seeded(0), dtype=torch.float64)
    moved = Image("cubic", extent=8.0).act(shift(2.0, 0.0), coarse)  # 2 units are one of the 4 coarse pixels
    assert torch.allclose(moved, torch.roll(coarse, 1, dims=-1), atol=1e-12)


def test_outside_is_zero_when_asked() -> None:
    moved = Image("cubic", "zeros").act(shift(10.0, 0.0), torch.ones(4, 4, dtype=torch.float64))
    assert moved.abs().max() == 0


@pytest.mark.parametrize("interpolation", ["cubic", "fourier"])
def test_the_warp_is_differentiable_at_the_identity(interpolation: str) -> None:
    image = torch.randn(8, 8, generator=seeded(0), dtype=torch.float64)
    rep = Image(interpolation)
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    generator = shift(1.0, 0.0) - torch.eye(3, dtype=torch.float64)
    moved = rep.act(torch.eye(3, dtype=torch.float64) + t * generator, image)
    (slope,) = torch.autograd.grad(moved[3, 4], t)
    step = 1e-5
    right, left = (rep.act(shift(s, 0.0), image)[3, 4] for s in (step, -step))
    assert slope.item() == pytest.approx(float(right - left) / (2 * step), abs=1e-4)
    assert float(right - image[3, 4]) == pytest.approx(float(image[3, 4] - left), rel=1e-3)  # both sides agree


def test_intensity_by_hand_and_bad_arguments() -> None:
    g = torch.linalg.matrix_exp(0.3 * brightness().generators()[0])
    assert Intensity().act(g, torch.tensor([1.0, 2.0])).tolist() == pytest.approx([1.3, 2.3])
    with pytest.raises((ValueError, TypeError), match="interpolation"):  # TypeError where run-time checks are on
        Image("bilinear")
    with pytest.raises((ValueError, TypeError), match=r"homogeneous|parameter 'g'"):
        Image().act(torch.eye(4), torch.ones(4, 4))
