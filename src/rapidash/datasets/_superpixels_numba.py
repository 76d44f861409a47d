"""The compiled twin of the super-pixels: imported only where numba is installed."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, error_model="numpy")
def cluster_numba(
    intensity: NDArray[np.float32],
    place: NDArray[np.float32],
    candidates: NDArray[np.int64],
    seeds: NDArray[np.float32],
    seed_intensity: NDArray[np.float32],
    weight: np.float32,
    num_steps: int,
) -> NDArray[np.int64]:
    """Members (B, P) of intensities (B, P), operation by operation as in the reference, an image at a time."""
    num_images, num_pixels = intensity.shape
    num_centers, num_near = len(seeds), candidates.shape[1]
    member = np.zeros((num_images, num_pixels), dtype=np.int64)
    for image in range(num_images):
        center, light = seeds.copy(), seed_intensity[image].copy()
        sums, count = np.zeros((num_centers, 3)), np.zeros(num_centers, dtype=np.int64)
        for step in range(num_steps + 1):
            for k in range(num_centers):
                count[k] = 0
                sums[k, 0] = sums[k, 1] = sums[k, 2] = 0.0
            for p in range(num_pixels):
                best, chosen = np.float32(np.inf), np.int64(0)
                for column in range(num_near):
                    k = candidates[p, column]
                    contrast = intensity[image, p] - light[k]
                    dx, dy = place[p, 0] - center[k, 0], place[p, 1] - center[k, 1]
                    distance = contrast * contrast + weight * (dx * dx + dy * dy)
                    if distance < best:
                        best, chosen = distance, k
                member[image, p] = chosen
                count[chosen] += 1
                sums[chosen, 0] += place[p, 0]
                sums[chosen, 1] += place[p, 1]
                sums[chosen, 2] += intensity[image, p]
            if step == num_steps:
                break
            for k in range(num_centers):
                if count[k] > 0:
                    center[k, 0], center[k, 1] = sums[k, 0] / count[k], sums[k, 1] / count[k]
                    light[k] = sums[k, 2] / count[k]
    return member
