"""The symmetry of an average over a group: what it adds, what it keeps, and what it destroys."""

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import FiniteGroup, Group, LinearGroup, Trivial, joined_group

_CHECKED = 16  # random elements of an infinite group


def averaged_symmetry(kept: Group, over: Group) -> tuple[Group, str]:
    r"""The symmetry of :math:`h(x) = E_{g \in H}\, \rho(g)^{-1} f(g x)` for a map f with symmetry K, and why.

    H is added. An element k of K stays where :math:`k^{-1} H k = H`, and a subgroup L of K where
    :math:`g^{-1} L g = L` for all g in H; the largest of K, its part about the origin and its translations with this
    property is kept. What fits neither is destroyed: f(g x) has the symmetry g^{-1} K g, another one for each g.

    Args:
        kept: K, the symmetry before.
        over: H.
    """
    if over.is_subgroup(kept):
        return kept, f"{kept} holds already"
    if kept.is_subgroup(over):
        return over, f"{kept} becomes {over}"
    if _normalizes(kept, over):
        found = _joined(kept, over)
        return found, f"{kept} is kept, which maps {over} to itself, and becomes {found}"
    for part in (kept, kept.without_translations(), Group(kept.dim, Trivial(), kept.translations, kept.across)):
        if _normalizes(over, part):
            found = _joined(part, over)
            if part == kept:
                return found, f"{kept} is kept, which {over} maps to itself, and becomes {found}"
            return found, f"of {kept} only {part} is kept, for {over} does not map the rest to itself: {found}"
    raise AssertionError("the trivial group is normalized by all")


def _normalizes(outer: Group, inner: Group) -> bool:
    """Whether g L g^-1 = L for every g of the outer group and L the inner one, decided on a sample of elements."""
    shifts, directions = outer.translation_basis(), inner.translation_basis()
    turns = _some(outer)
    moved = torch.einsum("gij,vj->gvi", turns, directions)
    if len(directions) and (moved - moved @ directions.T @ directions).abs().max() > 1e-9:
        return False  # the translations are turned out of their space
    elements = _some(inner)
    conjugated = turns[:, None] @ elements[None] @ turns.mT[:, None]
    if not all(inner.linear.contains(element) for element in conjugated.flatten(0, 1)):
        return False
    # moving the origin by t turns R into R with the shift (1 - R) t, which the inner group must have
    offsets = torch.einsum("gij,vj->gvi", torch.eye(inner.dim, dtype=torch.float64) - elements, shifts).flatten(0, 1)
    outside = offsets - offsets @ directions.T @ directions
    return len(offsets) == 0 or bool(outside.abs().max() < 1e-9)


def _some(group: Group) -> Float[Tensor, "G D D"]:
    """All linear parts of a finite group, some of another."""
    if isinstance(group.linear, FiniteGroup):
        return group.linear.elements
    return group.linear.sample(_CHECKED, group.dim, seeded("normalizes"))


def _joined(first: Group, second: Group) -> Group:
    """The group of the products, where one of the two maps the other to itself."""
    linear: LinearGroup
    if _has(first, second):
        linear = first.linear
    elif _has(second, first):
        linear = second.linear
    else:
        linear = joined_group(first.linear, second.linear, first.dim)
    basis = torch.cat([first.translation_basis(), second.translation_basis()])
    rank = int(torch.linalg.matrix_rank(basis)) if len(basis) else 0
    if rank == first.dim:
        return Group(first.dim, linear)
    larger = first if len(first.translation_basis()) >= len(second.translation_basis()) else second
    return Group(first.dim, linear, False, larger.across if rank else None)


def _has(group: Group, part: Group) -> bool:
    """Whether the linear parts of one group hold those of another."""
    return part.without_translations().is_subgroup(group.without_translations())
