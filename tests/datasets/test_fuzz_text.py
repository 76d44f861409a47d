"""Readers of text, meshes, motion and tables on damaged and hostile files: a result or a DataError, and little memory.

A result is compared with what stands in the file by another route: no number in it is made up, whatever the damage,
corners are vertices, bones keep their lengths. Warnings are errors in these tests, so that sums that overflow are found
too.
"""

import io
import re
import struct
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rapidash._seed import seeded
from rapidash.datasets import qm7_dataset, qm9_dataset, shapenet_part_dataset
from rapidash.datasets._acclaim import read_amc, read_asf
from rapidash.datasets._meshes import Mesh, read_off, read_ply, sample_surface
from rapidash.datasets._reading import DataError
from rapidash.datasets._shapes import read_table
from rapidash.datasets._text import is_number, read_listing
from rapidash.datasets._xyz import read_sdf

OFF = b"COFF # made up\n5 3 0\n0 0 0 1 1 1 1\n2 0 0 1 1 1 1\n2 2 0 1 1 1 1\n1 0.5 0 1 1 1 1\n0 2 0 1 1 1 1\n"
OFF += b"5 0 1 2 3 4\n3 0 1 2 255 0 0\n4 0 1 3 4\n"
FREE = b"OFF 4 4 0 0 0 0 1 0 0\n0 1 0 0 0 1\n3 0\n1 2\n3 0 1 3\n3 0 2 3 0.5 1 1 1\n3 1 2 3\n"
HEADER = "ply\nformat {} 1.0\ncomment made up\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
HEADER += "property uchar red\nelement face 2\nproperty list uchar int vertex_indices\nelement tristrips 1\n"
HEADER += "property list int int vertex_indices\nend_header\n"
PLY = HEADER.format("ascii").encode() + b"0 0 0 1\n1 0 0 1\n1 1 0 1\n0 1 0 1\n3 0 1 2\n4 0 1 2 3\n5 0 1 2 -1 3\n"
ASF = b""":version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -1 0
     length 2
     axis 0 10 0   XYZ
     dof rx ry rz
     limits (-160.0 20.0)
  end
  begin
     id 2
     name shin
     direction 0 -1 0
     length 3
     axis 0 90 0   XYZ
     dof rx
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
AMC = b":DEGREES\n1\nroot 1 2 3 0 0 0\nthigh 0 0 0\nshin 0\n2\nroot 0 0 0 0 0 90\nthigh 90 0 0\nshin 9\n"
SDF = b"""gdb_1
  made up          3D

  2  1  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1173 O   0  0  0  0
    0.0000    0.7572   -0.4692 H   0  0
  1  2  1  0
M  END
> <energy>
-76.4

$$$$
"""
ATOMS = [
    ("C", 0.0, 1.1, 0.0),
    ("H", 0.0, 0.0, 0.0),
    ("H", 1.0, 1.5, 0.0),
    ("H", -0.5, 1.4, -0.9),
    ("H", -0.5, 1.4, 0.9),
]
METHANE = (
    "157.7 157.7 157.7 0.0 13.2 -0.3877 0.1171 0.5048 35.3641 0.044749 -40.47893 -40.476062 -40.475117 -40.498597 6.469"
)
COLUMNS = "A B C mu alpha homo lumo gap r2 zpve u0 u298 h298 g298 cv"


def binary_ply(order: str, name: str) -> bytes:
    vertices = b"".join(struct.pack(f"{order}fffB", k // 2, k % 2, 0, 1) for k in range(4))
    faces = struct.pack(f"{order}B3i", 3, 0, 1, 2) + struct.pack(f"{order}B4i", 4, 0, 1, 2, 3)
    return HEADER.format(name).encode() + vertices + faces + struct.pack(f"{order}6i", 5, 0, 1, 2, -1, 3)


def qm9_xyz(number: int) -> bytes:
    atoms = "\n".join("\t".join([*map(str, atom), "1.5*^-1"]) for atom in ATOMS)
    return f"5\ngdb {number}\t{METHANE}\n{atoms}\n1341.3\t1341.3\nC\tC\nInChI=1S\tInChI=1S\n".encode()


def qm9_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for number in range(1, 4):
            info = tarfile.TarInfo(f"dsgdb9nsd_{number:06d}.xyz")
            info.size = len(qm9_xyz(number))
            archive.addfile(info, io.BytesIO(qm9_xyz(number)))
    return file.getvalue()


def qm9_sdf() -> bytes:
    atoms = "".join(f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:3s} 0  0\n" for symbol, x, y, z in ATOMS)
    return "".join(f"gdb_{n}\n\n\n  5  0  0     0  0\n{atoms}M  END\n$$$$\n" for n in range(1, 11)).encode()


def qm9_csv() -> bytes:
    rows = [f"gdb_{n},{METHANE.replace(' ', ',')}" for n in range(1, 11)]
    return "\n".join([f"mol_id,{COLUMNS.replace(' ', ',')}", *rows, ""]).encode()


Values = np.ndarray[Any, Any]


def names(content: bytes) -> Values:
    """The words of a text, whatever its encoding."""
    return np.array([*content.decode("utf-8", "replace").split(), *content.decode("latin1").split()])


def numbers(words: Iterable[str]) -> Values:
    """Those among the words that Python takes for a number, 1_0 for ten too."""
    return np.array([float(word) for word in words if is_number(word)])


def tokens(content: bytes) -> Values:
    """The numbers of a text, between white space or commas; an exponent may be written as Mathematica does."""
    return numbers(part for word in names(content) for part in word.replace("*^", "e").split(","))


def columns(content: bytes) -> Values:
    """The numbers in the three columns of ten characters with which the lines of an atom begin."""
    lines = re.split(r"\r\n|\r|\n", content.decode("latin1"))
    return numbers(line[start : start + 10] for line in lines for start in (0, 10, 20))


def floats(content: bytes) -> Values:
    """Four bytes at any place as a number, in both orders."""
    found = [struct.unpack_from(f"{order}f", content, at) for at in range(len(content) - 3) for order in "<>"]
    return np.array(found, dtype=np.float32).flatten()


def atoms(content: bytes) -> Values:
    """The numbers of a text, and those of the good files beside it."""
    return np.concatenate([tokens(content), tokens(qm9_xyz(1))])


def made_up(found: Values, known: Values) -> Values:
    """The values of a result that the file does not have; numbers in float32, as data sets are, NaN as any other."""
    if found.dtype.kind == "f":
        with np.errstate(over="ignore"):
            found, known = found.astype(np.float32).flatten(), known.astype(np.float32).flatten()
    is_nan = found != found
    return found[~np.isin(found, known) & ~(is_nan & bool((known != known).any()))]


def vertices(mesh: Mesh) -> Values:
    """Those of a mesh, whose corners are some of them."""
    assert mesh.triangles.shape[1:] == (3,)
    assert ((mesh.triangles >= 0) & (mesh.triangles < len(mesh.vertices))).all()
    return mesh.vertices


def off(path: Path) -> Values:
    mesh = read_off(path)
    found = vertices(mesh)
    with np.errstate(all="ignore"):  # of vertices near the largest number
        points, normals = sample_surface(mesh, 5, seeded(0))
        corners = found[mesh.triangles.flatten()]
        slack = 1e-9 * np.abs(corners).max()
        if slack < 1e90:
            assert ((points >= corners.min(axis=0) - slack) & (points <= corners.max(axis=0) + slack)).all()
            np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-6)
    return found


def asf(path: Path) -> Values:
    """Where the root begins, and the unit of length; frames of bones are rotations."""
    skeleton = read_asf(path)
    for bone in skeleton.bones.values():
        np.testing.assert_allclose(bone.frame @ bone.frame.T, np.eye(3), atol=1e-9)
    return np.array([*skeleton.root_position, skeleton.length])


def amc(path: Path) -> Values:
    """Where the root is; bones are as long as the skeleton says, 2 and 3, however they are turned."""
    path.with_name("good.asf").write_bytes(ASF)
    joints = read_amc(path, read_asf(path.with_name("good.asf")))
    slack = 1e-9 + 1e-12 * np.abs(joints).max()
    if slack < 1e90:
        lengths = np.linalg.norm(np.diff(joints, axis=1), axis=2)
        assert (np.abs(lengths - [2.0, 3.0]) < slack).all()
    return joints[:, 0]


def sdf(path: Path) -> Values:
    entries = (entry for _, entry in read_sdf(path))
    return np.concatenate([np.zeros((0, 3)), *(one.pos for one in entries if not isinstance(one, DataError))])


def positions(data: Any) -> Values:
    """Those of a data set, all finite."""
    pos: torch.Tensor = data.tensors["pos"]
    assert bool(pos.isfinite().all())
    return pos.numpy()


def qm9(path: Path) -> Values:
    return positions(qm9_dataset("train", data_dir=path, on_error="skip", verify=False))


def qm9_folder(path: Path) -> Values:
    for number in range(2, 11):
        path.with_name(f"dsgdb9nsd_{number:06d}.xyz").write_bytes(qm9_xyz(number))
    return positions(qm9_dataset("train", data_dir=path.parent, on_error="skip"))


def qm9_beside(path: Path) -> Values:
    for name, content in (("gdb9.sdf", qm9_sdf()), ("gdb9.sdf.csv", qm9_csv())):
        if path.name != name:
            path.with_name(name).write_bytes(content)
    return positions(qm9_dataset("train", data_dir=path.parent, on_error="skip"))


def qm7(path: Path) -> Values:
    for number in range(1, 11):
        path.with_name(f"{number:04d}.xyz").write_bytes(qm9_xyz(number))
    return positions(qm7_dataset("train", data_dir=path.parent, on_error="skip"))


def shapenet(path: Path) -> Values:
    folder = path.parent / "train_test_split"
    folder.mkdir(exist_ok=True)
    (folder / "shuffled_train_file_list.json").write_bytes(path.read_bytes())
    (path.parent / "03001627").mkdir(exist_ok=True)
    np.savetxt(path.parent / "03001627" / "a.txt", [[0, 0, 1, 12], [1, 0, 0, 13]])
    return positions(shapenet_part_dataset("train", data_dir=path.parent, on_error="skip"))


class Reader(NamedTuple):
    """A file by its name with good content, how it is read, the values it must hold, and how many a good one has."""

    name: str
    good: bytes
    read: Callable[[Path], Values]
    known: Callable[[bytes], Values]
    size: int


READERS: dict[str, Reader] = {
    "off": Reader("a.off", OFF, off, tokens, 15),
    "off, free": Reader("a.off", FREE, lambda path: vertices(read_off(path, needs_faces=False)), tokens, 12),
    "ply, text": Reader("a.ply", PLY, lambda path: vertices(read_ply(path)), tokens, 12),
    "ply, little": Reader(
        "a.ply", binary_ply("<", "binary_little_endian"), lambda path: vertices(read_ply(path)), floats, 12
    ),
    "ply, big": Reader(
        "a.ply", binary_ply(">", "binary_big_endian"), lambda path: vertices(read_ply(path)), floats, 12
    ),
    "asf": Reader("a.asf", ASF, asf, tokens, 4),
    "amc": Reader("a.amc", AMC, amc, tokens, 6),
    "sdf": Reader("a.sdf", SDF * 2, sdf, columns, 12),
    "table": Reader("a.txt", b"# made up\n0.1,0.2,0.3\n0.4,0.5,0.6\n", partial(read_table, columns=3), tokens, 6),
    "listing": Reader("a.txt", b"data/a.h5\ndata/b.h5\n", lambda path: np.array(read_listing(path)), names, 2),
    "qm9, xyz": Reader("dsgdb9nsd_000001.xyz", qm9_xyz(1), qm9_folder, atoms, 120),
    "qm9, tar": Reader("dsgdb9nsd.tar.gz", qm9_tar(), qm9, lambda _: atoms(b""), 30),
    "qm9, sdf": Reader("gdb9.sdf", qm9_sdf(), qm9_beside, columns, 120),
    "qm9, csv": Reader("gdb9.sdf.csv", qm9_csv(), qm9_beside, lambda _: atoms(b""), 120),
    "qm9, left out": Reader("uncharacterized.txt", b"x\n3 C\n4 C\n", qm9_beside, lambda _: atoms(b""), 90),
    "qm7": Reader(
        "hof_qm7.txt", b"".join(b"%04d.xyz -417.0 -418.9\n" % n for n in range(1, 11)), qm7, lambda _: atoms(b""), 120
    ),
    "shapenet": Reader(
        "a.json",
        b'["shape_data/03001627/a", "shape_data/03001627/b"]',
        shapenet,
        lambda _: np.array([0.5, -0.5, 0.0]) * 2**0.5,
        6,
    ),
}
HOSTILE = ["-1", "0", "3", "2147483648", "99999999999999999999", "9" * 5000, "1e999", "-1e308", "nan", "0,5", "1_0"]
HOSTILE += [
    "\u00b2",
    "\u0663",
    "\u0445",
    "\u2028",
    "\x85",
    "\x0c",
    "\r",
    "\n",
    "\0",
    "#",
    "$$$$",
    '"',
    "[" * 3000,
    "=",
    "",
]


def changed(good: bytes) -> st.SearchStrategy[bytes]:
    """Truncations, other bytes and other words in a good file, and bytes that are no file at all."""
    place = st.integers(0, len(good) - 1)
    words = good.split(b" ")

    def other_bytes(edits: list[tuple[int, int]]) -> bytes:
        content = bytearray(good)
        for at, byte in edits:
            content[at] = byte
        return bytes(content)

    def other_words(edits: list[tuple[int, str]]) -> bytes:
        given = list(words)
        for at, word in edits:
            given[at] = word.encode()
        return b" ".join(given)

    word = st.tuples(st.integers(0, len(words) - 1), st.sampled_from(HOSTILE))
    return st.one_of(
        place.map(lambda end: good[:end]),
        st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=3).map(other_bytes),
        st.lists(word, min_size=1, max_size=3).map(other_words),
        st.tuples(place, st.sampled_from(HOSTILE)).map(lambda new: good[: new[0]] + new[1].encode() + good[new[0] :]),
        st.binary(max_size=60).map(lambda tail: good[:8] + tail),
        st.binary(max_size=60),
    )


def check(folder: Path, reader: str, content: bytes) -> None:
    """An error that says something, or values that stand in the file."""
    name, _, read, known, _ = READERS[reader]
    (folder / name).write_bytes(content)
    try:
        found = read(folder / name)
    except DataError as error:
        assert str(error)  # noqa: PT017 (a change may also be another good file)
    else:
        assert not len(made_up(found, known(content)))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.filterwarnings("ignore:skipped:RuntimeWarning")
def test_the_file_that_is_changed_is_good(tmp_path: Path, reader: str) -> None:
    """It has as many values as were written, and no other."""
    name, good, read, known, size = READERS[reader]
    (tmp_path / name).write_bytes(good)
    found = read(tmp_path / name)
    assert found.size == size
    assert not len(made_up(found, known(good)))


def test_a_value_that_no_file_has_is_made_up() -> None:
    """By hand: the check is seen to fail."""
    content = b"0.5, 1e999 x1 2_0 nan\n"
    nan = float("nan")
    assert made_up(np.array([[0.5, 1.0], [20.0, np.inf]]), tokens(content)).tolist() == [1.0]
    assert made_up(np.array([nan]), tokens(b"0.5")).size == 1
    assert made_up(np.array([nan, 0.5]), tokens(content)).size == 0
    assert made_up(np.array(["x1", "y"]), names(content)).tolist() == ["y"]
    assert made_up(np.array([1.0, 2.0]), floats(b"?" + struct.pack(">f", 2.0))).tolist() == [1.0]
    assert made_up(np.array([0.5, 0.25]), columns(b"       0.5      0.75")).tolist() == [0.25]


def fuzz(folder: Path, reader: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, derandomize=True)
    @given(content=changed(READERS[reader].good))
    def run(content: bytes) -> None:
        check(folder, reader, content)

    run()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.filterwarnings("ignore:skipped:RuntimeWarning")
def test_a_damaged_file_is_an_error_that_says_so_or_another_file(tmp_path: Path, reader: str) -> None:
    fuzz(tmp_path, reader, 40)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.filterwarnings("ignore:skipped:RuntimeWarning")
def test_many_damaged_files(tmp_path: Path, reader: str) -> None:
    fuzz(tmp_path, reader, 3000)


def test_a_coordinate_beyond_all_numbers_is_one_molecule_less(tmp_path: Path) -> None:
    """And no warning of NumPy about the distances of its atoms, two of which are as far away as the other."""
    far = qm9_xyz(1).replace(b"1.5\t", b"9" * 400 + b"\t").replace(b"1.1\t", b"9" * 400 + b"\t")
    (tmp_path / "dsgdb9nsd_000001.xyz").write_bytes(far)
    with pytest.warns(RuntimeWarning, match=r"skipped 1 .*its positions are not finite"):
        found = qm9_folder(tmp_path / "dsgdb9nsd_000001.xyz")
    assert found.shape == (8 * 5 - 5, 3)


HUGE = ["2147483648", "1000000000000", "9223372036854775807", "99999999999999999999", "9" * 5000]


@pytest.mark.parametrize("count", HUGE)
@pytest.mark.parametrize(
    ("reader", "old"),
    [
        ("off", b"5 3 0"),
        ("off", b"5 0 1"),
        ("off", b"0 1 3 4"),
        ("off, free", b"4 4 0"),
        ("off, free", b"3 0\n"),
        ("ply, text", b"vertex 4"),
        ("ply, text", b"face 2"),
        ("ply, text", b"\n3 0"),
        ("ply, little", b"vertex 4"),
        ("ply, big", b"face 2"),
        ("amc", b"2\nroot"),
        ("sdf", b"  2  1"),
        ("qm9, xyz", b"5\ngdb"),
        ("qm9, left out", b"3 C"),
    ],
)
@pytest.mark.filterwarnings("ignore:skipped:RuntimeWarning")
def test_a_huge_count_needs_no_memory(tmp_path: Path, reader: str, old: bytes, count: str) -> None:
    number = next(word for word in old.split() if word.isdigit())
    content = READERS[reader].good.replace(old, old.replace(number, count.encode(), 1), 1)
    assert content != READERS[reader].good
    tracemalloc.start()
    try:
        check(tmp_path, reader, content)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reader", [name for name in READERS if name not in ("qm9, tar", "shapenet")])
@pytest.mark.filterwarnings("ignore:skipped:RuntimeWarning")
def test_a_file_that_is_larger_than_the_memory_needs_little_of_it(tmp_path: Path, reader: str) -> None:
    name, good, read, _, _ = READERS[reader]
    with (tmp_path / name).open("wb") as file:
        file.write(good)
        file.truncate(1 << 36)  # sparse: it needs no room on the disk
    tracemalloc.start()
    try:
        if reader == "qm9, xyz":  # a bad molecule, left out
            read(tmp_path / name)
        else:
            with pytest.raises(DataError):
                read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
