"""How much symmetry should a model of geometric data have? Set it, break it, measure it."""

from rapidash._version import __version__

__all__ = ["__version__"]
