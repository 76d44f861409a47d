"""Tables with a row per point: what parts the cells, decimal commas, names with units, and rows of nothing."""

from pathlib import Path

import pytest

from rapidash.datasets import FileCloud, names_in_use, read_valued_clouds

HEAD = ("Sample Name", "x [mm]", "y [mm]", "Yield Strength (MPa)", "note")
ROWS = (
    ("bar 1", "1.5", "-2", "200.25", "a"),
    ("bar 1", ".5", "2e1", "200.25", "1,2 or 3"),
    ("bar 2", "0", "1", "7", ""),
)


def clouds_of(path: Path, column: str | None = None) -> list[FileCloud]:
    found = [cloud for _, cloud in read_valued_clouds(path, column=column)]
    assert all(isinstance(cloud, FileCloud) for cloud in found), found
    return found  # type: ignore[return-value]


def write(path: Path, delimiter: str, *, comma: bool = False, encoding: str = "utf-8", end: str = "\n") -> Path:
    rows = [
        [cell.replace(".", ",") if comma and place in (1, 2, 3) else cell for place, cell in enumerate(row)]
        for row in ROWS
    ]
    quoted = [[f'"{cell}"' if delimiter in cell else cell for cell in row] for row in (HEAD, *rows)]
    path.write_text(end.join(delimiter.join(row) for row in quoted) + end, encoding=encoding, newline="")
    return path


@pytest.mark.parametrize(
    ("delimiter", "comma"), [(";", False), ("\t", False), (",", False), (" ", False), (";", True), ("\t", True)]
)
def test_cells_are_parted_by_what_gives_axes(tmp_path: Path, delimiter: str, comma: bool) -> None:
    path = write(tmp_path / "t.csv", delimiter, comma=comma, encoding="utf-8-sig", end="\r\n")
    first, second = clouds_of(path, "Sample Name")
    assert first.arrays["pos"].tolist() == [[1.5, -2.0], [0.5, 20.0]]
    assert (first.values["Yield Strength"], second.values["Yield Strength"]) == (200.25, 7)
    assert first.units["Yield Strength"] == "MPa"
    assert first.arrays["note"].tolist() == ["a", "1,2 or 3"]  # text keeps its commas
    assert second.name == f"{path}, Sample Name bar 2"


def test_a_comma_in_a_unit_does_not_part_cells_and_empty_rows_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("x (m,n);y;Größe (°C)\n1;2;3\n;;\n\n4;5;6\n".encode("latin-1"))
    (cloud,) = clouds_of(path)
    assert cloud.arrays["pos"].tolist() == [[1.0, 2.0], [4.0, 5.0]]
    assert cloud.units["Größe"] == "°C"


def test_a_number_with_commas_for_thousands_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x;y;cost\n1,5;2;1,200,000\n2,5;3;7\n")
    (cloud,) = clouds_of(path)
    assert cloud.arrays["pos"].tolist() == [[1.5, 2.0], [2.5, 3.0]]
    assert cloud.arrays["cost"].tolist() == ["1,200,000", "7"]


def test_names_are_found_as_users_write_them() -> None:
    names = ["Yield Strength", "REF_energy", "dft_energy", "Force"]
    assert names_in_use("Yield Strength (MPa)", names) == ["Yield Strength"]
    assert names_in_use("force", names) == ["Force"]
    assert names_in_use("energy", names) == ["REF_energy", "dft_energy"]
    assert names_in_use("energy", [*names, "Energy"]) == ["Energy"]
    assert names_in_use("Strength", names) == []
    assert names_in_use("forces", ["dft_force", "energy"]) == ["dft_force"]
    assert names_in_use("virial", ["REF_virials", "dft_virials"]) == ["REF_virials", "dft_virials"]
    assert names_in_use("forces", ["dft_force", "REF_forces"]) == ["REF_forces"]
