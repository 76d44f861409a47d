"""A layer with a free branch beside it, f(x) = f_eq(x) + gate * f_free(x), and the projection that drops the branch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.models import Rapidash
from rapidash.nn import Block, ConvNextBlock, EdgeKernel
from rapidash.relax._switched import switched

MakeFree = Callable[[Rapidash, ConvNextBlock], nn.Module]


class Relaxed(nn.Module, ABC):
    r"""A layer with a free branch: :math:`f(x) = f_{eq}(x) + \gamma\, f_{free}(x)`, with a scalar gate gamma.

    While ``is_projected`` the branch is not evaluated, and the symmetry is that of the equivariant part. The gate does
    not measure equivariance: :math:`(\gamma / a, a f_{free})` is the same function.

    Args:
        free: the branch.
        gate: initial gamma.
        is_trained: whether gamma is a parameter; if not, it is a buffer, which a method may set.
    """

    gate: Tensor

    def __init__(self, free: nn.Module, *, gate: float = 1.0, is_trained: bool = True) -> None:
        super().__init__()
        self.free = free
        self.set_gate(gate, is_trained=is_trained)
        self.is_projected = False
        self.owner = ""  # the kind of the method that opens and closes the branch
        self._watched: list[tuple[Any, ...]] | None = None

    @property
    @abstractmethod
    def equivariant(self) -> nn.Module:
        """The part that is left when the branch is dropped."""

    def set_gate(self, value: float, *, is_trained: bool) -> None:
        """Give the gate a value, as a parameter or as a buffer."""
        fresh = torch.tensor(float(value))
        if hasattr(self, "gate"):
            fresh = fresh.to(self.gate)
            del self.gate
        if is_trained:
            self.register_parameter("gate", nn.Parameter(fresh))
        else:
            self.register_buffer("gate", fresh)

    def watch(self) -> None:
        """Keep what the branch is called with in the next call, detached, for `seen`."""
        self._watched = []

    def seen(self) -> tuple[Any, ...]:
        """The arguments of the first call of the branch since `watch`, which ends here.

        Raises: RuntimeError where there was none.
        """
        if not self._watched:
            raise RuntimeError(f"the free branch of this {type(self).__name__} was not called since watch()")
        found, self._watched = self._watched[0], None
        return found

    def _relax(self, out: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The output of the equivariant part plus the gated branch."""
        if self.is_projected:
            return out
        if self._watched is not None:
            self._watched.append(tuple(arg.detach() if isinstance(arg, Tensor) else arg for arg in args))
        return out + self.gate * self.free(*args, **kwargs)


class RelaxedLayer(Relaxed):
    r"""Any layer with any free branch that is called as it is, :math:`f(x) = f_{eq}(x) + \gamma\, f_{free}(x)`.

    Put it in the place of the layer in a model: `relaxation`, `project` and the methods of this package find it there.

    Args:
        eq: the equivariant layer, whose output is a tensor.
        free: takes the same arguments; its output can be added to that of ``eq``.
        gate: initial value of the factor gamma.
        is_trained: whether gamma is a parameter.
    Shape: as ``eq``.
    """

    def __init__(self, eq: nn.Module, free: nn.Module, gate: float = 1.0, *, is_trained: bool = True) -> None:
        super().__init__(free, gate=gate, is_trained=is_trained)
        self.eq = eq

    @property
    def equivariant(self) -> nn.Module:
        """The layer ``eq``."""
        return self.eq

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """See the class."""
        return self._relax(self.eq(*args, **kwargs), *args, **kwargs)


class RelaxedBlock(Relaxed, Block):
    r"""A block of a Rapidash network and a free branch, :math:`f(x) = f_{eq}(x) + \gamma\, f_{free}(x)`.

    It is a block: a network calls and calibrates it like the one inside.

    Args:
        block: the equivariant one, of equally many channels in and out on the same points.
        free: called as ``free(x, edges)``.
        gate: initial value of the factor gamma.
        is_trained: whether gamma is a parameter.
    Shape: x (N, O, C) -> (N, O, C).
    """

    def __init__(self, block: Block, free: nn.Module, *, gate: float = 1.0, is_trained: bool = True) -> None:
        super().__init__(free, gate=gate, is_trained=is_trained)
        self.block = block

    @property
    def equivariant(self) -> nn.Module:
        """The block."""
        return self.block

    def forward(
        self,
        x: Float[Tensor, "N O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "N P"], Float[Tensor, "N P"]] | None = None,
    ) -> Float[Tensor, "N O C"]:
        """See the class; the arguments are those of `ConvNextBlock`."""
        return self._relax(self.block(x, edges, fiber_basis, grid, pairs), x, edges)

    def calibrate(
        self,
        x: Float[Tensor, "N O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "N P"], Float[Tensor, "N P"]] | None = None,
    ) -> None:
        """Rescale the kernels of the equivariant block."""
        self.block.calibrate(x, edges, fiber_basis, grid, pairs)


def relax_blocks(model: nn.Module, make_free: MakeFree, *, gate: float = 1.0, is_trained: bool = True) -> nn.Module:
    """Wrap every block of the Rapidash networks in a model that keeps points and channels; the model, changed in place.

    Raises: ValueError for a model without such blocks.
    """
    count = 0
    for network in [part for part in model.modules() if isinstance(part, Rapidash)]:
        for index, (step, block) in enumerate(zip(network.steps, network.blocks)):
            if step.stage == "scale" and isinstance(block, ConvNextBlock):
                free = make_free(network, block)
                network.blocks[index] = RelaxedBlock(block, free, gate=gate, is_trained=is_trained)
                count += 1
    if not count:
        raise ValueError(
            f"{type(model).__name__} has no block of a Rapidash network to relax, and no RelaxedLayer: put "
            "RelaxedLayer(eq, free) in the place of a layer"
        )
    return model


def relaxed_layers(model: nn.Module) -> list[Relaxed]:
    """The relaxed layers and blocks of a model in their order."""
    return [part for part in model.modules() if isinstance(part, Relaxed)]


def relaxation(model: nn.Module, *, on: bool) -> AbstractContextManager[None]:
    """Within the block all free branches of a model are on or off.

    Raises: ValueError for branches to be switched off in a model that has none.
    """
    layers = relaxed_layers(model)
    if not on:
        _check_relaxed(model, layers)
    return switched(layers, "is_projected", not on)


def project(model: nn.Module) -> nn.Module:
    """Drop all free branches: each relaxed layer gives way to its equivariant part; the model, changed in place.

    A batch normalization behind a relaxed layer has seen its branch: estimate its running statistics again.

    Raises: ValueError for a model without relaxed layers.
    """
    _check_relaxed(model, relaxed_layers(model))
    while isinstance(model, Relaxed):
        model = model.equivariant
    for part in model.modules():
        for name, child in part._modules.items():
            while isinstance(child, Relaxed):
                part._modules[name] = child = child.equivariant
    return model


def _check_relaxed(model: nn.Module, layers: Sequence[Relaxed]) -> None:
    if not layers:
        raise ValueError(
            f"{type(model).__name__} was not relaxed: there is no free branch to drop. Relax it first, by a method "
            "such as ACE, by relax_blocks, or by RelaxedLayer(eq, free)"
        )
