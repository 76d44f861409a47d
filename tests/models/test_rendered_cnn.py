"""Images of clouds: the number in a pixel by hand, what an image does not see, and which clouds there are none of."""

import math
from typing import Any

import pytest
import torch

from rapidash.data import seeded
from rapidash.groups import SO, T
from rapidash.models import Interface, RenderedCNN, RenderedCNNConfig
from rapidash.models._rendered_cnn import rendered
from tests.models.conftest import random_inputs

SMALL = RenderedCNNConfig(size=8, channels=2, hidden_dim=8)
IO = Interface(in_scalars=2, in_pairs=1, out_scalars=3, out_vectors=1)


def test_a_pixel_by_hand() -> None:
    """4 pixels over [-2, 2], so centers -1.5, -0.5, 0.5, 1.5 and a pixel of 1; b is 2 pixels."""
    pos = torch.tensor([[0.5, -1.5], [1.5, 0.5], [-0.5, 0.5]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 3.0], [1.0, -2.0], [2.0, 0.0]], dtype=torch.float64)
    batch = torch.tensor([0, 0, 1])
    image = rendered(pos, weights, batch, 2, size=4, extent=2.0, blur=2.0)
    assert image.shape == (2, 2, 4, 4)
    far = math.exp(-(1 + 4) / 8)  # from (0.5, -1.5) to (1.5, 0.5)
    assert float(image[0, 0, 2, 0]) == pytest.approx(1 + far)
    assert float(image[0, 0, 3, 2]) == pytest.approx(1 + far)
    assert float(image[0, 1, 2, 0]) == pytest.approx(3 - 2 * far)
    assert float(image[1, 0, 1, 2]) == pytest.approx(2.0)
    assert float(image[1, 0, 0, 2]) == pytest.approx(2 * math.exp(-1 / 8))
    assert image[1, 1].abs().max() == 0


def test_pixels_shrink_with_the_extent_and_the_blur_is_in_pixels() -> None:
    pos, one = torch.tensor([[1.0, 0.0]]), torch.ones(1, 1)
    image = rendered(pos, one, torch.tensor([0]), 1, size=9, extent=4.5, blur=1.0)[0, 0]
    assert int(image.argmax()) == 5 * 9 + 4  # row by the first coordinate
    wider = rendered(10 * pos, one, torch.tensor([0]), 1, size=9, extent=45.0, blur=1.0)[0, 0]
    assert torch.allclose(image, wider)
    outside = rendered(100 * pos, one, torch.tensor([0]), 1, size=9, extent=4.5, blur=1.0)
    assert float(outside.sum()) == 0


def built(config: RenderedCNNConfig = SMALL) -> RenderedCNN:
    torch.manual_seed(0)
    return config.build(IO).double().eval()


def output(model: RenderedCNN, x: Any) -> torch.Tensor:
    found = model(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)
    return torch.cat([found.scalars, found.vectors.flatten(1)], dim=1)


def test_the_image_has_density_depth_and_every_scalar_about_the_centroid() -> None:
    model, x = built(), random_inputs(3, 1, sizes=(4, 1))
    seen: list[torch.Tensor] = []
    model.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    output(model, x)
    centered = x.pos.clone()
    centered[:4] -= x.pos[:4].mean(dim=0)
    centered[4:] = 0
    weights = torch.cat([torch.ones(5, 1), centered[:, 2:], x.scalars, x.pairs], dim=1)
    expected = rendered(centered[:, :2], weights, x.batch, 2, size=8, extent=3.0, blur=1.0)
    assert torch.allclose(seen[0], expected)
    assert seen[0].shape == (2, 5, 8, 8)


def test_it_keeps_translations_and_the_order_of_points_and_no_rotation() -> None:
    model, x = built(), random_inputs(3, 2, sizes=(5, 3))
    out = output(model, x)
    assert out.shape == (2, 6)
    assert model.symmetry == model.exact_symmetry == T(3)
    assert SMALL.takes == "components"
    assert torch.allclose(output(model, x._replace(pos=x.pos + 5.0)), out)
    order = torch.tensor([3, 0, 1, 2, 4, 7, 5, 6])
    shuffled = x._replace(pos=x.pos[order], scalars=x.scalars[order], pairs=x.pairs[order])
    assert torch.allclose(output(model, shuffled), out)
    turned = x.moved(SO(3).sample(1, generator=seeded(0))[0])
    assert (output(model, turned) - out).abs().max() > 1e-3
    flipped = x._replace(pos=x.pos * torch.tensor([1.0, 1.0, -1.0]).double())
    assert (output(model, flipped) - out).abs().max() > 1e-4  # the depth channel tells front from back


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RenderedCNNConfig(size=7), "size >= 8"),
        (lambda: RenderedCNNConfig(channels=0), "channels >= 1"),
        (lambda: RenderedCNNConfig(hidden_dim=0), "hidden_dim >= 1"),
        (lambda: RenderedCNNConfig(extent=0.0), "extent and blur must be positive, got 0.0 and 1.0"),
        (lambda: RenderedCNNConfig(blur=float("inf")), "extent and blur must be positive"),
        (lambda: RenderedCNNConfig(size=2.5), "size"),
        (lambda: SMALL.build(Interface(dim=2)), "clouds in space"),
        (lambda: SMALL.build(Interface(level="node")), "outputs of clouds"),
        (lambda: SMALL.build(Interface(in_vectors=1)), "no input vectors"),
        (lambda: SMALL.build(Interface(out_scalars=0)), "at least one"),
    ],
)
def test_bad_settings_are_told(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
