"""Small images with known factors: squares of all places and sizes, and a hook that is turned as well."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Field, RowDataset
from rapidash.groups import Image, Scalar

SHAPE_SIDE = 16  # pixels of an image
SQUARES_FACTORS = ("x", "y", "size")
HOOKS_FACTORS = ("angle", "x", "y", "size")
HOOKS_ANGLES = 24

_BLUR = 0.5  # pixels, standard deviation of the edges
_SQUARE = ((-0.5, 0.5, -0.5, 0.5),)  # left, right, top, bottom at size 1
_HOOK = ((-0.25, 0.25, -0.5, 0.5), (0.25, 0.75, 1 / 12, 0.5))


def squares_images() -> RowDataset:
    """All 600 images of one square: 10 places in each direction times 6 sizes.

    Returns: ``image`` (600, 1, 16, 16), 1 inside, with edges blurred by 0.5 pixels; the factors ``x``, ``y`` (600,), 0
    to 9: the middle is 4 to 12 pixels from the left and from above, in equal steps; and ``size`` 0 to 5: the side is 3
    pixels more. The last factor runs fastest.
    """
    x, y, size = (column.double() for column in _combinations(10, 10, 6))
    image = _drawn(_SQUARE, 4 + 8 / 9 * x, 4 + 8 / 9 * y, size + 3, 0 * x)
    return _dataset(image, dict(zip(SQUARES_FACTORS, _combinations(10, 10, 6))))


def hooks_images() -> RowDataset:
    """All 1,800 images of one hook: 24 angles times 5 places in each direction times 3 sizes.

    A hook is a bar with a foot to one side; no turn by less than 360 degrees leaves it as it is.

    Returns: ``image`` (1800, 1, 16, 16), 1 inside, with edges blurred by 0.5 pixels; the factors ``angle`` (1800,), 0
    to 23 in units of 15 degrees from the x-axis to the y-axis (which points down); ``x``, ``y``, 0 to 4: the middle of
    the bar, about which the hook turns, is 6 to 10 pixels from the left and from above; and ``size`` 0 to 2: the bar is
    4 pixels longer, and half as wide as long. The last factor runs fastest.
    """
    counts = (HOOKS_ANGLES, 5, 5, 3)
    angle, x, y, size = (column.double() for column in _combinations(*counts))
    image = _drawn(_HOOK, 6 + x, 6 + y, size + 4, 2 * math.pi / HOOKS_ANGLES * angle)
    return _dataset(image, dict(zip(HOOKS_FACTORS, _combinations(*counts))))


def _combinations(*counts: int) -> list[Tensor]:
    """All combinations of levels, a column for each factor."""
    grids = torch.meshgrid(*(torch.arange(count) for count in counts), indexing="ij")
    return [grid.reshape(-1) for grid in grids]


def _drawn(
    boxes: tuple[tuple[float, ...], ...], x: Tensor, y: Tensor, size: Tensor, angle: Tensor
) -> Float[Tensor, "M S S"]:
    """Boxes that do not overlap, scaled, turned and moved to (x, y), blurred by a Gaussian, at the middle of pixels."""
    x, y, size, angle = (column[:, None, None] for column in (x, y, size, angle))
    middles = torch.arange(SHAPE_SIDE, dtype=torch.float64) + 0.5
    right, down = middles[None, None, :] - x, middles[None, :, None] - y
    own_x = angle.cos() * right + angle.sin() * down  # turned back
    own_y = angle.cos() * down - angle.sin() * right

    def between(place: Tensor, low: float, high: float) -> Tensor:
        return torch.special.ndtr((place - low * size) / _BLUR) - torch.special.ndtr((place - high * size) / _BLUR)

    parts = [between(own_x, *box[:2]) * between(own_y, *box[2:]) for box in boxes]
    return torch.stack(parts).sum(dim=0).clamp(0, 1)


def _dataset(image: Float[Tensor, "M S S"], factors: dict[str, Tensor]) -> RowDataset:
    fields = {"image": Field(Image(boundary="zeros"), level="cloud")}
    fields |= dict.fromkeys(factors, Field(Scalar(), level="cloud"))
    return RowDataset({"image": image[:, None], **factors}, fields)
