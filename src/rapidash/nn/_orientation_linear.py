"""Linear maps of the channels of signals on an orientation grid, with a weight for each part of the signal."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.nn._orientation_components import OrientationComponents


class OrientationLinear(nn.Module):
    r"""Channels C -> C' with a matrix :math:`W_p` for every part p of a signal on orientations, and a bias.

    .. math:: y(o) = \sum_p S_p W_p A_p x + b,

    A the analysis into components, S the synthesis; :math:`W_p` acts on the channels of each component of its part,
    and mixes its copies with them. The bias stands at every orientation alike.

    Symmetry: the motions of the grid that mix no parts; with one matrix for all parts, and as many components as
    orientations, it is a linear map at each orientation alone.
    Args:
        components: of signals on the grid.
        in_channels, out_channels: C, C'.
    Shape: x (M, O, C) -> (M, O, C').
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, components: OrientationComponents, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.parts = components.parts
        self.register_buffer("analysis", components.analysis.clone(), persistent=False)  # float64, see _apply
        self.register_buffer("synthesis", components.synthesis.clone(), persistent=False)
        self.weights = nn.ParameterList(
            torch.empty(part.copies * out_channels, part.copies * in_channels) for part in self.parts
        )
        self.bias = nn.Parameter(torch.empty(out_channels))
        for weight in self.weights:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # as of nn.Linear
        nn.init.uniform_(self.bias, -1 / math.sqrt(in_channels), 1 / math.sqrt(in_channels))

    def forward(self, x: Float[Tensor, "M O C"]) -> Float[Tensor, "M O C2"]:
        """The map, at every orientation."""
        components = torch.matmul(self.analysis.to(x), x)
        mapped, start = [], 0
        for part, weight in zip(self.parts, self.weights):
            count = part.dim * part.copies
            rows = components[:, start : start + count].reshape(len(x), part.dim, -1)
            mapped.append((rows @ weight.T).view(len(x), count, -1))
            start += count
        return torch.matmul(self.synthesis.to(x), torch.cat(mapped, dim=1)) + self.bias

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "OrientationLinear":
        """Move or cast, but keep the change of components in float64: exact symmetry needs all its digits."""
        analysis, synthesis = self.analysis, self.synthesis
        super()._apply(fn, recurse)
        self.analysis, self.synthesis = (kept.to(self.analysis.device) for kept in (analysis, synthesis))
        return self

    def extra_repr(self) -> str:
        """Sizes of the parts."""
        return f"parts={[(part.dim, part.copies) for part in self.parts]}"
