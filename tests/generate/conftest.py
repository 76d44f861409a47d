"""Small generators of four particles in the plane, and of five beads in a file made for the tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.models import RapidashConfig

TINY = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8, "grid": "platonic"}


def tiny(symmetry: str, space: str, num_orientations: int = 8) -> RapidashConfig:
    return RapidashConfig(symmetry=symmetry, space=space, num_orientations=num_orientations, **TINY)


def chains(num: int, name: str) -> Tensor:
    """Chains of five beads 1.4 apart, nearly planar, with a small positive twist about the second bond."""
    rng = seeded("chains", name)
    base = torch.tensor([[0.0, 0.0, 0.0], [1.2, 0.7, 0.0], [2.4, 0.0, 0.0], [3.6, 0.7, 0.4], [4.8, 0.0, 0.8]])
    return base + 0.1 * torch.randn(num, 5, 3, generator=rng)


@pytest.fixture
def ala2_folder(tmp_path: Path) -> Path:
    """A folder with a file of 400 frames."""
    beads = np.array(["ACE1-C", "ALA2-N", "ALA2-CA", "ALA2-C", "NME3-N"])
    pos = chains(400, "file").numpy().astype(np.float32)
    np.savez(tmp_path / "ala2_cg.npz", pos=pos, forces=np.zeros_like(pos), bead=beads)
    return tmp_path
