from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash._seed import seeded
from rapidash.datasets._meshes import Mesh, read_off, sample_surface
from rapidash.datasets._reading import DataError

SQUARE = "OFF\n# a square, as two triangles and once more as a polygon below\n4 2 0\n0 0 0\n2 0 0\n2 1 0\n0 1 0\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "toy.off"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "faces",
    ["3 0 1 2\n3 0 2 3\n", "3 0 1 2 255 0 0\n3 0 2 3 255 0 0\n"],
)
@pytest.mark.parametrize("header", ["OFF\n4 2 0\n", "OFF4 2 0\n", "OFF 4 2 0 # counts\n"])
def test_layouts_of_off(tmp_path: Path, faces: str, header: str) -> None:
    text = header + SQUARE.split("4 2 0\n")[1] + faces
    mesh = read_off(write(tmp_path, text))
    assert mesh.vertices.tolist() == [[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]]
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_polygons_are_cut_into_triangles(tmp_path: Path) -> None:
    mesh = read_off(write(tmp_path, SQUARE + "4 0 1 2 3\n3 0 1 2"))
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]


def test_colors_of_vertices_and_polygons_are_passed_over(tmp_path: Path) -> None:
    text = "\ufeffCOFF\n4 2 0\n\n0 0 0 255 0 0 1\n2 0 0 0 0 0 1\n2 1 0 0 0 0 1\n0 1 0 0 0 0 1\n"
    mesh = read_off(write(tmp_path, text + "4 0 1 2 3 255 0 0\n3 0 1 2 0.5 0.5 0.5\n"))
    assert mesh.vertices.tolist() == [[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]]
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("solid", "does not begin with 'OFF'"),
        ("", "does not begin with 'OFF'"),
        ("OFF\n4 0 0\n0 0 0\n2 0 0\n2 1 0\n0 1 0\n", "has no faces"),
        ("OFF\nx y z", "no numbers of vertices and faces after 'OFF', but 'x y z'"),
        ("OFF", "no numbers of vertices and faces"),
        ("OFF\n4 -4 0\n0 0 0\n2 0 0\n2 1 0\n0 1 0\n", "no numbers of vertices and faces after 'OFF', but '4 -4 0'"),
        ("OFF\n1 1 0\n0 0\n3 0 0 0\n", "a vertex that is not three numbers"),
        (SQUARE + "3 0 1 x\n3 0 1 2", "face 0 is not a list of whole numbers: '3 0 1 x'"),
        (SQUARE + "2 0 1\n3 0 1 2", "face 0: 2 vertices announced, 2 found, at least 3 needed"),
        ("OFF\n4 2 0\n0 0 0\n2 0 0\n", "announces 4 vertices and has 2: it is cut short"),
        (SQUARE + "3 0 1 2\n", "announces 2 faces and has 1: it is cut short"),
        (SQUARE + "3 0 1 2\n3 0 1", "face 1: 3 vertices announced, 2 found"),
        (SQUARE + "3 0 1 2\n3 0 1 4", "has a face with vertex 4, it has 4 vertices"),
        (SQUARE + "3 0 1 2\n3 0 1 -1", "has a face with vertex -1, it has 4 vertices"),
        (SQUARE + "3 0 1 2\n-1 0 1 2 3", "face 1: -1 vertices announced, 0 found, at least 3 needed"),
        (SQUARE + "3 0 1 2\n9999999999 0 1 2", "face 1: 9999999999 vertices announced, 3 found"),
        (SQUARE + "3 0 1 2\n3 0 1 9999999999999999999999", "face 1 is not a list of whole numbers"),
        (SQUARE + "3 0 1 2\n3 0 1 1_0", "face 1 is not a list of whole numbers: '3 0 1 1_0'"),
        (SQUARE + "3 0 1 2\n3 0 1 \u0662", "face 1 is not a list of whole numbers"),
        (SQUARE.replace("2 1 0", "2 0,5 0") + "3 0 1 2\n3 0 2 3", "a vertex that is not three numbers: .*'0,5'"),
        (SQUARE + "3 0 1 2\n3 0 2 3\n3 0 1 3", "goes on after the 2 faces that it announces"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n3 2 1 0\n", "goes on after the 1 faces that it announces"),
        ("OFF\n\u0663 1 0\n", "no numbers of vertices and faces"),
        ("OFF BINARY\n4 2 0\n", "is a binary OFF file, which is not read"),
        ("4OFF\n1 1 0\n0 0 0 0\n", r"vertices of other than 3 dimensions \(4OFF\), which are not read"),
        ("nOFF\n4\n1 1 0\n0 0 0 0\n", r"vertices of other than 3 dimensions \(nOFF\), which are not read"),
    ],
)
def test_bad_meshes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"toy\.off.*{message}"):
        read_off(write(tmp_path, text))


@pytest.mark.parametrize("note", ["in \u00c5, scanned", "\u5143\u7d20 1", "\u0445 2", "a\u2028b", "a\x0b\x0c\x1c b"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_letters_of_other_alphabets_end_no_line(tmp_path: Path, note: str, end: str) -> None:
    text = SQUARE.replace("OFF\n", f"OFF\n# {note}\n") + "4 0 1 2 3\n3 0 1 2\n"
    (tmp_path / "toy.off").write_bytes(text.replace("\n", end).encode())
    assert read_off(tmp_path / "toy.off").triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]


@pytest.mark.parametrize(
    "text",
    [
        "OFF\n4 4 0\n0 0 0 1 0 0\n0 1 0 0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n",
        "OFF\n4 4\n0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n",
        "OFF\n4 4\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n",
        "OFF\n4\n4 0\n0\n0 0 1 0\n0 0 1 0 0 0 1 3 0\n1 2\n3 0 1 3 # a face\n3 0 2 3 255 0 0\n3 1 2 3\n",
        "OFF 4 4 0 0 0 0 1 0 0 0 1 0 0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n",
        "OFF 4 4 0 0 0 0 1 0 0 0 1 0 0 0 1 3 0 1 2 3 0 1 3 3 0 2 3 3 1 2 3",
        "COFF 4 4 0\n0 0 0 1 1 1 1 1 0 0 1 1 1 1\n0 1 0 1 1 1 1 0 0 1\n1 1 1 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n",
    ],
)
def test_numbers_follow_each_other_freely(tmp_path: Path, text: str) -> None:
    mesh = read_off(write(tmp_path, text))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]


def test_faces_keep_their_order_and_what_is_not_convex_its_area(tmp_path: Path) -> None:
    text = "OFF\n5 3 0\n0 0 0\n2 0 0\n2 2 0\n1 0.5 0\n0 2 0\n3 0 1 2\n5 0 1 2 3 4\n4 0 1 2 4\n"
    mesh = read_off(write(tmp_path, text))
    assert mesh.triangles.shape == (6, 3)
    assert mesh.triangles[[0, 4, 5]].tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 4]]
    a, b, c = np.moveaxis(mesh.vertices[mesh.triangles[1:4]], 1, 0)
    assert np.cross(b - a, c - a)[:, 2].sum() / 2 == 2.5
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_points_are_uniform_on_the_surface() -> None:
    # A triangle of area 1/2 in the plane z = 0 and one of area 3/2 in the plane x = 5.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [5, 3, 0], [5, 0, 1.0]])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]]))
    points, normals = sample_surface(mesh, 4000, seeded(0))
    first = points[:, 0] < 2
    assert abs(first.mean() - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert np.abs(points[first].mean(0) - [1 / 3, 1 / 3, 0]).max() < 0.03
    assert (points[first, :2] >= 0).all()
    assert (points[first].sum(1) <= 1 + 1e-12).all()
    np.testing.assert_allclose(normals[first], np.broadcast_to([0, 0, 1.0], (first.sum(), 3)))
    np.testing.assert_allclose(normals[~first], np.broadcast_to([1.0, 0, 0], ((~first).sum(), 3)))
    again, _ = sample_surface(mesh, 4000, seeded(0))
    assert np.array_equal(points, again)
    with pytest.raises(DataError, match="no area"):
        sample_surface(Mesh(vertices * 0, mesh.triangles), 5, torch.Generator())
