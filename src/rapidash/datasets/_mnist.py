"""MNIST as super-pixel clouds in two dimensions."""

import gzip
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.datasets._image_clouds import ImageSet, LabeledImages, image_clouds
from rapidash.datasets._locate import beside, locate
from rapidash.datasets._nbody import Split
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import (
    DataError,
    OnError,
    ReadDataset,
    readable,
    verify_checksum,
)

MNIST_VAL_SIZE = 5000

_OBTAIN = (
    "Get the four idx files (train-images-idx3-ubyte.gz, ...) from ossci-datasets.s3.amazonaws.com/mnist, or an "
    "mnist.npz with x_train, y_train, x_test, y_test. Subfolders named for FashionMNIST, KMNIST, EMNIST or QMNIST "
    "are passed over: their files have the same names."
)
_OTHERS = ("*fashion*", "[keq]mnist*")
_MD5 = {  # as published with the files, and of the same files unpacked
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_NPZ_SHA256 = (
    "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64",
    "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",  # the file of Keras
)


def mnist_superpixels_dataset(
    split: Split,
    *,
    num_superpixels: int = 75,
    size: int | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Handwritten digits as clouds of super-pixels, built from the images by ``superpixels``.

    The number of super-pixels is rounded to a square (75 gives 9 x 9); those without a pixel are left out, so clouds
    differ a little in size. The last 5,000 training images are the validation. The clouds are kept on disk.

    Fields: pos (position, (N, 2)): mean position in pixels from the center of the image, x to the right, y up
        (shifted by up to 0.001, so that no two distances are equal);
        intensity (scalar, (N, 1)): mean, in [0, 1]; area (scalar, (N, 1)): number of pixels; label (scalar, (B,),
        int64).
    Args:
        split: "train" (55,000), "val" (5,000) or "test" (10,000).
        num_superpixels: about how many, at least 4.
        size: only the first images of the split.
        data_dir: folder or file with ``train-images-idx3-ubyte`` (.gz or not) and the others, beside each other or each
            in a folder of its own name, or ``mnist.npz`` with pixels from 0 to 255; default: RAPIDASH_DATA. Subfolders
            of FashionMNIST and the like are passed over.
        cache_dir: folder of the cache, by default RAPIDASH_CACHE or ~/.cache/rapidash.
        on_error: "skip" leaves images with bad labels or pixels out, counted and reported.
        verify: compare published checksums.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError; DataError for a damaged file, another image size, pixels scaled to [0, 1], or labels or
        pixels that are not whole numbers in their range; ValueError.
    Source: LeCun et al., Proc. IEEE 86, 2278 (1998); as super-pixels Monti et al., CVPR 2017 (their clouds differ).
    """
    return image_clouds(
        _MNIST,
        split,
        num_superpixels=num_superpixels,
        size=size,
        data_dir=data_dir,
        cache_dir=cache_dir,
        on_error=on_error,
        verify=verify,
        dtype=dtype,
    )


def _images(part: str, data_dir: str | Path | None, verify: bool) -> LabeledImages:
    name = f"{'train' if part == 'train' else 't10k'}-images-idx3-ubyte"
    names = (f"{name}.gz", name, name.replace("-idx3", ".idx3"))
    layouts = ("mnist.npz", *(f"MNIST/raw/{name}" for name in names), *names, f"{name}/{name}")
    number, path = locate(layouts, dataset="MNIST", obtain=_OBTAIN, data_dir=data_dir, not_in=_OTHERS)
    if number == 0:
        if verify:
            verify_checksum(path, _NPZ_SHA256)
        arrays = read_npz(path, (f"x_{part}", f"y_{part}"), verify=False)
        return LabeledImages(path, arrays[f"x_{part}"], arrays[f"y_{part}"])
    return LabeledImages(path, _read_idx(path, verify), _read_idx(_labels_of(path), verify))


_MNIST = ImageSet("mnist-superpixels", _images, (28, 28), MNIST_VAL_SIZE, "intensity", "0123456789")


def _labels_of(path: Path) -> Path:
    """The labels in the folder of the images, or in a folder of their own name, there or beside that of the images."""
    name = path.name.lower().replace("images", "labels").replace("idx3", "idx1")
    places = (path, path.parent / name / name, path.parent.parent / name / name)
    found = (labels for place in places if (labels := beside(place, name)).is_file())
    return next(found, path.with_name(name))


def _read_idx(path: Path, verify: bool) -> NDArray[np.uint8]:
    """An array of bytes in idx format, compressed or not. Raises: DataError where it is damaged."""
    if verify and path.exists():
        verify_checksum(path, _MD5.get(path.name.lower().replace(".idx", "-idx")))
    with readable(path):
        content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(f"{path} is not an idx file of bytes: get it again")
    num_axes = content[3]
    shape = (
        tuple(np.frombuffer(content, ">u4", count=num_axes, offset=4).tolist())
        if len(content) >= 4 + 4 * num_axes
        else ()
    )
    data = np.frombuffer(content, np.uint8, offset=min(len(content), 4 + 4 * num_axes))
    if not shape or len(data) != np.prod(shape):
        raise DataError(f"{path} announces an array {shape} and holds {len(data)} bytes: it is cut short")
    return data.reshape(shape)
