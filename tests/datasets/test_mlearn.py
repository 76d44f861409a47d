"""Crystals in cells: fields and splits of a small file; the stress by hand, and by the energies of the real one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapidash.data import Field
from rapidash.datasets import DataError, mlearn_dataset
from rapidash.groups import Tensor2
from tests.tasks.conftest import SHARED_DATA

KBAR = 1602.176634  # in 1 eV/angstrom^3
SIX = [10.0, 20.0, 30.0, 1.0, 2.0, 3.0]


def write(folder: Path, element: str = "Si", groups: tuple[str, ...] = ("AIMD-NVT", "Elastic"), **changes: Any) -> Path:
    """Training and test structures of two atoms in a cubic cell; structure k has k in its energy."""
    arrays: dict[str, Any] = {}
    for part, num in (("train", 8), ("test", 2)):
        arrays |= {
            f"{element}/{part}_n_atoms": np.full(num, 2, dtype=np.int16),
            f"{element}/{part}_pos": np.tile([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], (num, 1)).astype(np.float32),
            f"{element}/{part}_forces": np.ones((2 * num, 3), dtype=np.float32),
            f"{element}/{part}_cell": np.tile(5 * np.eye(3), (num, 1, 1)).astype(np.float32),
            f"{element}/{part}_energy": -10.0 - np.arange(num),
            f"{element}/{part}_virial": np.tile(SIX, (num, 1)).astype(np.float32),
            f"{element}/{part}_group": np.array([groups[k % 2] for k in range(num)]),
        }
    np.savez(folder / "mlearn_pbc.npz", **{**arrays, **changes})
    return folder


def read(folder: Path, split: Any = "test", element: str = "Si", **options: Any) -> Any:
    options = {"val_size": 3, "verify": False, **options}
    return mlearn_dataset(element, split, data_dir=folder, **options)


@pytest.mark.parametrize(
    ("element", "group", "yz", "xz"),
    [
        ("Li", "AIMD-NVT", 2, 3), ("Li", "Elastic", 2, 3), ("Si", "Elastic", 2, 3), ("Ge", "Elastic", 2, 3),
        ("Si", "AIMD-NVT", 3, 2), ("Ge", "Vacancy", 3, 2), ("Mo", "Elastic", 3, 2), ("Cu", "Surface", 3, 2),
    ],
)  # fmt: skip
def test_the_stress_by_hand(tmp_path: Path, element: str, group: str, yz: float, xz: float) -> None:
    data = read(write(tmp_path, element, (group, group)), element=element)
    expected = -np.array([[10.0, 1.0, xz], [1.0, 20.0, yz], [xz, yz, 30.0]]) / KBAR
    np.testing.assert_allclose(data.tensors["stress"][0].numpy(), expected, rtol=1e-7)
    assert data.fields["stress"] == Field(Tensor2(), "eV/angstrom^3", "cloud")


def test_fields_and_splits(tmp_path: Path) -> None:
    write(tmp_path)
    parts = {split: read(tmp_path, split, dtype=torch.float64) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 5, "val": 3, "test": 2}
    energies = torch.cat([parts["train"].tensors["energy"], parts["val"].tensors["energy"]])[:, 0]
    assert sorted(energies.tolist()) == sorted((-10.0 - np.arange(8)).tolist())
    test = parts["test"]
    assert test.tensors["z"].tolist() == [14] * 4
    assert test.tensors["pos"][1].tolist() == [1.0, 2.0, 3.0]
    assert test.tensors["cell"][1].tolist() == (5 * np.eye(3)).tolist()
    assert test.tensors["periodic"].all()
    assert [test.info["groups"][number] for number in test.tensors["group"][:, 0].tolist()] == ["AIMD-NVT", "Elastic"]
    turn = torch.tensor([[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    turned = test.batch(torch.arange(1)).transform(turn.double())
    np.testing.assert_allclose(turned["cell"][0].numpy(), [[0.0, 5.0, 0.0], [-5.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    assert float(turned["stress"][0, 0, 0]) == pytest.approx(-20 / KBAR)


def test_bad_files_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ValueError, match="element must be one of Li, Si, Ni, Cu, Ge, Mo, got 'Fe'"):
        read(tmp_path, element="Fe")
    with pytest.raises(DataError, match="has no structures of 'Ni/test', it has Si/test, Si/train"):
        read(tmp_path, element="Ni")
    with pytest.raises(ValueError, match="val_size must be at least 1 and below the 8 structures, got 8"):
        read(tmp_path, "train", val_size=8)
    with pytest.raises(DataError, match=r"checksum"):
        read(tmp_path, verify=True)
    flat = np.tile(5 * np.eye(3), (2, 1, 1))
    flat[1, 2] = 0
    write(tmp_path, **{"Si/test_cell": flat})
    with pytest.raises(DataError, match="structure 1: its cell has no volume"):
        read(tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 2 samples"):
        assert len(read(tmp_path, on_error="skip")) == 1
    write(tmp_path, **{"Si/test_energy": np.array([np.nan, 0.0])})
    with pytest.raises(DataError, match="structure 0: its 'energy' is not finite"):
        read(tmp_path)
    write(tmp_path, **{"Si/test_virial": np.zeros((2, 9))})
    with pytest.raises(DataError, match=r"'Si/test_virial' has the shape \(2, 9\), expected \(2, 6\)"):
        read(tmp_path)
    write(tmp_path, groups=("AIMD-NVT", "Melt"))
    with pytest.raises(DataError, match="unknown group 'Melt'"):
        read(tmp_path)


@pytest.mark.parametrize("element", ["Si", "Mo"])
def test_the_stress_is_the_slope_of_the_energies_in_the_file(element: str) -> None:
    """Strained crystals, two at a time that differ by little: V s : e is the difference of their energies."""
    if not (SHARED_DATA / "mlearn_pbc.npz").is_file():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    data = mlearn_dataset(element, "train", data_dir=SHARED_DATA, dtype=torch.float64)
    strained = (data.tensors["group"][:, 0] == data.info["groups"].index("Elastic")) & (data.num_points > 2)
    cells, energy, stress = (data.tensors[name][strained].numpy() for name in ("cell", "energy", "stress"))
    work = np.abs(np.linalg.det(cells))[:, None, None] * stress
    found, expected = [], []
    for i in range(len(cells)):
        for j in range(i):
            gradient = np.linalg.solve((cells[i] + cells[j]) / 2, cells[i] - cells[j])
            if 0 < np.linalg.norm(gradient) < 0.045:
                found.append(((work[i] + work[j]) / 2 * gradient).sum())
                expected.append(energy[i, 0] - energy[j, 0])
    assert len(found) > 40
    off = np.sqrt(np.mean(np.square(np.subtract(found, expected))) / np.mean(np.square(expected)))
    assert off < 0.05
