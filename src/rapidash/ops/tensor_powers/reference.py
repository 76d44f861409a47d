"""The definition of the tensor powers."""

import torch
from jaxtyping import Float
from torch import Tensor


def num_powers(axes: int, max_degree: int) -> int:
    """Entries of all powers of ``axes`` attributes up to the degree."""
    return sum(axes**order for order in range(1, max_degree + 1))


def tensor_powers_reference(attributes: Float[Tensor, "*B A"], max_degree: int) -> Float[Tensor, "*B P"]:
    """The definition: any device and dtype, differentiable to any order."""
    powers = [attributes]
    for _ in range(max_degree - 1):
        powers.append((powers[-1].unsqueeze(-1) * attributes.unsqueeze(-2)).flatten(-2))
    return torch.cat(powers, dim=-1)
