"""Relaxed group convolution in a Rapidash network: filter banks on the orientations of every block."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import parse_group
from rapidash.methods import Control, Method, ParamGroup, StepView
from rapidash.models import NetworkConfig, Rapidash, RapidashConfig
from rapidash.nn import GroupConv
from rapidash.relax._bank_weights import BankWeights, bank_weights, constant_bank_weights, total_variation
from rapidash.relax._left_symmetry import left_symmetry
from rapidash.relax._relaxed_group_conv import Side
from rapidash.symmetry import Ledger

if TYPE_CHECKING:
    from rapidash.methods import Task

CONSTANT = "constant"  # the view in which the weights of a bank are their mean


class RelaxedFiberKernel(nn.Module):
    r"""The kernel between orientations of a separable group convolution, as a sum of L weighted banks.

    .. math:: k(o_b, o_a) = \sum_l w_l(o_a)\, F_l\, \phi(o_a \cdot o_b)

    with ``side="out"`` :math:`w_l(o_b)`. It stands in the place of the one linear map F of `rapidash.nn.GroupConv`.

    Symmetry: that of the convolution where every w_l is constant, as at first (1 / L).
    Args:
        first: F, which becomes the first bank; the others are fresh.
        num_orientations: O.
        banks: L, at least 1.
        side: whose orientation the weight belongs to, that of the input or of the output.
    Shape: basis (O, O, basis), output before input -> (O, O, C).
    """

    def __init__(self, first: nn.Linear, num_orientations: int, *, banks: int, side: Side) -> None:
        super().__init__()
        self.side = side
        self.bank_weights = BankWeights(banks, num_orientations)
        others = [nn.Linear(first.in_features, first.out_features, bias=False).weight for _ in range(banks - 1)]
        stacked = torch.stack([first.weight.detach(), *(other.detach().to(first.weight) for other in others)])
        self.weight = nn.Parameter(stacked)

    def forward(self, basis: Float[Tensor, "O O basis"]) -> Float[Tensor, "O O C"]:
        """See the class."""
        where = "la" if self.side == "in" else "lb"
        return torch.einsum(f"{where},lck,bak->bac", self.bank_weights(), self.weight, basis)


@dataclass(frozen=True)
class RelaxedFiberConv(Method):
    """Relaxed group convolution: in every block L banks of kernels on the orientations, weighted orientation by
    orientation.

    The weights begin constant, which is equivariant, and the data may change them: how they differ shows which
    rotations are broken. Views are ``"full"``, whose result counts, and ``"constant"``, with each weight replaced by
    the mean of its bank, which has the symmetry of the network. The weights have a learning rate of their own; tune it.

    Args:
        banks: L, at least 1; with one the weights rescale orientations.
        side: ``"in"``: the weight belongs to the input's orientation; ``"out"``: to the output's.
        lr: learning rate of the weights (AdamW, no decay); 0 keeps them.
        variation: factor of the penalty sum |w_l(g) - w_l(h)| over banks and pairs of orientations, at least 0.
    Raises: ValueError for values outside the above.
    Source: Wang et al., arXiv 2201.11969 (the penalty) and arXiv 2310.02299; on orientation grids ours.
    """

    banks: int = 4
    side: Side = "in"
    lr: float = 0.02
    variation: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.banks < 1:
            raise ValueError(f"banks must be at least 1, got {self.banks}")
        if self.side not in get_args(Side):
            raise ValueError(f"side must be one of {get_args(Side)}, got {self.side!r}")
        if self.lr < 0 or self.variation < 0:
            raise ValueError(f"lr and variation must be at least 0, got {self.lr} and {self.variation}")

    def check(self, model: NetworkConfig) -> None:
        """It needs a Rapidash network with orientations whose kernels keep rotations."""
        if not isinstance(model, RapidashConfig):
            raise ValueError(f"it relaxes the blocks of a network of kind 'rapidash', got {model.kind!r}")
        if model.takes != "vectors":
            raise ValueError(f"a network on {model.space} has no orientations: choose a space such as 'R3xS2'")
        group = parse_group(model.symmetry)
        if not group.linear.generators(group.dim).numel():
            raise ValueError(f"a network with symmetry {model.symmetry} keeps no rotation that could be relaxed")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Put banks in the place of every kernel between orientations."""
        count = 0
        for network in [part for part in model.modules() if isinstance(part, Rapidash)]:
            for conv in [part for part in network.blocks.modules() if isinstance(part, GroupConv)]:
                for name in ("fiber_kernel", "odd_fiber_kernel"):
                    if (first := getattr(conv, name)) is not None:
                        kernel = RelaxedFiberKernel(first, len(network.grid), banks=self.banks, side=self.side)
                        setattr(conv, name, kernel)
                        count += 1
        if not count:
            raise ValueError(f"{type(model).__name__} has no block with orientations to relax")
        for part in bank_weights(model):
            part.w.requires_grad_(self.lr > 0)
        return model

    def control(self, model: nn.Module, total_steps: int) -> "BankControl":
        """Trains the weights of the banks."""
        return BankControl(model, lr=self.lr, variation=self.variation)

    def views(self, model: nn.Module) -> Mapping[str, Any]:
        """The network with constant weights beside the full one."""

        def constant(model: nn.Module) -> AbstractContextManager[None]:
            return constant_bank_weights(model)

        return {CONSTANT: constant}

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """With constant weights the network keeps what it had; the full one keeps no rotation."""
        if view == CONSTANT:
            return replace(before, reasons=(*before.reasons, "the weights of the banks are their means"))
        return left_symmetry(
            before, "relaxed convolutions break rotations of space", "banks are weighted by orientation"
        )


class BankControl(Control):
    """The weights of all filter banks of a model.

    Args:
        model: with filter banks.
        lr: learning rate of the weights; 0 keeps them.
        variation: factor of the penalty.
    """

    def __init__(self, model: nn.Module, *, lr: float, variation: float = 0.0) -> None:
        self.model, self.lr, self.variation = model, lr, variation
        self.parts = bank_weights(model)

    def param_groups(self) -> Sequence[ParamGroup]:
        """The weights, with a rate of their own."""
        return [ParamGroup([part.w for part in self.parts], lr=self.lr)] if self.lr else ()

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The penalty on the variation."""
        return {"variation": self.variation * total_variation(self.model)} if self.variation and self.lr else {}

    def values(self) -> Mapping[str, float]:
        """The deviation of the weights from constant ones, bank by bank, in units of 1 / L."""
        return {f"deviation of w {index}": part.relative_deviation() for index, part in enumerate(self.parts)}
