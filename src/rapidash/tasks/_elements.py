"""Chemical elements as one-hot features."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17)  # H, C, N, O, F, P, S, Cl
ANGSTROM_PER_UNIT = 2.0  # lengths inside the networks are of order 1


def element_features(z: Int[Tensor, " N"]) -> Float[Tensor, "N elements"]:
    """One column per element of ``ELEMENTS``.

    Raises: ValueError for an atom of another element.
    """
    columns = (z[:, None] == z.new_tensor(ELEMENTS)).to(torch.get_default_dtype())
    if not bool(columns.any(dim=1).all()):
        unknown = sorted(set(z.tolist()) - set(ELEMENTS))
        raise ValueError(f"elements {unknown} are not among those of the network, {ELEMENTS}")
    return columns
