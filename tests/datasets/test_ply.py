"""PLY files as programs write them: text and binary, lists of any length, elements in any order."""

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets import DataError, FileCloud, read_clouds
from rapidash.datasets._meshes import read_ply

KINDS = ["ascii", "binary_little_endian", "binary_big_endian"]
Row = tuple[float | list[float], ...]
VERTEX = ("float x", "float y", "float z")
CORNERS: list[Row] = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1)]
FACE = ("list uchar int vertex_indices",)


def ply(kind: str, *elements: tuple[str, tuple[str, ...], list[Row]]) -> bytes:
    """A file of elements (name, types and names of the properties, rows), written here independently of the reader."""
    head, body = f"ply\nformat {kind} 1.0\ncomment made by hand\n", b""
    codes = {"uchar": "B", "int": "i", "float": "f", "double": "d"}
    for name, properties, rows in elements:
        head += f"element {name} {len(rows)}\n" + "".join(f"property {entry}\n" for entry in properties)
        for row in rows:
            for entry, value in zip(properties, row, strict=True):
                words = entry.split()
                values = value if isinstance(value, list) else [value]
                numbers = [(words[1], len(values))] if words[0] == "list" else []
                numbers += [(words[-2], number) for number in values]
                if kind == "ascii":
                    body += " ".join(f"{number:g}" for _, number in numbers).encode() + b" "
                else:
                    order = "<" if "little" in kind else ">"
                    body += b"".join(
                        struct.pack(order + codes[code], number if code in ("float", "double") else int(number))
                        for code, number in numbers
                    )
            body += b"\n" if kind == "ascii" else b""
    return head.encode() + b"end_header\n" + body


def written(folder: Path, content: bytes) -> Path:
    (folder / "file.ply").write_bytes(content)
    return folder / "file.ply"


@pytest.mark.parametrize("kind", KINDS)
def test_triangles_and_larger_polygons_together(tmp_path: Path, kind: str) -> None:
    faces: list[Row] = [([0, 1, 2, 3],), ([2, 3, 4],), ([0, 1, 2, 3, 4],)]
    mesh = read_ply(written(tmp_path, ply(kind, ("vertex", VERTEX, CORNERS), ("face", FACE, faces))))
    np.testing.assert_array_equal(mesh.vertices, np.array(CORNERS))
    expected = [[2, 3, 4], [0, 1, 2], [0, 2, 3], [0, 1, 2], [0, 2, 3], [0, 3, 4]]
    assert sorted(mesh.triangles.tolist()) == sorted(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_polygons_that_are_not_convex_keep_their_area(tmp_path: Path, kind: str) -> None:
    corners: list[Row] = [(0, 0, 0), (2, 0, 0), (2, 2, 0), (1, 0.5, 0), (0, 2, 0)]
    faces: list[Row] = [([0, 1, 2, 3, 4],), ([0, 1, 2],)]
    mesh = read_ply(written(tmp_path, ply(kind, ("vertex", VERTEX, corners), ("face", FACE, faces))))
    a, b, c = np.moveaxis(mesh.vertices[mesh.triangles], 1, 0)
    area = np.cross(b - a, c - a)[:, 2] / 2
    assert (area > 0).all()
    assert area.sum() == 2.5 + 2  # worked out by hand: the square without the notch of 3 / 2; half of the square


@pytest.mark.parametrize("kind", KINDS)
def test_other_elements_and_lists_are_passed_over(tmp_path: Path, kind: str) -> None:
    face = ("uchar flags", *FACE, "list uchar float texcoord")
    faces: list[Row] = [(7, [0, 1, 2], [0, 0, 1, 0, 0, 1]), (7, [0, 1, 3], [0.5, 0, 1, 0, 0, 1])]
    edges: list[Row] = [(0, 1), (1, 2), (2, 0)]
    cameras: list[Row] = [([1, 2, 3],), ([],)]
    content = ply(
        kind,
        ("camera", ("list int double view",), cameras),
        ("face", face, faces),
        ("vertex", VERTEX, CORNERS),
        ("edge", ("int vertex1", "int vertex2"), edges),
    )
    mesh = read_ply(written(tmp_path, content))
    np.testing.assert_array_equal(mesh.vertices, np.array(CORNERS))  # in the order of the file, none twice
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 1, 3]]


@pytest.mark.parametrize("kind", KINDS)
def test_strips_keep_their_sides(tmp_path: Path, kind: str) -> None:
    """A band of triangles in the plane z = 0, all of whose normals point the same way."""
    corners: list[Row] = [(k // 2, k % 2, 0) for k in range(6)]
    strips: list[Row] = [([0, 2, 1, 3, -1, 2, 4, 3, 5],)]
    strip = ("list int int vertex_indices",)
    mesh = read_ply(written(tmp_path, ply(kind, ("vertex", VERTEX, corners), ("tristrips", strip, strips))))
    assert mesh.triangles.shape == (4, 3)
    a, b, c = np.moveaxis(mesh.vertices[mesh.triangles], 1, 0)
    assert (np.cross(b - a, c - a)[:, 2] == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_the_vertices_of_a_ply_are_taken_along(tmp_path: Path, kind: str) -> None:
    names = ("x", "y", "z", "nx", "ny", "nz", "vx", "vy", "charge")
    rows = np.random.default_rng(0).normal(size=(4, len(names))).astype(np.float32)
    header = f"ply\nformat {kind} 1.0\nelement vertex 4\n" + "".join(f"property float {name}\n" for name in names)
    header += "property uchar red\nend_header\n"
    if kind == "ascii":
        body = "".join(" ".join(map(repr, row)) + " 7\n" for row in rows.tolist()).encode()
    else:
        order = "<" if "little" in kind else ">"
        body = b"".join(row.astype(f"{order}f4").tobytes() + b"\x07" for row in rows)
    ((_, cloud),) = read_clouds(written(tmp_path, header.encode() + body))
    assert isinstance(cloud, FileCloud)
    assert set(cloud.arrays) == {"pos", "normal", "vx", "vy", "charge", "red"}  # two components are no vector
    np.testing.assert_array_equal(cloud.arrays["pos"], rows[:, :3])
    np.testing.assert_array_equal(cloud.arrays["normal"], rows[:, 3:6])
    np.testing.assert_array_equal(cloud.arrays["charge"], rows[:, 8:])
    assert (cloud.arrays["red"] == 7).all()


@pytest.mark.parametrize("binary", [False, True])
def test_what_another_library_writes(tmp_path: Path, binary: bool) -> None:
    trimesh = pytest.importorskip("trimesh")
    box = trimesh.creation.icosphere(subdivisions=1)
    content = box.export(file_type="ply", encoding="binary" if binary else "ascii", vertex_normal=True)
    mesh = read_ply(written(tmp_path, content))
    np.testing.assert_allclose(mesh.vertices, box.vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.triangles, box.faces)
    np.testing.assert_allclose(mesh.properties["normal"], box.vertex_normals, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told(tmp_path: Path, kind: str) -> None:
    faces: list[Row] = [([0, 1, 2],), ([0, 1, 2, 3],)]
    whole = ply(kind, ("vertex", VERTEX, CORNERS), ("face", FACE, faces))
    negative: list[Row] = [([0, 1, -1],)]
    two: list[Row] = [([0, 1],)]
    for content, message in (
        (whole[:-6], r"announces 2 of 'face' and has fewer: cut short"),
        (whole.replace(b"vertex 5", b"vertex 50"), "cut short|damaged"),
        (whole + b"7 7", "goes on after all that its header announces"),
        (whole.replace(b"1.0", b"1.0", 1).replace(b"format", b"formal"), "says no format|header is damaged"),
        (
            whole.replace(b"float x", b"half x"),
            "its header is damaged, or of another version of ply, in 'property half x'",
        ),
        (ply(kind, ("vertex", VERTEX, [])), "has no vertices"),
        (ply(kind, ("vertex", VERTEX, CORNERS), ("face", FACE, negative)), "a face with vertex -1, it has 5 vertices"),
        (ply(kind, ("vertex", VERTEX, CORNERS), ("face", FACE, two)), "face 0 has 2 vertices, at least 3 needed"),
        (ply(kind, ("vertex", (*VERTEX, "float x"), [(0, 0, 0, 1)])), "its header declares 'x' twice"),
        (ply(kind, *[("vertex", VERTEX, CORNERS)] * 2), "its header declares 'vertex' twice"),
        (whole.replace(b" 1.0\n", b" 2.0\n", 1), "of another version of ply, in 'format .* 2.0'"),
        (ply(kind, ("point", VERTEX, CORNERS)), "its vertices have no 'x', expected x, y and z; it has none"),
    ):
        with pytest.raises(DataError, match=rf"file\.ply.*({message})"):
            read_ply(written(tmp_path, content))


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_read_than_the_header_announces(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, ply(kind, ("vertex", VERTEX, CORNERS)))
    with path.open("r+b") as file:
        file.truncate(1 << 36)  # sparse: it needs no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"goes on after all that its header announces|no text file"):
            read_ply(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_as_on_any_system(tmp_path: Path, end: bytes) -> None:
    whole = ply("ascii", ("vertex", VERTEX, CORNERS), ("face", FACE, [([0, 1, 2],)]))
    whole = whole.replace(b"made by hand", "\u0445 element, \u2028 property".encode())
    assert read_ply(written(tmp_path, whole.replace(b"\n", end))).triangles.tolist() == [[0, 1, 2]]


def test_a_comment_may_speak_of_the_end_of_the_header(tmp_path: Path) -> None:
    whole = ply("ascii", ("vertex", VERTEX, CORNERS)).replace(b"made by hand", b"no end_header here")
    for content in (whole, whole.replace(b"\n", b"\r\n")):
        assert read_ply(written(tmp_path, content)).vertices.tolist() == [list(corner) for corner in CORNERS]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"3 0 1 2", b"inf 0 1 2", "'face': a list 'vertex_indices' of inf numbers: it is damaged"),
        (b"3 0 1 2", b"3.5 0 1 2", "'face': a list 'vertex_indices' of 3.5 numbers"),
        (b"3 0 1 2", b"3 0 1 inf", "a vertex of 'face' is not a whole number"),
        (b"3 0 1 2", b"3 0 1 nan", "a vertex of 'face' is not a whole number"),
    ],
)
def test_infinite_and_broken_counts_are_told(tmp_path: Path, before: bytes, after: bytes, message: str) -> None:
    whole = ply("ascii", ("vertex", VERTEX, CORNERS), ("face", FACE, [([0, 1, 2],)]))
    with pytest.raises(DataError, match=message):
        read_ply(written(tmp_path, whole.replace(before, after)))


def test_text_that_is_no_number_is_told(tmp_path: Path) -> None:
    whole = ply("ascii", ("vertex", VERTEX, CORNERS), ("face", FACE, [([0, 1, 2],)]))
    with pytest.raises(DataError, match=r"file\.ply, 'vertex': could not convert .*: it is damaged"):
        read_ply(written(tmp_path, whole.replace(b"1 1 0", b"1 one 0")))
    with pytest.raises(DataError, match=r"a vertex of 'face' is not a whole number"):
        read_ply(written(tmp_path, whole.replace(b"3 0 1 2", b"3 0 1.5 2")))


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_are_an_error_that_names_the_file_or_other_numbers(tmp_path: Path, kind: str) -> None:
    faces: list[Row] = [([0, 1, 2],), ([0, 1, 2, 3],)]
    whole = ply(kind, ("vertex", VERTEX, CORNERS), ("face", FACE, faces))
    rng = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), 2):
            content[place] = rng.integers(0, 256)
        try:
            read_ply(written(tmp_path, bytes(content)))
        except DataError as error:
            assert "file.ply" in str(error)  # noqa: PT017 (most changes are told, some are other numbers)
