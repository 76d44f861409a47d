"""Split invariant and equivariant features: one part that views share, and one that a linear map moves along."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.methods import Step
from rapidash.represent._features import SplitFeatures
from rapidash.represent._pretraining import Pretraining, PretrainingModel
from rapidash.represent._representation import (
    Encoding,
    FeatureRepresentation,
    LinearRepresentation,
    VectorRepresentation,
)
from rapidash.represent._vicreg import vicreg_covariance, vicreg_variance
from rapidash.represent._views import ELEMENT, halves, relative_elements

if TYPE_CHECKING:
    from rapidash.methods import Task


class SieTerms(NamedTuple):
    """The parts of the loss, each before its weight."""

    invariance: Float[Tensor, ""]
    equivariance: Float[Tensor, ""]
    variance: Float[Tensor, ""]
    covariance: Float[Tensor, ""]


def sie_terms(first: SplitFeatures, second: SplitFeatures, predicted: Float[Tensor, "B E"]) -> SieTerms:
    r"""The parts of the loss of two views with projected features (u, v) and (u', v'), and the prediction of v'.

    .. math:: \overline{\|u - u'\|^2 / I},\quad \overline{\|\hat v - v'\|^2 / E},\quad
        \mathrm{Var}([u, v]) + \mathrm{Var}([u', v']) + \mathrm{Var}(\hat v),\quad
        \mathrm{Cov}([u, v]) + \mathrm{Cov}([u', v']),

    with `vicreg_variance` and `vicreg_covariance` of both parts side by side, so that they cannot hold the same. What
    concerns the equivariant part is 0 where that has no features: the rest is the loss of VICReg.

    Raises: ValueError for a single pair.
    """
    sides = (first.both, second.both)
    variance = vicreg_variance(sides[0]) + vicreg_variance(sides[1])
    covariance = vicreg_covariance(sides[0]) + vicreg_covariance(sides[1])
    invariance = (first.invariant - second.invariant).square().mean()
    if not predicted.shape[1]:
        return SieTerms(invariance, torch.zeros_like(invariance), variance, covariance)
    equivariance = (predicted - second.equivariant).square().mean()
    return SieTerms(invariance, equivariance, variance + vicreg_variance(predicted), covariance)


class SieHeads(nn.Module):
    """A projector for each part, and the map W(g) of projected equivariant features.

    Args:
        invariant: of the invariant part.
        equivariant: of the equivariant part; None where there is none.
        representation: W; None likewise.
    """

    def __init__(
        self, invariant: nn.Module, equivariant: nn.Module | None, representation: FeatureRepresentation | None
    ) -> None:
        super().__init__()
        self.invariant, self.equivariant, self.representation = invariant, equivariant, representation

    def forward(self, features: SplitFeatures) -> SplitFeatures:
        """The projected parts."""
        equivariant = features.equivariant if self.equivariant is None else self.equivariant(features.equivariant)
        return SplitFeatures(self.invariant(features.invariant), equivariant)

    def predicted(
        self, v: Float[Tensor, "B E"], first: Float[Tensor, "B n n"], second: Float[Tensor, "B n n"]
    ) -> Float[Tensor, "B E"]:
        """The projected equivariant features of views moved by ``second``, from those of views moved by ``first``."""
        if self.representation is None:
            return v
        return torch.einsum("bij,bj->bi", self.representation.between(first, second), v)


class VectorProjector(nn.Module):
    """Sums of vectors with learned weights: it commutes with every linear map of space.

    Args:
        vectors, outputs: numbers of vectors.
        space: D.
    """

    def __init__(self, vectors: int, outputs: int, space: int) -> None:
        super().__init__()
        self.linear, self.space = nn.Linear(vectors, outputs, bias=False), space

    def forward(self, x: Float[Tensor, "B E"]) -> Float[Tensor, "B P"]:
        """The sums."""
        return self.linear(x.unflatten(1, (-1, self.space)).mT).mT.flatten(1)


@dataclass(frozen=True)
class SplitInvariantEquivariant(Pretraining):
    r"""SIE: features of two views of a cloud agree in one part, and in the other are moved by W(g), which is learned.

    .. math:: s \|u - u'\|^2/I + s a \|W(g) v - v'\|^2/E + m (\text{variance}) + k (\text{covariance}),

    see `sie_terms`; u and v are projected features, and g takes the first view to the second in the frame of the world.
    Without an equivariant part it is VICReg. With ``has_vectors`` the equivariant part are vectors that the network
    turns by construction, and W(g) is that turn: nothing about g is learned.

    Args:
        invariant_dim, equivariant_dim, has_vectors, group, label, select: as of `Pretraining`.
        encoding: of g, see `LinearRepresentation`.
        projector_dim: projected features of both parts together, shared among them in proportion.
        similarity, equivariance, variance, covariance: the weights s, a (relative to s), m and k, at least 0.
    Raises: ValueError for values outside the above, or parts without a projected feature.
    Source: Garrido, Najman, LeCun, "Self-supervised learning of Split Invariant Equivariant Representations", ICML
        2023.
    """

    encoding: Encoding = "matrix"
    projector_dim: int = 128
    similarity: float = 10.0
    equivariance: float = 0.45
    variance: float = 10.0
    covariance: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding not in get_args(Encoding):
            raise ValueError(f"encoding must be one of {get_args(Encoding)}, got {self.encoding!r}")
        if self.has_vectors and self.encoding != "matrix":
            raise ValueError(
                f"vectors turn as they are: leave encoding at 'matrix' with has_vectors, got {self.encoding!r}"
            )
        weights = (self.similarity, self.equivariance, self.variance, self.covariance)
        if not all(0 <= weight < math.inf for weight in weights):
            raise ValueError(f"weights must be at least 0, got {self}")
        if min(self.projected) < 1 - (self.equivariant_dim == 0):
            raise ValueError(f"projector_dim={self.projector_dim} leaves a part without features")

    @property
    def projected(self) -> tuple[int, int]:
        """Projected features of the invariant and the equivariant part."""
        share = self.equivariant_dim / (self.invariant_dim + self.equivariant_dim)
        equivariant = round(share * self.projector_dim)
        return self.projector_dim - equivariant, equivariant

    def heads(self, task: "Task") -> SieHeads:
        """Projectors and W."""
        invariant, equivariant = self.projected
        first = _projector(self.invariant_dim, self.projector_dim, invariant)
        if not self.equivariant_dim:
            return SieHeads(first, None, None)
        if self.has_vectors:
            outputs = max(1, equivariant // task.dim)
            second: nn.Module = VectorProjector(self.equivariant_dim // task.dim, outputs, task.dim)
            return SieHeads(first, second, VectorRepresentation(self.group, outputs * task.dim))
        second = _projector(self.equivariant_dim, self.projector_dim, equivariant)
        return SieHeads(first, second, LinearRepresentation(self.group, equivariant, self.encoding))

    def losses(self, model: PretrainingModel, first: SplitFeatures, second: SplitFeatures, batch: Batch) -> Step:
        """The loss of pairs. Raises: ValueError for pairs without their elements, or a single one."""
        heads = model.heads
        assert isinstance(heads, SieHeads)
        one, other = heads(first), heads(second)
        predicted = one.equivariant
        if self.equivariant_dim:
            relative_elements(batch, self.views_group)  # which must be known
            predicted = heads.predicted(one.equivariant, *halves(batch[ELEMENT]))
        terms = sie_terms(one, other, predicted)
        loss = (
            self.similarity * (terms.invariance + self.equivariance * terms.equivariance)
            + self.variance * terms.variance
            + self.covariance * terms.covariance
        )
        return Step(loss, parts=terms._asdict())


def _projector(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, outputs))
