"""A block with a free branch beside it, f(x) = f_eq(x) + gate * f_free(x), and the projection that drops the branch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.models import Rapidash
from rapidash.nn import Block, ConvNextBlock, EdgeKernel

MakeFree = Callable[[Rapidash, ConvNextBlock], nn.Module]


class RelaxedBlock(Block):
    r"""A block of a network and a free branch, :math:`f(x) = f_{eq}(x) + \gamma\, f_{free}(x)`.

    It is a block: a network calls and calibrates it like the one inside. While ``is_projected`` the branch is not
    evaluated, and the symmetry is that of the block.

    Args:
        block: the equivariant one, of equally many channels in and out on the same points.
        free: called as ``free(x, edges)``.
        gate: initial value of the trained factor gamma.
    Shape: x (N, O, C) -> (N, O, C).
    """

    def __init__(self, block: Block, free: nn.Module, *, gate: float = 1.0) -> None:
        super().__init__()
        self.block, self.free = block, free
        self.gate = nn.Parameter(torch.tensor(float(gate)))
        self.is_projected = False

    def forward(
        self,
        x: Float[Tensor, "N O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "N P"], Float[Tensor, "N P"]] | None = None,
    ) -> Float[Tensor, "N O C"]:
        """See the class; the arguments are those of `ConvNextBlock`."""
        out = self.block(x, edges, fiber_basis, grid, pairs)
        return out if self.is_projected else out + self.gate * self.free(x, edges)

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


def relax_blocks(model: nn.Module, make_free: MakeFree, *, gate: float = 1.0) -> nn.Module:
    """Wrap every block of the Rapidash networks in a model that keeps points and channels; the model, changed in place.

    Raises: ValueError for a model without such blocks.
    """
    count = 0
    for network in [part for part in model.modules() if isinstance(part, Rapidash)]:
        for index, (step, block) in enumerate(zip(network.steps, network.blocks)):
            if step.stage == "scale" and isinstance(block, ConvNextBlock):
                network.blocks[index] = RelaxedBlock(block, make_free(network, block), gate=gate)
                count += 1
    if not count:
        raise ValueError(f"{type(model).__name__} has no block of a Rapidash network to relax")
    return model


def relaxed_blocks(model: nn.Module) -> list[RelaxedBlock]:
    """The relaxed blocks of a model in their order."""
    return [part for part in model.modules() if isinstance(part, RelaxedBlock)]


@contextmanager
def relaxation(model: nn.Module, *, on: bool) -> Iterator[None]:
    """Within the block all free branches of a model are on or off."""
    blocks = relaxed_blocks(model)
    before = [block.is_projected for block in blocks]
    for block in blocks:
        block.is_projected = not on
    try:
        yield
    finally:
        for block, state in zip(blocks, before):
            block.is_projected = state


def project(model: nn.Module) -> nn.Module:
    """Drop all free branches; the model, changed in place.

    Raises: ValueError for a model without relaxed blocks.
    """
    blocks = relaxed_blocks(model)
    if not blocks:
        raise ValueError(f"{type(model).__name__} was not relaxed: there is no free branch to drop")
    for network in [part for part in model.modules() if isinstance(part, Rapidash)]:
        for index, block in enumerate(network.blocks):
            if isinstance(block, RelaxedBlock):
                network.blocks[index] = block.block
    return model
