"""Parts of a Rapidash network that an argument chooses by name."""

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.geometry import PairInvariants
from rapidash.groups import FiniteGroup
from rapidash.models._config import RapidashConfig
from rapidash.models._network import Interface
from rapidash.models._subgroups import grid_motions
from rapidash.nn import KernelTable, OrientationComponents, OrientationMaps, orientation_components


def components_of(
    kind: OrientationMaps, bandlimit: int, invariants: PairInvariants, grid: Float[Tensor, "O D"], io: Interface
) -> OrientationComponents | None:
    """The parts that linear maps of the blocks tell apart; those of irreps keep reflections where the layers do.

    Raises: ValueError for parts of a space without orientations, and for a bandlimit that drops what an output is made
        of: vectors are of degree 1, and all but the trace of a tensor is of degree 2.
    """
    if kind == "pointwise":
        return None
    if not invariants.has_orientations:
        raise ValueError(f"orientation_mlp={kind!r} needs orientations, and space R{invariants.group.dim} has none")
    degree = 2 if io.out_tensors else 1 if io.out_vectors else 0
    if kind == "bandlimited" and bandlimit < degree:
        output = f"out_tensors={io.out_tensors}" if io.out_tensors else f"out_vectors={io.out_vectors}"
        raise ValueError(
            f"{output} needs degree {degree} of the signals on the orientations, and bandlimit={bandlimit} keeps less: "
            f"use bandlimit={degree} or orientation_mlp='pointwise'"
        )
    motions = grid_motions(invariants, grid).linear
    assert isinstance(motions, FiniteGroup)
    reflections = bool((torch.linalg.det(motions.elements) < 0).any())
    return orientation_components(kind, grid, bandlimit=bandlimit, reflections=reflections)


def kernel_table(config: RapidashConfig, invariants: PairInvariants) -> KernelTable | None:
    """The grid of the tables, where there can be one.

    Raises: ValueError for an unknown choice, or tables of attributes that have none.
    """
    check_choice("kernel", config.kernel, ("auto", "exact", "tabulated"))
    check_choice("interpolation", config.interpolation, ("linear", "cubic"))
    if config.kernel == "tabulated" and invariants.signed is None:
        raise ValueError(
            f"kernel='tabulated' needs attributes on at most 2 dimensions; {config.symmetry} on {config.space} "
            "has more: use 'exact'"
        )
    if invariants.signed is None:
        return None
    return KernelTable(config.table_size, invariants.signed, config.interpolation)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError for a value that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
