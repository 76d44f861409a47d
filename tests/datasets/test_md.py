from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets._md import md_dataset
from rapidash.datasets._reading import DataError
from rapidash.groups import Vector

KCAL, HARTREE = 0.0433641153087705, 27.211386245988
FRAMES = 30
WATER = np.array([[0, 0, 0.1173], [0, 0.7572, -0.4692], [0, -0.7572, -0.4692]])


def trajectory() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in angstrom, energies in eV, forces in eV per angstrom."""
    rng = np.random.default_rng(0)
    pos = WATER + 0.05 * rng.normal(size=(FRAMES, 3, 3))
    return pos, -76.4 * HARTREE + rng.normal(size=FRAMES), rng.normal(size=(FRAMES, 3, 3))


def write_rmd17(folder: Path, **changes: np.ndarray) -> None:
    pos, energy, forces = trajectory()
    arrays = {"nuclear_charges": np.array([8, 1, 1]), "coords": pos, "energies": energy / KCAL, "forces": forces / KCAL}
    np.savez(folder / "rmd17_water.npz", **(arrays | {"old_energies": energy} | changes))


def write_md17(folder: Path, **changes: np.ndarray) -> None:
    pos, energy, forces = trajectory()
    arrays = {
        "z": np.array([8, 1, 1]),
        "R": pos,
        "E": energy[:, None] / KCAL,
        "F": forces / KCAL,
        "type": np.array(b"d"),
    }
    np.savez(folder / "md17_water.npz", **(arrays | {"name": np.array(b"water")} | changes))


def write_collection(folder: Path) -> None:
    pos, energy, forces = trajectory()
    arrays = {"water_train/z": np.array([8, 1, 1]), "water_train/pos": pos, "water_train/energy": energy}
    arrays |= {"water_train/forces": forces, "water_scan/z": np.array([8, 1, 1]), "water_scan/pos": pos[:2]}
    arrays |= {"water_scan/energy": energy[:2], "water_isolated_atoms/z": np.array([1, 8])}
    np.savez(folder / "md_small_molecules.npz", **arrays, **{"water_isolated_atoms/energy": np.array([-13.6, -2040.0])})


@pytest.mark.parametrize(
    ("write", "name"), [(write_rmd17, "water"), (write_md17, "water"), (write_collection, "water_train")]
)
def test_every_layout_gives_energies_and_forces_in_ev(tmp_path: Path, write: object, name: str) -> None:
    write(tmp_path)
    data = md_dataset(name, data_dir=tmp_path, verify=False, dtype=torch.float64)
    pos, energy, forces = trajectory()
    np.testing.assert_allclose(data.tensors["pos"], pos.reshape(-1, 3))
    np.testing.assert_allclose(data.tensors["energy"][:, 0], energy, rtol=1e-12)
    np.testing.assert_allclose(data.tensors["forces"], forces.reshape(-1, 3), rtol=1e-12)
    assert data.tensors["z"][:3].tolist() == [8, 1, 1]
    assert (data.fields["forces"].representation, data.fields["forces"].unit) == (Vector(), "eV/angstrom")
    assert (data.fields["energy"].unit, data.fields["energy"].level) == ("eV", "cloud")
    assert md_dataset(name, data_dir=tmp_path, verify=False).tensors["energy"].dtype == torch.float64


def test_sets_of_a_collection(tmp_path: Path) -> None:
    write_collection(tmp_path)
    scan = md_dataset("water_scan", data_dir=tmp_path, verify=False)
    assert len(scan) == 2
    assert "forces" not in scan.fields
    assert scan.info == {"sets": ["water_scan", "water_train"], "atom_energies": {1: -13.6, 8: -2040.0}}
    with pytest.raises(DataError, match=r"has no set 'water', known are \['water_scan', 'water_train'\]"):
        md_dataset("water", data_dir=tmp_path, verify=False)


def test_splits_are_drawn_or_read(tmp_path: Path) -> None:
    write_rmd17(tmp_path)

    def energies(split: str | None, **arguments: object) -> list[float]:
        return (
            md_dataset("water", split, train_size=10, val_size=5, data_dir=tmp_path, **arguments)
            .tensors["energy"][:, 0]
            .tolist()
        )

    everything, order = energies(None), np.random.RandomState(42).permutation(FRAMES)
    assert energies("train") == [everything[k] for k in order[:10]]
    assert energies("val") == [everything[k] for k in order[10:15]]
    assert energies("test") == [everything[k] for k in order[15:]]
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "index_train_02.csv").write_text("\n".join(map(str, range(15, 30))))
    (tmp_path / "splits" / "index_test_02.csv").write_text("3\n1\n")
    assert energies("train", fold=2) == everything[15:25]
    assert energies("val", fold=2) == everything[25:30]
    assert energies("test", fold=2) == [everything[3], everything[1]]
    (tmp_path / "splits" / "index_test_02.csv").write_text("99\n")
    with pytest.raises(DataError, match=r"index_test_02\.csv names configurations outside"):
        energies("test", fold=2)


def test_a_fold_that_is_not_published_is_an_error(tmp_path: Path) -> None:
    write_rmd17(tmp_path)
    (tmp_path / "splits").mkdir()
    for part in ("train", "test"):
        (tmp_path / "splits" / f"index_{part}_01.csv").write_text("1\n2\n")
    with pytest.raises(ValueError, match=r"fold=6 .* expected index_train_06\.csv in .*splits, it has index_train_01"):
        md_dataset("water", "train", fold=6, train_size=1, val_size=1, data_dir=tmp_path)


@pytest.mark.parametrize(("train_size", "val_size"), [(3, 0), (2, 1), (-1, 1)])
def test_sizes_beyond_the_published_split_are_an_error(tmp_path: Path, train_size: int, val_size: int) -> None:
    write_rmd17(tmp_path)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "index_train_01.csv").write_text("1\n2\n")
    (tmp_path / "splits" / "index_test_01.csv").write_text("3\n")
    assert len(md_dataset("water", "train", train_size=1, val_size=1, data_dir=tmp_path)) == 1
    with pytest.raises(ValueError, match=rf"{train_size=} and {val_size=}: .* at most the 2 .* training split 1"):
        md_dataset("water", "train", train_size=train_size, val_size=val_size, data_dir=tmp_path)


def test_sizes_beyond_the_file_are_an_error(tmp_path: Path) -> None:
    write_rmd17(tmp_path)
    with pytest.raises(ValueError, match=r"train_size=29 and val_size=2: .* at most the 30 .* of rmd17_water\.npz"):
        md_dataset("water", "train", train_size=29, val_size=2, data_dir=tmp_path)


def test_a_bad_configuration_is_reported_in_its_split_only(tmp_path: Path) -> None:
    _, energy, _ = trajectory()
    energy[np.random.RandomState(42).permutation(FRAMES)[0]] *= HARTREE
    write_md17(tmp_path, E=energy / KCAL)
    options = {"train_size": 10, "val_size": 5, "data_dir": tmp_path}
    with pytest.raises(DataError, match="mixed units"):
        md_dataset("water", "train", **options)
    assert len(md_dataset("water", "test", **options)) == FRAMES - 15


def test_units_are_told_stated_or_asked_for(tmp_path: Path) -> None:
    _, energy, forces = trajectory()
    write_md17(tmp_path, E=energy / HARTREE, F=forces / HARTREE)
    np.testing.assert_allclose(md_dataset("water", data_dir=tmp_path).tensors["energy"][:, 0], energy)
    write_md17(tmp_path, e_unit=np.array("kcal/mol"), r_unit=np.array("Ang"))
    np.testing.assert_allclose(md_dataset("water", data_dir=tmp_path).tensors["energy"][:, 0], energy)
    write_md17(tmp_path, e_unit=np.array("eV"))
    with pytest.raises(DataError, match="said to be in eV have the size of kcal/mol"):
        md_dataset("water", data_dir=tmp_path)
    write_md17(tmp_path, e_unit=np.array("furlong"))
    with pytest.raises(DataError, match="unknown unit 'furlong'"):
        md_dataset("water", data_dir=tmp_path)
    write_md17(tmp_path, r_unit=np.array("bohr"))
    with pytest.raises(DataError, match="positions in 'bohr'"):
        md_dataset("water", data_dir=tmp_path)
    write_md17(tmp_path, E=energy * 0 - 3.0)
    with pytest.raises(DataError, match=r"pass energy_unit='eV'"):
        md_dataset("water", data_dir=tmp_path)
    assert md_dataset("water", data_dir=tmp_path, energy_unit="eV").tensors["energy"].unique().tolist() == [-3.0]
    with pytest.raises(ValueError, match="energy_unit must be one of"):
        md_dataset("water", data_dir=tmp_path, energy_unit="cal")


@pytest.mark.parametrize(
    ("entry", "spoil", "message"),
    [
        ("E", lambda a: a * HARTREE, "mixed units: its energy"),
        ("R", lambda a: a * 1.89, "nearest atoms are 1.[78]"),
        ("F", lambda a: a * np.nan, "its forces are not finite"),
        ("E", lambda a: a * np.nan, "its 'energy' is not finite"),
    ],
)
def test_one_bad_configuration_is_named_or_skipped(tmp_path: Path, entry: str, spoil: object, message: str) -> None:
    write_md17(tmp_path)
    arrays = dict(np.load(tmp_path / "md17_water.npz"))
    arrays[entry][7] = spoil(arrays[entry][7])
    np.savez(tmp_path / "md17_water.npz", **arrays)
    with pytest.raises(DataError, match=f"configuration 7: .*{message}"):
        md_dataset("water", data_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of"):
        data = md_dataset("water", data_dir=tmp_path, on_error="skip")
    assert len(data) == FRAMES - 1
    assert len(data.skipped) == 1


def test_shapes_and_names_are_checked(tmp_path: Path) -> None:
    write_md17(tmp_path, z=np.array([8, 1]))
    with pytest.raises(DataError, match=r"elements \(2,\), forces .* do not belong together"):
        md_dataset("water", data_dir=tmp_path)
    np.savez(tmp_path / "md17_water.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="expected nuclear_charges"):
        md_dataset("water", data_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'rmd17_ethanol.npz' or .*figshare"):
        md_dataset("ethanol", data_dir=tmp_path)
    write_md17(tmp_path)
    with pytest.raises(ValueError, match="'test' is empty"):
        md_dataset("water", "test", train_size=25, val_size=5, data_dir=tmp_path)


def test_shared_files(shared_data: Path) -> None:
    sizes = {
        name: len(md_dataset(name, data_dir=shared_data)) for name in ("ethanol_train", "acac_test_dihedral", "C4H10")
    }
    assert sizes == {"ethanol_train": 1000, "acac_test_dihedral": 45, "C4H10": 1000}
    ethanol = md_dataset("ethanol_train", data_dir=shared_data, dtype=torch.float64)
    assert ethanol.tensors["forces"].reshape(1000, 9, 3).sum(1).abs().max() < 0.05  # no net force
    assert sorted(ethanol.info["atom_energies"]) == [1, 6, 7, 8]


def test_numbers_that_are_none_are_told(tmp_path: Path) -> None:
    for changes, message in (
        ({"z": np.array([8.5, 1, 1])}, r"elements \[8.5\] are no atomic numbers"),
        ({"z": np.array(["O", "H", "H"])}, "elements are <U1, expected numbers"),
        ({"R": trajectory()[0].astype(str)}, "positions are <U.*, expected numbers"),
        ({"E": np.array([b"a"] * FRAMES)}, r"energies are \|S1, expected numbers"),
    ):
        write_md17(tmp_path, **changes)
        with pytest.raises(DataError, match=rf"md17_water\.npz: {message}"):
            md_dataset("water", data_dir=tmp_path)


@pytest.mark.parametrize("length", [np.array(b"Ang"), np.array(["ang"]), np.array("A"), np.array("\u00c5")])
def test_units_may_be_bytes_or_letters(tmp_path: Path, length: np.ndarray) -> None:
    write_md17(tmp_path, r_unit=length, e_unit=np.array([b"kcal/mol"]))
    assert md_dataset("water", data_dir=tmp_path).tensors["energy"][0].item() == pytest.approx(trajectory()[1][0])


def test_lithium_and_its_bond_are_taken(tmp_path: Path) -> None:
    frames = np.array([[[0, 0, 0], [0, 0, 2.67]]] * 5)
    forces = np.full((5, 2, 3), 0.5)
    np.savez(tmp_path / "md17_li2.npz", R=frames, z=np.array([3, 3]), E=np.full(5, -407.9), F=forces)
    data = md_dataset("li2", data_dir=tmp_path, energy_unit="eV")
    assert len(data) == 5
    assert data.tensors["energy"].tolist() == [[-407.9]] * 5
    assert data.tensors["pos"][1].tolist() == pytest.approx([0, 0, 2.67])
