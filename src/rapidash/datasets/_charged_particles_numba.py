"""The compiled twin of the charged-particle simulation: imported only where numba is installed."""

import math
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]


def simulate_numba(
    pos: Array,
    vel: Array,
    charges: Array,
    num_steps: int,
    sample_every: int,
    dt: float,
    max_force: float,
    field: Array,
    field_from: int,
) -> tuple[Array, Array]:
    """Checked arrays (B, N, 3), (B, N, 3), (B, N) -> frames (B, F, N, 3) of positions and of velocities.

    The trajectories are shared out over ``torch.get_num_threads()`` plain threads, which, unlike the thread pools of
    numba, also work in a process that was forked; no trajectory depends on those beside it.
    """
    pos_frames, vel_frames = np.empty((2, len(pos), num_steps // sample_every, *pos.shape[1:]))
    num_threads = min(torch.get_num_threads(), len(pos))
    bounds = [len(pos) * k // num_threads for k in range(num_threads + 1)]

    def advance(start: int, stop: int) -> None:
        x, v, q, x_frames, v_frames = (a[start:stop] for a in (pos, vel, charges, pos_frames, vel_frames))
        steps = (num_steps, sample_every, float(dt), float(max_force))
        _advance(x, v, q, *steps, field, field_from, x_frames, v_frames)

    with ThreadPoolExecutor(num_threads) as pool:
        list(pool.map(advance, bounds[:-1], bounds[1:]))  # list() raises here what a thread has raised
    return pos_frames, vel_frames


@numba.njit(nogil=True, error_model="numpy")
def _advance(
    pos: Array,
    vel: Array,
    charges: Array,
    num_steps: int,
    sample_every: int,
    dt: float,
    max_force: float,
    field: Array,
    field_from: int,
    pos_frames: Array,
    vel_frames: Array,
) -> None:
    # Every particle adds its partners in the order of their index and nothing is contracted or reassociated
    # (no fastmath), so that the numbers are those of the reference. Scalar loops only: slices take seconds to compile.
    num_points, dim = pos.shape[1], pos.shape[2]
    x, v, force = np.empty((num_points, dim)), np.empty((num_points, dim)), np.empty((num_points, dim))
    offset = np.empty(dim)
    for cloud in range(pos.shape[0]):
        for i in range(num_points):
            for k in range(dim):
                x[i, k], v[i, k] = pos[cloud, i, k], vel[cloud, i, k]
        for step in range(1, num_steps + 1):
            for i in range(num_points):
                for k in range(dim):
                    force[i, k] = 0.0
            for i in range(num_points):
                for j in range(i + 1, num_points):
                    squared = 0.0
                    for k in range(dim):
                        offset[k] = x[i, k] - x[j, k]
                        squared += offset[k] * offset[k]
                    weight = charges[cloud, i] * charges[cloud, j] / (squared * math.sqrt(squared))
                    for k in range(dim):
                        force[i, k] += weight * offset[k]
                        force[j, k] -= weight * offset[k]
            for i in range(num_points):
                for k in range(dim):
                    component = force[i, k]
                    if component > max_force:  # comparisons, not min and max: these let a NaN through to the end
                        component = max_force
                    elif component < -max_force:
                        component = -max_force
                    if step > field_from:
                        component += field[k]
                    v[i, k] += dt * component
                    x[i, k] += dt * v[i, k]
            if step % sample_every == 0:
                frame = step // sample_every - 1
                for i in range(num_points):
                    for k in range(dim):
                        pos_frames[cloud, frame, i, k], vel_frames[cloud, frame, i, k] = x[i, k], v[i, k]
