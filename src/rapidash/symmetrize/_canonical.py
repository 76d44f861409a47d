"""Elements chosen by an equivariant network: canonicalization, and probabilistic symmetrization with noise."""

import math

import torch
from torch import Tensor, nn

from rapidash.data import Batch, CloudBatch, Field
from rapidash.groups import MatrixGroup, Position, Vector
from rapidash.symmetrize._degenerate import Degenerate, check_degenerate, tell_degenerate
from rapidash.symmetrize._points import moving_field
from rapidash.symmetrize._projections import Projected, Projection, projection_of
from rapidash.symmetry import GroupSamples

NOISE = "noise"  # the field of a batch that holds the noise
_AGAINST_COLLAPSE = 1e-6  # noise added to the vectors of the network, in units of their largest
_ADVICE = "Noise in the input (Conditional) tells its copies apart; Haar and frames need no network."


class Canonical(nn.Module):
    """A point mass at an element that an equivariant network chooses: canonicalization.

    Symmetry: exact where the network is equivariant and its choice unique: g(h x) = h g(x). No network chooses for a
    sample that an element leaves as it is, such as a symmetric cloud or image.

    Args:
        net: of a batch; for O(n), SO(n), E(n) and SE(n) it returns n equivariant vectors (B, n, n), vector first; for a
            finite group activations (B, G), see `rapidash.symmetrize.ChoiceProjection`. `small_frame_network` and
            `GroupActivations` make one.
        group: of the elements.
        projection: from the output of the network to an element; None: the usual one of the group.
        prior_weight: weight of the prior for the identity in the penalty, at least 0: for a backbone that was trained
            before, on poses of its own.
        degenerate: ``"warn"``, ``"error"`` or ``"ignore"`` where the gap of the projection is at most the tolerance.
        tolerance: at least 0.
    Raises: ValueError for values outside the above; in use for an output of another shape.
    Source: Kaba et al., "Equivariance with Learned Canonicalization Functions", ICML 2023; prior: Mondal et al.,
        "Equivariant Adaptation of Large Pretrained Models", NeurIPS 2023.
    """

    gives_all: bool = True

    def __init__(
        self,
        net: nn.Module,
        group: MatrixGroup,
        *,
        projection: Projection | None = None,
        prior_weight: float = 0.0,
        degenerate: Degenerate = "warn",
        tolerance: float = 1e-6,
    ) -> None:
        super().__init__()
        check_degenerate(degenerate, tolerance)
        if not 0 <= prior_weight < math.inf:
            raise ValueError(f"prior_weight must be finite and at least 0, got {prior_weight}")
        self.net, self.group = net, group
        self.projection = projection_of(group) if projection is None else projection
        self.prior_weight, self.degenerate, self.tolerance = prior_weight, degenerate, tolerance

    def project(self, batch: Batch, generator: torch.Generator | None = None) -> Projected:
        """The element of each sample with its gap, which is not told here."""
        return self.projection(self._output(batch), batch, generator)

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """The one element of each sample; ``num_samples`` is not used."""
        return self._told(self.project(batch, generator), 1)

    def _output(self, batch: Batch) -> Tensor:
        out = self.net(batch)
        if not isinstance(out, Tensor):
            raise ValueError(f"net must return one tensor, got {type(out).__name__}")
        return out

    def _told(self, found: Projected, num_samples: int) -> GroupSamples:
        """Elements in the order copy by copy, as samples."""
        gap = found.gap.unflatten(0, (num_samples, -1)).mean(dim=0)
        tell_degenerate(gap, self.tolerance, self.degenerate, "gap of the choice", _ADVICE)
        g = found.g.unflatten(0, (num_samples, -1)).transpose(0, 1)
        return GroupSamples(g, self.prior_weight * found.prior if self.prior_weight else g.new_zeros(()))


class Conditional(Canonical):
    r"""Elements g = q(x, z) that an equivariant network chooses for a sample and noise: probabilistic symmetrization.

    The noise z is fresh at every call: one vector N(0, s^2) for each input vector, a law that the group leaves as it
    is. The batch that the network sees has it as the field ``"noise"``, see `with_noise`. The vectors of the network
    get noise of 1e-6 of their size against dependent ones.

    Symmetry: in law, p(h g | h x) = p(g | x), so that an average over K elements is equivariant in expectation; with
    the noise moved along, g(h x, h z) = h g(x, z) exactly. With ``noise_scale=0`` it is `Canonical`, bit for bit.

    Args:
        net, group, projection, prior_weight, degenerate: as for `Canonical`.
        noise_scale: s, at least 0.
        tolerance: at least 0, of the mean gap of the K elements; smaller, for the noise decides where the network
            does not.
    Raises: as `Canonical`; ValueError for a negative scale, or in use without a generator.
    Source: Kim et al., "Learning Probabilistic Symmetrization for Architecture Agnostic Equivariance", NeurIPS 2023.
    """

    gives_all: bool = False

    def __init__(
        self,
        net: nn.Module,
        group: MatrixGroup,
        noise_scale: float = 1.0,
        *,
        projection: Projection | None = None,
        prior_weight: float = 0.0,
        degenerate: Degenerate = "warn",
        tolerance: float = 1e-9,
    ) -> None:
        super().__init__(
            net,
            group,
            projection=projection,
            prior_weight=prior_weight,
            degenerate=degenerate,
            tolerance=tolerance,
        )
        if not 0 <= noise_scale < math.inf:
            raise ValueError(f"noise_scale must be finite and at least 0, got {noise_scale}")
        self.noise_scale = noise_scale

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Independent elements of each sample, in one pass of the network."""
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if generator is None and self.noise_scale:
            raise ValueError("Conditional draws noise: pass a torch.Generator")
        copies = with_noise(batch.repeat(num_samples), self.noise_scale, generator)
        out = self._output(copies)
        if self.noise_scale:
            noise = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out)
            size = out.detach().abs().amax(dim=tuple(range(1, out.dim())), keepdim=True)
            out = out + _AGAINST_COLLAPSE * size * noise
        return self._told(self.projection(out, copies, generator), num_samples)


def with_noise(batch: Batch, scale: float, generator: torch.Generator | None) -> Batch:
    """The batch with a field ``"noise"`` of independent normal numbers of a deviation, zeros at scale 0.

    The noise is a vector for every point of a cloud, (N, 1, D). For rows it has the shape of the first field that
    moves, and moves as that field does, as vectors for positions.

    Raises: ValueError for a batch that has such a field already, or none that moves.
    """
    if NOISE in batch.fields:
        raise ValueError(f"the batch has a field {NOISE!r} already, which Conditional would replace: rename it")
    if isinstance(batch, CloudBatch):
        like, field = batch.pos[:, None], Field(Vector())
    else:
        name = moving_field(batch)
        like, declared = batch[name], batch.fields[name]
        moves_as = Vector() if isinstance(declared.representation, Position) else declared.representation
        field = Field(moves_as, level="cloud")
    noise = torch.zeros_like(like)
    if scale:
        noise = scale * torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
    return batch.with_tensor(NOISE, noise, field)
