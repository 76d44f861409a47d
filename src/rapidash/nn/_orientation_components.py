"""Signals on an orientation grid, split into components that the motions of the grid do not mix."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._names import unknown_name
from rapidash._seed import seeded
from rapidash.groups import grid_symmetries

OrientationMaps = Literal["pointwise", "bandlimited", "irreps"]
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Part:
    """Components that linear maps treat alike.

    Args:
        dim: d, of the representation in which they move.
        copies: m, how often it occurs; maps mix the copies with the channels.
    """

    dim: int
    copies: int = 1


@dataclass(frozen=True, eq=False)
class OrientationComponents:
    """A linear change between signals on O orientations and K components, in parts that no motion mixes.

    Args:
        analysis: (K, O), float64; the rows of a part are in the order (component, copy).
        synthesis: (O, K), float64: analysis of synthesis is the identity.
        parts: in the order of the rows.
    """

    analysis: Float[Tensor, "K O"]
    synthesis: Float[Tensor, "O K"]
    parts: tuple[Part, ...]


def orientation_components(
    kind: OrientationMaps | str, grid: Float[Tensor, "O D"], *, bandlimit: int = 1, reflections: bool = True
) -> OrientationComponents:
    """The components of a kind of maps.

    Args:
        kind: ``"bandlimited"``: harmonics of degree 0 to ``bandlimit``, a part for each degree; the rest of a signal is
            dropped. ``"irreps"``: all of the signal, by irreducible representations of the motions of the grid.
        grid: unit vectors.
        bandlimit: L, at least 0.
        reflections: for irreps: of the rotations and reflections of the grid, otherwise of its rotations.
    Raises: ValueError for another kind, a bandlimit that the grid does not resolve, or a grid that its motions do not
        carry from each vector to every other one.
    """
    if kind == "bandlimited":
        return _harmonic_components(grid.to(torch.float64), bandlimit)
    if kind == "irreps":
        return _irreducible_components(grid.to(torch.float64), reflections=reflections)
    raise ValueError(unknown_name("kind", kind, [name for name in get_args(OrientationMaps) if name != "pointwise"]))


def _harmonic_components(grid: Tensor, bandlimit: int) -> OrientationComponents:
    dim = grid.shape[1]
    if bandlimit < 0:
        raise ValueError(f"bandlimit must be at least 0, got {bandlimit}")
    harmonics = [harmonics_of_degree(grid, degree) for degree in range(bandlimit + 1)]
    synthesis = torch.cat(harmonics, dim=1)
    if torch.linalg.matrix_rank(synthesis, rtol=_TOLERANCE) < synthesis.shape[1]:
        resolved = max(
            (top for top in range(bandlimit) if _is_resolved(torch.cat(harmonics[: top + 1], dim=1))), default=0
        )
        raise ValueError(
            f"bandlimit={bandlimit} needs {synthesis.shape[1]} components, which {len(grid)} orientations do not tell "
            f"apart in R^{dim}: use bandlimit={resolved}, or more orientations"
        )
    parts = tuple(Part(columns.shape[1]) for columns in harmonics)
    return OrientationComponents(torch.linalg.pinv(synthesis), synthesis, parts)


def _is_resolved(synthesis: Tensor) -> bool:
    return int(torch.linalg.matrix_rank(synthesis, rtol=_TOLERANCE)) == synthesis.shape[1]


def harmonics_of_degree(points: Float[Tensor, "P D"], degree: int) -> Float[Tensor, "P K"]:
    """A basis of the harmonic homogeneous polynomials of a degree, at points of the unit sphere or circle.

    K is 2 l + 1 in space, and 2 (1 for l = 0) in the plane. The polynomials are the null space of the Laplacian on
    the monomials; which basis of it is taken does not matter where all of its members are treated alike.
    """
    dim = points.shape[1]
    powers = _powers(degree, dim)
    lower = {power: row for row, power in enumerate(_powers(degree - 2, dim))} if degree >= 2 else {}
    laplacian = torch.zeros(len(lower), len(powers), dtype=torch.float64)
    for column, power in enumerate(powers):
        for axis, exponent in enumerate(power):
            if exponent >= 2:
                reduced = (*power[:axis], exponent - 2, *power[axis + 1 :])
                laplacian[lower[reduced], column] += exponent * (exponent - 1)
    if len(lower):
        _, values, right = torch.linalg.svd(laplacian)
        null = right[int((values > _TOLERANCE).sum()) :].T
    else:
        null = torch.eye(len(powers), dtype=torch.float64)
    monomials = torch.stack([(points ** torch.tensor(power)).prod(dim=1) for power in powers], dim=1)
    found = monomials @ null
    return found / found.square().mean().sqrt().clamp(min=1e-12)


def _powers(degree: int, dim: int) -> list[tuple[int, ...]]:
    """The exponents of all monomials of a degree."""
    if dim == 1:
        return [(degree,)]
    return [(first, *rest) for first in range(degree, -1, -1) for rest in _powers(degree - first, dim - 1)]


def _irreducible_components(grid: Tensor, *, reflections: bool) -> OrientationComponents:
    """Eigenspaces of a random symmetric map that commutes with the motions; copies are told by a second one."""
    group = grid_symmetries(grid, reflections=reflections)
    moved = torch.einsum("gij,oj->goi", group.elements, grid)
    places = torch.cdist(moved, grid.expand(len(moved), *grid.shape)).argmin(dim=-1)
    if len(places[:, 0].unique()) < len(grid):
        raise ValueError(
            f"orientation maps by irreps need a grid whose motions carry each vector to every other one; this one of "
            f"{len(grid)} has {len(group.elements)} motions that do not: use grid='platonic' with 4, 6, 8, 12 or 20 "
            "orientations (in the plane any number), or orientation_mlp='bandlimited'"
        )
    first, second = (_commuting_map(places, seeded("irreps", name)) for name in ("first", "second"))
    values, vectors = torch.linalg.eigh(first)
    gaps = (values[1:] - values[:-1]) > _TOLERANCE * len(grid)
    edges = [0, *(gaps.nonzero()[:, 0] + 1).tolist(), len(grid)]
    spaces = [vectors[:, low:high] for low, high in pairwise(edges)]
    found: list[list[Tensor]] = []
    for space in spaces:
        for copies in found:
            link = copies[0].T @ second @ space  # between copies of one representation an isometry, up to a factor
            if link.shape[0] == link.shape[1] and link.norm() > _TOLERANCE * len(grid):
                u, _, vh = torch.linalg.svd(link)
                copies.append(space @ (u @ vh).T)
                break
        else:
            found.append([space])
    rows = [torch.stack(copies, dim=-1).flatten(1) for copies in found]  # (O, component, copy)
    analysis = torch.cat(rows, dim=1).T.contiguous()
    return OrientationComponents(
        analysis, analysis.T.contiguous(), tuple(Part(copies[0].shape[1], len(copies)) for copies in found)
    )


def _commuting_map(places: Tensor, rng: torch.Generator) -> Float[Tensor, "O O"]:
    """A symmetric matrix that every permutation of ``places`` (G, O) leaves as it is, with random entries otherwise."""
    size = places.shape[1]
    entries = torch.randn(size, size, generator=rng, dtype=torch.float64)
    entries = entries + entries.T
    return torch.stack([entries[place][:, place] for place in places]).mean(dim=0)
