"""Which compilers of kernels are installed; none is imported here."""

from importlib.util import find_spec
from typing import Final

HAS_NUMBA: Final = find_spec("numba") is not None
HAS_TRITON: Final = find_spec("triton") is not None
