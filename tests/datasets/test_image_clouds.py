import numpy as np
import pytest
import torch

from rapidash.datasets import _superpixels
from rapidash.datasets._image_clouds import superpixel_clouds
from rapidash.datasets._superpixels import superpixels

SIZE = 12


def random_images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(SIZE, 28, 28), dtype=np.uint8)


def test_clouds_keep_mass_and_center_of_the_image() -> None:
    images = random_images()
    clouds = superpixel_clouds(images, 5)
    owner = torch.repeat_interleave(torch.arange(SIZE), clouds["num_points"])
    pixels = torch.zeros(SIZE, 1).index_add(0, owner, clouds["area"])
    mass = torch.zeros(SIZE, 1).index_add(0, owner, clouds["area"] * clouds["value"])
    center = torch.zeros(SIZE, 2).index_add(0, owner, clouds["area"] * clouds["pos"])
    assert pixels.unique().tolist() == [784]
    np.testing.assert_allclose(mass[:, 0], images.reshape(SIZE, -1).sum(1) / 255, rtol=1e-5)
    assert center.abs().max() < 784 * 1e-3  # the shift


def test_a_super_pixel_does_not_cross_a_strong_edge() -> None:
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, :, 10:] = 255  # an edge that is no border of the 4 x 4 grid of seeds
    clouds = superpixel_clouds(image, 4)
    assert set(clouds["value"].unique().tolist()) == {0.0, 1.0}
    dark = clouds["value"][:, 0] == 0
    assert clouds["pos"][dark, 0].max() < 10 - 13.5 < clouds["pos"][~dark, 0].min()  # x to the right
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, :7] = 255
    bright = superpixel_clouds(image, 4)
    assert (bright["pos"][bright["value"][:, 0] > 0.5, 1] > 6).all()  # y up


def test_the_grid_without_contrast_stays() -> None:
    member = superpixels(np.full((1, 28, 28), 0.5, dtype=np.float32), per_side=4)
    assert np.array_equal(member[0], np.arange(28)[:, None] // 7 * 4 + np.arange(28) // 7)


def test_backends_agree_and_images_do_not_interact(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    rng = np.random.default_rng(1)
    images = rng.random((5, 28, 28), dtype=np.float32) ** 3
    colored = rng.random((5, 28, 28, 3), dtype=np.float32) ** 3
    for pictures, per_side in ((images, 2), (images, 3), (colored, 3), (colored, 9), (images, 9)):
        fast, slow = (superpixels(pictures, per_side=per_side, backend=backend) for backend in ("numba", "reference"))
        assert np.array_equal(fast, slow)
        assert np.array_equal(superpixels(pictures[3:4], per_side=per_side)[0], fast[3])
    assert not np.array_equal(superpixels(images, per_side=9, num_steps=0), fast)
    assert superpixels(images[:, :21, :25], per_side=4).shape == (5, 21, 25)
    monkeypatch.setattr(_superpixels.importlib.util, "find_spec", lambda name: None)
    assert np.array_equal(superpixels(images, per_side=9), fast)
    with pytest.raises(RuntimeError, match="numba"):
        superpixels(images, per_side=9, backend="numba")
    with pytest.raises(ValueError, match="unknown backend 'gpu'"):
        superpixels(images, per_side=9, backend="gpu")
    with pytest.raises(ValueError, match="per_side=1"):
        superpixels(images, per_side=1)
    with pytest.raises(ValueError, match="num_steps=-1"):
        superpixels(images, per_side=3, num_steps=-1)
    with pytest.raises(ValueError, match=r"\(B, H, W\) or \(B, H, W, C\).*got \(28, 28\)"):
        superpixels(images[0], per_side=3)


def test_gray_images_are_cut_alike_with_one_channel_and_with_three() -> None:
    images = random_images() // 64 * 64  # few gray levels: no contest that rounding decides
    one, three = (superpixel_clouds(np.repeat(images[..., None], channels, axis=3), 5) for channels in (1, 3))
    assert torch.equal(one["num_points"], three["num_points"])
    for name in ("pos", "area"):
        torch.testing.assert_close(one[name], three[name])
    torch.testing.assert_close(one["value"].expand(-1, 3), three["value"])


def test_colors_of_equal_brightness_are_told_apart() -> None:
    image = np.zeros((1, 28, 28, 3), dtype=np.uint8)
    image[0, :, :10, 0] = image[0, :, 10:, 1] = 255  # red beside green, an edge that is no border of the grid
    clouds = superpixel_clouds(image, 4)
    red = clouds["value"][:, 0] > 0.5
    assert set(map(tuple, clouds["value"].tolist())) == {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)}
    assert clouds["pos"][red, 0].max() < 10 - 13.5 < clouds["pos"][~red, 0].min()
    gray = superpixels(image.mean(axis=3, dtype=np.float32) / 255, per_side=4)
    assert np.array_equal(gray[0], np.arange(28)[:, None] // 7 * 4 + np.arange(28) // 7)  # brightness shows no edge
