"""How labels move when classes are renamed."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rapidash.groups import Representation


@dataclass(frozen=True)
class Labels(Representation):
    """Whole numbers that name classes: a label j becomes the i with p(i) = j, for the permutation (P x)_i = x_p(i).

    So the columns of ``one_hot(labels)`` move as `rapidash.groups.Permutation` moves columns of logits. Negative
    numbers, which name no class, stay.

    Raises: ValueError (act) for labels that are no whole numbers, or name a class that the element does not have.
    """

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The new names, of the same type."""
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise ValueError(f"labels must be whole numbers, got {x.dtype}")
        if x.numel() and int(x.max()) >= g.shape[-1]:
            raise ValueError(f"labels must be below the {g.shape[-1]} classes of the element, got {int(x.max())}")
        names = g.argmax(dim=-1).argsort(dim=-1).to(x)  # p^-1
        if names.dim() == 1:
            return names[x.clamp(min=0)].where(x >= 0, x)
        flat = x.reshape(len(x), -1)
        return names.gather(1, flat.clamp(min=0)).where(flat >= 0, flat).view_as(x)
