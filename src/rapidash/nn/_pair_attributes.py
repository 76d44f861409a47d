"""The kernel's view of an edge, as a layer without parameters: hooks and measures can watch it."""

from jaxtyping import Float
from torch import Tensor, nn

from rapidash.geometry import PairInvariants


class PairAttributes(nn.Module):
    """The attributes of every edge seen from every orientation.

    Symmetry: unchanged by every motion in ``invariants.group`` that acts on offsets and orientations together.
    Args:
        invariants: which attributes the kernel may see.
    Shape: offset (E, D) in the unit of positions, grid (O, D) -> (E, O, A); O = 1 on R^D.
    """

    def __init__(self, invariants: PairInvariants) -> None:
        super().__init__()
        self.invariants = invariants

    def forward(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "grid D"]) -> Float[Tensor, "E O A"]:
        """See the class."""
        return self.invariants.spatial(offset, grid)
