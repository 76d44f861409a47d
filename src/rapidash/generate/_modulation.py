"""The noise level as a modulation of the features, block by block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.models import Rapidash
from rapidash.nn import Block

_BUMPS = 16
_LOW, _HIGH = -2.0, 1.0  # codes of levels from 0.0003 to 55


class ModulatedBlock(Block):
    """A block whose input is (1 + gamma) x + beta, with gamma and beta linear in a code of the cloud, 0 at first.

    They are the same for all orientations, so no symmetry is touched.

    Args:
        block: that is modulated.
        code_dim: width of the code.
        channels: of the input.
    """

    def __init__(self, block: Block, code_dim: int, channels: int) -> None:
        super().__init__()
        self.block, self.linear = block, nn.Linear(code_dim, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.code: Tensor | None = None  # (N, code_dim), of the pass that runs

    def forward(self, x: Float[Tensor, "S O C"], *rest: Any, **named: Any) -> Float[Tensor, "T O C2"]:
        """The block of the modulated features."""
        found: Tensor = self.block(self._modulated(x), *rest, **named)
        return found

    def calibrate(self, x: Float[Tensor, "S O C"], *rest: Any, **named: Any) -> None:
        """Calibrate the block on the modulated features."""
        self.block.calibrate(self._modulated(x), *rest, **named)

    def _modulated(self, x: Tensor) -> Tensor:
        assert self.code is not None, "a modulated network runs within LevelModulation.told"
        gamma, beta = self.linear(self.code)[:, None].chunk(2, dim=-1)
        return (1 + gamma) * x + beta


class LevelModulation(nn.Module):
    """A code of the level, 16 bumps of u -> Linear -> SiLU, that modulates all blocks of a network.

    Args:
        network: whose blocks are put into `ModulatedBlock`.
    Raises: ValueError for another network than `Rapidash`, or one with several scales.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, Rapidash) or len(network.rules) > 1:
            raise ValueError("conditioning='modulation' needs a network 'rapidash' with one scale: use 'scalar'")
        channels = int(network.embedding.out_features)
        self.linear = nn.Linear(_BUMPS, channels)
        for place, block in enumerate(network.blocks):
            assert isinstance(block, Block)
            network.blocks[place] = ModulatedBlock(block, channels, channels)

    @contextmanager
    def told(self, network: nn.Module, level: Float[Tensor, "N 1"]) -> Iterator[None]:
        """Within the block the network is told the code of the level of every point."""
        centers = torch.linspace(_LOW, _HIGH, _BUMPS).to(level)
        bumps = torch.exp(-((level - centers) * (_BUMPS - 1) / (_HIGH - _LOW)).square() / 2)
        code = nn.functional.silu(self.linear(bumps))
        blocks = [part for part in network.modules() if isinstance(part, ModulatedBlock)]
        for block in blocks:
            block.code = code
        try:
            yield
        finally:
            for block in blocks:
                block.code = None
