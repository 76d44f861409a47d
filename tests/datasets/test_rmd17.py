"""rMD17 by its published splits: one file of the first split, and a file for each part of the others."""

from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets import ReadDataset, md_dataset
from rapidash.datasets._reading import DataError
from tests.datasets.test_md import HARTREE, KCAL, trajectory

PARTS = {"train": slice(0, 20), "test": slice(20, 30)}


def write_split(folder: Path, without: str = "", **changes: np.ndarray) -> None:
    """Water, whose first 20 configurations are for training."""
    pos, energy, forces = trajectory()
    arrays: dict[str, np.ndarray] = {"water/z": np.array([8, 1, 1], dtype=np.uint8)}
    for part, rows in PARTS.items():
        values = {"pos": pos[rows], "energy": energy[rows] / KCAL, "forces": forces[rows] / KCAL}
        arrays |= {f"water/{part}_{name}": array for name, array in values.items()}
    np.savez(folder / "rmd17_split01.npz", **{k: a for k, a in (arrays | changes).items() if k != without})


def write_parts(folder: Path, fold: int = 1, **changes: np.ndarray) -> None:
    pos, energy, forces = trajectory()
    for part, rows in PARTS.items():
        arrays = {"nuclear_charges": np.array([8, 1, 1]), "coords": pos[rows], "energies": energy[rows] / KCAL}
        arrays |= {"forces": forces[rows] / KCAL} | (changes if part == "test" else {})
        np.savez(folder / f"rmd17_water_{part}_{fold:02d}.npz", **arrays)


def read(folder: Path, split: str | None = None, **options: int) -> ReadDataset:
    sizes = {"train_size": 15, "val_size": 5}
    return md_dataset("water", split, data_dir=folder, verify=False, **(sizes | options))


@pytest.mark.parametrize("write", [write_split, write_parts])
def test_parts_are_those_published_in_ev(tmp_path: Path, write) -> None:
    write(tmp_path)
    pos, energy, forces = trajectory()
    rows = {"train": slice(0, 15), "val": slice(15, 20), "test": slice(20, 30), None: slice(0, 30)}
    for split, chosen in rows.items():
        data = read(tmp_path, split)
        np.testing.assert_allclose(data.tensors["energy"][:, 0], energy[chosen], rtol=1e-12)
        np.testing.assert_allclose(data.tensors["pos"], pos[chosen].reshape(-1, 3), atol=1e-6)
        np.testing.assert_allclose(data.tensors["forces"], forces[chosen].reshape(-1, 3), atol=1e-6)
    assert data.tensors["energy"][0, 0].item() == pytest.approx(-76.4 * HARTREE, abs=5)
    with pytest.raises(ValueError, match=r"train_size=20 and val_size=1: .* at most the 20 configurations of rmd17"):
        read(tmp_path, "train", train_size=20, val_size=1)


def test_other_splits_come_from_files_of_their_own(tmp_path: Path) -> None:
    write_split(tmp_path)
    with pytest.raises(ValueError, match=r"fold=3: .*rmd17_split01\.npz has the published split 1 alone\. Put .*_03"):
        read(tmp_path, "train", fold=3)
    write_parts(tmp_path, 3, energies=trajectory()[1][:10] / KCAL)
    np.testing.assert_allclose(read(tmp_path, "test", fold=3).tensors["energy"][:, 0], trajectory()[1][:10])
    (tmp_path / "rmd17_water_test_03.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"rmd17_water_test_03\.npz is missing"):
        read(tmp_path, "train", fold=3)


def test_what_is_there_is_named(tmp_path: Path) -> None:
    write_split(tmp_path)
    with pytest.raises(DataError, match=r"has no set 'benzene', known are \['water'\]"):
        md_dataset("benzene", data_dir=tmp_path, verify=False)
    write_split(tmp_path, without="water/test_forces")
    with pytest.raises(DataError, match=r"has no array 'water/test_forces'"):
        read(tmp_path)
    write_split(tmp_path, **{"water/test_pos": np.zeros((10, 2, 3))})
    with pytest.raises(DataError, match=r"positions \(10, 2, 3\).* do not belong together"):
        read(tmp_path)
    (tmp_path / "rmd17_split01.npz").unlink()
    write_parts(tmp_path, nuclear_charges=np.array([7, 1, 1]))
    with pytest.raises(DataError, match="its training and test parts are of different molecules"):
        read(tmp_path)


def test_shared_split(shared_data: Path) -> None:
    """Against numpy's own arithmetic; the net force vanishes and the temperature of 500 K is seen in the forces."""
    data = md_dataset("ethanol", "train", data_dir=shared_data)
    assert (len(data), data.info["sets"][0], len(data.info["sets"])) == (950, "aspirin", 10)
    with np.load(shared_data / "rmd17_split01.npz") as raw:
        energy, forces = raw["ethanol/train_energy"][:950], raw["ethanol/train_forces"][:950]
    np.testing.assert_allclose(data.tensors["energy"][:, 0], energy * 0.0433641153, rtol=1e-9)
    np.testing.assert_allclose(data.tensors["forces"], forces.reshape(-1, 3) * 0.0433641153, rtol=1e-6)
    assert data.tensors["forces"].reshape(950, 9, 3).sum(dim=1).abs().max() < 1e-3
    assert 21 < data.tensors["forces"].square().mean().sqrt().item() / KCAL < 31  # kcal/mol/angstrom
    assert len(md_dataset("ethanol", "test", data_dir=shared_data, verify=False)) == 1000
