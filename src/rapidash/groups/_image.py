"""Images as fields: smooth warps under motions of the plane, and changes of intensity."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rapidash.groups._representations import Representation, refuse_whole_numbers


@dataclass(frozen=True)
class Image(Representation):
    """An image or feature map (..., H, W) under motions of the plane: (g f)(p) = f(g^-1 p), p relative to the center.

    Coordinates are p = (x, y), x to the right (along W), y downward (along H). Both interpolations are differentiable
    in g at every g; a bilinear one is not at the identity, where each sample sits on a corner of its formula.

    Args:
        interpolation: ``"cubic"`` (Catmull-Rom, continuous first derivative) or ``"fourier"`` (trigonometric, periodic,
            exact for band-limited images; cost (H W)^2, for small images).
        boundary: what lies outside for ``"cubic"``: ``"zeros"`` or ``"periodic"``; ``"fourier"`` is always periodic.
        extent: length of one side of the image in the unit of translations. None: one unit is one pixel. Give the same
            extent to every feature map of a network with strides, so that a translation means the same in all of them.
    Raises: ValueError for an unknown interpolation or boundary.
    """

    interpolation: Literal["cubic", "fourier"] = "cubic"
    boundary: Literal["zeros", "periodic"] = "periodic"
    extent: float | None = None

    def __post_init__(self) -> None:
        if self.interpolation not in ("cubic", "fourier") or self.boundary not in ("zeros", "periodic"):
            raise ValueError(
                "interpolation must be 'cubic' or 'fourier' and boundary 'zeros' or 'periodic', "
                f"got {self.interpolation!r} and {self.boundary!r}"
            )

    def act(self, g: Float[Tensor, "3 3"], x: Shaped[Tensor, "*B H W"]) -> Shaped[Tensor, "*B H W"]:
        """The warped image."""
        if g.shape != (3, 3):
            raise ValueError(f"an image moves under one homogeneous matrix of the plane (3, 3), got {tuple(g.shape)}")
        refuse_whole_numbers(self, x)
        height, width = x.shape[-2:]
        # places of pixels are real, and not all have a number of their own in half precision
        real = torch.promote_types(x.dtype.to_real(), torch.float32)
        unit = 1.0 if self.extent is None else self.extent / width  # length of a pixel
        back = torch.linalg.inv(g).to(x.device, real)
        rows = torch.arange(height, dtype=real, device=x.device) - (height - 1) / 2
        columns = torch.arange(width, dtype=real, device=x.device) - (width - 1) / 2
        y, z = torch.meshgrid(rows, columns, indexing="ij")
        source_x = back[0, 0] * z + back[0, 1] * y + back[0, 2] / unit + (width - 1) / 2
        source_y = back[1, 0] * z + back[1, 1] * y + back[1, 2] / unit + (height - 1) / 2
        if self.interpolation == "fourier":
            return _trigonometric(x, source_y.reshape(-1), source_x.reshape(-1))
        return _cubic(x, source_y.reshape(-1), source_x.reshape(-1), self.boundary == "periodic")


@dataclass(frozen=True)
class Intensity(Representation):
    """Values a x + b under matrices [[a, b], [0, 1]]: brightness and contrast."""

    def act(self, g: Float[Tensor, "2 2"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """A x + b."""
        refuse_whole_numbers(self, x)
        g = g.to(x)
        return g[0, 0] * x + g[0, 1]


def _cubic(x: Tensor, y: Tensor, z: Tensor, periodic: bool) -> Tensor:
    """Catmull-Rom interpolation of x (..., H, W) at rows y and columns z (P,)."""
    height, width = x.shape[-2:]
    flat = x.reshape(-1, height * width)
    out = flat.new_zeros(flat.shape[0], len(y))
    rows, row_weights = _taps(y)
    columns, column_weights = _taps(z)
    for row, row_weight in zip(rows, row_weights):
        for column, column_weight in zip(columns, column_weights):
            weight = row_weight * column_weight
            if not periodic:
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                weight = weight * inside
            index = (row % height) * width + column % width
            out = out + weight * flat[:, index]
    return out.reshape(x.shape).to(x.dtype)


def _taps(position: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The four samples around each position and their weights, which sum to 1."""
    base = torch.floor(position.detach())
    t = position - base
    weights = [
        0.5 * t * (-1 + t * (2 - t)),
        0.5 * (2 + t * t * (3 * t - 5)),
        0.5 * t * (1 + t * (4 - 3 * t)),
        0.5 * t * t * (t - 1),
    ]
    return [base.long() + offset for offset in (-1, 0, 1, 2)], weights


def _trigonometric(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """The periodic interpolant of x (..., H, W) with the fewest frequencies, at rows y and columns z (P,)."""
    height, width = x.shape[-2:]
    wide = x.to(torch.promote_types(x.dtype, y.dtype))
    rows = torch.einsum("bhw,ph->bpw", wide.reshape(-1, height, width), _dirichlet(y, height).to(wide.dtype))
    return torch.einsum("bpw,pw->bp", rows, _dirichlet(z, width).to(wide.dtype)).reshape(x.shape).to(x.dtype)


def _dirichlet(position: Tensor, size: int) -> Tensor:
    """Weights (P, size) of the trigonometric interpolant: (1 / n) sum_k cos(2 pi k (p - j) / n), k = -n/2 .. n/2."""
    offset = position[:, None] - torch.arange(size, dtype=position.dtype, device=position.device)
    kernel = torch.ones_like(offset)
    for k in range(1, (size - 1) // 2 + 1):
        kernel = kernel + 2 * torch.cos(2 * torch.pi * k / size * offset)
    if size % 2 == 0:
        kernel = kernel + torch.cos(torch.pi * offset)
    return kernel / size
