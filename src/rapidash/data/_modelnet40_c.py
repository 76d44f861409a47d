"""The fifteen corruptions of ModelNet40-C, after Sun et al., 2022 (arXiv:2201.12296), written from their definition.

Every effect takes positions (N, 3) in the box [-1, 1]^3 with y up, the parameter of the severity and a random stream.
``occlusion`` and ``lidar`` are approximations: the originals render the mesh, these hide points of the cloud; so is
``density_inc`` for clouds of fewer than 2,048 points.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data._deformations import LATTICE, control_points, free_form, radial_interpolant, random_directions
from rapidash.data._effects import (
    FULL_SIZE,
    Effect,
    affine,
    axis_rotations,
    choice,
    deformed,
    in_proportion,
    integer,
    kept,
    nearest_rows,
    normal,
    normalized,
    signs,
    to_box,
    uniform,
    with_added,
)

_FLIP = 100.0  # radius of the spherical flip in units of the largest distance from the camera
_BEAM = math.radians(1)
_LIDAR_POINTS = 768


def occlusion(pos: Float[Tensor, "N 3"], sector: float, generator: torch.Generator) -> Effect:
    """Keep the points seen from distance 3, 30 to 60 degrees from the vertical, approximated by `visible_rows`.

    As many points as before: the visible ones, and again some of them, drawn with replacement.
    """
    tilt = uniform(math.radians(120), math.radians(150), 1, generator=generator)
    visible = visible_rows(pos, _camera(3.0, float(tilt), sector, generator))
    return normalized(kept(pos, _resampled(visible, len(pos), generator)), to_box)


def lidar(pos: Float[Tensor, "N 3"], sector: float, generator: torch.Generator) -> Effect:
    """Scan the points seen from distance 5, 67.5 degrees from the vertical, approximated by `visible_rows`.

    Points in the middle half of a beam of 1 degree are moved to the angle of the beam; 768 of 1,024 are drawn from
    them with replacement. As in the original, and unlike ``occlusion``, the box is not scaled again.
    """
    camera = _camera(5.0, math.radians(112.5), sector, generator)
    rows = visible_rows(pos, camera)
    ray = pos[rows] - camera
    distance, flat = ray.norm(dim=1), ray[:, [0, 2]].norm(dim=1)
    angle = torch.atan2(flat, ray[:, 1])
    beam = (angle - angle.min()) / _BEAM
    inside = (beam.frac() >= 0.25) & (beam.frac() < 0.75)
    if not inside.any():
        raise ValueError(f"no beam of the lidar meets the {len(rows)} visible points: take a larger cloud")
    snapped = angle.min() + _BEAM * (beam.floor() + 0.5)
    azimuth = ray[:, [0, 2]] / flat.clamp_min(1e-12)[:, None]
    hit = torch.stack([azimuth[:, 0] * torch.sin(snapped), torch.cos(snapped), azimuth[:, 1] * torch.sin(snapped)], 1)
    scanned = (camera + distance[:, None] * hit)[inside]
    drawn = torch.randint(len(scanned), (in_proportion(_LIDAR_POINTS, len(pos)),), generator=generator)
    return Effect(rows[inside][drawn], scanned[drawn])


def density_dec(pos: Float[Tensor, "N 3"], num_clusters: float, generator: torch.Generator) -> Effect:
    """Clusters thinned: 75 of the 100 nearest of a random point removed."""
    patch, removed = in_proportion(100, len(pos)), in_proportion(75, len(pos))
    return _without_patches(pos, int(num_clusters), patch, removed, generator)


def density_inc(pos: Float[Tensor, "N 3"], num_clusters: float, generator: torch.Generator) -> Effect:
    """Clusters kept dense: whole patches of 100, the rest drawn with replacement from the other points.

    The result has 1,024 points, or as many as the input where that has fewer. The original starts from 2,048: from
    1,024 the contrast is weaker.
    """
    size = min(len(pos), FULL_SIZE)
    patch = in_proportion(100, size)
    rows, chosen = torch.arange(len(pos)), []
    for _ in range(int(num_clusters)):
        near = nearest_rows(pos[rows], integer(len(rows), generator), patch)
        chosen.append(rows[near])
        rows = rows[_others(len(rows), near)]
    missing = size - patch * int(num_clusters)
    chosen.append(rows[torch.randint(len(rows), (missing,), generator=generator)])
    return kept(pos, torch.cat(chosen))


def cutout(pos: Float[Tensor, "N 3"], num_clusters: float, generator: torch.Generator) -> Effect:
    """Holes: the 30 nearest of random points removed."""
    patch = in_proportion(30, len(pos))
    return _without_patches(pos, int(num_clusters), patch, patch, generator)


def uniform_noise(pos: Float[Tensor, "N 3"], c: float, generator: torch.Generator) -> Effect:
    """U(-c, c) added to every coordinate."""
    noise = uniform(-c, c, len(pos), 3, generator=generator)
    return normalized(Effect(torch.arange(len(pos)), pos + noise), to_box)


def gaussian_noise(pos: Float[Tensor, "N 3"], c: float, generator: torch.Generator) -> Effect:
    """N(0, c^2) added to every coordinate, clipped to the box."""
    return Effect(torch.arange(len(pos)), (pos + c * normal(len(pos), 3, generator=generator)).clamp(-1, 1))


def impulse_noise(pos: Float[Tensor, "N 3"], divisor: float, generator: torch.Generator) -> Effect:
    """0.1 added to or taken from every coordinate of one point in ``divisor``."""
    rows = choice(len(pos), len(pos) // int(divisor), generator)
    moved = pos.clone()
    moved[rows] += 0.1 * signs(len(rows), 3, generator=generator)
    return normalized(Effect(torch.arange(len(pos)), moved), to_box)


def upsampling(pos: Float[Tensor, "N 3"], divisor: float, generator: torch.Generator) -> Effect:
    """One point in ``divisor`` doubled, the copy moved by U(-0.05, 0.05) in every coordinate."""
    rows = choice(len(pos), len(pos) // int(divisor), generator)
    copies = pos[rows] + uniform(-0.05, 0.05, len(rows), 3, generator=generator)
    return normalized(Effect(torch.cat([torch.arange(len(pos)), rows]), torch.cat([pos, copies])), to_box)


def background_noise(pos: Float[Tensor, "N 3"], divisor: float, generator: torch.Generator) -> Effect:
    """Points uniform in the box added, one for ``divisor`` of the cloud."""
    return normalized(with_added(pos, uniform(-1.0, 1.0, len(pos) // int(divisor), 3, generator=generator)), to_box)


def rotation(pos: Float[Tensor, "N 3"], c: float, generator: torch.Generator) -> Effect:
    """Rotated by angles of c - 2.5 to c + 2.5 degrees of either sign about x, y and z; the box is scaled again."""
    degrees = uniform(c - 2.5, c + 2.5, 3, generator=generator) * signs(3, generator=generator)
    x, y, z = axis_rotations(torch.deg2rad(degrees))
    return normalized(deformed(pos, affine((x @ y @ z).T)), to_box)


def shear(pos: Float[Tensor, "N 3"], c: float, generator: torch.Generator) -> Effect:
    """P' = P [[1, 0, b], [d, 1, e], [f, 0, 1]] with entries of c - 0.05 to c + 0.05 of either sign."""
    b, d, e, f = (uniform(c - 0.05, c + 0.05, 4, generator=generator) * signs(4, generator=generator)).tolist()
    matrix = torch.tensor([[1, 0, b], [d, 1, e], [f, 0, 1]], dtype=torch.float64)
    return normalized(deformed(pos, affine(matrix.T)), to_box)


def distortion(pos: Float[Tensor, "N 3"], c: float, generator: torch.Generator) -> Effect:
    """Free-form deformation with control displacements U(-c, c)."""
    displacement = uniform(-c, c, LATTICE, LATTICE, LATTICE, 3, generator=generator)
    return normalized(deformed(pos, free_form(displacement)), to_box)


def distortion_rbf(pos: Float[Tensor, "N 3"], d: float, generator: torch.Generator) -> Effect:
    """Control points moved by d in random directions, the rest by the interpolant with sqrt(r^2 + 0.25)."""
    return _radial(pos, d, generator, inverse=False)


def distortion_rbf_inv(pos: Float[Tensor, "N 3"], d: float, generator: torch.Generator) -> Effect:
    """Control points moved by d in random directions, the rest by the interpolant with 1 / sqrt(r^2 + 0.25)."""
    return _radial(pos, d, generator, inverse=True)


def visible_rows(pos: Float[Tensor, "N 3"], camera: Float[Tensor, "3"]) -> Int[Tensor, " V"]:
    """The points that a camera sees: on the convex hull of the cloud and the camera after a spherical flip.

    Source: Katz, Tal, Basri, "Direct Visibility of Point Sets", SIGGRAPH 2007.
    """
    from scipy.spatial import ConvexHull, QhullError  # takes longer to import than all the rest of the package

    ray = (pos - camera).numpy()
    distance = np.linalg.norm(ray, axis=1, keepdims=True)
    flipped = ray + 2 * (_FLIP * distance.max() - distance) * ray / distance
    try:
        vertices = ConvexHull(np.concatenate([flipped, np.zeros((1, 3))])).vertices
    except QhullError as error:
        raise ValueError(f"visibility needs at least 4 points that are not in a plane, got {len(pos)}") from error
    return torch.from_numpy(np.sort(vertices[vertices < len(pos)]).astype(np.int64))


def _camera(distance: float, tilt: float, sector: float, generator: torch.Generator) -> Float[Tensor, "3"]:
    """A place at an angle of 180 degrees - tilt from the vertical (y), in a sector of 72 degrees of azimuth."""
    azimuth = 2 * math.pi / 5 * (sector + float(uniform(-0.5, 0.5, 1, generator=generator)))
    flat = math.sin(tilt)
    place = (math.sin(azimuth) * flat, -math.cos(tilt), math.cos(azimuth) * flat)
    return distance * torch.tensor(place, dtype=torch.float64)


def _resampled(rows: Int[Tensor, " V"], size: int, generator: torch.Generator) -> Int[Tensor, " size"]:
    """As many rows as asked, every one at least once where they are too few, the rest with replacement."""
    if len(rows) >= size:
        return rows[choice(len(rows), size, generator)]
    return torch.cat([rows, rows[torch.randint(len(rows), (size - len(rows),), generator=generator)]])


def _without_patches(
    pos: Float[Tensor, "N 3"], num_patches: int, patch: int, removed: int, generator: torch.Generator
) -> Effect:
    rows = torch.arange(len(pos))
    for _ in range(num_patches):
        if patch >= len(rows):
            return kept(pos, rows[:0])
        near = nearest_rows(pos[rows], integer(len(rows), generator), patch)
        rows = rows[_others(len(rows), near[choice(patch, removed, generator)])]
    return kept(pos, rows)


def _others(num: int, rows: Int[Tensor, " K"]) -> Tensor:
    mask = torch.ones(num, dtype=torch.bool)
    mask[rows] = False
    return mask


def _radial(pos: Float[Tensor, "N 3"], d: float, generator: torch.Generator, *, inverse: bool) -> Effect:
    control = control_points()
    target = control + d * random_directions(len(control), generator)
    return normalized(deformed(pos, radial_interpolant(target, inverse=inverse)), to_box)
