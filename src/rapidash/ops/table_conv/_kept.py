"""Tables and coordinates that stay as they are, with what the kernels make of them."""

from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from rapidash.geometry import is_watched
from rapidash.ops.table_conv.reference import Interpolation, spline_coefficients


class KeptTable:
    """A table for many convolutions without gradients: spline coefficients and the layout of the CPU's kernels of it
    are made once.

    Args:
        values: at the nodes, as of `table_conv`; they must not change.
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values.detach()
        self.layouts: dict[str, Any] = {}  # by interpolation: the table as an array in blocks of channels
        self._coefficients: Tensor | None = None

    def stored(self, interpolation: Interpolation) -> tuple[Tensor, Interpolation]:
        """The table that is interpolated, and how: for cubic splines through the values, their coefficients."""
        if interpolation != "cubic":
            return self.values, interpolation
        if self._coefficients is None:
            self._coefficients = spline_coefficients(self.values)
        return self._coefficients, "bspline"


_points: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def keep_points(coords: Tensor) -> None:
    """Say that coordinates, the edges that they belong to, and factors of edges stay as they are.

    The CPU's kernels then sort the points by cell in the first `table_conv` of this very tensor, and the other layers
    and the backward pass take them from there, as long as the tensor lives. What writes into one of the tensors where
    torch counts it (it does not in inference mode, nor through ``.data`` or numpy) has the points sorted anew. In
    traces and transforms nothing is kept.
    """
    if not is_watched(coords):
        _points.setdefault(coords, {})


def kept_points(coords: Tensor) -> dict[Any, Any] | None:
    """All that the kernels keep of these coordinates; None where they may change."""
    found: dict[Any, Any] | None = _points.get(coords)
    return found
