"""Files made for the tests."""

from pathlib import Path

import numpy as np
import pytest
from generate_checks import chains, molecules


@pytest.fixture
def ala2_folder(tmp_path: Path) -> Path:
    """A folder with a file of 400 frames."""
    beads = np.array(["ACE1-C", "ALA2-N", "ALA2-CA", "ALA2-C", "NME3-N"])
    pos = chains(400, "file").numpy().astype(np.float32)
    np.savez(tmp_path / "ala2_cg.npz", pos=pos, forces=np.zeros_like(pos), bead=beads)
    return tmp_path


@pytest.fixture
def qm9_folder(tmp_path: Path) -> Path:
    """A folder with a file of 100 molecules: water, ammonia, methane and methanol, turned at random."""
    z, pos, sizes = molecules(100)
    constants = np.linspace(1.0, 2.0, 100)[:, None].repeat(3, axis=1)
    whole = {"gdb_index": np.arange(1, 101), "n_atoms": sizes, "z": z, "pos": pos, "rot_const_ghz": constants}
    np.savez(tmp_path / "qm9_geometry.npz", **whole)
    return tmp_path
