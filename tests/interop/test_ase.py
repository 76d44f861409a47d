import ase
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator

from rapidash.data import Field
from rapidash.groups import Position, Vector
from rapidash.interop.ase import from_ase


def test_ase_atoms_with_and_without_results() -> None:
    water, hydrogen = (
        ase.Atoms("OH2", [[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]]),
        ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]),
    )
    data = from_ase([water, hydrogen], dtype=torch.float64)
    assert data.num_points.tolist() == [3, 2]
    assert data.tensors["z"].tolist() == [8, 1, 1, 1, 1]
    assert data.tensors["pos"][4].tolist() == [0, 0, 0.74]
    assert (data.fields["pos"].unit, data.fields["pos"].representation) == ("angstrom", Position())
    assert set(data.fields) == {"pos", "z"}
    forces = np.array([[0, 0, 1.0], [0, 0, -1.0]])
    hydrogen.calc = SinglePointCalculator(hydrogen, energy=-31.7, forces=forces)
    with pytest.warns(RuntimeWarning, match="structure 0 of 2 has no energy and forces: left out for all"):
        assert set(from_ase([water, hydrogen]).fields) == {"pos", "z"}
    alone = from_ase(hydrogen, dtype=torch.float64)
    assert alone.tensors["energy"].tolist() == [[-31.7]]
    assert alone.tensors["forces"].tolist() == forces.tolist()
    assert alone.fields["forces"] == Field(Vector(), "eV/angstrom")
    hydrogen.positions[1, 2] = 0.9
    with pytest.warns(
        RuntimeWarning, match="structure 0 was moved or changed after its calculation: its energy and forces"
    ):
        assert set(from_ase([hydrogen, water]).fields) == {"pos", "z"}


def test_a_cell_that_is_taken_away_leaves_the_results() -> None:
    copper = ase.Atoms("Cu2", [[0, 0, 0], [2, 0, 0]], cell=[9, 9, 9], pbc=True)
    copper.calc = SinglePointCalculator(copper, energy=-3.5, forces=np.ones((2, 3)))
    with pytest.raises(ValueError, match="structure 0 is periodic"):
        from_ase(copper)
    copper.pbc = False
    copper.center(vacuum=0, axis=())
    assert from_ase(copper).tensors["energy"].tolist() == [[-3.5]]


def test_results_of_another_shape_and_lost_positions_are_told() -> None:
    atoms = ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    atoms.calc = SinglePointCalculator(atoms)
    atoms.calc.results = {"energy": np.array([1.0, 2.0])}
    with pytest.raises(ValueError, match=r"structure 0: energy has the shape \(2,\), expected \(\)"):
        from_ase(atoms)
    atoms.calc = None
    atoms.positions[0] = np.nan
    with pytest.raises(ValueError, match="structure 0 has positions that are not finite"):
        from_ase(atoms)


def test_structures_that_are_no_cloud() -> None:
    with pytest.raises(ValueError, match=r"structure 1 is periodic"):
        from_ase([ase.Atoms("H"), ase.Atoms("Cu", cell=[4, 4, 4], pbc=True)])
    with pytest.raises(ValueError, match="structure 0 has no atoms"):
        from_ase(ase.Atoms())
    with pytest.raises(ValueError, match="unknown element"):
        from_ase(ase.Atoms("X"))
    with pytest.raises(TypeError, match="structure 0 is a int"):
        from_ase(3)
    with pytest.raises(ValueError, match="at least one structure"):
        from_ase([])


def test_structures_without_some_of_the_results_are_told_by_number() -> None:
    every = [ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]) for _ in range(9)]
    for number, atoms in enumerate(every[:2]):
        atoms.calc = SinglePointCalculator(atoms, energy=-31.7, **({"forces": np.ones((2, 3))} if number else {}))
    with pytest.warns(RuntimeWarning) as told:
        assert set(from_ase(every).fields) == {"pos", "z"}
    assert [str(warning.message) for warning in told] == [
        "structure 2, 3, 4, 5, 6 and 2 more of 9 has no energy: left out for all",
        "structure 0, 2, 3, 4, 5 and 3 more of 9 has no forces: left out for all",
    ]
    with pytest.warns(RuntimeWarning, match="structure 0 of 2 has no forces: left out for all"):
        assert set(from_ase(every[:2]).fields) == {"pos", "z", "energy"}


def test_structures_far_away_keep_their_digits() -> None:
    pos = np.array([[0, 0, 0.1173], [0, 0.7572, -0.4692], [0, -0.7572, -0.4692]])
    near, far = (ase.Atoms("OH2", pos + offset) for offset in (0, 1e6))
    with pytest.warns(RuntimeWarning, match="structure 1 lies so far from the origin that torch.float32"):
        moved = from_ase([near, far]).tensors["pos"]
    assert torch.equal(moved[:3], torch.from_numpy(pos).float())
    torch.testing.assert_close(moved[3:], torch.from_numpy(pos - pos.mean(axis=0)).float(), rtol=0, atol=1e-7)
    kept = from_ase(far, dtype=torch.float64).tensors["pos"]
    assert torch.equal(kept, torch.from_numpy(pos + 1e6))
