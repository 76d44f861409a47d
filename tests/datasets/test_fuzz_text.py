"""Readers of text, meshes, motion and tables on damaged and hostile files: a result or a DataError, and little memory.

Warnings are errors in these tests, so that sums that overflow are found too.
"""

import io
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapidash._seed import seeded
from rapidash.datasets import qm7_dataset, qm9_dataset, shapenet_part_dataset
from rapidash.datasets._acclaim import read_amc, read_asf
from rapidash.datasets._meshes import Mesh, read_off, read_ply, sample_surface
from rapidash.datasets._reading import DataError
from rapidash.datasets._shapes import read_table
from rapidash.datasets._text import read_listing
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


def sampled(mesh: Mesh) -> None:
    with np.errstate(all="ignore"):  # of vertices near the largest number
        sample_surface(mesh, 5, seeded(0))


def off(path: Path) -> None:
    sampled(read_off(path))


def amc(path: Path) -> None:
    path.with_name("good.asf").write_bytes(ASF)
    read_amc(path, read_asf(path.with_name("good.asf")))


def qm9(path: Path) -> None:
    qm9_dataset("train", data_dir=path, on_error="skip", verify=False)


def qm9_folder(path: Path) -> None:
    for number in range(2, 11):
        path.with_name(f"dsgdb9nsd_{number:06d}.xyz").write_bytes(qm9_xyz(number))
    qm9_dataset("train", data_dir=path.parent, on_error="skip")


def qm9_beside(path: Path) -> None:
    for name, content in (("gdb9.sdf", qm9_sdf()), ("gdb9.sdf.csv", qm9_csv())):
        if path.name != name:
            path.with_name(name).write_bytes(content)
    qm9_dataset("train", data_dir=path.parent, on_error="skip")


def qm7(path: Path) -> None:
    for number in range(1, 11):
        path.with_name(f"{number:04d}.xyz").write_bytes(qm9_xyz(number))
    qm7_dataset("train", data_dir=path.parent, on_error="skip")


def shapenet(path: Path) -> None:
    folder = path.parent / "train_test_split"
    folder.mkdir(exist_ok=True)
    (folder / "shuffled_train_file_list.json").write_bytes(path.read_bytes())
    (path.parent / "03001627").mkdir(exist_ok=True)
    np.savetxt(path.parent / "03001627" / "a.txt", [[0, 0, 1, 12], [1, 0, 0, 13]])
    shapenet_part_dataset("train", data_dir=path.parent, on_error="skip")


READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "off": ("a.off", OFF, off),
    "off, free": ("a.off", FREE, partial(read_off, needs_faces=False)),
    "ply, text": ("a.ply", PLY, read_ply),
    "ply, little": ("a.ply", binary_ply("<", "binary_little_endian"), read_ply),
    "ply, big": ("a.ply", binary_ply(">", "binary_big_endian"), read_ply),
    "asf": ("a.asf", ASF, read_asf),
    "amc": ("a.amc", AMC, amc),
    "sdf": ("a.sdf", SDF * 2, lambda path: list(read_sdf(path))),
    "table": ("a.txt", b"# made up\n0.1,0.2,0.3\n0.4,0.5,0.6\n", partial(read_table, columns=3)),
    "listing": ("a.txt", b"data/a.h5\ndata/b.h5\n", read_listing),
    "qm9, xyz": ("dsgdb9nsd_000001.xyz", qm9_xyz(1), qm9_folder),
    "qm9, tar": ("dsgdb9nsd.tar.gz", qm9_tar(), qm9),
    "qm9, sdf": ("gdb9.sdf", qm9_sdf(), qm9_beside),
    "qm9, csv": ("gdb9.sdf.csv", qm9_csv(), qm9_beside),
    "qm9, left out": ("uncharacterized.txt", b"x\n3 C\n4 C\n", qm9_beside),
    "qm7": ("hof_qm7.txt", b"".join(b"%04d.xyz -417.0 -418.9\n" % n for n in range(1, 11)), qm7),
    "shapenet": ("a.json", b'["shape_data/03001627/a", "shape_data/03001627/b"]', shapenet),
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
    name, _, read = READERS[reader]
    (folder / name).write_bytes(content)
    try:
        read(folder / name)
    except DataError as error:
        assert str(error)  # noqa: PT017 (a change may also be another good file)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.filterwarnings("ignore:skipped:RuntimeWarning")
def test_the_file_that_is_changed_is_good(tmp_path: Path, reader: str) -> None:
    name, good, read = READERS[reader]
    (tmp_path / name).write_bytes(good)
    read(tmp_path / name)


def fuzz(folder: Path, reader: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, derandomize=True)
    @given(content=changed(READERS[reader][1]))
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
    content = READERS[reader][1].replace(old, old.replace(number, count.encode(), 1), 1)
    assert content != READERS[reader][1]
    tracemalloc.start()
    try:
        check(tmp_path, reader, content)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reader", [name for name in READERS if name not in ("qm9, tar", "shapenet")])
@pytest.mark.filterwarnings("ignore:skipped:RuntimeWarning")
def test_a_file_that_is_larger_than_the_memory_needs_little_of_it(tmp_path: Path, reader: str) -> None:
    name, good, read = READERS[reader]
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
