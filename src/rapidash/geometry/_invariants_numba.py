"""Attributes of all edges and orientations on the CPU, in one pass."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# numba gives the types of what it compiles

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, error_model="numpy")
def along_and_across(offset, axes, out):
    """out (E, O, 2) = d.o and |d - (d.o) o| of offsets d (E, D) and unit vectors o, the columns of ``axes`` (D, O)."""
    dim, num = axes.shape
    along, square = np.empty(num, offset.dtype), np.empty(num, offset.dtype)
    for e in range(offset.shape[0]):
        along[:] = 0
        square[:] = 0
        for k in range(dim):
            d = offset[e, k]
            for o in range(num):
                along[o] += d * axes[k, o]
        for k in range(dim):
            d = offset[e, k]
            for o in range(num):
                rest = d - along[o] * axes[k, o]
                square[o] += rest * rest
        for o in range(num):
            out[e, o, 0] = along[o]
            out[e, o, 1] = np.sqrt(square[o])
