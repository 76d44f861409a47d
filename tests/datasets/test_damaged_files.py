"""Every reader on damaged files, in every layout: an error that names the file, whatever part of it is wrong."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets import (
    DataError,
    abide_dataset,
    ala2_dataset,
    cifar10_superpixels_dataset,
    cmu_dataset,
    heart_disease_dataset,
    md_dataset,
    meshseg_dataset,
    mnist_superpixels_dataset,
    modelnet10_dataset,
    modelnet40_dataset,
    qm7_dataset,
    qm9_dataset,
    scanobjectnn_dataset,
    shapenet_part_dataset,
    shapes69_dataset,
    tabular_dataset,
)
from tests.datasets import (
    test_cifar10,
    test_cmu,
    test_md,
    test_mnist,
    test_qm7,
    test_qm9,
    test_shape_archives,
    test_shapes,
    test_tables,
)

POINTS = test_shapes.POINTS
SHARES = (0.0, 0.03, 0.3, 0.6, 0.95)


def write_ala2(folder: Path, **changes: np.ndarray) -> None:
    pos = np.random.default_rng(0).normal(size=(4, 5, 3))
    arrays = {"pos": pos, "forces": pos, "bead": np.array(["C", "N", "CA", "C", "N"])}
    np.savez(folder / "ala2_cg.npz", **(arrays | changes))


def write_scanobjectnn(folder: Path) -> None:
    file = folder / "main_split" / "test_objectdataset_augmentedrot_scale75.h5"
    test_shapes.hdf5(file, data=test_shapes.clouds()[0], label=np.arange(test_shapes.SIZE))


def write_shapes69(folder: Path, **changes: np.ndarray) -> None:
    (pos, normals), size = test_shapes.clouds(), test_shapes.SIZE
    arrays = {"points": pos, "normals": normals * 127, "label": np.zeros(size, int), "class_name": np.array(["bird"])}
    arrays |= {"shape_id": np.array([f"m{k}" for k in range(size)]), "fold": np.zeros(size, int)}
    np.savez(folder / "shapes69.npz", **(arrays | changes))


def write_modelnet10(folder: Path) -> None:
    np.savez(folder / "modelnet10.npz", **test_shape_archives.modelnet10_arrays())


def write_meshseg(folder: Path, **changes: np.ndarray) -> None:
    (pos, normals), size = test_shapes.clouds(), test_shapes.SIZE
    people = np.tile(np.arange(POINTS) % 3, (size, 2, 1))
    arrays = {"points": pos, "normals": normals * 127, "category": np.zeros(size, int), "segmentation": people}
    arrays |= {"category_name": np.array(["cup"]), "reference": np.ones(size, int), "is_test": np.ones(size, bool)}
    np.savez(folder / "princeton_meshseg.npz", **(arrays | changes))


@dataclass(frozen=True)
class Layout:
    """How a layout is written, how it is read, and whether half of a file can be a whole one (lines of text)."""

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    is_text: bool = False


def reader(function: Callable[..., object], *arguments: str, **options: object) -> Callable[[Path], object]:
    return lambda folder: function(*arguments, data_dir=folder, **options)


CMU = reader(cmu_dataset, "test", motion="run", verify=False)
QM9 = reader(qm9_dataset, "test", verify=False)
MODELNET = reader(modelnet40_dataset, "test", num_points=8)
MNIST = reader(mnist_superpixels_dataset, "test", verify=False)
CIFAR10 = reader(cifar10_superpixels_dataset, "test", verify=False)
PARTS = reader(shapenet_part_dataset, "test", num_points=8)
LAYOUTS = {
    "cmu npz": Layout(test_cmu.write_npz, CMU),
    "cmu pickle": Layout(lambda folder: test_cmu.write_pickles(folder, test_cmu.toy_clips()), CMU),
    "cmu asf amc": Layout(test_cmu.write_acclaim, CMU, is_text=True),
    "rmd17": Layout(test_md.write_rmd17, reader(md_dataset, "water")),
    "md17": Layout(test_md.write_md17, reader(md_dataset, "water")),
    "md collection": Layout(test_md.write_collection, reader(md_dataset, "water_train", verify=False)),
    "qm7 npz": Layout(test_qm7.write_npz, reader(qm7_dataset, "test", verify=False)),
    "qm7 mat": Layout(test_qm7.write_mat, reader(qm7_dataset, "test")),
    "qm7 xyz": Layout(test_qm7.write_xyz, reader(qm7_dataset, "test"), is_text=True),
    "qm9 xyz": Layout(test_qm9.write_xyz, QM9, is_text=True),
    "qm9 tar": Layout(test_qm9.write_tar, QM9),
    "qm9 sdf": Layout(test_qm9.write_sdf, QM9, is_text=True),
    "qm9 dimenet": Layout(test_qm9.write_dimenet, QM9),
    "qm9 cormorant": Layout(test_qm9.write_cormorant, QM9),
    "modelnet40 txt": Layout(test_shapes.write_resampled, MODELNET, is_text=True),
    "modelnet40 h5": Layout(test_shapes.write_modelnet_h5, MODELNET),
    "modelnet40 off": Layout(test_shapes.write_off, MODELNET, is_text=True),
    "scanobjectnn h5": Layout(write_scanobjectnn, reader(scanobjectnn_dataset, "test", num_points=8)),
    "shapenet part txt": Layout(test_shapes.write_part_txt, PARTS, is_text=True),
    "shapenet part h5": Layout(test_shapes.write_part_h5, PARTS),
    "mnist npz": Layout(test_mnist.write_npz, MNIST),
    "mnist idx": Layout(partial(test_mnist.write_idx, compressed=False), MNIST),
    "mnist gz": Layout(partial(test_mnist.write_idx, compressed=True), MNIST),
    "cifar10 npz": Layout(test_cifar10.write_npz, CIFAR10),
    "cifar10 python": Layout(test_cifar10.write_python, CIFAR10),
    "cifar10 binary": Layout(test_cifar10.write_binary, CIFAR10),
    "shapes69": Layout(write_shapes69, reader(shapes69_dataset, "test", num_points=8, verify=False)),
    "modelnet10": Layout(write_modelnet10, reader(modelnet10_dataset, "test", num_points=8, verify=False)),
    "meshseg": Layout(write_meshseg, reader(meshseg_dataset, "test", num_points=8, verify=False)),
    "ala2": Layout(write_ala2, reader(ala2_dataset, verify=False)),
    "tables": Layout(test_tables.write_tabular, reader(tabular_dataset, "toy", verify=False)),
    "heart disease": Layout(test_tables.write_heart, reader(heart_disease_dataset, verify=False)),
    "abide": Layout(test_tables.write_abide, reader(abide_dataset, verify=False)),
}


def files_read(layout: Layout, folder: Path) -> list[Path]:
    """One file of each kind that is read: emptied, it is an error."""
    kinds: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix not in kinds and attempts(layout, folder, path, [b""])[0] is not None:
            kinds[path.suffix] = path
    return list(kinds.values())


def attempts(layout: Layout, folder: Path, file: Path, damaged: Iterable[bytes]) -> list[Exception | None]:
    """What the reader said to each damaged content of a file; None where it read it."""
    whole, said = file.read_bytes(), []
    for content in damaged:
        file.write_bytes(content)
        try:
            layout.read(folder)
            said.append(None)
        except (DataError, FileNotFoundError) as error:
            said.append(error)
    file.write_bytes(whole)
    return said


def is_named(file: Path, error: Exception) -> bool:
    """Whether an error names the file, or its entry."""
    entry = f"molecule gdb {file.stem.removeprefix('dsgdb9nsd_').lstrip('0')}:"
    return file.stem in str(error) or entry in str(error)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAPIDASH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_cut_short_is_named_or_its_entry(name: str, folder: Path) -> None:
    layout = LAYOUTS[name]
    layout.write(folder)
    layout.read(folder)
    files = files_read(layout, folder)
    assert files
    for file in files:
        whole = file.read_bytes()
        said = attempts(layout, folder, file, (whole[: int(share * len(whole))] for share in SHARES))
        assert said[0] is not None, f"an empty {file.name} was read"
        for share, error in zip(SHARES, said):
            assert error is not None or layout.is_text or file.suffix == ".txt", f"{share} of {file.name} was read"
            assert error is None or is_named(file, error), error


@pytest.mark.parametrize("name", LAYOUTS)
def test_changed_bytes_are_an_error_that_teaches_or_other_numbers(name: str, folder: Path) -> None:
    """Never a traceback from the inside of a parser: only DataError, or numbers that nobody can tell from true ones."""
    layout, rng = LAYOUTS[name], np.random.default_rng(0)
    layout.write(folder)

    def changed(whole: bytes) -> Iterator[bytes]:
        for _ in range(12):
            content = bytearray(whole)
            for place in rng.integers(0, len(whole), 3):
                content[place] = rng.integers(0, 256)
            yield bytes(content)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in files_read(layout, folder):
            said = attempts(layout, folder, file, changed(file.read_bytes()))
            assert len(said) == 12
            assert all(error is None or is_named(file, error) for error in said), said
