"""Orientation grids on S^1 and S^2, and the finite group of motions that maps a grid onto itself."""

import math
from functools import lru_cache
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups._linear import FiniteGroup

GridName = Literal["uniform", "fibonacci", "repulsion", "platonic"]
ORIENTATION_GRIDS: tuple[str, ...] = get_args(GridName)
PLATONIC_SOLIDS = {4: "tetrahedron", 6: "octahedron", 8: "cube", 12: "icosahedron", 20: "dodecahedron"}


def orientation_grid(grid: GridName | str | Tensor, num_orientations: int, dim: int) -> Float[Tensor, "O D"]:
    """Unit vectors, float64: the orientations on which signals on S^(dim - 1) are sampled.

    Args:
        grid: ``"uniform"`` (dim 2), ``"fibonacci"``, ``"repulsion"`` or ``"platonic"`` (dim 3; the vertices of the
            Platonic solid with 4, 6, 8, 12 or 20 vertices), or a tensor (O, dim) of unit vectors. In the plane every
            name gives the uniform grid, which is closed under its rotations.
        num_orientations: O, at least 1.
        dim: 2 or 3.
    Raises: ValueError for an unknown name, a size the grid does not have, or vectors that are not of unit length.
    """
    if isinstance(grid, Tensor):
        return _checked(grid, num_orientations, dim)
    if num_orientations < 1:
        raise ValueError(f"num_orientations must be at least 1, got {num_orientations}")
    if grid not in ORIENTATION_GRIDS:
        raise ValueError(f"unknown grid {grid!r}, expected one of {', '.join(ORIENTATION_GRIDS)} or a tensor (O, dim)")
    if dim == 2:
        angles = 2 * math.pi * torch.arange(num_orientations, dtype=torch.float64) / num_orientations
        return torch.stack([torch.cos(angles), torch.sin(angles)], dim=-1)
    if grid == "uniform":
        raise ValueError("grid='uniform' exists on the circle (dim=2); on the sphere use 'fibonacci' or 'platonic'")
    if grid == "fibonacci":
        return _fibonacci(num_orientations)
    return (_platonic if grid == "platonic" else _repulsion)(num_orientations).clone()


def _checked(grid: Tensor, num_orientations: int, dim: int) -> Tensor:
    if grid.shape != (num_orientations, dim):
        raise ValueError(f"a custom grid must have shape ({num_orientations}, {dim}), got {tuple(grid.shape)}")
    if not bool(((grid.norm(dim=-1) - 1).abs() < 1e-4).all()):
        raise ValueError("a custom grid must consist of unit vectors: divide each by its norm")
    return grid.detach().to("cpu", torch.float64, copy=True)


def _fibonacci(num: int) -> Tensor:
    """Points on a golden-angle spiral, at heights 1 - (2i + 1) / num."""
    i = torch.arange(num, dtype=torch.float64)
    azimuth = (math.pi * (1 + math.sqrt(5)) * i) % (2 * math.pi)
    height = 1 - (2 * i + 1) / num
    radius = (1 - height.square()).clamp(min=0).sqrt()
    return torch.stack([azimuth.cos() * radius, azimuth.sin() * radius, height], dim=-1)


@lru_cache(maxsize=32)
def _repulsion(num: int, steps: int = 300) -> Tensor:
    """Points that repel each other with energy sum 1 / r^2, relaxed by projected gradient steps from a fixed start."""
    points = torch.randn(num, 3, generator=seeded("repulsion", num), dtype=torch.float64)
    points = points / points.norm(dim=-1, keepdim=True)
    for step in range(steps):
        offset = points[:, None] - points[None]
        square = offset.square().sum(-1) + torch.eye(num, dtype=points.dtype)
        force = (offset / square[..., None].square()).sum(1)
        force = force - (force * points).sum(-1, keepdim=True) * points
        length = force.norm(dim=-1).amax().clamp(min=1e-12)
        points = points + 0.3 / math.sqrt(num) * 0.985**step * force / length
        points = points / points.norm(dim=-1, keepdim=True)
    return points


@lru_cache(maxsize=8)
def _platonic(num: int) -> Tensor:
    if num not in PLATONIC_SOLIDS:
        raise ValueError(
            f"grid='platonic' needs num_orientations in {sorted(PLATONIC_SOLIDS)}, got {num}: 'fibonacci' and "
            "'repulsion' have any number"
        )
    phi = (1 + math.sqrt(5)) / 2
    signs = [-1.0, 1.0]
    cube = [[x, y, z] for x in signs for y in signs for z in signs]
    cyclic = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]

    def rectangles(a: float, b: float) -> list[list[float]]:
        """The cyclic permutations of (0, +-a, +-b)."""
        corners = [(0.0, s * a, t * b) for s in signs for t in signs]
        return [[corner[i] for i in order] for corner in corners for order in cyclic]

    vertices = {
        4: [v for v in cube if v[0] * v[1] * v[2] > 0],
        6: [[s if i == axis else 0.0 for i in range(3)] for axis in range(3) for s in signs],
        8: cube,
        12: rectangles(1.0, phi),
        20: cube + rectangles(1 / phi, phi),
    }[num]
    points = torch.tensor(vertices, dtype=torch.float64)
    return points / points.norm(dim=-1, keepdim=True)


def grid_symmetries(grid: Float[Tensor, "O D"], *, reflections: bool = False) -> FiniteGroup:
    """The rotations (with ``reflections`` all orthogonal maps) that permute the vectors of a grid, as a finite group.

    A network on this grid is equivariant to exactly these, in floating point. Every map is fixed by the images of D
    linearly independent grid vectors, so the maps are found by trying the images that keep the inner products.
    Raises: ValueError if the grid does not span the space (its symmetries are then not finite).
    """
    grid = grid.to(torch.float64)
    num, dim = grid.shape
    basis: list[int] = []
    for index in range(num):
        if torch.linalg.matrix_rank(grid[[*basis, index]], tol=1e-6) > len(basis):
            basis.append(index)
        if len(basis) == dim:
            break
    if len(basis) < dim:
        raise ValueError(f"the grid of {num} vectors does not span R^{dim}: its symmetry group is not finite")
    gram, frame_inverse = grid @ grid.T, torch.linalg.inv(grid[basis].T)
    images: list[list[int]] = [[]]
    for position, index in enumerate(basis):
        images = [
            [*image, candidate]
            for image in images
            for candidate in range(num)
            if all(abs(float(gram[candidate, image[k]] - gram[index, basis[k]])) < 1e-7 for k in range(position))
        ]
    maps = torch.stack([grid[image].T @ frame_inverse for image in images])
    distance = torch.cdist(torch.einsum("gij,oj->goi", maps, grid), grid.expand(len(maps), num, dim))
    keeps_grid = distance.amin(dim=-1).amax(dim=-1) < 1e-7
    if not reflections:
        keeps_grid &= torch.linalg.det(maps) > 0
    elements = maps[keeps_grid]
    u, _, vh = torch.linalg.svd(elements)
    return FiniteGroup(f"grid group of order {len(elements)}", u @ vh)
