"""Images cut into super-pixels: simple linear iterative clustering (SLIC), deterministic."""

import importlib.util
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Backend = Literal["auto", "numba", "reference"]

_CHUNK = 100  # images that the reference clusters together
_SIDE = 3  # a pixel is compared with the 3 x 3 centers whose seeds are around it


def superpixels(
    images: NDArray[np.float32],
    *,
    per_side: int,
    compactness: float = 0.25,
    num_steps: int = 10,
    backend: Backend = "auto",
) -> NDArray[np.int64]:
    """The super-pixel of every pixel: (B, H, W) or (B, H, W, C) values in [0, 1] -> (B, H, W) in 0 .. per_side^2 - 1.

    K-means from a regular grid of seeds in value and position, with the squared distance

        |I_p - I_k|^2 / C + compactness^2 |x_p - x_k|^2 / S^2,   S^2 = area of a cell of the grid,

    where a pixel is compared with the 3 x 3 centers whose seeds are around it. A center without pixels stays where it
    is. Deterministic; every image depends on itself alone. Connectivity is not enforced.
    Args:
        images: intensities, or colors of C channels.
        per_side: the seeds are per_side x per_side, at least 2.
        compactness: of the super-pixels: large values give squares.
        num_steps: updates of the centers.
        backend: "numba" (needs the extra `fast`), "reference" (NumPy, the definition, some 5 times slower), or "auto":
            numba where it is installed. Both give the same members.
    Raises: ValueError for a wrong shape or number; RuntimeError for backend="numba" where it cannot run.
    Source: Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 2012.
    """
    if images.ndim not in (3, 4) or images.size == 0 or per_side < 2 or num_steps < 0:
        raise ValueError(
            f"expected images (B, H, W) or (B, H, W, C), per_side >= 2, num_steps >= 0, got {images.shape}, "
            f"{per_side=}, {num_steps=}"
        )
    if backend not in get_args(Backend):
        raise ValueError(f"unknown backend {backend!r}, expected one of {get_args(Backend)}")
    has_numba = importlib.util.find_spec("numba") is not None
    if backend == "numba" and not has_numba:
        raise RuntimeError("backend='numba' needs numba: pip install 'rapidash[fast]', or use 'auto' or 'reference'")
    num_images, height, width = images.shape[:3]
    rows, columns = np.divmod(np.arange(height * width), width)
    place = np.stack([columns, rows], axis=1).astype(np.float32)  # x to the right, y down
    spacing = np.array([width, height], dtype=np.float32) / np.float32(per_side)
    grid = np.stack(np.meshgrid(np.arange(per_side), np.arange(per_side)), axis=-1).reshape(-1, 2)
    seeds = ((grid + 0.5) * spacing - 0.5).astype(np.float32)
    at_seed = np.clip(np.rint(seeds), 0, [width - 1, height - 1]).astype(np.int64)
    light = images.reshape(num_images, height, width, -1)
    light = np.ascontiguousarray(light * np.float32(light.shape[3] ** -0.5), dtype=np.float32)
    arguments = (
        place,
        _nearest_cells(place, spacing, per_side),
        seeds,
        np.ascontiguousarray(light[:, at_seed[:, 1], at_seed[:, 0]]),
        np.float32(compactness**2 / spacing.prod()),
        num_steps,
    )
    pixels = light.reshape(num_images, height * width, -1)
    if has_numba and backend != "reference":
        from rapidash.datasets._superpixels_numba import cluster_numba

        return cluster_numba(pixels, *arguments).reshape(images.shape[:3])
    return cluster_reference(pixels, *arguments).reshape(images.shape[:3])


def cluster_reference(
    light: NDArray[np.float32],
    place: NDArray[np.float32],
    candidates: NDArray[np.int64],
    seeds: NDArray[np.float32],
    seed_light: NDArray[np.float32],
    weight: np.float32,
    num_steps: int,
) -> NDArray[np.int64]:
    """Members (B, P) of values (B, P, C): the definition, for some images at a time."""
    parts = [slice(k, k + _CHUNK) for k in range(0, len(light), _CHUNK)]
    return np.concatenate(
        [_cluster(light[p], place, candidates, seeds, seed_light[p], weight, num_steps) for p in parts]
    )


def _cluster(
    light: NDArray[np.float32],
    place: NDArray[np.float32],
    candidates: NDArray[np.int64],
    seeds: NDArray[np.float32],
    seed_light: NDArray[np.float32],
    weight: np.float32,
    num_steps: int,
) -> NDArray[np.int64]:
    num_images, num_centers = len(light), len(seeds)
    length, image = num_images * num_centers, np.arange(num_images)[:, None]
    values = [place[:, 0], place[:, 1], *np.moveaxis(light, 2, 0)]
    centers = [*(np.tile(axis, (num_images, 1)) for axis in seeds.T), *np.moveaxis(seed_light, 2, 0)]
    for step in range(num_steps + 1):
        best = np.full(light.shape[:2], np.inf, dtype=np.float32)
        member = np.zeros(light.shape[:2], dtype=np.int64)
        for candidate in candidates.T:
            dx, dy, *contrasts = (value - center[:, candidate] for value, center in zip(values, centers))
            distance = weight * (dx * dx + dy * dy)
            for contrast in contrasts:
                distance = distance + contrast * contrast
            closer = distance < best
            best, member = np.where(closer, distance, best), np.where(closer, candidate, member)
        if step == num_steps:
            break
        flat = (member + num_centers * image).ravel()
        count = np.bincount(flat, minlength=length)
        means = [
            (np.bincount(flat, np.broadcast_to(value, member.shape).ravel(), length) / np.maximum(count, 1))
            .reshape(num_images, num_centers)
            .astype(np.float32)
            for value in values
        ]
        filled = (count > 0).reshape(num_images, num_centers)
        centers = [np.where(filled, mean, old) for mean, old in zip(means, centers)]
    return member


def _nearest_cells(place: NDArray[np.float32], spacing: NDArray[np.float32], per_side: int) -> NDArray[np.int64]:
    """(P, 9) the cells of the seed grid around each pixel's own, moved inward at the border."""
    cell = np.minimum(((place + 0.5) / spacing).astype(np.int64), per_side - 1)
    first = np.clip(cell - 1, 0, max(per_side - _SIDE, 0))
    shifts = np.minimum(np.arange(_SIDE), per_side - 1)
    x, y = first[:, 0, None, None] + shifts[None, None, :], first[:, 1, None, None] + shifts[None, :, None]
    return (y * per_side + x).reshape(len(place), _SIDE**2)
