import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets import _qm9_files
from rapidash.datasets._qm9 import qm9_dataset, qm9_split
from rapidash.datasets._reading import DataError
from rapidash.groups import Position, Scalar, Vector

HARTREE = 27.211386245988
SIZE = 20
PROPERTIES = ("a", "b", "c", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv")
# Methane as published (gdb 1), with coordinates rounded.
METHANE = (157.7118, 157.70997, 157.70699, 0.0, 13.21, -0.3877, 0.1171, 0.5048, 35.3641, 0.044749)
METHANE += (-40.47893, -40.476062, -40.475117, -40.498597, 6.469)
ATOMS = [
    ("C", -0.0127, 1.0858, 0.008, -0.535689),
    ("H", 0.0022, -0.006, 0.002, 0.133921),
    ("H", 1.0117, 1.4638, 0.0003, 0.133922),
    ("H", -0.5408, 1.4475, -0.8766, 0.133923),
    ("H", -0.5238, 1.4379, 0.9064, 0.133923),
]


def properties(number: int) -> tuple[float, ...]:
    """Methane's, told apart by the dipole."""
    return (*METHANE[:3], number / 100, *METHANE[4:])


def xyz(number: int) -> str:
    atoms = "\n".join("\t".join([a[0], *map(str, a[1:4]), f"{a[4] * 1e3}*^-3"]) for a in ATOMS)
    second = "\t".join(["gdb " + str(number), *map(str, properties(number))])
    return f"{len(ATOMS)}\n{second}\n{atoms}\n1341.307\t1341.3284\nC\tC\nInChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4\n"


def write_xyz(folder: Path) -> None:
    for number in range(1, SIZE + 1):
        (folder / f"dsgdb9nsd_{number:06d}.xyz").write_text(xyz(number))


def write_tar(folder: Path) -> None:
    with tarfile.open(folder / "dsgdb9nsd.xyz.tar.bz2", "w:bz2") as archive:
        for number in reversed(range(1, SIZE + 1)):
            info = tarfile.TarInfo(f"dsgdb9nsd_{number:06d}.xyz")
            info.size = len(xyz(number))
            archive.addfile(info, io.BytesIO(xyz(number).encode()))


def write_sdf(folder: Path) -> None:
    atoms = "".join(f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:3s} 0  0\n" for symbol, x, y, z, _ in ATOMS)
    entries = [f"gdb_{n}\n  -OEChem-\n\n  5  0  0     0  0\n{atoms}M  END\n$$$$\n" for n in range(1, SIZE + 1)]
    (folder / "gdb9.sdf").write_text("".join(entries))
    rows = ["mol_id,A,B,C,mu,alpha,homo,lumo,gap,r2,zpve,u0,u298,h298,g298,cv,u0_atom,u298_atom,h298_atom,g298_atom"]
    apart = (-395.999, -398.643, -401.015, -372.471)  # kcal/mol
    rows += [f"gdb_{n}," + ",".join(map(str, (*properties(n), *apart))) for n in range(1, SIZE + 1)]
    (folder / "gdb9.sdf.csv").write_text("\n".join(rows) + "\n")


def table() -> dict[str, np.ndarray]:
    return dict(zip(PROPERTIES, np.array([properties(n) for n in range(1, SIZE + 1)]).T))


def write_dimenet(folder: Path, name: str = "qm9_eV.npz", **changes: np.ndarray) -> None:
    """Energies in eV; those of the molecule without its atoms."""
    pos = np.array([a[1:4] for a in ATOMS])
    columns = {"a": "A", "b": "B", "c": "C", "u0": "U0", "u298": "U", "h298": "H", "g298": "G", "cv": "Cv"}
    values = table()
    reference = {"u0": -39.847864, "u298": -39.840783, "h298": -39.836059, "g298": -39.905025}
    for key in ("homo", "lumo", "gap", "zpve", *reference):
        values[key] = (values[key] - reference.get(key, 0)) * HARTREE
    arrays = {columns.get(key, key): array for key, array in values.items()}
    arrays |= {"R": np.tile(pos, (SIZE, 1)), "Z": np.tile([6, 1, 1, 1, 1], SIZE), "N": np.full(SIZE, 5)}
    np.savez(folder / name, **(arrays | {"id": np.arange(1, SIZE + 1)} | changes))


def write_cormorant(folder: Path, without: tuple[str, ...] = (), **changes: np.ndarray) -> None:
    pos = np.zeros((SIZE, 9, 3))
    pos[:, :5] = [a[1:4] for a in ATOMS]
    charges = np.zeros((SIZE, 9), dtype=int)
    charges[:, :5] = [6, 1, 1, 1, 1]
    columns = {"u298": "U", "h298": "H", "g298": "G"}
    arrays = {columns.get(key, key.capitalize() if key in "abc" else key): array for key, array in table().items()}
    arrays |= {"positions": pos, "charges": charges, "num_atoms": np.full(SIZE, 5), "index": np.arange(1, SIZE + 1)}
    np.savez(folder / "test.npz", **{name: array for name, array in (arrays | changes).items() if name not in without})


@pytest.mark.parametrize("write", [write_xyz, write_tar, write_sdf, write_dimenet, write_cormorant])
def test_every_layout_gives_the_same_molecules(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    data = qm9_dataset("test", data_dir=tmp_path, dtype=torch.float64, verify=False)
    numbers = list(range(1, SIZE + 1)) if write is write_cormorant else (qm9_split(SIZE)["test"] + 1).tolist()
    assert data.tensors["index"][:, 0].tolist() == numbers
    np.testing.assert_allclose(data.tensors["mu"][:, 0], np.array(numbers) / 100)
    assert data.num_points.tolist() == [5] * len(numbers)
    assert data.tensors["z"][:5].tolist() == [6, 1, 1, 1, 1]
    np.testing.assert_allclose(data.tensors["pos"][:5], [a[1:4] for a in ATOMS])
    first = {name: tensor[0, 0].item() for name, tensor in data.tensors.items() if data.fields[name].level == "cloud"}
    assert first["u0"] == pytest.approx(-40.47893 * HARTREE, rel=1e-9)
    assert first["u0_atom"] == pytest.approx(-395.999 * 0.0433641153, rel=1e-5)  # published: -395.999 kcal/mol
    assert first["u298_atom"] == pytest.approx(-398.643 * 0.0433641153, rel=1e-5)
    assert first["gap"] == pytest.approx(0.5048 * HARTREE)
    assert first["cv"] == 6.469
    has_charges = write in (write_xyz, write_tar)
    assert ("mulliken" in data.fields) == has_charges
    if has_charges:
        np.testing.assert_allclose(data.tensors["mulliken"][:5, 0], [a[4] for a in ATOMS])


def test_fields_and_units(tmp_path: Path) -> None:
    write_xyz(tmp_path)
    fields = qm9_dataset("train", data_dir=tmp_path).fields
    kinds = {name: (field.representation, field.unit, field.level) for name, field in fields.items()}
    assert kinds["pos"] == (Position(), "angstrom", "point")
    assert kinds["z"] == (Scalar(), "1", "point")
    assert kinds["mulliken"] == (Scalar(), "e", "point")
    assert kinds["homo"] == kinds["u0"] == kinds["g298_atom"] == (Scalar(), "eV", "cloud")
    assert (kinds["mu"][1], kinds["alpha"][1], kinds["r2"][1], kinds["a"][1]) == ("D", "bohr^3", "bohr^2", "GHz")
    assert kinds["cv"][1] == "cal/mol/K"


def test_the_benchmark_split() -> None:
    parts = qm9_split(130_831)
    assert [len(parts[name]) for name in ("train", "val", "test")] == [110_000, 10_000, 10_831]
    order = np.random.RandomState(42).permutation(130_831)
    assert np.array_equal(np.concatenate(list(parts.values())), order)
    assert [len(part) for part in qm9_split(10_000).values()] == [8000, 1000, 1000]


def test_uncharacterized_molecules_are_left_out_before_the_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_xyz(tmp_path)
    monkeypatch.setattr(_qm9_files, "_COMPLETE", SIZE)
    monkeypatch.setattr(_qm9_files, "_EXCLUDED", 2)
    with pytest.raises(FileNotFoundError, match=r"uncharacterized\.txt is not in .*keep_uncharacterized"):
        qm9_dataset("train", data_dir=tmp_path)
    assert len(qm9_dataset("train", data_dir=tmp_path, keep_uncharacterized=True)) == 16
    (tmp_path / "uncharacterized.txt").write_text("Index  SMILES\n-----\n  3  C#N\n  7 CC\n")
    data = qm9_dataset("train", data_dir=tmp_path)
    left = [n for n in range(1, SIZE + 1) if n not in (3, 7)]
    assert data.tensors["index"][:, 0].tolist() == [left[k] for k in qm9_split(18)["train"]]
    (tmp_path / "uncharacterized.txt").write_text("  3  C#N\n")
    with pytest.raises(DataError, match="lists 1 molecules, published are 2"):
        qm9_dataset("train", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("C\t-0.0127", "Xx\t-0.0127", "unknown element in 'Xx"),
        ("5\ngdb", "50\ngdb", "announces 50 atoms"),
        ("-40.47893", "-1101.487", "mixed units: its u0 -1101.49 is no total energy in hartree"),
        ("0.5048", "13.74", "mixed units: its gap is not lumo - homo"),
        ("0.044749", "zpve", "second line holds something that is no number"),
        ("-0.0127\t1.0858\t0.008", "0.0022\t-0.006\t0.002", "its nearest atoms are 0 apart"),
        ("gdb ", "molecule ", "second line is not 'gdb'"),
        ("C\t-0.0127", "Si\t-0.0127", "atom 0 has the unknown element 14"),
    ],
)
def test_a_bad_molecule_is_named_or_skipped_and_moves_no_other(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    write_xyz(tmp_path)
    number = int(qm9_split(SIZE)["val"][0]) + 1
    file = tmp_path / f"dsgdb9nsd_{number:06d}.xyz"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DataError, match=f"molecule gdb {number}: .*{message}"):
        qm9_dataset("val", data_dir=tmp_path)
    assert len(qm9_dataset("train", data_dir=tmp_path)) == 16
    with pytest.warns(RuntimeWarning, match=f"skipped 1 of 2 .*gdb {number}"):
        data = qm9_dataset("val", data_dir=tmp_path, on_error="skip")
    assert data.tensors["index"][:, 0].tolist() == [int(qm9_split(SIZE)["val"][1]) + 1]
    assert len(data.skipped) == 1


def test_damaged_archives_and_tables_are_named(tmp_path: Path) -> None:
    write_tar(tmp_path)
    path = tmp_path / "dsgdb9nsd.xyz.tar.bz2"
    with pytest.raises(DataError, match="md5 checksum"):
        qm9_dataset("val", data_dir=tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"dsgdb9nsd\.xyz\.tar\.bz2 cannot be read"):
        qm9_dataset("val", data_dir=tmp_path, verify=False)
    path.unlink()
    write_sdf(tmp_path)
    lines = (tmp_path / "gdb9.sdf.csv").read_text().splitlines()
    number = int(qm9_split(SIZE)["val"][0]) + 1
    (tmp_path / "gdb9.sdf.csv").write_text("\n".join(lines[:number] + lines[number + 1 :]))
    with pytest.raises(DataError, match=rf"molecule gdb {number}: gdb9\.sdf\.csv has no row gdb_{number}"):
        qm9_dataset("val", data_dir=tmp_path)
    (tmp_path / "gdb9.sdf.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"gdb9\.sdf\.csv is missing"):
        qm9_dataset("val", data_dir=tmp_path)
    (tmp_path / "gdb9.sdf.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="lacks columns"):
        qm9_dataset("val", data_dir=tmp_path)
    write_dimenet(tmp_path, N=np.full(SIZE, 6))
    with pytest.raises(DataError, match=r"qm9_eV\.npz: z has the shape \(100,\) .* each of 120 atoms"):
        qm9_dataset("val", data_dir=tmp_path)
    np.savez(tmp_path / "qm9_eV.npz", x=np.zeros(2))
    with pytest.raises(DataError, match=r"expected R, Z, N \(DimeNet\)"):
        qm9_dataset("val", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",6.469,", ",6,469,", "gdb9.sdf.csv has 21 values, expected 20, in row gdb_"),
        (",6.469,", ",x,", "gdb9.sdf.csv has an empty or unreadable value in row gdb_"),
    ],
)
def test_rows_of_the_table_beside_an_sdf(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_sdf(tmp_path)
    table = tmp_path / "gdb9.sdf.csv"
    whole = table.read_text()
    head, *rows = whole.splitlines()
    order = [*range(1, len(head.split(","))), 0]  # the columns in another order
    table.write_text("\r\n".join(",".join(line.split(",")[k] for k in order) for line in (head, *rows)))
    again = qm9_dataset("train", data_dir=tmp_path)
    table.write_text(whole)
    assert torch.equal(again.tensors["cv"], qm9_dataset("train", data_dir=tmp_path).tensors["cv"])
    table.write_text(whole.replace(old, new))
    with pytest.raises(DataError, match=message):
        qm9_dataset("train", data_dir=tmp_path)
    table.write_text(whole + rows[0])
    split = next(split for split, numbers in qm9_split(SIZE).items() if 0 in numbers)
    with pytest.raises(DataError, match="has two lines in row gdb_1"):
        qm9_dataset(split, data_dir=tmp_path)
    table.write_text(whole.replace("mol_id,A,B", "mol_id,A,A"))
    with pytest.raises(DataError, match="lacks columns, or has one twice"):
        qm9_dataset("train", data_dir=tmp_path)


def test_a_file_of_another_molecule_than_its_name_says(tmp_path: Path) -> None:
    write_xyz(tmp_path)
    number = int(qm9_split(SIZE)["val"][0]) + 1
    path = tmp_path / f"dsgdb9nsd_{number:06d}.xyz"
    path.write_text(xyz(number).replace(f"gdb {number}\t", "gdb 999\t"))
    with pytest.raises(DataError, match="its second line is of gdb 999"):
        qm9_dataset("val", data_dir=tmp_path)


def test_missing_files_and_bad_names(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no QM9 \(b3lyp\): looked for 'qm9_eV.npz' or .*figshare"):
        qm9_dataset("val", data_dir=tmp_path)
    with pytest.raises(ValueError, match="unknown source 'dft'"):
        qm9_dataset("val", source="dft", data_dir=tmp_path)


def test_shared_files(shared_data: Path) -> None:
    data = qm9_dataset("val", source="mp2", data_dir=shared_data)
    assert len(data) == 1000
    assert data.fields["dipole"].representation == Vector()
    assert (data.fields["dipole"].unit, data.fields["dipole"].level) == ("D", "cloud")
    assert 2 < data.tensors["dipole"].norm(dim=-1).mean() < 4  # debye, as is usual for QM9
    assert (data.tensors["gap"] > 0).all()
    geometry = qm9_dataset("test", source="geometry", data_dir=shared_data)
    assert len(geometry) == 8744
    largest = geometry.tensors["a"].flatten().argmax()
    assert geometry.tensors["b"].flatten()[largest] <= geometry.tensors["a"].flatten()[largest]
