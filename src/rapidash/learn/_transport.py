"""The motion of the image plane that a change of an image looks most like."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

MOTIONS = ("shift along x", "shift along y", "turn", "scaling", "stretch", "shear")
MOTION_UNITS = ("pixel", "pixel", "rad", "1", "1", "1")


class AffineTransport(NamedTuple):
    """Speeds (B, 6) of `MOTIONS`, the centers (B, 2) about which they are meant, x then y, and the explained share.

    ``explained`` is 1 minus the squared remainder over the squared change, over all images; NaN where nothing changes.
    """

    speeds: Float[Tensor, "B 6"]
    centers: Float[Tensor, "B 2"]
    explained: float


def affine_transport(image: Float[Tensor, "B H W"], rate: Float[Tensor, "B H W"]) -> AffineTransport:
    r"""Fit :math:`\dot x = -u \cdot \nabla x` with an affine vector field u, for each image by least squares.

    About the center c of the image's intensity, with p - c = (x, y) in pixels, x to the right and y downward, u is the
    sum of (1, 0) and (0, 1), the turn (-y, x), the scaling (x, y), the stretch (x, -y) and the shear (y, x), each times
    its speed. Gradients are central differences. Motions that an image does not show (the turn of a disk) are 0.

    Args:
        image: intensities, at least 0, of a side of at least 3; of an image without any the center is the middle.
        rate: the change of each pixel per unit of a parameter.
    Raises: ValueError for other shapes, or numbers that are not finite.
    """
    if image.dim() != 3 or image.shape != rate.shape or min(image.shape[1:]) < 3 or not len(image):
        raise ValueError(
            f"image and rate must be (B, H, W) with sides of 3 or more, got {tuple(image.shape)}, {tuple(rate.shape)}"
        )
    if not bool(torch.isfinite(image).all() and torch.isfinite(rate).all()):
        raise ValueError("image and rate must be finite")
    image, rate = image.detach().cpu().double(), rate.detach().cpu().double()
    height, width = image.shape[1:]
    down, right = torch.gradient(image, dim=(1, 2))
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    mass = image.sum(dim=(1, 2))
    places = torch.stack([x, y], dim=-1)
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64)
    centers = torch.einsum("bhw,hwd->bd", image, places) / mass.clamp(min=1e-12)[:, None]
    centers = torch.where((mass > 1e-12)[:, None], centers, middle)
    x, y = (place[None] - center[:, None, None] for place, center in zip((x, y), centers.T))
    one = torch.ones_like(x)
    zero = torch.zeros_like(x)
    fields = ((one, zero), (zero, one), (-y, x), (x, y), (x, -y), (y, x))
    columns = torch.stack([-(u * right + v * down) for u, v in fields], dim=-1).flatten(1, 2)
    target = rate.flatten(1)[..., None]
    speeds = torch.linalg.pinv(columns, rtol=1e-6) @ target
    remainder, whole = (columns @ speeds - target).square().sum(), target.square().sum()
    explained = float(1 - remainder / whole) if whole > 0 else float("nan")
    return AffineTransport(speeds[..., 0], centers, explained)
