"""Weights and data of other libraries: the released network here, `pyg` and `ase` in modules of their own."""

from rapidash.interop._released import from_rapidash_state_dict

__all__ = ["from_rapidash_state_dict"]
