"""Alanine dipeptide, coarse-grained: five backbone beads and the instantaneous forces on them."""

from pathlib import Path

import numpy as np
import torch

from rapidash.data import Field
from rapidash.datasets._locate import locate
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import DataError, OnError, ReadDataset, SampleErrors, as_points, words
from rapidash.datasets._units import EV_PER
from rapidash.groups import Position, Scalar, Vector

_OBTAIN = "It is an npz file with the alanine dipeptide frames of the cgnet package (examples/data)."


def ala2_dataset(
    *,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """10,000 frames of five beads with forces, from ``ala2_cg.npz``, in order of time (10 ps apart).

    The forces are noisy: the learning target is their mean at a configuration. There is no official split, and
    neighboring frames are alike: split by blocks of time.

    Fields: pos (position, angstrom), forces (vector, eV/angstrom), bead (scalar, (N,), int64: 0 to 4).
    Info: "beads": their names.
    Args:
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad frames out, counted and reported.
        verify: compare the published checksum.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError; DataError for a damaged file or values that are not finite.
    Source: Wang et al., ACS Central Science 2019, doi 10.1021/acscentsci.8b00913.
    """
    _, path = locate(("ala2_cg.npz",), dataset="coarse-grained alanine dipeptide", obtain=_OBTAIN, data_dir=data_dir)
    arrays = read_npz(path, ("pos", "forces", "bead"), verify=verify)
    pos, forces = arrays["pos"].astype(np.float64), arrays["forces"].astype(np.float64) * EV_PER["kcal/mol"]
    num_beads = len(arrays["bead"])
    if pos.ndim != 3 or pos.shape[1:] != (num_beads, 3) or forces.shape != pos.shape:
        raise DataError(f"{path}: positions {pos.shape} and forces {forces.shape}, expected (F, {num_beads}, 3) twice")
    errors = SampleErrors(path, on_error)
    good = np.isfinite(pos).all(axis=(1, 2)) & np.isfinite(forces).all(axis=(1, 2))
    for frame in np.flatnonzero(~good).tolist():
        errors.add(f"frame {frame}", "its positions or forces are not finite")
    errors.report(len(pos))
    size = int(good.sum())
    return ReadDataset(
        {
            "pos": as_points(pos[good].reshape(-1, 3), dtype),
            "forces": as_points(forces[good].reshape(-1, 3), dtype),
            "bead": torch.arange(num_beads).repeat(size),
        },
        {
            "pos": Field(Position(), "angstrom"),
            "forces": Field(Vector(), "eV/angstrom"),
            "bead": Field(Scalar(), "1"),
        },
        torch.full((size,), num_beads),
        source=path,
        info={"beads": words(arrays["bead"])},
        skipped=tuple(errors.skipped),
    )
