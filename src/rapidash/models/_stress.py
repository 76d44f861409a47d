"""Energy, forces and stress of periodic structures, by differentiating an energy in positions and strain."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry import Cell


class Stressed(NamedTuple):
    """An energy with its derivatives.

    Args:
        energy: (B,) of each structure.
        forces: (N, D), -dE/dx, in energy per length.
        stress: (B, D, D), symmetric, dE/d(strain) over the volume, in energy per volume: positive under tension, the
            sign of ASE; the pressure is -1/D of its trace, and the virial of codes that sum x f is minus the stress
            times the volume.
    """

    energy: Float[Tensor, " B"]
    forces: Float[Tensor, "N D"]
    stress: Float[Tensor, "B D D"]


def forces_and_stress(
    energy: Callable[[Tensor, Cell], Float[Tensor, " B"]],
    pos: Float[Tensor, "N D"],
    batch: Int[Tensor, " N"],
    cell: Cell,
    *,
    create_graph: bool = False,
) -> Stressed:
    """Differentiate the energy of periodic structures.

    A symmetric strain e takes positions x to x + x e and cell vectors v to v + v e; the edges stay those at e = 0.

    Args:
        energy: of positions and cell; for a `Rapidash` with one scalar output at graph level
            ``lambda pos, cell: model(pos, batch, cell=cell).scalars.squeeze(-1)``.
        pos, batch, cell: the structures.
        create_graph: keep the graph, so that a loss of forces and stress can be trained.
    Raises: ValueError for a structure that is not periodic along all its vectors, which has no volume, or an energy of
        another shape.
    """
    if not bool(cell.repeating.all()):
        raise ValueError(
            "stress needs structures that are periodic along every vector, got periodic = "
            f"{cell.repeating[int((~cell.repeating.all(dim=1)).nonzero()[0])].tolist()}"
        )
    with torch.enable_grad():
        moved = pos if pos.requires_grad else pos.detach().requires_grad_()
        raw = torch.zeros_like(cell.vectors).requires_grad_()
        strain = (raw + raw.mT) / 2
        value = energy(moved + torch.einsum("nd,nde->ne", moved, strain[batch]), cell.strained(strain))
        if value.shape != cell.vectors.shape[:1]:
            raise ValueError(f"energy must return ({len(cell.vectors)},), one number each, got {tuple(value.shape)}")
        slope, work = torch.autograd.grad(value.sum(), (moved, raw), create_graph=create_graph, materialize_grads=True)
    volume = torch.linalg.det(cell.vectors).abs()
    found = Stressed(value, -slope, work / volume[:, None, None])
    return found if create_graph else Stressed(*(part.detach() for part in found))
