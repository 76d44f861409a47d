"""Group convolutions of images: the definition by loops, exact turns, and pooling that stays about the center."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import cyclic, dihedral, finite_table, moved_back, parse_group
from rapidash.nn import CenteredMaxPool, FiberHead, FiberPool, ImageGroupConv, ImageLifting

GROUPS = ("C1", "C2", "C4", "D1", "D2", "D4")


def moved_pixel(g: Tensor, row: int, column: int, size: int) -> tuple[int, int]:
    """Where a motion of the plane (x to the right, y downward) takes a pixel of a square about its center."""
    middle = (size - 1) / 2
    x, y = g[:2, :2].tolist()[0], g[:2, :2].tolist()[1]
    at = (column - middle, row - middle)
    return round(y[0] * at[0] + y[1] * at[1] + middle), round(x[0] * at[0] + x[1] * at[1] + middle)


def turned_image(g: Tensor, image: Tensor) -> Tensor:
    """(g f)(g p) = f(p), pixel by pixel."""
    out = torch.empty_like(image)
    for row, column in product(range(image.shape[-2]), range(image.shape[-1])):
        there = moved_pixel(g, row, column, image.shape[-1])
        out[..., there[0], there[1]] = image[..., row, column]
    return out


def moved_fiber(group, u: int, x: Tensor) -> Tensor:
    """The regular representation: (u x)(u h, u p) = x(h, p)."""
    table = finite_table(group)
    out = torch.empty_like(x)
    for h in range(len(table)):
        out[:, :, int(table.table[u, h])] = turned_image(table.elements[u], x[:, :, h])
    return out


def by_loops(layer: ImageGroupConv, x: Tensor) -> Tensor:
    """The formula, entry by entry: y(g, p) = sum over h and q of w(g^-1 h, g^-1 q) x(h, p + q)."""
    table, weight = finite_table(layer.group), layer.weight
    k, (height, width) = weight.shape[-1], x.shape[-2:]
    out = torch.zeros(len(x), len(weight), len(table), height, width, dtype=x.dtype)
    if layer.bias is not None:
        out += layer.bias[None, :, None, None, None]
    for g, h, a, b in product(range(len(table)), range(weight.shape[2]), range(k), range(k)):
        back = table.elements[int(table.inverses[g])]
        at = moved_pixel(back, a, b, k)
        on_group = 0 if layer.lifts else int(table.table[table.inverses[g], h])
        entry = weight[:, :, on_group, at[0], at[1]]
        for row, column in product(range(height), range(width)):
            r, c = row + a - k // 2, column + b - k // 2
            if layer.padding == "circular":
                r, c = r % height, c % width
            if 0 <= r < height and 0 <= c < width:
                out[:, :, g, row, column] += x[:, :, h, r, c] @ entry.T
    return out


@pytest.mark.parametrize("name", ["C4", "D2", "D4"])
@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_layers_are_the_formula(name: str, padding: str) -> None:
    group, rng = parse_group(name, 2), seeded(0)
    order = len(finite_table(group))
    torch.manual_seed(0)
    lifting = ImageLifting(group, 2, 3, padding=padding).double()
    conv = ImageGroupConv(group, 2, 2, padding=padding, use_bias=False).double()
    assert lifting.weight.shape == (3, 2, 1, 3, 3)
    assert conv.weight.shape == (2, 2, order, 3, 3)
    with torch.no_grad():
        lifting.bias.copy_(torch.tensor([1.0, -2.0, 0.5]))
    image = torch.randn(2, 2, 3, 4, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(lifting(image), by_loops(lifting, image[:, :, None]), atol=1e-12, rtol=0)
    x = torch.randn(1, 2, order, 4, 3, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(conv(x), by_loops(conv, x), atol=1e-12, rtol=0)


def test_a_table_with_one_entry_copies_a_neighbor() -> None:
    """w is 1 one pixel below the middle: y(g, p) = x(p + g (0, 1)), for the quarter turn (x, y) -> (-y, x) from the
    left."""
    lifting = ImageLifting(cyclic(4), 1, 1, use_bias=False).double()
    with torch.no_grad():
        lifting.weight.zero_()
        lifting.weight[0, 0, 0, 2, 1] = 1.0
    image = torch.arange(9, dtype=torch.float64).reshape(1, 1, 3, 3)
    assert lifting(image)[0, 0, :, 1, 1].tolist() == [7.0, 3.0, 1.0, 5.0]


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("size", [6, 7])
def test_layers_are_equivariant_at_every_size(name: str, size: int) -> None:
    group, table = parse_group(name, 2), finite_table(parse_group(name, 2))
    torch.manual_seed(1)
    layers = nn.Sequential(
        ImageLifting(group, 1, 3, kernel_size=5),
        nn.BatchNorm3d(3),
        nn.ReLU(),
        ImageGroupConv(group, 3, 2, padding="circular"),
        *([CenteredMaxPool()] if size % 2 else []),
    ).double()
    image = torch.randn(4, 1, size, size, dtype=torch.float64)
    layers.train()(image)
    layers.eval()
    with torch.no_grad():
        out = layers(image)
        for u in range(len(table)):
            found = layers(turned_image(table.elements[u], image))
            assert float((found - moved_fiber(group, u, out)).abs().max()) < 1e-12
        plain = nn.Conv2d(1, 6, 3, padding=1).double()(image).unflatten(1, (3, 2))
    if name == "C2":  # a plain convolution is seen
        turned = nn.Conv2d(1, 6, 3, padding=1).double()(turned_image(table.elements[1], image)).unflatten(1, (3, 2))
        assert float((turned - moved_fiber(group, 1, plain)).detach().abs().max()) > 0.01


def test_pooling_of_a_fiber_by_hand() -> None:
    fiber = torch.tensor([[[[[1.0, 2.0]], [[3.0, 6.0]]]]])  # one channel on two elements and two pixels
    assert FiberPool("mean")(fiber).tolist() == [[3.0]]
    assert FiberPool("max")(fiber).tolist() == [[6.0]]
    assert FiberPool("mean+max")(fiber).tolist() == [[3.0, 6.0]]
    head = FiberHead(1, 2, pooling="mean+max")
    with torch.no_grad():
        head.readout[0].weight.copy_(torch.tensor([[1.0, 10.0], [0.0, 1.0]]))
        head.readout[0].bias.zero_()
    assert head(fiber).tolist() == [[63.0, 6.0]]
    pooled = CenteredMaxPool()(torch.arange(9.0).reshape(1, 1, 1, 3, 3))
    assert pooled.flatten().tolist() == [4.0, 5.0, 7.0, 8.0]


def test_what_pixels_cannot_do_is_refused() -> None:
    for group in (cyclic(3), cyclic(8), dihedral(6)):
        with pytest.raises(ValueError, match="takes pixels between pixels"):
            ImageGroupConv(group, 1, 1)
        assert ImageGroupConv(group, 1, 1, kernel_size=1).weight.shape[2] == len(finite_table(group))
    with pytest.raises(ValueError, match="is not finite"):
        ImageLifting(parse_group("SO(2)", 2), 1, 1)
    with pytest.raises(ValueError, match=r"kernel_size must be odd, .* got 4"):
        ImageLifting(cyclic(4), 1, 1, kernel_size=4)
    with pytest.raises(ValueError, match=r"padding must be one of .* got 'mirror'"):
        ImageLifting(cyclic(4), 1, 1, padding="mirror")
    with pytest.raises(ValueError, match="channels must be at least 1, got in_channels=0"):
        ImageGroupConv(cyclic(4), 0, 1)
    with pytest.raises(ValueError, match=r"pooling must be one of .* got 'sum'"):
        FiberPool("sum")
    with pytest.raises(ValueError, match="images of odd size only, got 8 x 7: pad or resize"):
        CenteredMaxPool()(torch.zeros(1, 1, 4, 8, 7))


def test_another_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"x must be images \(B, 2, H, W\), got shape \(1, 3, 5, 5\)"):
        ImageLifting(cyclic(4), 2, 1)(torch.zeros(1, 3, 5, 5))
    with pytest.raises(ValueError, match=r"functions on C\(4\) \(B, 2, 4, H, W\), got shape \(1, 2, 8, 5, 5\)"):
        ImageGroupConv(cyclic(4), 2, 1)(torch.zeros(1, 2, 8, 5, 5))


def test_moved_back_by_hand() -> None:
    """On 2 x 2 pixels, numbered by rows, the quarter turn (x, y) -> (-y, x) takes 0 to 1 to 3 to 2 to 0."""
    assert moved_back(cyclic(4), 2).tolist()[1] == [2, 0, 3, 1]
    assert moved_back(cyclic(7), 1).tolist() == [[0]] * 7
