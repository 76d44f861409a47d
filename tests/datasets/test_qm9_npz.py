"""The npz files of QM9: units told by size, molecules left out, and arrays that do not belong together."""

from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets import ReadDataset, _qm9_files
from rapidash.datasets._qm9 import qm9_dataset, qm9_split
from rapidash.datasets._reading import DataError
from tests.datasets.test_qm9 import HARTREE, METHANE, PROPERTIES, SIZE, table, write_cormorant, write_dimenet

EXPECTED = {name: value * HARTREE for name, value in zip(PROPERTIES, METHANE)}  # of the energies, in eV
ORBITALS, TOTALS = ("homo", "lumo", "gap"), ("u0", "U", "H", "G")


def read(folder: Path, **options: object) -> ReadDataset:
    return qm9_dataset("test", data_dir=folder, **options)


def columns() -> dict[str, np.ndarray]:
    names = {"u298": "U", "h298": "H", "g298": "G"}
    return {names.get(name, name): array.copy() for name, array in table().items()}


@pytest.mark.parametrize("in_ev", [ORBITALS, ("zpve",), TOTALS, (*ORBITALS, "zpve")], ids=str)
@pytest.mark.parametrize("without", [(), TOTALS, ("gap",), ("homo",), ("homo", "lumo")], ids=str)
def test_each_group_of_energies_has_its_own_unit(
    tmp_path: Path, in_ev: tuple[str, ...], without: tuple[str, ...]
) -> None:
    write_cormorant(tmp_path, without, **{name: columns()[name] * HARTREE for name in in_ev})
    found = read(tmp_path).tensors
    for name in {"homo", "lumo", "gap", "zpve", "u0", "g298"} & set(found):
        np.testing.assert_allclose(found[name], EXPECTED[name], rtol=1e-9)
    assert {"zpve", "lumo"} & set(found)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("zpve",), "its zpve 1.21768 is no zero-point energy in hartree"),
        (("U",), "its u298 is .* eV from its u0"),
        (("H",), "its h298 is .* eV from its u0"),
        (("G",), "its g298 is .* eV from its u0"),
        (TOTALS, "its u0 -1101.49 is no total energy in hartree"),
        (ORBITALS, "its homo -10.5499 is no HOMO energy in hartree"),
        (("lumo",), "its gap is not lumo - homo"),
    ],
)
def test_one_molecule_in_another_unit_is_named_or_skipped(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    changed = columns()
    for name in names:
        changed[name][4] *= HARTREE
    write_cormorant(tmp_path, **{name: changed[name] for name in names})
    with pytest.raises(DataError, match=f"molecule gdb 5: mixed units: {message}"):
        read(tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 20"):
        assert 5 not in read(tmp_path, on_error="skip").tensors["index"]


@pytest.mark.parametrize(
    ("name", "without", "values"),
    [
        ("lumo", ("homo", "gap"), None),
        ("homo", (), 100.0),
        ("gap", ("homo",), 100.0),
        ("zpve", (), 28.0),
        ("u0", (), 5),
    ],
)
def test_a_unit_that_cannot_be_told_is_an_error(
    tmp_path: Path, name: str, without: tuple[str, ...], values: float | None
) -> None:
    write_cormorant(tmp_path, without, **({} if values is None else {name: np.full(SIZE, values)}))
    with pytest.raises(DataError, match=f"test.npz: the unit of '{name}'.* cannot be told"):
        read(tmp_path)


@pytest.mark.parametrize("first", [0, 1])
def test_uncharacterized_molecules_are_left_out_by_their_number(tmp_path: Path, first: int) -> None:
    write_dimenet(tmp_path, id=np.arange(first, SIZE + first))
    (tmp_path / "uncharacterized.txt").write_text("Index\n  3  C#N\n  7 CC\n")
    left = [number - 1 + first for number in range(1, SIZE + 1) if number not in (3, 7)]
    data = qm9_dataset("train", data_dir=tmp_path)
    assert data.tensors["index"][:, 0].tolist() == [left[k] for k in qm9_split(18)["train"]]
    assert len(qm9_dataset("train", data_dir=tmp_path, keep_uncharacterized=True)) == 16


def test_a_file_that_lacks_them_already_loses_no_molecule(tmp_path: Path) -> None:
    write_dimenet(tmp_path, id=np.setdiff1d(np.arange(1, SIZE + 3), [3, 7]))
    (tmp_path / "uncharacterized.txt").write_text("  3  C#N\n  7 CC\n")
    assert sum(len(qm9_dataset(split, data_dir=tmp_path)) for split in ("train", "val", "test")) == SIZE


def test_a_complete_file_needs_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_qm9_files, "_COMPLETE", SIZE)
    monkeypatch.setattr(_qm9_files, "_EXCLUDED", 1)
    write_cormorant(tmp_path, ("index",))
    with pytest.raises(FileNotFoundError, match=r"uncharacterized\.txt is not in"):
        read(tmp_path)
    (tmp_path / "uncharacterized.txt").write_text("  3  C#N\n")
    assert read(tmp_path).tensors["index"][:4, 0].tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("name", ["charges", "positions", "num_atoms"])
def test_padded_arrays_of_different_numbers_of_molecules_are_named(tmp_path: Path, name: str) -> None:
    write_cormorant(tmp_path)
    short = np.load(tmp_path / "test.npz")[name][:-1]
    write_cormorant(tmp_path, **{name: short})
    with pytest.raises(DataError, match=r"test\.npz: elements .* do not belong together"):
        read(tmp_path)


@pytest.mark.parametrize("place", [0, SIZE - 1])
@pytest.mark.parametrize("count", [0, 4])
def test_a_molecule_with_fewer_atoms_than_elements_is_named_or_skipped(tmp_path: Path, place: int, count: int) -> None:
    num_atoms = np.full(SIZE, 5)
    num_atoms[place] = count
    write_cormorant(tmp_path, num_atoms=num_atoms)
    with pytest.raises(DataError, match=f"molecule gdb {place + 1}: num_atoms is {count}, charges has 5 elements"):
        read(tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 20"):
        assert len(read(tmp_path, on_error="skip")) == SIZE - 1


def test_an_empty_molecule_at_the_end_is_named(tmp_path: Path) -> None:
    write_dimenet(tmp_path, N=np.array([5] * (SIZE - 2) + [10, 0]))
    split = next(name for name, places in qm9_split(SIZE).items() if SIZE - 1 in places)
    with pytest.raises(DataError, match=r"qm9_eV\.npz, molecule gdb 20: it has no atoms"):
        qm9_dataset(split, data_dir=tmp_path)


@pytest.mark.parametrize(("name", "change"), [("z", 1), ("gdb_index", -1), ("mulliken_e", -1), ("homo_ev", -1)])
def test_lengths_of_the_shared_layout_are_checked(tmp_path: Path, name: str, change: int) -> None:
    arrays = {
        "gdb_index": np.arange(10),
        "n_atoms": np.full(10, 2),
        "z": np.tile([6, 8], 10),
        "pos": np.tile([[0, 0, 0], [0, 0, 1.1]], (10, 1)),
        "mulliken_e": np.zeros(20),
        "homo_ev": np.zeros(10),
        "lumo_ev": np.ones(10),
    }
    path = tmp_path / "qm9_mp2_10k.npz"
    np.savez(path, **arrays)
    assert len(qm9_dataset("train", source="mp2", data_dir=tmp_path, verify=False)) == 8
    np.savez(path, **(arrays | {name: np.resize(arrays[name], len(arrays[name]) + change)}))
    with pytest.raises(DataError, match=r"qm9_mp2_10k\.npz: .* has the shape .* it is damaged or cut short"):
        qm9_dataset("train", source="mp2", data_dir=tmp_path, verify=False)
