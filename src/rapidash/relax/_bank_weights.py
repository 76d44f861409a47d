"""The weights of filter banks, one for each bank and group element (or orientation)."""

from contextlib import AbstractContextManager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.relax._switched import switched


class BankWeights(nn.Module):
    r"""Weights :math:`w_l(h)` of L filter banks at X places h, from :math:`1 / L`.

    Where no w_l depends on h, a convolution with the sum of the banks is equivariant. While ``is_projected`` every
    weight is replaced by the mean of its bank.

    Args:
        banks: L, at least 1.
        places: X, the number of group elements or orientations.
    Raises: ValueError for less than one bank.
    """

    def __init__(self, banks: int, places: int) -> None:
        super().__init__()
        if banks < 1:
            raise ValueError(f"banks must be at least 1, got {banks}")
        self.w = nn.Parameter(torch.full((banks, places), 1.0 / banks))
        self.is_projected = False

    def forward(self) -> Float[Tensor, "L X"]:
        """The weights in use."""
        return self.w.mean(dim=1, keepdim=True).expand_as(self.w) if self.is_projected else self.w

    def variation(self) -> Float[Tensor, ""]:
        r""":math:`\sum_l \sum_{g, h} |w_l(g) - w_l(h)|`, with gradient zero where the weights are constant."""
        return (self.w[:, :, None] - self.w[:, None, :]).abs().sum()

    def relative_deviation(self) -> float:
        """The standard deviation of the weights around the mean of their bank, in units of 1 / L."""
        spread = self.w.detach() - self.w.detach().mean(dim=1, keepdim=True)
        return float(spread.square().mean().sqrt()) * len(self.w)


def bank_weights(model: nn.Module) -> list[BankWeights]:
    """The bank weights of a model in their order."""
    return [part for part in model.modules() if isinstance(part, BankWeights)]


def total_variation(model: nn.Module) -> Float[Tensor, ""]:
    """The sum of the variations of all bank weights of a model.

    Raises: ValueError for a model without any.
    """
    return torch.stack([part.variation() for part in _parts(model)]).sum()


def constant_bank_weights(model: nn.Module) -> AbstractContextManager[None]:
    """Within the block every weight of a bank is the mean of the bank: the nearest equivariant model.

    Raises: ValueError for a model without banks.
    """
    return switched(_parts(model), "is_projected", True)


def _parts(model: nn.Module) -> list[BankWeights]:
    parts = bank_weights(model)
    if not parts:
        raise ValueError(
            f"{type(model).__name__} has no filter banks whose weights could vary: build it of RelaxedGroupConv or "
            "RelaxedLifting, or with a method such as RelaxedFiberConv"
        )
    return parts
