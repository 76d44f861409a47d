"""The symmetry that a relaxed network keeps."""

import torch

from rapidash.groups import Group, trivial
from rapidash.symmetry import Ledger


def left_symmetry(before: Ledger, who: str, why: str, *, keeps_translations: bool = True) -> Ledger:
    """The ledger of a model that no rotation holds for any more, or no motion at all.

    Args:
        before: of the model without what relaxes it.
        who: the method and what it needs, in words, for the error.
        why: the reason, which the ledger says with what is left.
        keeps_translations: whether translations are left.
    Raises: ValueError for a symmetry that is no group of motions of space.
    """
    layers, effective = before.layers, before.effective
    if not isinstance(layers, Group) or not isinstance(effective, Group):
        raise ValueError(f"{who}, the ledger says {effective.name}")
    axes = torch.eye(effective.dim, dtype=torch.float64)
    left, kept = layers.stabilizer(axes), effective.stabilizer(axes)
    if not keeps_translations:
        left = kept = trivial(effective.dim)
    reasons = (*before.reasons, f"{why}: {effective} is reduced to {kept}")
    return Ledger(left, kept, reasons, True, before.oracle, exactness=before.exactness)
