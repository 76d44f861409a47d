"""Internal coordinates of chains, and how far two samples of them are apart."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def dihedral_angles(points: Float[Tensor, "B 4 3"]) -> Float[Tensor, " B"]:
    """The dihedral angle of four points in (-pi, pi], positive where the far bond is turned clockwise (IUPAC)."""
    first, middle, last = (points[:, k + 1] - points[:, k] for k in range(3))
    before, after = torch.linalg.cross(first, middle), torch.linalg.cross(middle, last)
    across = middle.norm(dim=-1) * (first * after).sum(-1)
    return torch.atan2(across, (before * after).sum(-1))


def chain_lengths(points: Float[Tensor, "B n 3"]) -> Float[Tensor, "B n_minus_1"]:
    """The distances of neighbors along a chain."""
    return (points[:, 1:] - points[:, :-1]).norm(dim=-1)


def chain_angles(points: Float[Tensor, "B n 3"]) -> Float[Tensor, "B n_minus_2"]:
    """The angles at the inner points of a chain, radians."""
    back, forth = points[:, :-2] - points[:, 1:-1], points[:, 2:] - points[:, 1:-1]
    return torch.atan2(torch.linalg.cross(back, forth).norm(dim=-1), (back * forth).sum(-1))


def torus_histogram(first: Float[Tensor, " B"], second: Float[Tensor, " B"], cells: int) -> Float[Tensor, " cells"]:
    """Shares of pairs of angles in cells x cells squares, and in a last cell those that are not finite.

    Raises: ValueError for no angles, or no cells.
    """
    if not len(first) or cells < 1:
        raise ValueError(f"a histogram needs at least one pair of angles and one cell, got {len(first)} and {cells}")
    index = ((torch.stack([first, second]) / (2 * math.pi) + 0.5) * cells).floor()
    is_good = torch.isfinite(index).all(0)
    inside = index.where(is_good, torch.zeros(())).long() % cells
    cell = (inside[0] * cells + inside[1]).where(is_good, torch.tensor(cells * cells))
    return torch.bincount(cell, minlength=cells * cells + 1).double() / len(first)


def js_divergence(p: Float[Tensor, " cells"], q: Float[Tensor, " cells"]) -> float:
    """Jensen-Shannon divergence of two distributions, nats: 0 to ln 2."""
    mean = (p + q) / 2

    def relative(one: Tensor) -> Tensor:
        return torch.special.xlogy(one, one / mean.where(mean > 0, torch.ones(()).double())).sum()

    return float((relative(p) + relative(q)) / 2)
