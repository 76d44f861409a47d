"""QM9 with its B3LYP targets as tables beside geometries: whole numbers in npz, and the csv files of qm9pack."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets import _qm9_tables, qm9_dataset
from rapidash.datasets._qm9_tables import qm9pack_folder
from rapidash.datasets._reading import DataError
from tests.datasets.test_qm9 import ATOMS, HARTREE, METHANE, PROPERTIES

POS = np.array([atom[1:4] for atom in ATOMS])
DECIMALS = {"mu": 4, "alpha": 2, "homo": 5, "lumo": 5, "gap": 5, "r2": 4, "zpve": 6, "u0": 6, "cv": 3}
UNITS = {"mu": "debye", "alpha": "bohr3", "r2": "bohr2", "cv": "cal_mol_k"}
NUMBERS = (3, 7, 8, 21, 30, 31, 44, 52, 60, 71)
METHANE_OF = dict(zip(PROPERTIES, METHANE))
HEAD = (
    "XYZ_file,Index,Elements,XYZ_Ang,Mulliken_pop,RotA_GHz,RotB_GHz,RotC_GHz,Dipole_debye,Polarizability_bohr3,HOMO_au,"
    "LUMO_au,HOMO_LUMO_gap_au,R2_bohr2,ZPVE_au,InternalEnergy_0K_au,InternalEnergy_298K_au,Enthalphy_298K_au,"
    "GibbsFreeEnergy_298K_au,Heatcapacity_Cv_cal_mol_K"
)


def target_arrays(numbers: tuple[int, ...] = NUMBERS) -> dict[str, np.ndarray]:
    """Methane's targets as whole numbers, told apart by the dipole of number / 100 debye."""
    arrays: dict[str, np.ndarray] = {"gdb_index": np.array(numbers), "n_atoms": np.full(len(numbers), 5)}
    for name, decimals in DECIMALS.items():
        column = f"{name}_{UNITS.get(name, 'eh')}"
        values = np.array(numbers) / 100 if name == "mu" else np.full(len(numbers), METHANE_OF[name])
        arrays |= {column: np.rint(values * 10**decimals).astype(np.int32), f"{column}_decimals": np.int8(decimals)}
    for name, column in (("u298", "u"), ("h298", "h"), ("g298", "g")):
        above = 1e6 * (METHANE_OF[name] - METHANE_OF["u0"])
        arrays[f"{column}_eh_minus_u0"] = np.full(len(numbers), np.rint(above), dtype=np.int32)
    extra = np.array(numbers[:1])  # this geometry stands in the file of the targets
    arrays |= {"extra_gdb_index": extra, "extra_n_atoms": np.array([5]), "extra_z": np.array([6, 1, 1, 1, 1])}
    return arrays | {"extra_pos": POS.astype(np.float32)}


def write_targets(folder: Path, **changes: np.ndarray) -> None:
    np.savez(folder / "qm9_b3lyp_targets.npz", **(target_arrays() | changes))
    numbers = np.array([5, *NUMBERS[1:]])  # one without targets, and in another place than there
    size = len(numbers)
    arrays = {"gdb_index": numbers, "n_atoms": np.full(size, 5), "z": np.tile([6, 1, 1, 1, 1], size)}
    np.savez(folder / "qm9_geometry.npz", **arrays, pos=np.tile(POS, (size, 1)).astype(np.float32))


def line(number: int, **changes: str) -> str:
    values = {
        "Index": str(number),
        "Elements": str([atom[0] for atom in ATOMS]).replace(" ", ""),
        "XYZ_Ang": str(POS.tolist()).replace(" ", ""),
        "Mulliken_pop": "[-0.535689,0.133921,0.133922,0.133923,133923.E-6]",
    }
    numbers = [*METHANE[:3], number / 100, *METHANE[4:]]
    fields = {"XYZ_file": f"dsgdb9nsd_{number:06d}.xyz", **values, **dict(zip(HEAD.split(",")[5:], map(str, numbers)))}
    return ",".join(f'"{value}"' for value in (fields | changes).values())


def write_package(folder: Path, **changes: str) -> None:
    for part in range(3):
        chosen = NUMBERS[4 * part : 4 * part + 4]
        lines = [line(number, **(changes if number == 30 else {})) for number in chosen]
        (folder / f"qm9_part{part + 1}.csv").write_text("\n".join([HEAD, *lines]) + "\n")


@pytest.mark.parametrize("write", [write_targets, write_package])
def test_both_have_the_twelve_targets_in_the_units_of_the_field(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    data = qm9_dataset("train", data_dir=tmp_path, verify=False, dtype=torch.float64)
    order = np.random.RandomState(42).permutation(len(NUMBERS))[:8]  # 80 % below the size of the benchmark
    assert data.tensors["index"][:, 0].tolist() == [NUMBERS[k] for k in order]
    np.testing.assert_allclose(data.tensors["mu"][:, 0], [NUMBERS[k] / 100 for k in order], atol=1e-12)
    np.testing.assert_allclose(data.tensors["pos"], np.tile(POS, (8, 1)), atol=1e-6)
    assert data.tensors["z"].tolist() == 8 * [6, 1, 1, 1, 1]
    found = {name: data.tensors[name][0, 0].item() for name in (*DECIMALS, "u298", "h298", "g298", "u0_atom")}
    for name in ("homo", "lumo", "gap", "zpve", "u0", "u298", "h298", "g298"):
        assert found[name] == pytest.approx(METHANE_OF[name] * HARTREE, rel=1e-7), name
    for name in ("alpha", "r2", "cv"):
        assert found[name] == pytest.approx(METHANE_OF[name], rel=1e-7), name
    assert found["u0_atom"] == pytest.approx(-395.999 * 0.0433641153, rel=1e-5)  # published: -395.999 kcal/mol
    assert ("mulliken" in data.fields) == (write is write_package)
    if write is write_package:
        assert data.tensors["mulliken"][:5, 0].tolist() == [-0.535689, 0.133921, 0.133922, 0.133923, 0.133923]


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write_targets(tmp_path)
    (tmp_path / "qm9_geometry.npz").rename(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match=r"qm9_geometry\.npz is not beside .*qm9_b3lyp_targets\.npz"):
        qm9_dataset("train", data_dir=tmp_path, verify=False)
    for changes, message in (
        ({"alpha_bohr3": np.zeros(3, int)}, r"'alpha_bohr3' has the shape \(3,\), expected \(10,\)"),
        ({"cv_cal_mol_k_decimals": np.array([1, 2])}, "'cv_cal_mol_k_decimals' has 2 numbers, expected one"),
        ({"n_atoms": np.full(10, 4)}, r"molecule gdb \d+: its geometry has not its 4 atoms"),
        ({"extra_gdb_index": np.array([4])}, "molecule gdb 3: it has no geometry"),
        ({"gap_eh": np.full(10, 1)}, "mixed units: its gap is not lumo - homo"),
    ):
        write_targets(tmp_path, **changes)
        with pytest.raises(DataError, match=message):
            qm9_dataset("train", data_dir=tmp_path, verify=False)
    np.savez(tmp_path / "qm9_b3lyp_targets.npz", gdb_index=np.array([1]), n_atoms=np.array([5]))
    with pytest.raises(DataError, match="has no array 'mu_debye_decimals', it has"):
        qm9_dataset("train", data_dir=tmp_path, verify=False)
    with pytest.raises(DataError, match=r"qm9_b3lyp_targets\.npz has the sha256 checksum .*published is a1e10dfd"):
        qm9_dataset("train", data_dir=tmp_path)


def test_a_damaged_table_of_the_package(tmp_path: Path) -> None:
    for changes, message in (
        ({"Elements": "['C','H','H','Xx','H']"}, r"molecule gdb 30: .*line 2 of qm9_part2\.csv .* element 'Xx'"),
        ({"XYZ_Ang": "[[0.0,1.0]]"}, "5 elements have 2 coordinates and 5 charges"),
        ({"HOMO_au": "none"}, "could not convert"),
        ({"Index": "x"}, "'x' is no number of a molecule"),
    ):
        write_package(tmp_path, **changes)
        with pytest.raises(DataError, match=message):
            [qm9_dataset(split, data_dir=tmp_path) for split in ("train", "val", "test")]
    write_package(tmp_path)
    (tmp_path / "qm9_part3.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"qm9_part3\.csv is missing: .* is incomplete"):
        qm9_dataset("train", data_dir=tmp_path)
    (tmp_path / "qm9_part1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "qm9_part3.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"qm9_part1\.csv has no column 'Index', it has \['a', 'b'\]"):
        qm9_dataset("train", data_dir=tmp_path)


def test_the_installed_package_stands_in_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qm9pack" / "data").mkdir(parents=True)
    (tmp_path / "qm9pack" / "__init__.py").write_text("raise RuntimeError('it is not imported')\n")
    write_package(tmp_path / "qm9pack" / "data")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RAPIDASH_DATA", str(tmp_path / "nowhere"))
    assert qm9pack_folder() == tmp_path / "qm9pack" / "data"
    assert len(qm9_dataset("train")) == 8
    with pytest.raises(FileNotFoundError, match=r"no QM9 \(b3lyp\).*pip install --no-deps qm9pack"):
        qm9_dataset("train", data_dir=tmp_path / "nowhere")  # a folder that was named is not replaced
    monkeypatch.setattr(_qm9_tables.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"no QM9 \(b3lyp\)"):
        qm9_dataset("train")


def test_a_file_that_was_changed_is_read_again(tmp_path: Path) -> None:
    write_targets(tmp_path)
    first = qm9_dataset("train", data_dir=tmp_path, verify=False).tensors["cv"][0, 0].item()
    write_targets(tmp_path, cv_cal_mol_k=np.full(10, 123_456))
    assert (first, qm9_dataset("train", data_dir=tmp_path, verify=False).tensors["cv"][0, 0].item()) == (6.469, 123.456)


def test_shared_targets_are_those_of_the_benchmark(shared_data: Path) -> None:
    """Means and deviations as they are known, the exact split, and values against numpy's own arithmetic."""
    parts = {split: qm9_dataset(split, data_dir=shared_data, verify=False) for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [110_000, 10_000, 10_831]
    assert not any(part.skipped for part in parts.values())
    every = {name: torch.cat([part.tensors[name][:, 0] for part in parts.values()]) for name in ("mu", "alpha", "gap")}
    for name, mean, deviation, unit in (
        ("mu", 2.673, 1.503, 1.0),
        ("alpha", 75.28, 8.17, 1.0),
        ("gap", 0.2520, 0.0472, HARTREE),
    ):
        assert every[name].mean().item() == pytest.approx(mean * unit, rel=1e-3), name
        assert every[name].std().item() == pytest.approx(deviation * unit, rel=1e-3), name
    with np.load(shared_data / "qm9_b3lyp_targets.npz") as raw:
        order = np.random.RandomState(42).permutation(130_831)[120_000:]
        test = parts["test"].tensors
        assert test["index"][:, 0].tolist() == raw["gdb_index"][order].tolist()
        enthalpy = (raw["u0_eh"][order] + raw["h_eh_minus_u0"][order].astype(np.int64)) * 1e-6 * HARTREE
        np.testing.assert_allclose(test["h298"][:, 0], enthalpy, rtol=1e-12)
        assert parts["test"].num_points.tolist() == raw["n_atoms"][order].tolist()
    fluorine = (parts["test"].tensors["z"] == 9).any()
    assert bool(fluorine)  # of the geometries that stand beside the targets
