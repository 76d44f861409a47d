"""What files of clouds state, of periods, units, columns and counts, is obeyed or refused, in any spelling."""

from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets import DataError, md_dataset, read_clouds
from rapidash.datasets._stated import check_comment
from rapidash.datasets._xyz import parse_xyz

CUBE = "9 0 0 0 9 0 0 0 9"


def said(path: Path) -> list[str]:
    """What is wrong with each cloud of a file, nothing for a good one."""
    try:
        return [str(found) if isinstance(found, DataError) else "" for _, found in read_clouds(path)]
    except DataError as error:
        return [str(error)]


@pytest.mark.parametrize(
    "comment",
    [
        f'Lattice="{CUBE}"', f'Lattice = "{CUBE}"', f"LATTICE: '{CUBE}'", f"lattice={{{CUBE}}}",
        "Lattice=[[9,0,0],[0,9,0]]",
        'pbc="T T T"', "pbc = T F F", "pbc=F F T", "pbc:[true, false, false]", "PBC='1 0 0'", "pbc=(0,1,0)",
        "periodic=yes",
        '{"pbc": [true, true, true]}', f'pbc="T F F" Lattice="{CUBE}"', "# CELL(abcH): 9 9 9 90 90 90", "box=9 9 9",
        'unit_cell = "9 9 9"', "cell_lengths=9 9 9", "jmolscript: unitcell {9 9 9}", "CRYST1 9.0 9.0 9.0",
    ],
)  # fmt: skip
def test_periods_in_any_spelling(tmp_path: Path, comment: str) -> None:
    (tmp_path / "a.xyz").write_text(f"1\n{comment} Properties=species:S:1:pos:R:3\nH 0 0 0\n1\n{comment}\nH 0 0 0\n")
    assert [problem[:16] for problem in said(tmp_path / "a.xyz")] == ["it is periodic ("] * 2
    with pytest.raises(DataError, match="it is periodic"):
        parse_xyz(f"1\n{comment}\nH 0 0 0\n")


@pytest.mark.parametrize(
    "comment",
    [
        f'Lattice="{CUBE}" pbc="F F F"', f"pbc = [false, false, false] Lattice = '{CUBE}'", "pbc=FFF box=9 9 9",
        "pbc=0",
        "pbc=None", 'Lattice="0 0 0 0 0 0 0 0 0"', "cellular boxes, periodically", "energy = -76.4 a.u.",
        "units=angstrom",
        'units="energy eV; forces eV/angstrom"', "coordinates in Angstrom", "frame 3 of box 2", "at 3 pm", "",
    ],
)  # fmt: skip
def test_comments_that_state_nothing_else(comment: str) -> None:
    check_comment(comment)


@pytest.mark.parametrize(
    ("comment", "unit"),
    [
        ("units=bohr", "bohr"),
        ('pos_unit = "nm"', "nm"),
        ("Unit: pm", "pm"),
        ("coordinates in Bohr", "Bohr"),
        ("positions (a.u.)", "a.u"),
        ("positions{atomic_unit}", "atomic_unit"),
    ],
)
def test_another_unit_is_refused(comment: str, unit: str) -> None:
    with pytest.raises(DataError, match=f"it states its positions in '{unit}', expected angstrom"):
        check_comment(comment)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pbc": [True, False, False]}, "it is periodic (pbc)"),
        ({"cell": 9 * np.eye(3)}, "it is periodic ('cell')"),
        ({"Lattice": [9.0, 9, 9]}, "it is periodic ('Lattice')"),
        ({"r_unit": "bohr"}, "it states its positions in 'bohr'"),
        ({"units": [b"nm"]}, "it states its positions in 'nm'"),
        ({"cell": 9 * np.eye(3), "pbc": [0, 0, 0]}, ""),
        ({"cell": np.zeros((3, 3))}, ""),
        ({"box": [0.1, 0.2]}, ""),
        ({"r_unit": "Ang"}, ""),
    ],
)
def test_arrays_that_state_something(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "a.npz", pos=np.eye(3), z=np.ones(3), **arrays)
    (problem,) = said(tmp_path / "a.npz")
    assert problem.startswith(f"{tmp_path / 'a.npz'}: {message}" if message else "") is True
    assert bool(problem) is bool(message)
    frames = np.array([[[0, 0, 0], [0, 0, 0.96]]] * 3)
    given = {"z": [8, 1], "R": frames, "E": np.full(3, -2060.0), "F": 0 * frames, **arrays}
    np.savez(tmp_path / "md17_oh.npz", **given)
    if message:
        with pytest.raises(DataError, match=r"it is periodic|it states its positions|positions in"):
            md_dataset("oh", data_dir=tmp_path)
    else:
        assert len(md_dataset("oh", data_dir=tmp_path)) == 3


@pytest.mark.parametrize(
    ("properties", "rows", "expected"),
    [
        ("pos:R:3:species:S:1", ["1 2 3 O"], ([8], [[1, 2, 3]])),
        ("id:I:1:Z:I:1:pos:R:3", ["7 8 1 2 3"], ([8], [[1, 2, 3]])),
        ("species:S:1:pos:R:3:Z:I:1", ["O 1 2 3 8"], ([8], [[1, 2, 3]])),
        ("species:S:1:pos:R:3:Z:I:1", ["O 1 2 3 9"], "its columns of elements do not agree"),
        ("species:S:1:pos:R:3:pos:R:3", ["O 1 2 3 4 5 6"], "declares 'pos' more than once"),
        ("species:S:0:pos:R:3", ["1 2 3"], "'species' has the width 0, expected 1 to 1000"),
        ("species:S:1:pos:R:3:x:R:99999999999999999999", ["O 1 2 3 4"], "'x' has the width 99999999999999999999"),
        ("species:S:1:pos:R:3", ["O 1 2 3 4"], "has 5 columns, .* declares 4"),
        ("Z:I:1:pos:R:3", ["99999999999999999999 1 2 3"], "unknown element '99999999999999999999'"),
        ("species:S:1:pos:R:3:tag:I:1", ["O 1 2 3 99999999999999999999"], "column 'tag' is not numeric"),
        ("Z:I:2:pos:R:3", ["8 8 1 2 3"], "'Z' has the width 2, expected 1"),
    ],
)
@pytest.mark.parametrize("key", ["Properties={}", 'properties = "{}"', "PROPERTIES = '{}'"])
def test_columns_are_those_that_are_declared(
    tmp_path: Path, key: str, properties: str, rows: list[str], expected: object
) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("\n".join([str(len(rows)), key.format(properties), *rows, ""]))
    ((_, found),) = read_clouds(path)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            raise found
    else:
        assert (found.arrays["z"].tolist(), found.arrays["pos"].tolist()) == expected
        molecule = parse_xyz(path.read_text())
        assert (molecule.z.tolist(), molecule.pos.tolist()) == expected


def test_counts_that_wrap_do_not_fit(tmp_path: Path) -> None:
    """The sum of these three in int64 is 3."""
    for sizes in (np.array([2**63 - 1, 2**63 - 1, 5]), np.array([2**63, 2**63, 3], dtype=np.uint64)):
        np.savez(tmp_path / "a.npz", pos=np.eye(3), num_points=sizes)
        (problem,) = said(tmp_path / "a.npz")
        assert "'num_points' (3,) does not fit 'pos' (3, 3)" in problem


def test_a_number_of_atoms_in_every_line_takes_a_line_at_a_time(tmp_path: Path) -> None:
    """Each announces 20,000 atoms; so many steps would take minutes if each looked at all that follow."""
    (tmp_path / "a.xyz").write_text("20000\n" * 20_000)
    problems = said(tmp_path / "a.xyz")
    assert problems == ["it announces 20000 atoms, the next frame begins after 0: cut short"] * 9_999 + [
        "it announces 20000 atoms and the file ends 20000 lines short"
    ]


def test_bytes_of_other_alphabets_end_no_line(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes("2\n\u5143\u7d20 \u00c5 \u0445 \u2028\x0c\nO 0 0 0\nH 0 0 1\n".encode())
    ((_, found),) = read_clouds(tmp_path / "a.xyz")
    assert found.arrays["z"].tolist() == [8, 1]
