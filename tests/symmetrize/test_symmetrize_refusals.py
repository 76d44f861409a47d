"""Values that cannot be averaged over, sorted or measured are refused in words, and no batch is too small."""

import math

import pytest
import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.data import Batch, CloudBatch, Field, RowBatch
from rapidash.groups import SE, SO, O, PairPermutation, Permutations, Position, Vector
from rapidash.symmetrize import (
    Canonical,
    CanonicalOrder,
    Conditional,
    Frames,
    LaplacianOrder,
    Monomial,
    ProbabilisticOrder,
    ProbabilisticSymmetrization,
    Projected,
    Quadrature,
    frame_gap,
    pca_frames,
    zoomed,
)
from rapidash.symmetry import Symmetrized


def cloud(*points: list[float]) -> CloudBatch:
    pos = torch.tensor(points, dtype=torch.float64).reshape(-1, 3)
    number = 1 if points else 0
    return CloudBatch({"pos": pos}, {"pos": Field(Position())}, torch.zeros(len(pos), dtype=torch.long), number)


class Vectors(nn.Module):
    """Returns the same vectors for every sample."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.value = value

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.value * torch.eye(3, dtype=torch.float64).expand(batch.num_samples, 3, 3)


class Positions(nn.Module):
    """Returns the positions."""

    def forward(self, batch: CloudBatch) -> torch.Tensor:
        return batch.pos


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_frames_of_points_that_are_not_finite_are_refused(bad: float, weighted: bool) -> None:
    batch = cloud([bad, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="field 'pos' has values that are not finite"):
        Frames(SO(3), weighted=weighted).sample(batch, 1, None)
    with pytest.raises(ValueError, match="field 'pos' has values that are not finite"):
        frame_gap(batch)
    with pytest.raises(ValueError, match="pos has values that are not finite"):
        pca_frames(batch.pos, batch.batch)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("group", [O(3), SE(3)], ids=str)
def test_frames_of_no_clouds_are_none(group: SO, weighted: bool) -> None:
    batch = cloud()
    assert Symmetrized(Positions(), Field(Vector()), Frames(group, weighted=weighted))(batch).shape == (0, 3)
    assert pca_frames(batch.pos, batch.batch).g.shape == (0, 8, 3, 3)


def test_a_network_whose_vectors_are_no_numbers_is_told() -> None:
    with pytest.raises(ValueError, match="1 of 1 samples are degenerate"):
        Canonical(Vectors(math.nan), SO(3), degenerate="error").sample(cloud([1.0, 2.0, 3.0]), 1, None)


def test_the_gap_of_drawn_elements_is_the_mean_over_those_of_the_same_sample() -> None:
    """Copies come copy by copy: of two samples and three draws the gaps 1, 0, 1, 0, 1, 0 are 1 and 0."""

    def projection(out: torch.Tensor, batch: Batch, generator: torch.Generator | None) -> Projected:
        gap = (torch.arange(batch.num_samples) % 2 == 0).double()
        g = torch.eye(4, dtype=torch.float64).expand(batch.num_samples, 4, 4)
        return Projected(g, gap, out.new_zeros(()))

    pos = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    batch = CloudBatch({"pos": pos}, {"pos": Field(Position())}, torch.tensor([0, 0, 1, 1]), 2)
    law = Conditional(Vectors(), SO(3), projection=projection, degenerate="error")
    with pytest.raises(ValueError, match=r"1 of 2 samples are degenerate.*Sample \(gap\): 1 \(0\)\."):
        law.sample(batch, 3, seeded(0))


def test_settings_that_are_no_finite_numbers_are_refused() -> None:
    inf = math.inf
    for refused, name in (
        (lambda: Canonical(Vectors(), SO(3), prior_weight=inf), "prior_weight must be finite"),
        (lambda: Conditional(Vectors(), SO(3), noise_scale=inf), "noise_scale must be finite"),
        (lambda: ProbabilisticSymmetrization("E(3)", noise_scale=inf), "noise_scale must be finite"),
        (lambda: ProbabilisticOrder("S(4)", noise_scale=inf), "noise_scale must be finite"),
        (lambda: CanonicalOrder("S(4)", entropy_weight=inf), "entropy_weight must be finite"),
        (lambda: Frames(SO(3), weighted=True, blend=inf), "blend must be finite"),
        (lambda: Monomial(eps=inf), "eps must be finite"),
        (lambda: Quadrature(SO(3), 2.5), "degree must be a whole number from 0 to 131, got 2.5"),  # type: ignore[arg-type]
        (lambda: zoomed(torch.zeros(1, 1, 3, 3), 0.0), "scales must be positive"),
        (lambda: zoomed(torch.zeros(1, 1, 3, 3), math.nan), "scales must be positive"),
    ):
        with pytest.raises(ValueError, match=name):
            refused()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_graphs_with_weights_that_are_not_finite_have_no_order(bad: float) -> None:
    adjacency = torch.tensor([[[0.0, bad, 0.0], [bad, 0.0, 1.0], [0.0, 1.0, 0.0]]]).double()
    batch = RowBatch({"adjacency": adjacency}, {"adjacency": Field(PairPermutation(), level="cloud")})
    with pytest.raises(ValueError, match="symmetric matrices of finite numbers, and some are not"):
        LaplacianOrder(Permutations(3)).sample(batch, 1, seeded(0))
