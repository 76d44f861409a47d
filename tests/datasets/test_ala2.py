from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets import ala2_dataset
from rapidash.datasets._reading import DataError
from rapidash.groups import Vector


def test_frames_with_forces(tmp_path: Path) -> None:
    pos = np.random.default_rng(0).normal(size=(4, 5, 3))
    arrays = {"pos": pos, "forces": pos * 2, "bead": np.array(["C", "N", "CA", "C", "N"])}
    np.savez(tmp_path / "ala2_cg.npz", **arrays)
    data = ala2_dataset(data_dir=tmp_path, verify=False)
    assert len(data) == 4
    assert data.fields["forces"].representation == Vector()
    np.testing.assert_allclose(data.tensors["forces"], pos.reshape(-1, 3) * 2 * 0.0433641153, rtol=1e-5)
    assert data.tensors["bead"][:7].tolist() == [0, 1, 2, 3, 4, 0, 1]
    arrays["forces"][2, 1] = np.nan
    np.savez(tmp_path / "ala2_cg.npz", **arrays)
    with pytest.raises(DataError, match="frame 2: its positions or forces are not finite"):
        ala2_dataset(data_dir=tmp_path, verify=False)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 4"):
        assert len(ala2_dataset(data_dir=tmp_path, verify=False, on_error="skip")) == 3
    np.savez(tmp_path / "ala2_cg.npz", **(arrays | {"pos": pos[:, :4]}))
    with pytest.raises(DataError, match=r"expected \(F, 5, 3\) twice"):
        ala2_dataset(data_dir=tmp_path, verify=False)


def test_shared_frames(shared_data: Path) -> None:
    assert len(ala2_dataset(data_dir=shared_data)) == 10_000
