from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.data import Field
from rapidash.datasets._elements import ATOMIC_NUMBER
from rapidash.datasets._molecules import Listed, Molecules
from rapidash.datasets._reading import DataError, SampleErrors
from rapidash.datasets._units import (
    ATOMIZATIONS,
    HOMOS,
    TOTALS,
    TOTALS_AND_ATOMIZATIONS,
    ZERO_POINTS,
    energy_kinds,
    prevailing,
)
from rapidash.datasets._xyz import parse_xyz, read_sdf
from rapidash.groups import Scalar


def three() -> Molecules:
    """Hydrogen, water, a helium atom."""
    pos = np.array([[0, 0, 0], [0.74, 0, 0], [0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0], [5, 5, 5.0]])
    z = np.array([1, 1, 8, 1, 1, 2])
    per_atom, per_molecule = {"charge": np.arange(6.0)}, {"energy": np.array([1.0, 2.0, 3.0])}
    return Molecules(np.array([2, 3, 1]), z, pos, per_atom, per_molecule, ["a", "b", "c"])


def test_elements() -> None:
    assert [ATOMIC_NUMBER[s] for s in ("H", "C", "F", "S", "I", "Og")] == [1, 6, 9, 16, 53, 118]


def test_selection_distances_and_electrons() -> None:
    molecules = three()
    np.testing.assert_allclose(molecules.nearest_distances(), [0.74, 0.96, np.inf], rtol=2e-3)
    assert molecules.electrons.tolist() == [2, 10, 2]
    part = molecules.select(np.array([2, 1]))
    assert part.z.tolist() == [2, 8, 1, 1]
    assert part.per_atom["charge"].tolist() == [5, 2, 3, 4]
    assert part.per_molecule["energy"].tolist() == [3, 2]
    assert list(part.names) == ["c", "b"]
    listed = Listed(molecules, np.array([0, 2, 3]), 5)
    assert list(listed.part(np.array([4, 3, 2, 1]), SampleErrors("f", "raise")).names) == ["c", "b"]


def test_a_part_reports_the_bad_molecules_in_it_only() -> None:
    listed = Listed(three(), np.array([0, 2, 3]), 4, {1: ("x", "unreadable")})
    listed.mark(2, "wrong")
    errors = SampleErrors("f", "skip")
    assert listed.part(np.array([0, 2]), errors).names == ["a", "b"]
    assert errors.skipped == []
    assert listed.part(np.array([3, 1, 2]), errors).names == ["b"]
    assert errors.skipped == ["f, c: wrong", "f, x: unreadable"]
    with pytest.raises(DataError, match="f, c: wrong"):
        listed.part(np.array([3]), SampleErrors("f", "raise"))


def test_a_part_with_bad_molecules_only_has_no_usable_sample() -> None:
    listed = Listed(three(), np.array([0, 1, 2]), 3, {1: ("b", "wrong")})
    errors = SampleErrors("f", "skip")
    with pytest.raises(DataError, match="f has no usable sample: 1 of 1 are bad; the first: f, b: wrong"):
        listed.part(np.array([1]), errors).checked(errors)


def test_molecules_without_atoms_have_no_electrons() -> None:
    molecules = three()
    molecules.num_atoms = np.array([2, 4, 0])
    assert molecules.electrons.tolist() == [2, 12, 0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: setattr(m, "num_atoms", np.array([2, 3, 2])), r"z has the shape \(6,\) .* each of 7 atoms"),
        (lambda m: setattr(m, "num_atoms", np.array([2, 5, -1])), "numbers of atoms"),
        (lambda m: setattr(m, "num_atoms", np.array(3)), r"numbers of atoms of shape \(\)"),
        (lambda m: setattr(m, "z", np.append(m.z, 1)), r"z has the shape \(7,\)"),
        (lambda m: setattr(m, "pos", m.pos[:-1]), r"pos has the shape \(5, 3\)"),
        (lambda m: setattr(m, "pos", m.pos[:, :2]), r"pos \(6, 2\), expected"),
        (lambda m: m.per_atom.update(charge=np.zeros(5)), r"charge has the shape \(5,\)"),
        (lambda m: m.per_atom.update(charge=np.array(["0"] * 6)), "charge has .* type <U1, expected numbers"),
        (lambda m: m.per_molecule.update(energy=np.zeros(4)), "energy .* each of 3 molecules"),
        (lambda m: m.per_molecule.update(energy=np.zeros(())), r"energy has the shape \(\)"),
    ],
)
def test_arrays_of_other_lengths_are_named(spoil: Callable[[Molecules], object], message: str) -> None:
    molecules = three()
    molecules.check_lengths("f")
    spoil(molecules)
    with pytest.raises(DataError, match=f"^f: .*{message}"):
        molecules.check_lengths("f")


def test_sound_molecules_pass_and_bad_ones_are_named() -> None:
    assert three().checked(SampleErrors("f", "raise")).names == ["a", "b", "c"]
    bad = {
        "nearest atoms are 1.8": lambda m: m.pos.__imul__(1.89),
        "nearest atoms are 0.07": lambda m: m.pos.__imul__(0.1),
        "atom 1 has the unknown element 0": lambda m: m.z.__setitem__(3, 0),
        "its positions are not finite": lambda m: m.pos.__setitem__(3, np.nan),
        "its charge are not finite": lambda m: m.per_atom["charge"].__setitem__(3, np.inf),
        "its 'energy' is not finite": lambda m: m.per_molecule["energy"].__setitem__(1, np.nan),
    }
    for message, spoil in bad.items():
        molecules = three()
        spoil(molecules)
        with pytest.raises(DataError, match=f"^f, b: {message}" if "nearest" not in message else message):
            molecules.checked(SampleErrors("f", "raise"))
        molecules = three()
        spoil(molecules)
        errors = SampleErrors("f", "skip")
        with pytest.warns(RuntimeWarning, match="skipped"):
            left = molecules.checked(errors)
        assert "b" not in left.names
        assert left.names[-1] == "c"
        assert len(errors.skipped) == 3 - len(left)
    with pytest.raises(DataError, match="unknown element 8"):
        three().checked(SampleErrors("f", "raise"), elements=(1, 2))
    empty = three()
    empty.num_atoms = np.array([2, 4, 0])
    with pytest.raises(DataError, match="f, c: it has no atoms"):
        empty.checked(SampleErrors("f", "raise"))


def test_datasets_keep_the_digits_of_targets() -> None:
    fields = {"charge": Field(Scalar(), "e"), "energy": Field(Scalar(), "eV", "cloud")}
    data = three().dataset(fields, source=Path("f"), dtype=torch.float32)
    kinds = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in data.tensors.items()}
    assert kinds == {
        "pos": ((6, 3), torch.float32),
        "z": ((6,), torch.int64),
        "charge": ((6, 1), torch.float32),
        "energy": ((3, 1), torch.float64),
    }


def test_energies_tell_their_unit() -> None:
    methane, water = -40.47893, -76.404702  # hartree, B3LYP
    total, electrons = np.array([methane, water]), np.array([10, 10])
    for unit, factor in (("hartree", 1), ("eV", 27.2114), ("kcal/mol", 627.509), ("kJ/mol", 2625.5)):
        assert energy_kinds(total * factor, electrons, TOTALS) == [(unit, "total")] * 2
    apart = np.array([-0.6311, -0.3398])
    assert energy_kinds(apart, electrons, TOTALS_AND_ATOMIZATIONS) == [("hartree", "atomization")] * 2
    assert energy_kinds(apart * 27.2114, electrons, TOTALS_AND_ATOMIZATIONS) == [("eV", "atomization")] * 2
    assert energy_kinds(np.array([5.0, np.nan, -1e9]), np.array([10] * 3)) == [None] * 3
    assert prevailing([None, ("a", "b"), ("c", "d"), ("c", "d")]) == ("c", "d")
    assert prevailing([None]) is None


@pytest.mark.parametrize("among", [TOTALS, TOTALS_AND_ATOMIZATIONS, ATOMIZATIONS, ZERO_POINTS, HOMOS], ids=str)
def test_no_size_fits_two_units(among: tuple[tuple[str, str], ...]) -> None:
    sizes = np.geomspace(1e-4, 1e5, 20_000)
    for energy in (sizes, -sizes):
        kinds = energy_kinds(energy, 1, among)
        assert kinds == energy_kinds(energy, 1, among[::-1])
        assert None in kinds


def test_xyz_and_its_errors() -> None:
    geometry = parse_xyz("2\ncomment\nC 0 0 1.5*^-1 -0.5\n1 1.0 0 0 0.25\nignored")
    assert geometry.z.tolist() == [6, 1]
    assert geometry.pos.tolist() == [[0, 0, 0.15], [1, 0, 0]]
    assert geometry.columns.tolist() == [[-0.5], [0.25]]
    for text, message in {
        "": "first line is not a number",
        "x\n": "first line is not a number",
        "2\n\nC 0 0 0": "announces 2 atoms and has 1 lines",
        "1\n\nXx 0 0 0": "unknown element in 'Xx 0 0 0'",
        "1\n\nC 0 0": "not an element with three coordinates",
        "1\n\nC 0 0 a": "not an element with three coordinates",
    }.items():
        with pytest.raises(DataError, match=message):
            parse_xyz(text)


SDF = """gdb_1
  RDKit          3D

  2  1  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1173 O   0  0  0  0
    0.0000    0.7572   -0.4692 H   0  0
  1  2  1  0
M  END
$$$$
"""


V3000 = "gdb_1\n\n\n  0  0  0     0  0            999 V3000\nM  V30 BEGIN CTAB\nM  END\n$$$$\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (V3000, "it is written in V3000, which is not read, only V2000"),
        (
            SDF.replace("  RDKit          3D", "     RDKit          2D"),
            "it says that its coordinates are 2D, a drawing",
        ),
        (SDF.replace("  2  1", "  1  0"), "it announces 1 atoms and more follow, the first: '    0.0000    0.7572"),
        (SDF.replace("  2  1", "  3  1"), "not a V2000 entry"),
        (SDF.replace("  2  1", " -1  1"), "it announces -1 atoms and has 0"),
        (SDF.replace("0.1173", "0,1173"), "not a V2000 entry"),
        (SDF.replace("0.1173", "   nan"), "coordinates that are not finite"),
        (SDF.replace("0.1173", " 1e300"), "coordinates that are not finite, or larger than its format has room for"),
    ],
)
def test_what_an_entry_of_an_sdf_states_is_so_or_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "toy.sdf").write_text(text + SDF)
    (_, error), (_, geometry) = list(read_sdf(tmp_path / "toy.sdf"))
    assert message in str(error)
    assert geometry.z.tolist() == [8, 1]


def test_sdf_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "toy.sdf"
    path.write_text(SDF + SDF.replace("gdb_1", "gdb_2").replace(" O ", " Xx"))
    (first, geometry), (second, error) = list(read_sdf(path))
    assert (first, second) == ("gdb_1", "gdb_2")
    assert geometry.z.tolist() == [8, 1]
    assert geometry.pos[1].tolist() == [0, 0.7572, -0.4692]
    assert "unknown element 'Xx'" in str(error)
    path.write_text(SDF + SDF[:120])
    with pytest.raises(DataError, match=r"toy\.sdf does not end with '\$\$\$\$': it is cut short in entry 2"):
        list(read_sdf(path))
    for end in ("\r\n", "\r"):
        (path.with_name("end.sdf")).write_bytes(SDF.replace("RDKit", "\u0445dkit").replace("\n", end).encode())
        ((_, found),) = list(read_sdf(path.with_name("end.sdf")))
        assert found.pos.tolist() == geometry.pos.tolist()
    path.write_text("a\nb\nc\nd\n$$$$\n")
    assert "not a V2000 entry" in str(next(iter(read_sdf(path)))[1])


def pair(first: int, second: int, distance: float, *others: int) -> Molecules:
    """Two atoms so far apart, others on a line 50 angstrom from each other."""
    pos = np.array([[0, 0, 0], [0, 0, distance], *[[0, 50.0 * (k + 1), 0] for k in range(len(others))]])
    return Molecules(np.array([len(pos)]), np.array([first, second, *others]), pos, names=["m"])


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        (3, 3, 2.67),
        (3, 1, 1.6),
        (11, 1, 1.89),
        (35, 6, 1.94),
        (54, 9, 1.98),
        (55, 1, 2.49),
        (4, 9, 1.37),
        (18, 18, 3.8),
    ],
)
def test_bonds_outside_organic_chemistry_are_taken(first: int, second: int, distance: float) -> None:
    """Li2, LiH, NaH, CBr, XeF, CsH, BeF at their bond lengths, Ar2 without a light element."""
    assert pair(first, second, distance).problems(range(1, 119)) == {}


@pytest.mark.parametrize(
    ("first", "second", "distance"), [(2, 2, 2.97), (4, 4, 2.45), (3, 3, 5.0), (1, 1, 2.5), (8, 1, 1.81), (2, 10, 3.0)]
)
def test_where_the_unit_is_in_doubt_a_warning_says_so(first: int, second: int, distance: float) -> None:
    """He2, Be2, stretched Li2, H2 and OH (or OH in bohr), He with Ne."""
    with pytest.warns(RuntimeWarning, match=r"the nearest atoms of m are .* in another unit\? 1 of 1 are taken"):
        assert pair(first, second, distance).problems(range(1, 119)) == {}


@pytest.mark.parametrize(
    "molecule",
    [
        pair(8, 1, 1.81, 1),  # water in bohr
        pair(6, 7, 2.17, 6, 7),  # cyanogen in bohr
        pair(6, 1, 2.06, 3),  # methyl lithium in bohr: its nearest atoms are organic
        pair(3, 3, 0.267),  # Li2 in nm
        pair(3, 3, 267.0),  # and in pm
        pair(2, 2, 297.0),  # He2 in pm
    ],
)
def test_what_is_clearly_another_unit_is_refused(molecule: Molecules) -> None:
    with pytest.raises(DataError, match="are the positions in another unit"):
        molecule.checked(SampleErrors("f", "raise"))


def nearest_by_definition(pos: np.ndarray) -> float:
    return float(np.sqrt(min(np.square(pos[i + 1 :] - pos[i]).sum(1).min() for i in range(len(pos) - 1))))


def test_nearest_atoms_of_large_molecules() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([257, 2, 700, 256, 1])
    pos = rng.normal(size=(sizes.sum(), 3))
    molecules = Molecules(sizes, np.full(len(pos), 6), pos, names=list("abcde"))
    parts = np.split(pos, np.cumsum(sizes)[:-1])
    expected = [nearest_by_definition(part) for part in parts[:4]]
    assert molecules.nearest_distances().tolist() == [*expected, np.inf]
    pos[sizes[:2].sum() + 13] = pos[sizes[:2].sum() + 600]
    assert molecules.nearest_distances().tolist() == [*expected[:2], 0.0, expected[3], np.inf]
    pos[0] = np.nan
    assert np.isnan(molecules.nearest_distances()[0])


def test_nearest_atoms_of_very_many_need_no_table_of_pairs() -> None:
    """100,000 atoms have 5e9 pairs; of a grid with one atom moved the answer is known, and of coinciding atoms."""
    grid = np.stack(np.meshgrid(*[np.arange(50.0)] * 3), axis=-1).reshape(-1, 3)[:100_000]
    grid[777] += [0.25, 0, 0]
    once = Molecules(np.array([len(grid)]), np.full(len(grid), 6), grid, names=["m"])
    assert once.nearest_distances().tolist() == [0.75]
    same = Molecules(np.array([len(grid)]), np.full(len(grid), 6), np.zeros_like(grid), names=["m"])
    assert same.nearest_distances().tolist() == [0.0]


def test_molecules_far_away_keep_their_digits(tmp_path) -> None:
    near = three()
    far = three()
    far.pos[2:5] += 1e6
    sets = [m.dataset({}, source=tmp_path, dtype=torch.float32).tensors["pos"] for m in (near, far)]
    assert torch.equal(sets[0], torch.from_numpy(near.pos).float())
    assert torch.equal(sets[1][:2], sets[0][:2])
    expected = torch.from_numpy(near.pos[2:5] - near.pos[2:5].mean(axis=0)).float()
    torch.testing.assert_close(sets[1][2:5], expected, rtol=0, atol=1e-7)
    kept = far.dataset({}, source=tmp_path, dtype=torch.float64).tensors["pos"]
    assert torch.equal(kept, torch.from_numpy(far.pos))
