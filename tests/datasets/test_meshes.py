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
    ],
)
def test_bad_meshes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"toy\.off.*{message}"):
        read_off(write(tmp_path, text))


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
