"""Clouds from a user's own files: every layout that is promised, and what is said of those that are not."""

from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets import DataError
from rapidash.datasets._cloud_files import FileCloud, read_clouds

WATER = "3\nwater\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"
HYDROGEN = "2\n\n1 0 0 0\n1 0 0 0.74\n"


def clouds(path: Path) -> list[FileCloud]:
    found = [cloud for _, cloud in read_clouds(path)]
    assert not [error for error in found if isinstance(error, DataError)]
    return found


def problems(path: Path) -> dict[str, str]:
    return {name: str(found) for name, found in read_clouds(path) if isinstance(found, DataError)}


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_frames_of_plain_xyz(tmp_path: Path) -> None:
    path = write(tmp_path, "two.xyz", WATER + HYDROGEN + "\n\n")
    water, hydrogen = clouds(path)
    assert (water.name, hydrogen.name) == (f"{path}, frame 0", f"{path}, frame 1")
    assert water.arrays["z"].tolist() == [8, 1, 1]
    assert hydrogen.arrays["pos"].tolist() == [[0, 0, 0], [0, 0, 0.74]]


def test_comments_of_xyz_are_in_any_encoding(tmp_path: Path) -> None:
    (water,) = clouds(write(tmp_path, "one.xyz", WATER.encode().replace(b"\n", b"\n\xe5ngstr\xf6m ", 1)))
    assert water.arrays["z"].tolist() == [8, 1, 1]


def test_extended_xyz_is_read_by_its_columns(tmp_path: Path) -> None:
    comment = 'Properties=forces:R:3:species:S:1:pos:R:3:tag:I:1 energy=-1.5 pbc="F F F" Lattice="9 0 0 0 9 0 0 0 9"'
    path = write(tmp_path, "one.extxyz", f"2\n{comment}\n1 2 3 C 0 0 0 7\n4 5 6 Cl 1 0 0 8\n")
    (cloud,) = clouds(path)
    assert cloud.arrays["z"].tolist() == [6, 17]
    assert cloud.arrays["pos"].tolist() == [[0, 0, 0], [1, 0, 0]]
    assert cloud.arrays["forces"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cloud.arrays["tag"].tolist() == [[7], [8]]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("3\n\nO 0 0 0\nXx 1 0 0\nH 0 1 0\n", "unknown element in 'Xx 1 0 0'"),
        ("3\n\nO 0 0 0\nH 1 0 0\n", "it announces 3 atoms, the next frame begins after 2"),
        ("1\n\nO 0 0\n", "is not an element with three coordinates"),
        ('1\nLattice="1 0 0 0 1 0 0 0 1"\nO 0 0 0\n', "it is periodic"),
        ('1\nLattice="1 0 0 0 1 0 0 0 1" pbc="F F T"\nO 0 0 0\n', "it is periodic"),
        ("1\nProperties=species:S:1\nO 0 0 0\n", "declares no pos:R:3"),
        ("1\nProperties=species:S:1:pos:R:2\nO 0 0 0\n", "declares no pos:R:3"),
        ("1\nProperties=species:S:one\nO 0 0 0\n", "is not NAME:TYPE:WIDTH"),
        ("1\nProperties=species:S:1:pos:R:3\nO 0 0\n", "has 3 columns, Properties=.* declares 4"),
        ("1\nProperties=species:S:1:pos:R:3\nO 0 0 a\n", "column 'pos' is not numeric"),
        ("1\nProperties=species:S:1:pos:R:3\nQ 0 0 0\n", "unknown element 'Q'"),
        ("2\n\nO 0 0 0\nH 1 0 0\nH 0 1 0\n", "it announces 2 atoms and more lines follow, the first: 'H 0 1 0'"),
        ("0\nempty\n", "it has no atoms: it announces 0"),
        ("0\nProperties=species:S:1:pos:R:3\n", "it has no atoms: it announces 0"),
    ],
)
def test_a_bad_frame_stays_alone(tmp_path: Path, frame: str, message: str) -> None:
    """The frames before and after it are read."""
    path = write(tmp_path, "some.xyz", WATER + frame + WATER + HYDROGEN)
    found = [cloud for _, cloud in read_clouds(path)]
    good = [cloud.arrays["z"].tolist() for cloud in found if isinstance(cloud, FileCloud)]
    assert good == [[8, 1, 1], [8, 1, 1], [1, 1]]
    with pytest.raises(DataError, match=message):
        raise found[1]
    assert problems(path).keys() == {f"{path}, frame 1"}


def test_the_last_frame_may_be_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path, "cut.xyz", HYDROGEN + WATER[:-20])
    assert problems(path) == {f"{path}, frame 1": "it announces 3 atoms and the file ends 1 lines short"}


@pytest.mark.parametrize("rest", ["H 0 1 0\n", "\n\nH 0 1 0", "a note\n"])
def test_lines_after_the_last_frame_are_not_dropped(tmp_path: Path, rest: str) -> None:
    path = write(tmp_path, "more.xyz", HYDROGEN + HYDROGEN + rest)
    assert f"more lines follow, the first: {rest.strip()!r}" in problems(path)[f"{path}, frame 1"]


def test_lines_before_the_first_frame_are_not_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, "some.xyz", WATER.replace("3", "three", 1) + HYDROGEN)
    assert problems(path) == {f"{path}, frame 0": "its first line is 'three', expected a number of atoms"}
    assert [name for name, _ in read_clouds(path)] == [f"{path}, frame 0", f"{path}, frame 1"]


def test_the_lines_of_qm9_after_the_atoms_are_known(tmp_path: Path) -> None:
    rest = "1341.307\t1341.3284\nO\tO\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
    first, second = clouds(write(tmp_path, "gdb.xyz", 2 * (WATER + rest)))
    assert first.arrays["z"].tolist() == second.arrays["z"].tolist() == [8, 1, 1]
    path = write(tmp_path, "bad.xyz", WATER + "H 2 2 2\n" + rest)
    assert "more lines follow" in problems(path)[f"{path}, frame 0"]


def test_xyz_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (water,) = clouds(write(tmp_path, "one.xyz", b"\xef\xbb\xbf" + WATER.encode()))
    assert water.arrays["z"].tolist() == [8, 1, 1]


@pytest.mark.parametrize("text", ["", "no number\nat all\n"])
def test_a_file_without_frames_is_no_xyz(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="has no line with a number of atoms"):
        list(read_clouds(write(tmp_path, "empty.xyz", text)))


SEVERAL = {"pos": np.ones((2, 3, 3)), "num_points": [3, 2]}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pos": np.ones((3, 3)), "z": [1, 8]}, "'z' has 2 rows, expected 3: one for every point"),
        ({"pos": np.ones((3, 3)), "numbers": 8}, "'z' has a single value, expected 3: one for every point"),
        ({"pos": np.ones((3, 3)), "z": np.array([1, 8, None])}, "'z' holds Python objects"),
        ({"pos": np.ones((5, 3)), "num_points": [3, 2], "z": [1, 1, 8]}, "'z' has 3 rows, expected 5"),
        ({"pos": np.ones((2, 3, 3)), "z": [1, 8]}, r"'z' has shape (2,), expected (2, 3) first, as 'pos', or 3 rows"),
        ({**SEVERAL, "z": [1, 1, 8]}, "'z' has shape (3,), expected (2, 3) first, as 'pos'"),
    ],
)
def test_an_array_that_does_not_fit_is_left_out_with_the_reason(tmp_path: Path, arrays: dict, message: str) -> None:
    for cloud in clouds(npz(tmp_path, **arrays)):
        assert cloud.arrays.keys() == {"pos"}
        assert cloud.left_out["z"].startswith(message)


def test_labels_that_are_not_one_for_every_cloud_are_left_out_with_the_reason(tmp_path: Path) -> None:
    first, _ = clouds(npz(tmp_path, **SEVERAL, category=[0, 1, 2]))
    assert first.label is None
    assert first.left_out == {"label": "'label' has 3 values, expected 2: one for every cloud"}


def npz(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "data.npz", **{name: np.asarray(array) for name, array in arrays.items()})
    return folder / "data.npz"


def test_npz_of_one_cloud(tmp_path: Path) -> None:
    path = npz(tmp_path, pos=np.ones((4, 3)), vel=np.zeros((4, 3)), label=3, other=np.ones(9))
    (cloud,) = clouds(path)
    assert cloud.name == str(path)
    assert {name: array.shape for name, array in cloud.arrays.items()} == {"pos": (4, 3), "vel": (4, 3)}


def test_npz_of_clouds_of_one_size_share_what_they_have_in_common(tmp_path: Path) -> None:
    """As in the files of molecular dynamics, with their names: one array of elements for all configurations."""
    coordinates = np.arange(18.0).reshape(2, 3, 3)
    first, second = clouds(npz(tmp_path, nuclear_charges=[8, 1, 1], coords=coordinates, energies=[1.0, 2.0]))
    assert first.arrays.keys() == {"pos", "z"}
    assert second.arrays["z"].tolist() == [8, 1, 1]
    assert second.arrays["pos"].tolist() == coordinates[1].tolist()
    assert second.name.endswith("data.npz, cloud 1")


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"pos": np.ones((4, 3)), "label": "Chair"}, ["Chair"]),
        ({"pos": np.ones((4, 3)), "category": np.array([7], dtype=np.int8)}, [7]),
        ({"pos": np.ones((2, 4, 3)), "label": np.array([["Chair"], ["Table"]])}, ["Chair", "Table"]),
        ({"pos": np.ones((2, 2, 3)), "label": [0, 1]}, [0, 1]),  # not a row per point
        ({"pos": np.ones((4, 3)), "num_points": [1, 3], "label": [5, 6]}, [5, 6]),
        ({"pos": np.ones((4, 3)), "label": [0, 1, 1, 0]}, [None]),
        ({"pos": np.ones((2, 4, 3)), "label": [0, 1, 2]}, [None, None]),
        ({"pos": np.ones((4, 3))}, [None]),
    ],
)
def test_labels_of_clouds_in_npz(tmp_path: Path, arrays: dict, expected: list) -> None:
    assert [cloud.label for cloud in clouds(npz(tmp_path, **arrays))] == expected


def test_labels_of_points_stay_with_the_points(tmp_path: Path) -> None:
    (cloud,) = clouds(npz(tmp_path, pos=np.ones((4, 3)), label=[0, 1, 1, 0], normals=np.ones((4, 3))))
    assert cloud.arrays["label"].tolist() == [0, 1, 1, 0]
    assert cloud.arrays.keys() == {"pos", "label", "normal"}


def test_npz_of_ragged_and_padded_clouds(tmp_path: Path) -> None:
    flat = {"z": [1, 1, 8, 6], "pos": np.arange(12.0).reshape(4, 3)}
    padded = {"z": [[1, 1, 8], [6, 0, 0]], "pos": np.zeros((2, 3, 3))}
    padded["pos"][0], padded["pos"][1, 0] = flat["pos"][:3], flat["pos"][3]
    for arrays in (flat, padded):
        first, second = clouds(npz(tmp_path, num_atoms=[3, 1], **arrays))
        assert (first.arrays["z"].tolist(), second.arrays["z"].tolist()) == ([1, 1, 8], [6])
        assert second.arrays["pos"].tolist() == [[9, 10, 11]]


def test_charges_are_nuclear_beside_a_number_of_atoms(tmp_path: Path) -> None:
    padded = {"positions": np.zeros((2, 2, 3)), "charges": [[1, 8], [6, 0]]}
    first, second = clouds(npz(tmp_path, num_atoms=[2, 1], **padded))
    assert (first.arrays["z"].tolist(), second.arrays["z"].tolist()) == ([1, 8], [6])
    (particles,) = clouds(npz(tmp_path, pos=np.zeros((2, 3)), charges=[1.0, -1.0]))
    assert particles.arrays["charge"].tolist() == [1, -1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((4, 3))}, r"has no array 'pos' \(or positions, coords, R, points\), it has \['x'\]"),
        ({"pos": np.ones(4)}, r"'pos' has shape \(4,\) of float64, expected numbers \(N, D\) or \(B, N, D\)"),
        ({"pos": np.full((4, 3), "a")}, r"'pos' has shape \(4, 3\) of <U1, expected numbers"),
        ({"pos": np.ones((4, 3)), "num_points": [2, 3]}, r"'num_points' \(2,\) does not fit 'pos' \(4, 3\)"),
        ({"pos": np.ones((4, 3)), "num_points": [4, 0]}, "at least 1"),
        ({"pos": np.ones((2, 4, 3)), "num_points": [2, 5]}, "at most A"),
        ({"pos": np.ones((2, 4, 3)), "num_points": [4]}, "does not fit"),
        ({"pos": np.array([None, 1])}, "'pos' holds Python objects, expected numbers"),
        ({"pos": np.ones((4, 3)), "n_atoms": np.array([None])}, "'n_atoms' holds Python objects"),
    ],
)
def test_a_wrong_npz_says_what_it_has(tmp_path: Path, arrays: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_clouds(npz(tmp_path, **arrays)))


def test_half_an_npz_is_named(tmp_path: Path) -> None:
    path = npz(tmp_path, pos=np.ones((400, 3)))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"data\.npz cannot be read .*damaged"):
        list(read_clouds(path))


def ply(kind: str, *, faces: bool) -> bytes:
    """A unit square as points, or as one polygon of four corners."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32)
    header = f"ply\nformat {kind} 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    header += "element face 1\nproperty list uchar int vertex_indices\n" if faces else ""
    header += "end_header\n"
    if kind == "ascii":
        body = "".join(f"{x} {y} {z}\n" for x, y, z in corners) + ("4 0 1 2 3\n" if faces else "")
        return (header + body).encode()
    order = "<" if "little" in kind else ">"
    polygon = np.uint8(4).tobytes() + np.arange(4, dtype=f"{order}i4").tobytes() if faces else b""
    return header.encode() + corners.astype(f"{order}f4").tobytes() + polygon


KINDS = ["ascii", "binary_little_endian", "binary_big_endian"]


@pytest.mark.parametrize("kind", KINDS)
def test_ply_meshes_and_clouds(tmp_path: Path, kind: str) -> None:
    (cloud,) = clouds(write(tmp_path, "cloud.ply", ply(kind, faces=False)))
    assert cloud.triangles is None
    assert cloud.arrays["pos"].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    (mesh,) = clouds(write(tmp_path, "mesh.PLY", ply(kind, faces=True)))
    assert mesh.arrays["pos"].shape == (4, 3)
    assert mesh.triangles is not None
    assert len(mesh.triangles) == 2
    assert set(mesh.triangles.ravel().tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_half_a_ply_is_a_bad_entry(tmp_path: Path, kind: str, share: float) -> None:
    whole = ply(kind, faces=False)
    path = write(tmp_path, "half.ply", whole[: int(share * len(whole))])
    (message,) = problems(path).values()
    assert "cut short" in message or "cannot be read" in message


def test_a_foreign_ply_is_a_bad_entry(tmp_path: Path) -> None:
    assert problems(path := write(tmp_path, "a.ply", "OFF\n")) == {str(path): "does not begin with 'ply'"}
    text = ply("ascii", faces=True).replace(b"4 0 1 2 3", b"3 0 1 9")
    assert "has a face with vertex 9, it has 4 vertices" in str(problems(write(tmp_path, "b.ply", text)))


def test_a_ply_of_the_plane_says_what_is_missing(tmp_path: Path) -> None:
    text = "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nend_header\n0 0\n1 0\n"
    (message,) = problems(write(tmp_path, "flat.ply", text)).values()
    assert message == "its vertices have no 'z', expected x, y and z; they have x, y"


def test_off_meshes(tmp_path: Path) -> None:
    (mesh,) = clouds(write(tmp_path, "tri.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"))
    assert mesh.triangles is not None
    assert mesh.triangles.tolist() == [[0, 1, 2]]
    (points,) = clouds(write(tmp_path, "points.off", "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n"))
    assert points.triangles is None
    assert points.arrays["pos"].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    path = write(tmp_path, "empty.off", "OFF\n0 0 0\n")
    assert problems(path) == {str(path): "has no vertices: points cannot be sampled from its surface"}


def test_other_formats_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.xyz is not a file: give files of the formats .xyz"):
        read_clouds(tmp_path / "nowhere.xyz")
    with pytest.raises(DataError, match=r"unknown format '.plyy', expected one of .*did you mean '.ply'"):
        read_clouds(write(tmp_path, "a.plyy", ""))


@pytest.mark.parametrize("pbc", ["pbc=F", "pbc=[F, F, F]", "pbc={F F F}", "pbc='F F F'", 'pbc = "F F F"', "pbc=0"])
def test_a_cell_without_periods_is_no_obstacle(tmp_path: Path, pbc: str) -> None:
    text = f'1\nLattice="9 0 0 0 9 0 0 0 9" {pbc} Properties=species:S:1:pos:R:3 time=1\nO 0 0 0\n'
    assert clouds(write(tmp_path, "box.xyz", text))[0].arrays["z"].tolist() == [8]
    periodic = text.replace(pbc, pbc[::-1].replace("F", "T", 1)[::-1]) if "F" in pbc else text.replace("pbc=0", "pbc=1")
    assert "it is periodic" in str(problems(write(tmp_path, "box.xyz", periodic)))


def test_xyz_in_the_spellings_of_other_programs(tmp_path: Path) -> None:
    text = "3\n\nCL 0 0 0 -0.8\nh 1 0 0 HW\nO 0 1 0\n"
    (cloud,) = clouds(write(tmp_path, "a.xyz", text))
    assert cloud.arrays["z"].tolist() == [17, 1, 8]
    assert cloud.arrays["pos"].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    declared = "1\nProperties=species:S:1:pos:R:3\nCL 0 0 0\n"
    assert clouds(write(tmp_path, "b.xyz", declared))[0].arrays["z"].tolist() == [17]


@pytest.mark.parametrize("value", [np.array([b"Chair", b"Lamp"]), np.array(["Chair", "Lamp"]), np.array([4.0, 8.0])])
def test_categories_may_be_bytes_or_whole_floats_beside_labels_of_points(tmp_path: Path, value: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", pos=np.zeros((2, 5, 3)), label=np.zeros((2, 5)), category=value)
    expected = ["Chair", "Lamp"] if value.dtype.kind != "f" else [4, 8]
    assert [cloud.label for cloud in clouds(tmp_path / "a.npz")] == expected


def test_the_npz_of_dimenet(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", R=np.arange(15.0).reshape(5, 3), Z=[8, 1, 1, 1, 1], N=[3, 2])
    assert [cloud.arrays["z"].tolist() for cloud in clouds(tmp_path / "a.npz")] == [[8, 1, 1], [1, 1]]
