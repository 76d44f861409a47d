"""The compiled twin of the super-pixels: imported only where numba is installed."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, error_model="numpy")
def cluster_numba(
    light: NDArray[np.float32],
    place: NDArray[np.float32],
    candidates: NDArray[np.int64],
    seeds: NDArray[np.float32],
    seed_light: NDArray[np.float32],
    weight: np.float32,
    num_steps: int,
) -> NDArray[np.int64]:
    """Members (B, P) of values (B, P, C), operation by operation as in the reference, an image at a time."""
    num_images, num_pixels, num_channels = light.shape
    num_centers, num_near = len(seeds), candidates.shape[1]
    member = np.zeros((num_images, num_pixels), dtype=np.int64)
    for image in range(num_images):
        center, shade = seeds.copy(), seed_light[image].copy()
        sums, count = np.zeros((num_centers, 2 + num_channels)), np.zeros(num_centers, dtype=np.int64)
        for step in range(num_steps + 1):
            count[:] = 0
            sums[:] = 0.0
            for p in range(num_pixels):
                best, chosen = np.float32(np.inf), np.int64(0)
                for column in range(num_near):
                    k = candidates[p, column]
                    dx, dy = place[p, 0] - center[k, 0], place[p, 1] - center[k, 1]
                    distance = weight * (dx * dx + dy * dy)
                    if distance >= best:
                        continue
                    for channel in range(num_channels):
                        contrast = light[image, p, channel] - shade[k, channel]
                        distance += contrast * contrast
                    if distance < best:
                        best, chosen = distance, k
                member[image, p] = chosen
                count[chosen] += 1
                sums[chosen, 0] += place[p, 0]
                sums[chosen, 1] += place[p, 1]
                for channel in range(num_channels):
                    sums[chosen, 2 + channel] += light[image, p, channel]
            if step == num_steps:
                break
            for k in range(num_centers):
                if count[k] > 0:
                    center[k, 0], center[k, 1] = sums[k, 0] / count[k], sums[k, 1] / count[k]
                    for channel in range(num_channels):
                        shade[k, channel] = sums[k, 2 + channel] / count[k]
    return member
