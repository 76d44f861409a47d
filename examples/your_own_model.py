"""
Is my model equivariant, or is my test wrong?
=============================================

The measures work on any function of tensors: say how each input and output transforms, and ask.
"""

# %%
# A network of our own for point clouds, with a mistake in it: one feature is an absolute coordinate.

import torch
from torch import nn

from rapidash.groups import Position, Scalar, parse_group
from rapidash.measure import Action, check_equivariance, layerwise_equivariance_error, lie_derivative
from rapidash.testing import assert_equivariant, assert_invariant


class Features(nn.Module):
    """The distances of each point from the three nearest others, and (by mistake) some of the height."""

    def __init__(self, height: float) -> None:
        super().__init__()
        self.height = height

    def forward(self, pos: torch.Tensor) -> torch.Tensor:
        squares = (pos[:, None] - pos[None]).square().sum(dim=-1)
        nearest = squares.sort(dim=1).values[:, 1:4].sqrt()
        return torch.cat([nearest, self.height * pos[:, 2:]], dim=1)


torch.manual_seed(0)
right = nn.Sequential(Features(0.0), nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 1)).double().eval()
wrong = nn.Sequential(Features(0.1), nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 1)).double().eval()
pos = torch.randn(10, 3).double()

# %%
# A verdict for a test suite
# --------------------------
# Test in float64, where a real symmetry shows as rounding. The table says which part of the group is broken.

action = Action(parse_group("E(3)", 3), inputs=Position(), outputs=Scalar())
assert_equivariant(right, pos, action)
assert_invariant(right, pos, group=parse_group("E(3)", 3))  # the same, for an invariant function
print(check_equivariance(wrong, pos, action).report())

# %%
# How much, and in which direction
# --------------------------------
# The Lie derivative is the slope of the error along each generator of the group, by automatic differentiation.

slopes = lie_derivative(wrong, pos, action)
for name, value in zip(slopes.names, slopes.value):
    print(f"{name:<20} {value.norm():.3f}")

# %%
# Nothing for the rotation about z and the shifts along x and y: the mistake is in the height. In a deep network,
# `layerwise_equivariance_error` says which layer is to blame, here layer 0.

hidden = {"0": (Position(), Scalar()), "*": Scalar()}
print(layerwise_equivariance_error(wrong, pos, action, hidden).report())
