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
    assert set(from_ase([water, hydrogen]).fields) == {"pos", "z"}  # only one of them has results
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
