"""Labeled images as clouds of super-pixels in the plane: one way for all data sets of images."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rapidash.data import Field
from rapidash.datasets._cache import Parameters, cached_tensors
from rapidash.datasets._nbody import Split
from rapidash.datasets._reading import Array, DataError, OnError, ReadDataset, SampleErrors, check_split
from rapidash.datasets._superpixels import superpixels
from rapidash.groups import Position, Scalar

_VERSION = 3  # of the clouds on disk: a change of them must change it
_BATCH = 500
_SHIFT = 1e-3  # pixel: squares of pixels are at equal distances, and nearest neighbors would hang on rounding


@dataclass(frozen=True)
class LabeledImages:
    """Images (B, H, W) or (B, H, W, C) and labels (B,) or (B, 1), as a file or folder has them.

    ``entries`` are the places of the images in their files, where there are several.
    """

    source: Path
    images: Array
    labels: Array
    entries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.shape[1:] == (1,):
            object.__setattr__(self, "labels", self.labels[:, 0])

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises: DataError for images that are not (B, *shape) numbers from 0 to 255, or not with a label each."""
        images, labels = self.images, self.labels
        if images.shape[1:] != shape or labels.shape != images.shape[:1]:
            raise DataError(
                f"{self.source}: images {images.shape} and labels {labels.shape}, expected "
                f"(B, {', '.join(map(str, shape))}) and (B,)"
            )
        if images.dtype.kind not in "iuf" or labels.dtype.kind not in "iuf":
            raise DataError(f"{self.source}: images of {images.dtype} and labels of {labels.dtype}, expected numbers")
        if images.dtype.kind == "f" and 0 < np.fmax.reduce(images, axis=None, initial=0) <= 1:
            lowest = "0" if np.fmin.reduce(images, axis=None, initial=0) >= 0 else "-1"
            raise DataError(f"{self.source}: the pixels are scaled to [{lowest}, 1], expected 0 to 255: undo that")

    def part(self, split: Split, val_size: int, size: int | None) -> "LabeledImages":
        """The first ``size`` images of a split; the last training images are the validation, a sixth at most."""
        chosen = slice(None)
        if split != "test":
            num_train = max(len(self.images) - val_size, len(self.images) * 5 // 6)
            chosen = slice(None, num_train) if split == "train" else slice(num_train, None)
        return LabeledImages(
            self.source, self.images[chosen][:size], self.labels[chosen][:size], self.entries[chosen][:size]
        )


@dataclass(frozen=True)
class ImageSet:
    """The properties of one data set of images.

    Args:
        name: in the names of cached files.
        read: (part, data_dir, verify) -> the images of "train" or "test".
        shape: of an image.
        val_size: how many of the last training images are the validation.
        value: name of the field with the mean intensity or color.
        class_names: labels are indices into it.
    """

    name: str
    read: Callable[[str, str | Path | None, bool], LabeledImages]
    shape: tuple[int, ...]
    val_size: int
    value: str
    class_names: Sequence[str]


def image_clouds(
    kind: ImageSet,
    split: Split,
    *,
    num_superpixels: int,
    size: int | None,
    data_dir: str | Path | None,
    cache_dir: str | Path | None,
    on_error: OnError,
    verify: bool,
    dtype: torch.dtype,
) -> ReadDataset:
    """The images of a split as clouds with pos, intensity or color, area and label; bad images are reported.

    Raises: ValueError for an unknown split or too few super-pixels or images; FileNotFoundError; DataError for files
        that do not hold such images and, with ``on_error="raise"``, for labels or pixels out of their range.
    """
    check_split(split)
    if num_superpixels < 4:
        raise ValueError(f"num_superpixels must be at least 4, got {num_superpixels}")
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 (None for all), got {size}")
    found = kind.read("test" if split == "test" else "train", data_dir, verify)
    found.check(kind.shape)
    found = found.part(split, kind.val_size, size)
    images, labels, class_names, value = found.images, found.labels, kind.class_names, kind.value
    errors = SampleErrors(found.source, on_error)
    has_label, has_pixels = np.isin(labels, range(len(class_names))), _are_pixels(images)
    for index in np.flatnonzero(~(has_label & has_pixels)).tolist():
        problem = "its pixels are not whole numbers from 0 to 255"
        if not has_label[index]:
            problem = f"its label {labels[index]} is out of range, expected 0 to {len(class_names) - 1}"
        errors.add(found.entries[index] if found.entries else f"image {index} of {split!r}", problem)
    errors.report(len(labels))
    images, labels = images[has_label & has_pixels].astype(np.uint8), labels[has_label & has_pixels]
    per_side = max(2, round(num_superpixels**0.5))
    parameters: Parameters = {
        "dataset": kind.name,
        "version": _VERSION,
        "per_side": per_side,
        "images": hashlib.sha256(np.ascontiguousarray(images).data).hexdigest(),
    }
    clouds = cached_tensors(
        f"{kind.name}-{split}", parameters, lambda: superpixel_clouds(images, per_side), cache_dir=cache_dir
    )
    fields = {
        "pos": Field(Position(), "pixel"),
        value: Field(Scalar(), "1"),
        "area": Field(Scalar(), "pixel^2"),
        "label": Field(Scalar(), "1", "cloud"),
    }
    tensors = {name: clouds[stored].to(dtype) for name, stored in (("pos", "pos"), (value, "value"), ("area", "area"))}
    tensors["label"] = torch.from_numpy(labels.astype(np.int64))
    info = {"class_names": tuple(class_names)}
    skipped = tuple(errors.skipped)
    return ReadDataset(tensors, fields, clouds["num_points"], source=found.source, info=info, skipped=skipped)


def superpixel_clouds(images: NDArray[np.uint8], per_side: int) -> dict[str, Tensor]:
    """Super-pixels of images (B, H, W) or (B, H, W, C): pos (N, 2), value (N, C), area (N, 1), num_points (B,).

    Positions are shifted by up to 0.001 pixel, super-pixel k of all images alike, so that no two distances are equal.
    """
    parts = [_clouds_of(images[k : k + _BATCH], per_side) for k in range(0, len(images), _BATCH)]
    return {name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]}


def _clouds_of(images: NDArray[np.uint8], per_side: int) -> dict[str, NDArray[Any]]:
    num_images, height, width = images.shape[:3]
    light = images.reshape(num_images, height, width, -1).astype(np.float32) / np.float32(255)
    member = superpixels(light, per_side=per_side)
    flat = (member.reshape(num_images, -1) + per_side**2 * np.arange(num_images)[:, None]).ravel()
    length = num_images * per_side**2
    count = np.bincount(flat, minlength=length)
    filled = count > 0
    y, x = np.mgrid[:height, :width].astype(np.float64)
    values = (x - (width - 1) / 2, (height - 1) / 2 - y, *np.moveaxis(light, 3, 0))
    means = [
        np.bincount(flat, np.broadcast_to(value, member.shape).ravel(), length)[filled] / count[filled]
        for value in values
    ]
    shift = np.random.RandomState(0).uniform(-_SHIFT, _SHIFT, (per_side**2, 2))  # the same for all images
    places = np.tile(shift, (num_images, 1))[filled] + np.stack(means[:2], axis=1)
    return {
        "pos": places.astype(np.float32),
        "value": np.stack(means[2:], axis=1).astype(np.float32),
        "area": count[filled][:, None].astype(np.float32),
        "num_points": filled.reshape(num_images, -1).sum(axis=1),
    }


def _are_pixels(images: Array) -> NDArray[np.bool_]:
    """For each image: has it whole numbers from 0 to 255 only?"""
    if images.dtype == np.uint8:
        return np.ones(len(images), dtype=bool)
    whole = (images >= 0) & (images <= 255) & (images == np.rint(images))
    return np.asarray(whole.reshape(len(images), -1).all(axis=1))
