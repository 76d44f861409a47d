"""Agents whose networks keep a symmetry, nearly keep it, or prefer it: three methods for the networks of a task."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import MatrixGroup, parse_group
from rapidash.methods import Control, Method, StepView
from rapidash.relax._bank_weights import bank_weights, constant_bank_weights
from rapidash.relax._relaxed_fiber_conv import CONSTANT, BankControl
from rapidash.relax.rl._networks import OpenNetwork, finite_elements
from rapidash.symmetry import Ledger

if TYPE_CHECKING:
    from rapidash.methods import Task


@dataclass(frozen=True)
class SharedNetworks(Method):
    """Every network of an agent is equivariant to a finite group.

    Args:
        group: a name such as ``"C4"``; it must act on what the task's networks see and say.
    Raises: ValueError for an unknown group, or one that is not finite.
    """

    group: str

    def __post_init__(self) -> None:
        check_fields(self)
        finite_elements(parse_group(self.group))

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Put an equivariant network in the place of every one."""
        group = parse_group(self.group)
        model = replace_networks(model, lambda network: network.shared(group, banks=1))
        for part in bank_weights(model):
            part.w.requires_grad_(False)
        return model

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The group is kept."""
        return _kept(before, parse_group(self.group), "the networks are equivariant by construction")


@dataclass(frozen=True)
class RelaxedNetworks(Method):
    """Every network of an agent has L banks whose weights may differ from element to element of a finite group.

    The weights begin constant: equivariant. They have a learning rate of their own; tune it: at a large one few
    transitions are overfitted, at a small one a broken symmetry stays. Views are ``"full"``, whose result counts, and
    ``"constant"``, with each weight replaced by the mean of its bank, which is equivariant.

    Args:
        group: a name such as ``"C4"``.
        banks: L, at least 1; one cannot express that the symmetry is broken in some states only.
        lr: learning rate of the weights (AdamW, no decay); 0 keeps them.
        variation: factor of the penalty sum |w_l(g) - w_l(h)|, at least 0.
    Raises: ValueError for values outside the above, an unknown group, or one that is not finite.
    Source: Park et al., arXiv 2411.04225; Wang et al., arXiv 2201.11969.
    """

    group: str
    banks: int = 4
    lr: float = 0.01
    variation: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        finite_elements(parse_group(self.group))
        if self.banks < 1:
            raise ValueError(f"banks must be at least 1, got {self.banks}")
        if self.lr < 0 or self.variation < 0:
            raise ValueError(f"lr and variation must be at least 0, got {self.lr} and {self.variation}")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Put a relaxed network in the place of every one."""
        group = parse_group(self.group)
        model = replace_networks(model, lambda network: network.shared(group, banks=self.banks))
        for part in bank_weights(model):
            part.w.requires_grad_(self.lr > 0)
        return model

    def control(self, model: nn.Module, total_steps: int) -> BankControl:
        """Trains the weights of the banks."""
        return BankControl(model, lr=self.lr, variation=self.variation)

    def views(self, model: nn.Module) -> Mapping[str, Any]:
        """The networks with constant weights beside the full ones."""

        def constant(model: nn.Module) -> AbstractContextManager[None]:
            return constant_bank_weights(model)

        return {CONSTANT: constant}

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The group is kept with constant weights, and nothing is claimed otherwise."""
        if view == CONSTANT:
            return _kept(before, parse_group(self.group), "the weights of the banks are their means")
        reason = f"the weights of the banks may differ between elements of {self.group}"
        return replace(before, reasons=(*before.reasons, reason))


@dataclass(frozen=True)
class ResidualNetworks(Method):
    """Every network of an agent is an equivariant one plus a free one, with priors that prefer the equivariant one.

    The loss gains free |W_free|^2 + shared |W_shared|^2 over all parameters of the two; the free network's last layer
    begins at 1e-3 of its size. Do not add weight decay of the run: it would count twice.

    Args:
        group: a name such as ``"C4"``.
        free, shared: inverse widths of the two priors, at least 0, free the larger one.
    Raises: ValueError for values outside the above, an unknown group, or one that is not finite.
    Source: Finzi et al., "Residual Pathway Priors", arXiv 2112.01388.
    """

    group: str
    free: float = 1e-5
    shared: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        finite_elements(parse_group(self.group))
        if not 0 <= self.shared <= self.free:
            raise ValueError(
                f"free and shared must be at least 0, free the larger one, got {self.free} and {self.shared}"
            )

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Put the sum of two networks in the place of every one."""
        group = parse_group(self.group)
        model = replace_networks(model, lambda network: ResidualNetwork(network.shared(group, banks=1), network))
        for part in bank_weights(model):
            part.w.requires_grad_(False)
        return model

    def control(self, model: nn.Module, total_steps: int) -> "PriorControl | None":
        """The priors."""
        return PriorControl(self, model) if self.free else None

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """Nothing is claimed."""
        return replace(before, reasons=(*before.reasons, f"a free network stands beside that which keeps {self.group}"))


class ResidualNetwork(nn.Module):
    """The sum of an equivariant network and a free one, which begins small.

    Args:
        equivariant: the first.
        free: the second; its last linear layer is scaled by 1e-3.
    """

    def __init__(self, equivariant: nn.Module, free: nn.Module) -> None:
        super().__init__()
        self.equivariant, self.free = equivariant, free
        last = [part for part in free.modules() if isinstance(part, nn.Linear)][-1]
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(1e-3)

    def forward(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """The sum."""
        return self.equivariant(x) + self.free(x)


class PriorControl(Control):
    """The penalties of residual networks."""

    def __init__(self, method: ResidualNetworks, model: nn.Module) -> None:
        self.method = method
        self.parts = [part for part in model.modules() if isinstance(part, ResidualNetwork)]

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """Free and shared weights, each with its factor."""
        free = _squares([part.free for part in self.parts])
        shared = _squares([part.equivariant for part in self.parts])
        return {"prior": self.method.free * free + self.method.shared * shared}

    def values(self) -> Mapping[str, float]:
        """The size of the free networks beside that of the equivariant ones."""
        free = _squares([part.free for part in self.parts]).detach()
        shared = _squares([part.equivariant for part in self.parts]).detach()
        return {"squared weights, free / equivariant": float(free / shared)}


def replace_networks(model: nn.Module, make: Callable[[OpenNetwork], nn.Module]) -> nn.Module:
    """Put another network in the place of every open one of a model; the model, changed in place.

    Raises: ValueError for a model without open networks.
    """
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, OpenNetwork)
    ]
    if not places:
        raise ValueError(
            f"{type(model).__name__} has no network whose symmetry can be chosen: use a task of agents, such as "
            "'grid-world' or 'pendulum', and one of these methods only"
        )
    for parent, name, child in places:
        setattr(parent, name, make(child))
    return model


def _kept(before: Ledger, group: MatrixGroup, reason: str) -> Ledger:
    return Ledger(group, group, (*before.reasons, f"{reason}: {group.name} is kept"), True, before.oracle)


def _squares(parts: Sequence[nn.Module]) -> Tensor:
    trained = [parameter for part in parts for parameter in part.parameters() if parameter.requires_grad]
    return torch.stack([parameter.square().sum() for parameter in trained]).sum()
