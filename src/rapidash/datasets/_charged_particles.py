"""Charged particles in three dimensions: the simulation behind the field's n-body benchmark."""

import importlib.util
import logging
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Num
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Backend = Literal["auto", "numba", "reference"]

_CHUNK = 2048  # trajectories that the reference advances together: their state stays in the cache
_logger = logging.getLogger(__name__)


def simulate_charged_particles(
    pos: Num[Tensor | NDArray[Any], "B N 3"],
    vel: Num[Tensor | NDArray[Any], "B N 3"],
    charges: Num[Tensor | NDArray[Any], "B N"],
    *,
    num_steps: int,
    sample_every: int,
    dt: float = 0.001,
    max_force: float = 100.0,
    field: Sequence[float] = (0.0, 0.0, 0.0),
    field_from: int = 0,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "B F N 3"], Float[Tensor, "B F N 3"]]:
    r"""Trajectories of unit masses under Coulomb forces, by the semi-implicit (symplectic) Euler method.

    In each step, with the force taken at the positions before it,

        F_i = clip(sum_{j != i} q_i q_j (x_i - x_j) / |x_i - x_j|^3, -max_force, max_force) + a
        v_i <- v_i + dt F_i;   x_i <- x_i + dt v_i

    so like charges repel. The sum over j is clipped, per component. The acceleration a is that of a uniform field, the
    same for every particle whatever its charge, and is there after step ``field_from`` only: n steps in it move a cloud
    by dt^2 n (n + 1) / 2 times a. There are no walls and there is no noise. Frame f
    holds positions and velocities after step (f + 1) * sample_every, so the initial state is not among the frames. A
    trajectory depends on its own initial state only: not on the others of the batch, nor on the number of threads.

    Symmetry: permutations; translations to rounding; rotations to rounding as long as no force is clipped (the clipping
    box is that of the axes), though close encounters amplify rounding errors.
    Args:
        pos: initial positions, in the unit of length. No two particles of a cloud may coincide.
        vel: initial velocities, in lengths per time.
        charges: in the unit of charge, with the Coulomb constant 1.
        num_steps: steps to take, at least 1.
        sample_every: steps from one frame to the next, from 1 to num_steps.
        dt: step in the unit of time, above 0.
        max_force: bound of each component of a force, above 0; ``math.inf`` turns clipping off.
        field: a, three components, lengths per time squared.
        field_from: steps before the field is switched on, at least 0.
        backend: "numba" (needs the extra `fast`), "reference" (NumPy, the definition), or "auto": numba if it is there,
            otherwise the reference, with a line in the log. Both run on the CPU and give the same numbers, bit for bit.
    Shape: (B, N, 3), (B, N, 3), (B, N) -> (B, F, N, 3) twice, F = num_steps // sample_every, float64 without gradient,
        on the device of pos. NumPy arrays are accepted too.
    Raises: ValueError for a wrong shape, an empty batch or cloud, values that are not finite, coinciding particles (at
        the start or later) or a number out of range; TypeError for counts that are not integers; RuntimeError for
        backend="numba" where it cannot run.
    Source: Kipf et al., "Neural Relational Inference for Interacting Systems", ICML 2018; in three dimensions Fuchs et
        al., "SE(3)-Transformers", NeurIPS 2020; parameters of the small data set of Satorras et al., "E(n) Equivariant
        Graph Neural Networks", ICML 2021. There, distances come from the expanded square; here from differences.
    """
    pos, vel, charges = _checked_state(pos, vel, charges)
    _check_schedule(num_steps, sample_every, dt, max_force)
    uniform = _checked_field(field, field_from)
    if backend not in get_args(Backend):
        raise ValueError(f"unknown backend {backend!r}, expected one of {get_args(Backend)}")
    has_numba = importlib.util.find_spec("numba") is not None
    if backend == "numba" and not has_numba:
        raise RuntimeError("backend='numba' needs numba: pip install 'rapidash[fast]', or use 'auto' or 'reference'")
    state = (pos.cpu().numpy(), vel.cpu().numpy(), charges.cpu().numpy())
    if has_numba and backend != "reference":
        from rapidash.datasets._charged_particles_numba import simulate_numba

        arrays = simulate_numba(*state, num_steps, sample_every, dt, max_force, uniform, field_from)
    else:
        if backend == "auto":
            _logger.warning("numba is not installed (pip install 'rapidash[fast]'): the slower NumPy simulation runs")
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # reported below, by trajectory
            arrays = simulate_reference(*state, num_steps, sample_every, dt, max_force, uniform, field_from)
    pos_frames, vel_frames = (torch.from_numpy(array).to(pos.device) for array in arrays)
    lost = ~torch.isfinite(pos_frames[:, -1]).flatten(1).all(dim=1)
    if lost.any():
        raise ValueError(
            f"trajectory {int(lost.nonzero()[0])} left the finite numbers: two of its particles met in one point, or "
            "dt is far too large. Change its initial state or dt."
        )
    return pos_frames, vel_frames


def simulate_reference(
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
    """The definition, on checked arrays (B, N, 3), (B, N, 3), (B, N) -> (B, F, N, 3) twice."""
    pos_frames, vel_frames = np.empty((2, len(pos), num_steps // sample_every, *pos.shape[1:]))
    for start in range(0, len(pos), _CHUNK):
        part = slice(start, start + _CHUNK)
        # clouds on the last axis: each operation runs over contiguous memory
        x, v, q = (np.ascontiguousarray(array[part].T) for array in (pos, vel, charges))
        for step in range(1, num_steps + 1):
            force = np.clip(_coulomb_force(x, q), -max_force, max_force)
            v = v + dt * (force + field[:, None, None] if step > field_from else force)
            x = x + dt * v
            if step % sample_every == 0:
                frame = step // sample_every - 1
                pos_frames[part, frame], vel_frames[part, frame] = x.T, v.T
    return pos_frames, vel_frames


def _coulomb_force(x: Array, q: Array) -> Array:
    """The force on every particle: (3, N, B), (N, B) -> (3, N, B)."""
    force = np.zeros_like(x)
    for j in range(len(q)):
        offset = x - x[:, j : j + 1]
        squared = offset[0] * offset[0] + offset[1] * offset[1] + offset[2] * offset[2]
        squared[j] = math.inf  # no force of a particle on itself
        force += q * q[j] / (squared * np.sqrt(squared)) * offset
    return force


def _checked_state(
    pos: Tensor | NDArray[Any], vel: Tensor | NDArray[Any], charges: Tensor | NDArray[Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Contiguous float64 tensors on one device, or an error that names the argument at fault."""
    pos = torch.as_tensor(pos).detach().to(torch.float64).contiguous()
    vel, charges = (torch.as_tensor(a).detach().to(pos.device, torch.float64).contiguous() for a in (vel, charges))
    if pos.dim() != 3 or pos.shape[-1] != 3 or pos.numel() == 0:
        raise ValueError(f"pos must have the shape (B, N, 3) with B and N at least 1, got {tuple(pos.shape)}")
    if vel.shape != pos.shape:
        raise ValueError(f"vel must have the shape of pos, {tuple(pos.shape)}, got {tuple(vel.shape)}")
    if charges.shape != pos.shape[:2]:
        raise ValueError(f"charges must have the shape (B, N) = {tuple(pos.shape[:2])}, got {tuple(charges.shape)}")
    for name, array in (("pos", pos), ("vel", vel), ("charges", charges)):
        bad = (~torch.isfinite(array)).nonzero()
        if len(bad):
            raise ValueError(
                f"{name} holds NaN or infinity, first at index {tuple(bad[0].tolist())}: remove that trajectory"
            )
    squared = (pos[:, :, None] - pos[:, None]).square().sum(-1)
    squared.diagonal(dim1=1, dim2=2).fill_(math.inf)
    close = torch.isinf(1 / (squared * squared.sqrt())).nonzero()
    if len(close):
        cloud, i, j = close[0].tolist()
        raise ValueError(
            f"particles {i} and {j} of trajectory {cloud} coincide in pos: the force between them is infinite"
        )
    return pos, vel, charges


def _check_schedule(num_steps: int, sample_every: int, dt: float, max_force: float) -> None:
    for name, count in (("num_steps", num_steps), ("sample_every", sample_every)):
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"{name} must be an int, got {count!r} of type {type(count).__name__}")
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    if sample_every > num_steps:
        raise ValueError(f"{sample_every=} is larger than {num_steps=}: no frame would be kept")
    if not (0 < dt < math.inf):
        raise ValueError(f"dt must be finite and above 0, got {dt}")
    if not max_force > 0:
        raise ValueError(f"max_force must be above 0 (math.inf for no clipping), got {max_force}")


def _checked_field(field: Sequence[float], field_from: int) -> Array:
    """The acceleration of the field as an array (3,)."""
    found = np.asarray(tuple(field), dtype=np.float64)
    if found.shape != (3,) or not np.isfinite(found).all():
        raise ValueError(f"field must be three finite numbers, got {field!r}")
    if isinstance(field_from, bool) or not isinstance(field_from, int):
        raise TypeError(f"field_from must be an int, got {field_from!r} of type {type(field_from).__name__}")
    if field_from < 0:
        raise ValueError(f"field_from must be at least 0, got {field_from}")
    return found
