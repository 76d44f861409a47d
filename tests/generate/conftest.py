"""A file of frames made for the tests."""

from pathlib import Path

import numpy as np
import pytest
from generate_checks import chains


@pytest.fixture
def ala2_folder(tmp_path: Path) -> Path:
    """A folder with a file of 400 frames."""
    beads = np.array(["ACE1-C", "ALA2-N", "ALA2-CA", "ALA2-C", "NME3-N"])
    pos = chains(400, "file").numpy().astype(np.float32)
    np.savez(tmp_path / "ala2_cg.npz", pos=pos, forces=np.zeros_like(pos), bead=beads)
    return tmp_path
