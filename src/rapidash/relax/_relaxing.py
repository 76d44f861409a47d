"""The common part of methods with free branches: where branches are, the projected view, and the symmetry left."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from torch import nn

from rapidash.groups import parse_group
from rapidash.methods import FULL, Method
from rapidash.models import NetworkConfig, Rapidash, RapidashConfig
from rapidash.nn import ConvNextBlock
from rapidash.registry import NETWORKS
from rapidash.relax._free_branches import FiberMLP, Normalization, OffsetMLP, PositionMLP
from rapidash.relax._left_symmetry import left_symmetry
from rapidash.relax._relaxed_layer import project, relax_blocks, relaxation, relaxed_layers
from rapidash.symmetry import Ledger

if TYPE_CHECKING:
    from rapidash.methods import Task

PROJECTED = "projected"
Sees = Literal["directions", "positions"]


class RelaxingMethod(Method):
    """A method that puts a free branch beside every block of a Rapidash network, or takes every `RelaxedLayer`.

    Its views are ``"full"`` and ``"projected"``, without the branches. Which one is primary, and what a branch is, the
    methods say.
    """

    how_projected: ClassVar[str] = "dropped"  # what the projected view does to the branches

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """Whether there are free branches at all."""

    @property
    @abstractmethod
    def drops_branches(self) -> bool:
        """Whether the projected view is the result, so that the branches are dropped in the end."""

    @property
    @abstractmethod
    def initial_gate(self) -> float:
        """Of every branch."""

    @property
    def trains_gates(self) -> bool:
        """Whether gates are parameters; if not, buffers."""
        return False

    @abstractmethod
    def make_free(self, network: Rapidash, block: ConvNextBlock) -> nn.Module:
        """A fresh free branch for a block."""

    @property
    def branches_see(self) -> Sees:
        """The kind of input that the free branches see."""
        return "directions"

    @property
    def primary_view(self) -> str:  # type: ignore[override]
        """The projected view where branches are dropped, otherwise the full one."""
        return PROJECTED if self.is_on and self.drops_branches else FULL

    def check(self, model: NetworkConfig) -> None:
        """It needs blocks whose kernels keep rotations, of a Rapidash network; of foreign networks see `modify`."""
        if not isinstance(model, RapidashConfig):
            if model.kind in NETWORKS.own_names():
                raise ValueError(
                    f"it relaxes the blocks of a network of kind 'rapidash', got {model.kind!r}, or a network of your "
                    "own that has RelaxedLayer(eq, free) in it"
                )
            return
        group = parse_group(model.symmetry)
        if not group.linear.generators(group.dim).numel():
            raise ValueError(f"a network with symmetry {model.symmetry} keeps no rotation that could be relaxed")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Put a free branch beside every block; a model that has relaxed layers of its own keeps those.

        Raises: ValueError for a model without blocks or relaxed layers, or one that another method has relaxed.
        """
        if not self.is_on:
            return model
        own = relaxed_layers(model)
        if taken := sorted({layer.owner for layer in own if layer.owner}):
            raise ValueError(f"{taken[0]} has relaxed this model already: leave it or {self.kind} out")
        if not own:
            relax_blocks(model, self.make_free)
        for layer in relaxed_layers(model):
            layer.owner = self.kind
            layer.set_gate(self.initial_gate, is_trained=self.trains_gates)
        return model

    def views(self, model: nn.Module) -> Mapping[str, Any]:
        """The projected model beside the full one."""

        def projected(model: nn.Module) -> AbstractContextManager[None]:
            return relaxation(model, on=False)

        return {PROJECTED: projected} if self.is_on else {}

    def finish(self, model: nn.Module) -> nn.Module:
        """The model without its free branches, where they are dropped."""
        return project(model) if self.is_on and self.drops_branches else model

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The projected model keeps what it had; the full one no rotation, and no motion if branches see positions."""
        if not self.is_on:
            return before
        if view == PROJECTED:
            return replace(
                before, reasons=(*before.reasons, f"the free branches of {self.kind} are {self.how_projected}")
            )
        return left_symmetry(
            before,
            f"{self.kind} relaxes motions of space",
            f"the free branches of {self.kind} see {self.branches_see}",
            keeps_translations=self.branches_see != "positions",
        )


def check_choice(name: str, value: object, options: Any) -> None:
    """Raises: ValueError for a value that a Literal does not have."""
    choices = get_args(options)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_weight(name: str, value: float, *, what: str = "the weight of a penalty") -> None:
    """Raises: ValueError for a number below 0, or one that is not finite."""
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be at least 0 and finite, as {what}, got {value}")


def make_mlp(
    network: Rapidash, block: ConvNextBlock, *, sees: Sees, hidden: int, normalize: Normalization
) -> FiberMLP | OffsetMLP | PositionMLP:
    """A free branch for a block: `FiberMLP`, on R^D `OffsetMLP`, or `PositionMLP` where it sees positions."""
    channels = block.norm.normalized_shape[0]
    num_orientations = len(network.grid) if network.invariants.has_orientations else 1
    if sees == "positions":
        return PositionMLP(num_orientations, channels, network.dim, hidden=hidden, normalize=normalize)
    if network.invariants.has_orientations:
        return FiberMLP(num_orientations, channels, hidden=hidden, normalize=normalize)
    return OffsetMLP(channels, network.dim, basis_dim=network.config.basis_dim, hidden=hidden, normalize=normalize)
