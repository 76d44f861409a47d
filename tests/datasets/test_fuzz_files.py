"""Files of users at random: every reader gives a result or a DataError, and takes little memory for a small file."""

import io
import pickle
import resource
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapidash.datasets import DataError, md_dataset, qm7_dataset, qm9_dataset, read_clouds
from rapidash.datasets._cloud_files import as_entries
from rapidash.datasets._h5 import read_h5
from rapidash.datasets._npz import NpzArrays
from rapidash.datasets._safe_pickle import load_plain_pickle
from rapidash.datasets._xyz import parse_xyz, read_sdf

WATER = b"3\nwater\nO 0 0 0\nH 1 0 0\nH 0 1 0\n"
XYZ = b'2\nProperties=species:S:1:pos:R:3:q:I:1 pbc="F F F"\nH 0 0 0 1\nO 0 0 0.9 2\n' + WATER
SDF = b"gdb_1\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0000    0.0000    0.0000 H   0  0\nM  END\n$$$$\n"


def npz(compress: bool = True, **arrays: object) -> bytes:
    file = io.BytesIO()
    save = np.savez_compressed if compress else np.savez
    save(file, **{name: np.asarray(array) for name, array in arrays.items()})
    return file.getvalue()


def h5() -> bytes:
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        made["data"] = np.arange(12.0).reshape(2, 2, 3)
        made.create_dataset("label", data=np.arange(2), compression="gzip")
    return file.getvalue()


def consume(path: Path) -> None:
    """All that is in the clouds of a file; a bad one has its error."""
    for _, found in read_clouds(path):
        if not isinstance(found, DataError):
            assert found.arrays["pos"].dtype.kind in "fiu"


MD = {
    "z": [8, 1],
    "R": np.ones((3, 2, 3)) * np.array([[0.0], [1.0]]),
    "E": [-2080.0, -2081, -2079],
    "F": np.zeros((3, 2, 3)),
}
MP2 = {
    "gdb_index": [1, 2],
    "n_atoms": [2, 2],
    "z": [1, 1, 1, 1],
    "pos": np.eye(4, 3),
    "homo_ev": [-9.0, -8],
    "lumo_ev": [1.0, 2],
}
QM9 = {"R": np.eye(4, 3), "Z": [6, 8, 6, 8], "N": [2, 2], "id": [1, 2], "U0": [-3080.0, -3081]}
QM7 = {"n_atoms": [2, 2], "z": [6, 8, 6, 8], "pos": np.eye(4, 3), "atomization_pbe0_kcal": [-260.0, -262]}
QM7["split"] = [0, 0]
BY_NAME = {"verify": False}

READERS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], object]]] = {
    "xyz": ("a.xyz", lambda: XYZ, consume),
    "xyz of one": ("a.xyz", lambda: WATER, lambda path: parse_xyz(path.read_bytes().decode("latin1"))),
    "sdf": ("a.sdf", lambda: SDF, lambda path: list(read_sdf(path))),
    "npz": ("a.npz", lambda: npz(pos=np.ones((2, 3, 3)), z=np.ones((2, 3)), num_points=[3, 2]), consume),
    "npz stored": ("a.npz", lambda: npz(False, pos=np.ones((3, 3)), num_points=[1, 2], label=["a", "b"]), consume),
    "pickle": ("a.pkl", lambda: pickle.dumps({"x": np.arange(6.0), "y": [1, "a", (2.5, None)]}), load_plain_pickle),
    "pickle 0": ("a.pkl", lambda: pickle.dumps([np.arange(3), {"a": 2}], protocol=0), load_plain_pickle),
    "h5": ("a.h5", h5, lambda path: read_h5(path, ("data",), ("label",))),
    "md": ("md17_x.npz", lambda: npz(**MD), lambda path: md_dataset("x", data_dir=path)),
    "mp2": (
        "qm9_mp2_10k.npz", lambda: npz(**MP2),
        lambda path: qm9_dataset("train", data_dir=path, **BY_NAME, source="mp2"),
    ),
    "qm9": ("qm9_eV.npz", lambda: npz(**QM9), lambda path: qm9_dataset("train", data_dir=path, **BY_NAME)),
    "qm7": ("qm7.npz", lambda: npz(**QM7), lambda path: qm7_dataset("train", data_dir=path, **BY_NAME)),
}  # fmt: skip


def read_all(name: str, content: bytes) -> Exception | None:
    """What a reader says to the content of a file, which names it; None for a result. Raises: any error not its own."""
    file, _, read = READERS[name]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / file
        path.write_bytes(content)
        try:
            read(path)
        except DataError as error:
            assert file in str(error) or name == "xyz of one", error  # noqa: PT017 (or the content is still good)
            return error
    return None


@pytest.mark.parametrize("name", list(READERS))
def test_what_is_changed_below_is_sound(name: str) -> None:
    said = read_all(name, READERS[name][1]())
    assert said is None, said


def changed(content: bytes, places: list[tuple[int, int]], cut: int) -> bytes:
    """Some bytes replaced, and the end taken off."""
    found = bytearray(content)
    for place, value in places:
        found[place % len(found)] = value
    return bytes(found[: len(found) - cut % len(found)])


PLACES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8)


@pytest.mark.parametrize("name", list(READERS))
@settings(deadline=None, max_examples=15, database=None)
@given(places=PLACES, cut=st.one_of(st.just(0), st.integers(0, 1 << 16)))
def test_changed_files(name: str, places: list[tuple[int, int]], cut: int) -> None:
    read_all(name, changed(READERS[name][1](), places, cut))


@pytest.mark.parametrize("name", list(READERS))
@settings(deadline=None, max_examples=8, database=None)
@given(content=st.binary(max_size=400))
def test_random_bytes(name: str, content: bytes) -> None:
    said = read_all(name, content)
    assert said is not None or name in ("xyz", "sdf", "pickle", "pickle 0")  # of which a few bytes can be a file


@pytest.mark.slow
@pytest.mark.parametrize("name", list(READERS))
@settings(deadline=None, max_examples=1500, database=None)
@given(places=PLACES, cut=st.one_of(st.just(0), st.integers(0, 1 << 16)))
def test_changed_files_at_length(name: str, places: list[tuple[int, int]], cut: int) -> None:
    read_all(name, changed(READERS[name][1](), places, cut))


WORDS = st.sampled_from(
    ["0", "1", "2", "3", "-1", "99999999999999999999", "9" * 30, "1e400", "nan", "H", "Xx", "\u00b2", "\u0663", "#",
     "1.5", "Properties=Z:I:1:pos:R:3", "Properties=species:S:0:pos:R:3", "Properties=pos:R:3:pos:R:3",
     "Properties=:::", "pbc=", "Properties=species:S:1:pos:R:3", "Lattice=", '"', "InChI=", "\x85", "\x1c", "1_0"]
)  # fmt: skip


@settings(deadline=None, max_examples=150, database=None)
@given(lines=st.lists(st.lists(WORDS, max_size=5), max_size=10))
def test_xyz_of_odd_words(lines: list[list[str]]) -> None:
    read_all("xyz", "\n".join(map(" ".join, lines)).encode())
    read_all("xyz of one", "\n".join(map(" ".join, lines)).encode("latin1", "replace"))


KINDS = st.sampled_from(["f8", "f4", "i8", "u8", "u1", "S3", "U2", "?", "c16", "M8[s]", "O", "f2"])
SHAPES = st.lists(st.integers(0, 4), max_size=4)


@settings(deadline=None, max_examples=80, database=None)
@given(
    drawn=st.dictionaries(
        st.sampled_from(["pos", "z", "num_points", "label", "pbc", "cell", "units", "R", "Z", "N", "num_atoms", "vel"]),
        st.tuples(KINDS, SHAPES, st.integers(0, 5)),
        max_size=5,
    )
)
def test_npz_of_odd_arrays(drawn: dict) -> None:
    with np.errstate(all="ignore"):
        arrays = {name: np.full(shape, value).astype(kind) for name, (kind, shape, value) in drawn.items()}
    read_all("npz", npz(**arrays))


def with_header(header: str, data: bytes = b"", *, version: int = 1) -> bytes:
    """An npz file whose array ``pos`` has this header."""
    text = header.encode("latin1") + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pos.npy", b"\x93NUMPY" + bytes([version, 0]) + length + text + data)
    return file.getvalue()


HEADERS = [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 3)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (10**12, 3)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000000000, 3)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 3)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 0, 3)}",
    "{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000000, 3)}",
    "{'descr': ('<f8', (1000000000,)), 'fortran_order': False, 'shape': ()}",
    "{'descr': '|V999999999999', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': [], 'fortran_order': False, 'shape': (1000000000000,)}",
    "{'descr': '<f8', 'shape': (1, 3)}",
    "[" * 9000,
    "",
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[:80])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_of_any_kind(header: str, version: int) -> None:
    assert isinstance(read_all("npz", with_header(header, bytes(24), version=version)), DataError)


def bombs(folder: Path) -> list[Path]:
    """Small files that announce, or unpack to, very much."""
    made = {
        "pos.npz": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (16777216, 3)}", bytes(3 << 27)),
        "count.xyz": b"999999999999\n\nH 0 0 0\n" * 1000,
        "line.xyz": b"1\n" + b" " * (8 << 20) + b"\nH 0 0 0\n",
        "width.xyz": b"1\nProperties=species:S:1:pos:R:3:x:R:99999999999\nH 0 0 0\n",
        "place.pkl": b"\x80\x02]r\xff\xff\xff\x7f.",
        "laughs.pkl": laughing_pickle(),
        "frame.pkl": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    with (folder / "sparse.xyz").open("wb") as file:
        file.truncate(30 << 30)
    with (folder / "sparse.npz").open("wb") as file:
        file.truncate(30 << 30)
    try:
        import h5py
    except ModuleNotFoundError:
        return sorted(folder.iterdir())
    with h5py.File(folder / "empty.h5", "w") as file:
        file.create_dataset("data", shape=(10**9, 3), chunks=(1000, 3), dtype="f8")
    return sorted(folder.iterdir())


def laughing_pickle() -> bytes:
    value: list = ["ha"] * 10
    for _ in range(12):
        value = [value] * 10
    return pickle.dumps(value)


READ_WITH_LITTLE = """
import resource, sys
from pathlib import Path
from rapidash.datasets import DataError, read_clouds
from rapidash.datasets._h5 import read_h5
from rapidash.datasets._safe_pickle import load_plain_pickle
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
for path in map(Path, sys.argv[1:]):
    try:
        if path.suffix == ".pkl":
            load_plain_pickle(path)
        elif path.suffix == ".h5":
            read_h5(path, ("data",))
        else:
            for _, found in read_clouds(path):
                if isinstance(found, DataError):
                    raise found
        print(path.name, "was read")
    except DataError as error:
        print(path.name, "memory" if "memory" in str(error) or "MemoryError" in str(error) else "refused")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is read from /proc")
def test_small_files_take_little_memory(tmp_path: Path) -> None:
    paths = bombs(tmp_path)
    found = subprocess.run(
        [sys.executable, "-c", READ_WITH_LITTLE, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    expected = {path.name: "refused" for path in paths}
    assert dict(line.split(" ", 1) for line in found.stdout.splitlines()) == expected


def test_what_nobody_asks_for_is_not_unpacked(tmp_path: Path) -> None:
    """An array of 384 MiB and a text of 64 MiB that pack to less than 1 MiB stand beside the positions."""
    path = tmp_path / "a.npz"
    path.write_bytes(npz(pos=np.eye(3), z=[1, 6, 8]))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 134217728)}\n"
        for name, first, many in (
            ("junk.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text, 24),
            ("notes.txt", b"", 4),
        ):
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(first)
                for _ in range(many):
                    file.write(bytes(1 << 24))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ((_, cloud),) = read_clouds(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB
    assert not isinstance(cloud, DataError)
    assert cloud.arrays.keys() == {"pos", "z"}
    assert cloud.left_out["junk"].startswith("'junk' would unpack to 402,653,184 bytes of a file of ")
    arrays = NpzArrays(path)
    assert sorted(arrays) == ["junk", "pos", "z"]
    with pytest.raises(DataError, match="'junk' would unpack to 402,653,184 bytes"):
        arrays["junk"]


def test_any_error_of_a_reader_is_a_bad_entry() -> None:
    def broken():
        yield "a", DataError("one")
        raise OverflowError("too large")

    assert [(name, str(found)) for name, found in as_entries("f.xyz", broken())] == [
        ("a", "one"),
        ("f.xyz", "it cannot be read (OverflowError: too large)"),
    ]
