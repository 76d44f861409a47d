"""A law of learned half-widths with the penalty that opens them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch
from rapidash.groups import MatrixGroup
from rapidash.symmetry import GroupSamples, UniformBox


def half_periods(group: MatrixGroup) -> Float[Tensor, " d"]:
    """The largest half-width that counts no element twice: pi for generators with exp(2 pi A) = 1, else infinite."""
    generators = group.generators()
    full = torch.linalg.matrix_exp(2 * math.pi * generators)
    is_periodic = (full - torch.eye(group.size, dtype=full.dtype)).abs().amax(dim=(1, 2)) < 1e-9
    return torch.full((len(generators),), math.inf, dtype=torch.float64).masked_fill(is_periodic, math.pi)


def width_penalty(width: Float[Tensor, " d"], weight: float, max_width: float = 5.0) -> Float[Tensor, ""]:
    """-weight * ||2 w||_2 of half-widths w, which rewards wide boxes; 0 once a half-width reaches ``max_width``.

    Args:
        width: half-widths w, in the unit of their generators.
        weight: at least 0; that of the paper, whose widths are 2 w.
        max_width: end of the safe box, positive.
    Raises: ValueError for a negative weight, or an end that is not positive.
    Source: Benton et al., "Learning Invariances in Neural Networks" (Augerino), NeurIPS 2020.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must be at least 0 and finite, got {weight}")
    if not max_width > 0:
        raise ValueError(f"max_width must be positive, got {max_width}")
    penalty = -weight * torch.linalg.vector_norm(2 * width)
    return torch.where((width >= max_width).any(), torch.zeros_like(penalty), penalty)  # which shows NaN


def beyond_the_box(generator: str, max_width: float) -> str:
    """In words that a half-width has left the safe box: it is no number then, but at least the end of the box.

    Args:
        generator: its name, which says the unit: "translation along x" is a length, a rotation is in radian, all others
            are logarithms of sizes.
        max_width: the end of the box.
    """
    unit = "radian" if "rotation" in generator else "length units" if "translation" in generator else "in logarithms"
    return f"beyond the box (at least {max_width:.3g} {unit})"


class LearnedWidths(UniformBox):
    r"""`UniformBox` with the penalty that opens it: exp(sum_i u_i w_i A_i), u_i uniform in [-1, 1], w_i HALF-widths.

    Args:
        group, init_width: as of `UniformBox`; half-widths.
        weight, max_width: of `width_penalty`, max_width for half-widths without a period.
        learns: whether the half-widths are trained.
        moves_in_test: whether samples are moved in eval mode too; False: by the identity alone.
    Raises: as `UniformBox` and `width_penalty`; ValueError for a half-width beyond half a period, or from the beginning
        outside the safe box.
    """

    limit: Tensor

    def __init__(
        self,
        group: MatrixGroup,
        init_width: float | Float[Tensor, " d"],
        *,
        weight: float = 0.0,
        max_width: float = 5.0,
        learns: bool = True,
        moves_in_test: bool = True,
    ) -> None:
        super().__init__(group, init_width)
        self.weight, self.max_width, self.moves_in_test = weight, max_width, moves_in_test
        self.register_buffer("limit", half_periods(group).to(self.raw_width), persistent=False)
        with torch.no_grad():
            for name, width, limit in zip(self.names, self.width.tolist(), self.limit.tolist()):
                if width > limit * (1 + 1e-6):
                    raise ValueError(f"init_width of {name!r} is {width:.4g}: half-widths end at half a turn, pi")
                if width >= max_width:
                    raise ValueError(f"init_width of {name!r} is {width:.4g}, not below max_width {max_width}")
        width_penalty(self.width, weight, max_width)  # which checks them
        self.raw_width.requires_grad_(learns)
        self.limit_()

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Independent elements; in eval mode without ``moves_in_test`` copies of the identity."""
        if not (self.training or self.moves_in_test):
            g = self.group.identity().to(self.raw_width)
            return GroupSamples(g.expand(batch.num_samples, num_samples, -1, -1), g.new_zeros(()))
        found = super().sample(batch, num_samples, generator)
        if not self.weight:
            return found
        return found._replace(penalty=width_penalty(self.width, self.weight, self.max_width))

    @torch.no_grad()
    def limit_(self) -> None:
        """Bring half-widths beyond half a period back to it: the elements there are counted already."""
        most = self.limit + torch.log(-torch.expm1(-self.limit))  # the inverse of softplus
        self.raw_width.copy_(torch.minimum(self.raw_width, most))
