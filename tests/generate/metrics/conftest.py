"""Molecules written down by hand, and the molecules of QM9 where they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.data import CloudDataset, Field
from rapidash.datasets import ReadDataset, qm9_dataset
from rapidash.groups import Position, Scalar

SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
Atoms = list[tuple[int, tuple[float, float, float]]]

_H = 1.09 / 3**0.5  # of methane: 1.09 angstrom along the diagonals of a cube
METHANE: Atoms = [(6, (0, 0, 0)), (1, (_H, _H, _H)), (1, (_H, -_H, -_H)), (1, (-_H, _H, -_H)), (1, (-_H, -_H, _H))]
WATER: Atoms = [(8, (0, 0, 0)), (1, (0.96, 0, 0)), (1, (-0.24, 0.93, 0))]
_RING = [(np.cos(k * np.pi / 3), np.sin(k * np.pi / 3)) for k in range(6)]
BENZENE: Atoms = [(6, (1.395 * x, 1.395 * y, 0)) for x, y in _RING] + [(1, (2.48 * x, 2.48 * y, 0)) for x, y in _RING]
NITROMETHANE: Atoms = [
    (7, (0, 0, 0)),
    (8, (-0.558, 1.085, 0)),
    (8, (-0.558, -1.085, 0)),
    (6, (1.49, 0, 0)),
    (1, (1.82, 1.04, 0)),
    (1, (1.82, -0.52, 0.9)),
    (1, (1.82, -0.52, -0.9)),
]
HAND = {"methane": METHANE, "water": WATER, "benzene": BENZENE, "nitromethane": NITROMETHANE}


def dataset(*molecules: Atoms) -> CloudDataset:
    """Molecules given as lists of atomic number and position."""
    tensors = {
        "pos": torch.tensor([pos for one in molecules for _, pos in one], dtype=torch.float64).reshape(-1, 3),
        "z": torch.tensor([z for one in molecules for z, _ in one], dtype=torch.int64),
    }
    fields = {"pos": Field(Position(), "angstrom"), "z": Field(Scalar())}
    return CloudDataset(tensors, fields, torch.tensor([len(one) for one in molecules], dtype=torch.int64))


@pytest.fixture(scope="session")
def by_hand() -> Callable[..., CloudDataset]:
    """Molecules by name, e.g. "methane", or as lists of atoms."""
    return lambda *names: dataset(*(HAND[name] if isinstance(name, str) else name for name in names))


@pytest.fixture(scope="session")
def qm9_test() -> ReadDataset:
    """The test molecules of QM9."""
    if not (SHARED_DATA / "qm9_geometry.npz").is_file():
        pytest.skip(f"no QM9 at {SHARED_DATA}")
    return qm9_dataset("test", source="geometry", data_dir=SHARED_DATA)
