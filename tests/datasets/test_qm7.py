import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from rapidash.datasets._qm7 import qm7_dataset
from rapidash.datasets._reading import DataError

KCAL = 0.0433641153087705
SIZE = 10
POS = np.array([[0, 0, 0], [0, 0, 1.09], [1.03, 0, -0.36]])


def energies() -> np.ndarray:
    return -100.0 - np.arange(SIZE)


def write_npz(folder: Path) -> None:
    np.savez(
        folder / "qm7.npz",
        qm7_id=np.arange(1, SIZE + 1),
        n_atoms=np.full(SIZE, 3, dtype=np.uint8),
        z=np.tile([6, 1, 1], SIZE).astype(np.uint8),
        pos=np.tile(POS, (SIZE, 1)).astype(np.float32),
        atomization_pbe0_kcal=energies(),
        atomization_dftb_kcal=energies() + 1,
        split=np.array([0] * 6 + [1] * 2 + [2] * 2, dtype=np.int8),
    )


def write_mat(folder: Path) -> None:
    padded, z = np.zeros((SIZE, 23, 3)), np.zeros((SIZE, 23))
    padded[:, :3], z[:, :3] = POS / 0.529177210903, [6, 1, 1]
    content = {"R": padded, "Z": z, "T": energies()[None], "P": np.arange(SIZE).reshape(5, 2), "X": np.zeros((SIZE, 2))}
    scipy.io.savemat(folder / "qm7.mat", content)


def write_xyz(folder: Path, subfolder: str = "qm7") -> None:
    (folder / subfolder).mkdir(exist_ok=True)
    atoms = "\n".join(f"{s} {x} {y} {z}" for s, (x, y, z) in zip("CHH", POS))
    for number in range(1, SIZE + 1):
        (folder / subfolder / f"{number:04d}.xyz").write_text(f"3\n\n{atoms}\n")
    rows = [f"{number + 1:04d}.xyz {energy} {energy + 1}" for number, energy in enumerate(energies())]
    (folder / "hof_qm7.txt").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("write", [write_npz, write_mat, write_xyz])
def test_every_layout_splits_and_converts(tmp_path: Path, write: object) -> None:
    write(tmp_path)
    parts = [qm7_dataset(s, data_dir=tmp_path, verify=False, dtype=torch.float64) for s in ("train", "val", "test")]
    assert sum(map(len, parts)) == SIZE
    found = torch.cat([part.tensors["atomization"] for part in parts])[:, 0].sort().values
    np.testing.assert_allclose(found, np.sort(energies()) * KCAL)
    np.testing.assert_allclose(parts[0].tensors["pos"][:3], POS, atol=1e-6)
    assert parts[0].tensors["z"][:3].tolist() == [6, 1, 1]
    assert (parts[0].fields["atomization"].unit, parts[0].fields["pos"].unit) == ("eV", "angstrom")
    if write is write_mat:
        assert parts[2].tensors["index"][:, 0].tolist() == [8, 9]
    else:
        np.testing.assert_allclose(
            parts[1].tensors["atomization_dftb"], parts[1].tensors["atomization"] + KCAL, rtol=1e-12
        )


def test_bad_files_are_named(tmp_path: Path) -> None:
    write_xyz(tmp_path)
    (tmp_path / "qm7" / "0003.xyz").unlink()
    with pytest.raises(DataError, match=r"hof_qm7\.txt, 0003\.xyz: the file is missing"):
        qm7_dataset("train", data_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match=r"skipped 1 of 8 .*0003\.xyz"):
        assert len(qm7_dataset("train", data_dir=tmp_path, on_error="skip")) == 7
    assert sum(len(qm7_dataset(split, data_dir=tmp_path)) for split in ("val", "test")) == 2
    write_mat(tmp_path)
    whole = (tmp_path / "qm7.mat").read_bytes()
    for damaged in (whole[:3000], b"", b"<html></html>" * 40):
        (tmp_path / "qm7.mat").write_bytes(damaged)
        with pytest.raises(DataError, match=r"qm7\.mat"):
            qm7_dataset("train", data_dir=tmp_path)
    scipy.io.savemat(tmp_path / "qm7.mat", {"R": np.zeros((2, 3, 3))})
    with pytest.raises(DataError, match="no variable 'Z'"):
        qm7_dataset("train", data_dir=tmp_path)
    write_npz(tmp_path)
    with pytest.raises(DataError, match="checksum"):
        qm7_dataset("train", data_dir=tmp_path)


def test_a_mat_file_cut_short_is_called_damaged(tmp_path: Path) -> None:
    write_mat(tmp_path)
    content = scipy.io.loadmat(tmp_path / "qm7.mat")
    matrices = {"X": np.zeros((SIZE, 23, 23))}  # the published file begins with the Coulomb matrices
    scipy.io.savemat(tmp_path / "qm7.mat", matrices | {name: content[name] for name in "RZTP"})
    whole = (tmp_path / "qm7.mat").read_bytes()
    (tmp_path / "qm7.mat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cannot be read .* it is damaged"):
        qm7_dataset("train", data_dir=tmp_path)


@pytest.mark.parametrize("write", [write_npz, write_mat, write_xyz])
def test_a_file_in_ev_is_known_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    in_kcal = energies()
    monkeypatch.setattr(sys.modules[__name__], "energies", lambda: in_kcal * KCAL)
    write(tmp_path)
    parts = [qm7_dataset(split, data_dir=tmp_path, verify=False) for split in ("train", "val", "test")]
    found = torch.cat([part.tensors["atomization"] for part in parts])[:, 0].sort().values
    np.testing.assert_allclose(found, np.sort(in_kcal * KCAL))


@pytest.mark.parametrize("column", ["atomization_pbe0_kcal", "atomization_dftb_kcal"])
def test_one_energy_in_another_unit_is_named_or_skipped(tmp_path: Path, column: str) -> None:
    write_npz(tmp_path)
    arrays = dict(np.load(tmp_path / "qm7.npz"))
    arrays[column][3] *= KCAL
    np.savez(tmp_path / "qm7.npz", **arrays)
    with pytest.raises(DataError, match=r"molecule 4: mixed units: .* is no atomization energy in kcal/mol"):
        qm7_dataset("train", data_dir=tmp_path, verify=False)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 6"):
        assert len(qm7_dataset("train", data_dir=tmp_path, verify=False, on_error="skip")) == 5
    assert len(qm7_dataset("test", data_dir=tmp_path, verify=False)) == 2


def test_energies_of_no_known_unit_are_an_error(tmp_path: Path) -> None:
    write_npz(tmp_path)
    arrays = dict(np.load(tmp_path / "qm7.npz"))
    np.savez(tmp_path / "qm7.npz", **(arrays | {"atomization_pbe0_kcal": np.full(SIZE, 5.0)}))
    with pytest.raises(DataError, match=r"qm7\.npz: the unit of 'atomization', e\.g\. 5, cannot be told"):
        qm7_dataset("train", data_dir=tmp_path, verify=False)


@pytest.mark.parametrize("name", ["n_atoms", "z", "pos", "atomization_pbe0_kcal", "split", "qm7_id"])
def test_an_array_one_row_short_is_named(tmp_path: Path, name: str) -> None:
    write_npz(tmp_path)
    arrays = dict(np.load(tmp_path / "qm7.npz"))
    np.savez(tmp_path / "qm7.npz", **(arrays | {name: arrays[name][:-1]}))
    with pytest.raises(DataError, match=r"qm7\.npz: .* has the shape .* it is damaged or cut short"):
        qm7_dataset("train", data_dir=tmp_path, verify=False)


def test_shared_file(shared_data: Path) -> None:
    parts = [qm7_dataset(split, data_dir=shared_data) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [5600, 750, 751]
    assert -100 < parts[0].tensors["atomization"].mean() < -50
