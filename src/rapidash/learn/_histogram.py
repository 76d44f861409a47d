"""A law that is a histogram over a one-parameter group: it finds discrete subgroups, and the absence of symmetry."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.groups import MatrixGroup, generator_names
from rapidash.learn._widths import half_periods
from rapidash.symmetry import GroupSamples

MIN_BINS = 24


class GroupHistogram(nn.Module):
    r"""The elements exp(u_k A) of a one-parameter group with learned shares p = softmax(logits), and the entropy of p.

    The parameters u_k are n equal steps over one period of a rotation, 2 pi k / n, or from -r to r; u = 0 is one of
    them. An element and its inverse have one logit: what leaves labels does so forward and backward, and a histogram
    that is free to be lopsided may find a coset of a subgroup, of which a network undoes the shift. In training,
    elements are drawn by the shares, without a gradient: `LearnedHistogram` says how the logits learn. In eval mode
    every element comes with its share as weight, unless ``draws_in_test``.

    Args:
        group: with one generator.
        num_bins: n, at least 24; odd for a group without a period. None: 24, or 25 without a period.
        reach: r, positive, for a group without a period.
        init_share: of the identity at the start, in (0, 1); all others have equal shares of the rest.
        weight: of the entropy -sum_k p_k log p_k (nats) that is taken off a loss, at least 0.
        draws_in_test: whether elements are drawn in eval mode too.
    Raises: ValueError for a group with another number of generators, or values outside the above.
    """

    parameters_of_bins: Tensor
    elements: Tensor

    def __init__(
        self,
        group: MatrixGroup,
        num_bins: int | None = None,
        *,
        reach: float = 1.0,
        init_share: float = 0.5,
        weight: float = 0.0,
        draws_in_test: bool = False,
    ) -> None:
        super().__init__()
        self.group, self.names = group, tuple(generator_names(group))
        if len(self.names) != 1:
            raise ValueError(f"a histogram needs a group with one generator, {group.name} has {len(self.names)}")
        if not 0 < reach < math.inf or not 0 < init_share < 1 or not 0 <= weight < math.inf:
            raise ValueError(
                "reach must be positive and weight at least 0, both finite, and init_share in (0, 1), got "
                f"{reach=}, {weight=}, {init_share=}"
            )
        u = _places(float(half_periods(group)[0]), num_bins, reach)
        self.weight, self.draws_in_test = weight, draws_in_test
        self.register_buffer("parameters_of_bins", u, persistent=False)
        self.register_buffer("elements", group.exponential(u[:, None]), persistent=False)
        distances, self._pair = (u.abs() * 1e9).round().unique(return_inverse=True)
        start = torch.full((len(distances),), math.log((1 - init_share) / (len(u) - 1)))
        start[0] = math.log(init_share)
        self.raw = nn.Parameter(start)
        self._only: int | None = None

    @property
    def logits(self) -> Float[Tensor, " n"]:
        """Of all elements."""
        return self.raw[self._pair.to(self.raw.device)]

    @property
    def shares(self) -> Float[Tensor, " n"]:
        """p, which add up to 1."""
        return self.logits.softmax(0)

    def entropy(self) -> Float[Tensor, ""]:
        """-sum_k p_k log p_k, nats; at most log n."""
        return -(self.shares * self.logits.log_softmax(0)).sum()

    @property
    def reaches_its_ends(self) -> bool:
        """Whether the ends of a range that is no period have more than 3/4 of the mean share: it may go on beyond."""
        shares = self.shares.detach()
        is_range = not math.isfinite(float(half_periods(self.group)[0]))
        return is_range and float(shares[-1]) * len(shares) > 0.75

    @contextmanager
    def only(self, index: int) -> Iterator[None]:
        """Within the block every sample is moved by the element of one bin."""
        self._only = index
        try:
            yield
        finally:
            self._only = None

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Elements drawn by their shares, or in eval mode all of them with their shares as weights."""
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        elements, num = self.elements.to(self.raw), batch.num_samples
        if self._only is not None:
            return GroupSamples(elements[self._only].expand(num, 1, -1, -1), elements.new_zeros(()))
        if not (self.training or self.draws_in_test):
            weights = self.shares.expand(num, -1)
            return GroupSamples(elements.expand(num, -1, -1, -1), elements.new_zeros(()), weights)
        if generator is None:
            raise ValueError("GroupHistogram draws random elements: pass a torch.Generator")
        shares = self.shares.detach().double().cpu()
        drawn = torch.multinomial(shares, num * num_samples, replacement=True, generator=generator)
        penalty = -self.weight * self.entropy() if self.weight else elements.new_zeros(())
        return GroupSamples(elements[drawn].unflatten(0, (num, num_samples)), penalty)


def _places(half_period: float, num_bins: int | None, reach: float) -> Float[Tensor, " n"]:
    is_periodic = math.isfinite(half_period)
    num = num_bins if num_bins is not None else 24 if is_periodic else 25
    if num < MIN_BINS or not (is_periodic or num % 2):
        odd = "" if is_periodic else ", and odd, so that the identity is in the middle"
        raise ValueError(f"num_bins must be at least {MIN_BINS}{odd}; got {num}")
    if is_periodic:
        steps = torch.arange(num, dtype=torch.float64)
        steps = torch.where(steps > num / 2, steps - num, steps)
        return (2 * half_period / num * steps).sort().values
    return reach * (torch.arange(num, dtype=torch.float64) - num // 2) / (num // 2)
