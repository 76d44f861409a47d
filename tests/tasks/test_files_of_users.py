"""Tasks whose files have published checksums, on other files of the same name."""

from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets import DataError
from rapidash.tasks import get_task

FILES = {
    "cmu": "cmu_mocap_walk.npz",
    "md": "md_small_molecules.npz",
    "meshseg": "princeton_meshseg.npz",
    "mnist-sp": "mnist.npz",
    "modelnet10": "modelnet10.npz",
    "qm9": "qm9_mp2_10k.npz",
    "shapes": "shapes69.npz",
}


@pytest.mark.parametrize("name", FILES)
def test_files_with_another_checksum_are_opened_with_verify_false_only(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / FILES[name], unknown=np.zeros(3))
    for split in ("train", "test"):
        with pytest.raises(DataError, match=r"checksum .*--task_options\.verify false"):
            get_task(name, data_dir=str(tmp_path)).dataset(split)
        with pytest.raises(DataError, match=r"has no (array|set)"):
            get_task(name, data_dir=str(tmp_path), verify=False).dataset(split)
