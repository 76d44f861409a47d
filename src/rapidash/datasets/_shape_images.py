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

_OVERSAMPLING = 4  # samples along the side of a pixel
_BOXES = ((-0.75, 0.75, -1.5, 1.5), (0.75, 2.25, 0.25, 1.5))  # of the hook at size 1: left, right, top, bottom


def squares_images() -> RowDataset:
    """All 600 images of one square: 10 places in each direction times 6 sizes.

    Returns: ``image`` (600, 1, 16, 16), the covered share of each pixel; the factors ``x``, ``y`` (600,), 0 to 9: the
    middle is 4 to 12 pixels from the left and from above, in equal steps; and ``size`` 0 to 5: the side is 3 pixels
    more. The last factor runs fastest.
    """
    x, y, size = _combinations(10, 10, 6)
    half = (size.double() + 3) / 2
    across, down = (_covered(4 + 8 / 9 * place.double(), half) for place in (x, y))
    return _dataset(down[:, :, None] * across[:, None, :], dict(zip(SQUARES_FACTORS, (x, y, size))))


def hooks_images() -> RowDataset:
    """All 1,800 images of one hook: 24 angles times 5 places in each direction times 3 sizes.

    A hook is a bar with a foot to one side; no turn by less than 360 degrees leaves it as it is.

    Returns: ``image`` (1800, 1, 16, 16), the covered share of each pixel in sixteenths; the factors ``angle`` (1800,),
    0 to 23 in units of 15 degrees from the x-axis to the y-axis (which points down); ``x``, ``y``, 0 to 4, and ``size``
    0 to 2. The hook turns about the middle of its bar, 2 pixels left of the image's middle to 2 right of it, in steps
    of 1; the bar is 4, 5 or 6 pixels long. The last factor runs fastest.
    """
    angle, x, y, size = _combinations(HOOKS_ANGLES, 5, 5, 3)
    turn = 2 * math.pi / HOOKS_ANGLES * angle.double()
    scale = (4 + size.double()) / 3
    points = (torch.arange(SHAPE_SIDE * _OVERSAMPLING, dtype=torch.float64) + 0.5) / _OVERSAMPLING - SHAPE_SIDE / 2
    right = (points[None, None, :] - (x.double() - 2)[:, None, None]) / scale[:, None, None]
    down = (points[None, :, None] - (y.double() - 2)[:, None, None]) / scale[:, None, None]
    cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
    own_x, own_y = cos * right + sin * down, cos * down - sin * right  # turned back
    inside = torch.zeros(own_x.shape, dtype=torch.bool)
    for left, end, top, bottom in _BOXES:
        inside |= (own_x >= left) & (own_x < end) & (own_y >= top) & (own_y < bottom)
    image = torch.nn.functional.avg_pool2d(inside.double(), _OVERSAMPLING)
    return _dataset(image, dict(zip(HOOKS_FACTORS, (angle, x, y, size))))


def _covered(middle: Float[Tensor, " M"], half: Float[Tensor, " M"]) -> Float[Tensor, "M S"]:
    """The share of each pixel of a line that an interval covers."""
    left = torch.arange(SHAPE_SIDE, dtype=torch.float64)
    start, end = (middle - half)[:, None], (middle + half)[:, None]
    return (torch.minimum(end, left + 1) - torch.maximum(start, left)).clamp(0, 1)


def _combinations(*counts: int) -> list[Tensor]:
    """All combinations of levels, a column for each factor."""
    grids = torch.meshgrid(*(torch.arange(count) for count in counts), indexing="ij")
    return [grid.reshape(-1) for grid in grids]


def _dataset(image: Float[Tensor, "M S S"], factors: dict[str, Tensor]) -> RowDataset:
    fields = {"image": Field(Image(boundary="zeros"), level="cloud")}
    fields |= dict.fromkeys(factors, Field(Scalar(), level="cloud"))
    return RowDataset({"image": image[:, None], **factors}, fields)
