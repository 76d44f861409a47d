"""A table whose values stay as they are, with what the kernels make of it."""

from typing import Any

from torch import Tensor

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
