"""Equal distances: found where the order of the points decides, and nowhere else."""

import itertools
import warnings

import pytest
import torch
from torch import Tensor

from rapidash.geometry import build_hierarchy, find_tie, parse_edges, tie_exception
from rapidash.groups import E, Position, Scalar
from rapidash.measure import Action, check_equivariance
from rapidash.models import EGNNConfig, Interface, Rapidash
from rapidash.symmetry import symmetry_ledger

GRID = torch.tensor(list(itertools.product(range(4), repeat=3)), dtype=torch.float64)


def found(pos: Tensor, *edges: str) -> str:
    rules = [parse_edges(name) for name in edges]
    batch = torch.zeros(len(pos), dtype=torch.long)
    return find_tie(pos, build_hierarchy(pos, batch, rules, [0.5] * (len(rules) - 1)), rules)


def test_by_hand() -> None:
    """Points 0, 1, 2 on a line: the middle one has two neighbors at distance 1, the others 0, 1, 2."""
    line = torch.tensor([[0.0], [1.0], [2.0]])
    assert found(line, "knn-2") == "knn-2: the 2nd neighbor and the next are equally far from 33 % of the points"
    assert found(line, "knn-1") == ""
    assert found(line, "knn-3") == ""  # all points: nothing is left out
    assert found(torch.tensor([[0.0], [1.0], [2.1]]), "knn-2") == ""
    # the first point and the farthest from it are sampled: halfway between them, two are nearest
    assert found(torch.tensor([[0.0], [1.0], [2.0], [3.0]]), "fc", "fc") == ""
    tied = found(torch.tensor([[0.0], [1.0], [0.9], [2.0]]), "fc", "fc")
    assert tied == "sampling: the nearest two sampled points are equally far from 25 % of the points"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_grid_ties_also_where_rounding_hides_it(dtype: torch.dtype) -> None:
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    for pos in (GRID, 0.1 * GRID, 0.1 * GRID @ turn):
        assert "8th neighbor" in found(pos.to(dtype), "knn-8")
        assert found(pos.to(dtype), "fc") == found(pos.to(dtype), "radius-1.5") == ""


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_random_clouds_have_none(dtype: torch.dtype) -> None:
    pos = torch.rand(3000, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    assert found(pos, "knn-16", "knn-8") == ""


def test_the_exception_in_words() -> None:
    assert tie_exception([parse_edges("fc")]) == tie_exception([parse_edges("radius-2")]) == ""
    several = tie_exception([parse_edges(name) for name in ("knn-11", "knn-22-reverse")])
    assert several.startswith(
        "clouds where the 11th neighbor and the next or the 22nd neighbor and the next or sampled"
    )
    assert "sampled points" in tie_exception([parse_edges("fc")] * 2)
    ledger = symmetry_ledger(E(3), except_for=several)
    assert ledger.reasons[-1] == f"not exact for {several}"
    assert "not exact" not in str(symmetry_ledger(E(3)))
    baseline = EGNNConfig(channels=4, num_layers=1, edges="radius-1.5").build(Interface(in_scalars=1))
    assert baseline.tie_exception.startswith("clouds with points at the distance 1.5")


def test_symmetry_on_a_grid_is_exact_or_excepted_with_a_warning() -> None:
    inputs = {"pos": GRID, "scalars": torch.randn(64, 1, generator=torch.Generator().manual_seed(0)).double()}
    action = Action(E(3), {"pos": Position(), "scalars": Scalar()}, Scalar())

    def symmetric(model: Rapidash) -> bool:
        return bool(check_equivariance(lambda pos, scalars: model(pos, scalars=scalars).scalars, inputs, action))

    def network(edges: str) -> Rapidash:
        torch.manual_seed(0)
        model = Rapidash(space="R3", edges=edges, in_scalars=1, channels=16, num_layers=2, basis_dim=8)
        return model.double().eval()

    for edges in ("fc", "radius-1.5"):  # the grid has points at sqrt(2), none at the cutoff
        assert network(edges).tie_exception == ""
        assert symmetric(network(edges))
    at_cutoff = network("radius-1.0")
    assert symmetric(at_cutoff)  # rounding decides which edges there are, and the kernel is 0 on them
    tied = network("knn-8")
    with pytest.warns(UserWarning, match=r"8th neighbor.*E\(3\) is broken on such clouds: use edges 'fc'"):
        assert not symmetric(tied)
    assert "8th neighbor" in tied.tie_exception
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tied.connect(GRID, torch.zeros(64, dtype=torch.long))  # told once
