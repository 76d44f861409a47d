"""A small gray picture that a measure makes of a model, as a record can hold it."""

import base64
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.methods._method import FULL

Moment = Literal["before", "after"]
MAX_PIXELS = 2**17
_LINE = 2000


@dataclass(frozen=True)
class Picture:
    """A gray picture of a run; a record has a list of them beside its measurements.

    Args:
        name: what it shows.
        png: the file in base64, cut into lines of at most 2,000 characters, as long as a text of a record is shown.
        moment: ``"before"`` or ``"after"`` training.
        view: of the model.
    """

    name: str
    png: tuple[str, ...]
    moment: Moment = "after"
    view: str = FULL

    @classmethod
    def of_gray(cls, name: str, gray: Float[Tensor, "H W"], *, moment: Moment = "after", view: str = FULL) -> "Picture":
        """A picture of numbers, 0 for black to 1 for white; others are clipped.

        Raises: ValueError for no matrix of finite numbers, or more than 2^17 of them: records are to be small.
        """
        if gray.dim() != 2 or not 0 < gray.numel() <= MAX_PIXELS or not bool(torch.isfinite(gray).all()):
            raise ValueError(
                f"a picture needs a matrix of 1 to {MAX_PIXELS} finite numbers, got shape {tuple(gray.shape)}"
            )
        pixels = (gray.detach().double().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        text = base64.b64encode(_png(pixels)).decode()
        lines = tuple(text[start : start + _LINE] for start in range(0, len(text), _LINE))
        return cls(name, lines, moment, view)


def _png(pixels: Tensor) -> bytes:
    """An 8-bit gray PNG of (H, W) bytes."""
    height, width = pixels.shape
    rows = torch.nn.functional.pad(pixels, (1, 0)).numpy().tobytes()  # each row after its filter, 0 for none

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
