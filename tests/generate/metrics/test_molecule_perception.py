"""Validity by three protocols: molecules by hand, and errors that one of them sees and another does not."""

import subprocess
import sys

import pytest

from rapidash.data import CloudDataset
from rapidash.generate.metrics import controls_table, figure_controls, smiles
from tests.generate.metrics.conftest import METHANE, WATER


def test_smiles_by_hand(by_hand) -> None:
    data = by_hand("methane", "water", "benzene", "nitromethane")
    assert smiles(data) == ["C", "O", "c1ccccc1", "C[N+](=O)[O-]"]
    assert smiles(data, "lookup") == ["C", "O", None, "C[N+](=O)[O-]"]  # RDKit knows N(=O)=O, and no ring of CH
    classic = smiles(data, "classic")
    assert classic[:2] == ["[H]C([H])([H])[H]", "[H]O[H]"]
    assert classic[2] is not None  # cyclohexane, as RDKit adds six hydrogens
    assert classic[3] == "[H]C([H])([H])[N+](=O)[O-]"


def test_a_molecule_without_a_hydrogen_and_two_apart_are_valid_by_the_classic_protocol_alone(by_hand) -> None:
    without = METHANE[:-1]
    apart = METHANE + [(z, (x + 20, y, w)) for z, (x, y, w) in WATER]
    data = by_hand(without, apart)
    assert smiles(data, "classic") == ["[H]C([H])[H]", "[H]C([H])([H])[H]"]
    assert smiles(data, "lookup") == [None, None]
    assert smiles(data, "perceived") == [None, None]


def test_radicals_coinciding_atoms_and_what_is_not_finite(by_hand) -> None:
    carbons = [(6, (0, 0, 0)), (6, (0, 0, 0))]
    hydrogens = [(1, (0, 0, 0)), (1, (0.7, 0, 0))]
    data = by_hand(carbons, hydrogens, "water")
    data.tensors["pos"][-1, 0] = float("inf")
    assert smiles(data) == [None, "[H][H]", None]
    assert smiles(data, "classic")[2] is None


def test_errors_of_known_kinds(qm9_test: CloudDataset) -> None:
    """The table of the guide, on 200 molecules."""
    controls = figure_controls(qm9_test, num=200, seed=1)
    real, deleted, apart, small, medium, large, largest, random = controls
    assert real.sound_perceived >= 99.5
    assert real.valid_classic > real.sound_lookup
    assert abs(deleted.valid_classic - real.valid_classic) < 2
    assert deleted.sound_perceived == deleted.sound_lookup == deleted.stable == 0
    assert apart.valid_classic > 90
    assert apart.sound_perceived == apart.sound_lookup == 0
    assert apart.atom_stable == pytest.approx(real.atom_stable)
    shares = [one.sound_perceived for one in (small, medium, large, largest, random)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 97
    assert shares[2] < 25
    assert shares[-1] == 0
    assert small.stable < 90
    assert random.valid_classic > 5
    lines = controls_table(controls).splitlines()
    assert len(lines) == 9
    assert lines[2].startswith("one hydrogen deleted")
    assert len({len(line) for line in lines}) == 1


def test_controls_depend_on_the_seed_alone_and_need_no_rdkit_for_the_rest(qm9_test: CloudDataset) -> None:
    first, again, other = (figure_controls(qm9_test, num=20, seed=seed, perception=False) for seed in (3, 3, 4))
    assert controls_table(first) == controls_table(again) != controls_table(other)
    assert controls_table(first).splitlines()[1].split()[-2] == "-"
    with pytest.raises(ValueError, match=r"num must be from 1 to the 8744 molecules of the reference, got 0"):
        figure_controls(qm9_test, num=0)


def test_an_unknown_protocol_is_refused(by_hand) -> None:
    with pytest.raises(ValueError, match="unknown protocol 'xtb', expected one of"):
        smiles(by_hand("water"), "xtb")


def test_without_rdkit_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['rdkit'] = None\n"
        "from rapidash.generate.metrics import _perception\n"
        "try: _perception.find_rdkit()\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "validity of molecules needs RDKit: pip install 'rapidash[mol]'\n"
