"""CIFAR-10 as colored super-pixel clouds in two dimensions."""

from pathlib import Path

import numpy as np
import torch

from rapidash.datasets._image_clouds import ImageSet, LabeledImages, image_clouds
from rapidash.datasets._locate import beside, locate
from rapidash.datasets._nbody import Split
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import (
    Array,
    DataError,
    OnError,
    ReadDataset,
    readable,
    verify_checksum,
    words,
)
from rapidash.datasets._safe_pickle import load_plain_pickle

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_VAL_SIZE = 5000

_OBTAIN = (
    "Get cifar-10-python.tar.gz or cifar-10-binary.tar.gz from www.cs.toronto.edu/~kriz/cifar.html and unpack it, or "
    "an npz with x_train, y_train, x_test, y_test."
)
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_MD5 = {  # as published with the Python version
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_BYTES = 3 * 32 * 32


def cifar10_superpixels_dataset(
    split: Split,
    *,
    num_superpixels: int = 120,
    size: int | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Small photographs of ten classes as clouds of super-pixels, built from the images by ``superpixels``.

    The number of super-pixels is rounded to a square (120 gives 11 x 11); those without a pixel are left out, so clouds
    differ a little in size. The last 5,000 training images (a sixth, of fewer than 30,000) are the validation. The
    clouds are kept on disk.

    Fields: pos (position, (N, 2)): mean position in pixels from the center of the image, x to the right, y up
        (shifted by up to 0.001, so that no two distances are equal);
        color (scalar, (N, 3)): mean red, green and blue, in [0, 1]; area (scalar, (N, 1)): number of pixels; label
        (scalar, (B,), int64).
    Info: "class_names".
    Args:
        split: "train" (45,000), "val" (5,000) or "test" (10,000).
        num_superpixels: about how many, at least 4.
        size: only the first images of the split.
        data_dir: folder or file with ``cifar10.npz``, the batches of the Python version (pickles, read without running
            code of theirs) or those of the binary version, or ``cifar10_subset.npz`` (8,000 and 2,000 images stored as
            JPEG before: 6,666, 1,334 and 2,000 here); default: RAPIDASH_DATA.
        cache_dir: folder of the cache, by default RAPIDASH_CACHE or ~/.cache/rapidash.
        on_error: "skip" leaves images with bad labels or pixels out, counted and reported.
        verify: compare published checksums.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError; DataError for a damaged file, another image size, pixels scaled to [0, 1], labels or
        pixels that are not whole numbers in their range; ValueError.
    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; as super-pixels Dwivedi et al.,
        "Benchmarking Graph Neural Networks", JMLR 2023 (their clouds differ).
    """
    return image_clouds(
        _CIFAR10,
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
    batches = _TRAIN if part == "train" else ("test_batch",)
    layouts = ("cifar10.npz", batches[0], f"{batches[0]}.bin", "cifar10_subset.npz")
    number, path = locate(layouts, dataset="CIFAR-10", obtain=_OBTAIN, data_dir=data_dir)
    if path.suffix.lower() == ".npz":
        arrays = read_npz(path, (f"x_{part}", f"y_{part}"), verify=verify)
        names = words(arrays["class_name"]) if "class_name" in arrays else CIFAR10_CLASSES
        if names != CIFAR10_CLASSES:
            raise DataError(f"{path}: its classes are {names}, expected those of CIFAR-10, {CIFAR10_CLASSES}")
        return LabeledImages(path, arrays[f"x_{part}"], arrays[f"y_{part}"])
    read = _python_batch if number == 1 else _binary_batch
    files = [beside(path, f"{batch}{path.suffix}") for batch in batches]
    if verify:
        _verify(files)
    found = [read(file) for file in files]
    images, labels = (np.concatenate(arrays) for arrays in zip(*found))
    entries = tuple(f"{file.name}, image {k}" for file, (rows, _) in zip(files, found) for k in range(len(rows)))
    return LabeledImages(path.parent, images, labels, entries)


_CIFAR10 = ImageSet("cifar10-superpixels", _images, (32, 32, 3), CIFAR10_VAL_SIZE, "color", CIFAR10_CLASSES)


def _verify(files: list[Path]) -> None:
    """Raises: DataError for another checksum than the published one; there is none for binary batches."""
    for file in files:
        with readable(file):
            verify_checksum(file, _MD5.get(file.name.lower()))


def _python_batch(path: Path) -> tuple[Array, Array]:
    """Images and labels of a pickled batch. Raises: DataError; FileNotFoundError."""
    with readable(path):
        batch = load_plain_pickle(path)
    if not isinstance(batch, dict):
        raise DataError(f"{path} holds a {type(batch).__name__}, expected a dict with 'data' and 'labels'")
    batch = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    if missing := {"data", "labels"} - set(batch):
        raise DataError(f"{path} has no {min(missing)!r}: is it a batch of CIFAR-10?")
    with readable(path):
        data, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    if data.ndim != 2 or data.shape[1] != _BYTES or labels.shape != data.shape[:1]:
        raise DataError(f"{path}: data {data.shape} and labels {labels.shape}, expected (B, {_BYTES}) and (B,)")
    return _channels_last(data), labels


def _binary_batch(path: Path) -> tuple[Array, Array]:
    """Images and labels of a binary batch: a byte for the label, and an image, and again."""
    with readable(path):
        content = np.frombuffer(path.read_bytes(), np.uint8)
    if len(content) == 0 or len(content) % (_BYTES + 1):
        raise DataError(
            f"{path} has {len(content)} bytes, expected a multiple of {_BYTES + 1} (a label and {_BYTES} values): it "
            "is cut short or not a batch of CIFAR-10. Get it again."
        )
    rows = content.reshape(-1, _BYTES + 1)
    return _channels_last(rows[:, 1:]), rows[:, 0]


def _channels_last(data: Array) -> Array:
    return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
