"""Every readout and pooling on numbers worked out by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash.geometry import Graph, Hierarchy, pair_invariants
from rapidash.groups import SO2, E, Group, T
from rapidash.models import Rapidash
from rapidash.models._pooling import pool_points
from rapidash.models._readout import Readout
from rapidash.models._scales import Step, block_order, block_widths
from rapidash.nn import ExactKernel


def exact(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


GRID = exact([1.0, 0.0, 0.0], [0.0, 0.6, 0.8])
BATCH = torch.tensor([0, 1, 1])
GRAPH = Graph.from_edge_index(torch.tensor([[0, 2, 1], [0, 1, 2]]), 3, 3)  # 0 -> 0, 2 -> 1, 1 -> 2
HIERARCHY = Hierarchy((GRAPH,), (), (), (BATCH,), 2)
OFFSET = exact([0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [-1.0, -2.0, -4.0])


def readout(space: str, group: Group, scalars: int, vectors: int, **options: Any) -> Readout:
    kinds: dict[str, Any] = {"level": "node", "pool": "sum"} | options
    return Readout(2, scalars, vectors, invariants=pair_invariants(space, group), basis_dim=2, **kinds).double()


def edges(window: Tensor | None = None) -> ExactKernel:
    return ExactKernel(GRAPH, OFFSET, window, "reference", exact([[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]))


def set_weights(made: Readout, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        made.linear.weight.copy_(weight)
        made.linear.bias.copy_(bias)


def test_scalars_and_vectors_of_points_with_orientations() -> None:
    """Scalars are means over orientations, vectors (1/O) sum_a y(o_a) o_a; the scalars come first."""
    made = readout("R3xS2", E(3), 1, 1)
    set_weights(made, exact([1.0, 1.0], [0.0, 2.0]), exact(10.0, 1.0))
    hidden = exact([[1.0, 2.0], [3.0, 4.0]]).expand(3, 2, 2)
    scalars, vectors = made(hidden, edges(), GRID, HIERARCHY)
    assert scalars.tolist() == [[(13.0 + 17.0) / 2]] * 3
    torch.testing.assert_close(vectors, exact(*[[[2.5, 2.7, 3.6]]] * 3))


@pytest.mark.parametrize(("pool", "factor"), [("sum", 2.0), ("mean", 1.0)])
def test_clouds_are_sums_or_means_of_their_points(pool: str, factor: float) -> None:
    made = readout("R3xS2", E(3), 1, 1, level="graph", pool=pool)
    set_weights(made, exact([1.0, 0.0], [0.0, 1.0]), exact(0.0, 0.0))
    hidden = exact([[1.0, 2.0]] * 2, [[3.0, 4.0]] * 2, [[7.0, 10.0]] * 2)
    scalars, vectors = made(hidden, edges(), GRID, HIERARCHY)
    assert scalars.tolist() == [[1.0], [factor * 5.0]]
    direction = exact(0.5, 0.3, 0.4)
    torch.testing.assert_close(vectors, torch.stack([2.0 * direction, factor * 7.0 * direction])[:, None])


def test_vectors_are_components_where_nothing_turns() -> None:
    made = readout("R3", T(3), 1, 2)
    set_weights(made, torch.stack([exact(k, 0.0) for k in range(7)]), exact(*[0.5] * 7))
    scalars, vectors = made(exact([[2.0, 0.0]]).expand(3, 1, 2), edges(), GRID[:0], HIERARCHY)
    assert scalars.tolist() == [[0.5]] * 3
    assert vectors.tolist() == [[[2.5, 4.5, 6.5], [8.5, 10.5, 12.5]]] * 3


@pytest.mark.parametrize("group", [E(3), SO2("z")], ids=str)
@pytest.mark.parametrize("window", [None, exact(1.0, 0.5, 0.25)], ids=["everywhere", "window"])
def test_vectors_on_points_are_sums_along_edges(group: Group, window: Tensor | None) -> None:
    """v_i = (1/C) sum_c G_c(f_i) sum_j window d_ij (K phi)_c f_jc, one term for each of the edges 2 -> 1 and 1 -> 2."""
    made = readout("R3", group, 1, 1)
    set_weights(made, exact([1.0, 1.0]), exact(5.0))
    with torch.no_grad():
        made.edge_kernel.weight.copy_(exact([2.0, 3.0], [5.0, 7.0]))
        made.gate.weight.copy_(exact([1.0, 0.0], [0.0, 1.0]))  # the gates are the features
        made.gate.bias.copy_(exact(0.0, 100.0))
    hidden = exact([[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]])
    scalars, vectors = made(hidden, edges(window), GRID[:0], HIERARCHY)
    assert scalars.tolist() == [[8.0], [12.0], [16.0]]
    first, second = (1.0, 1.0) if window is None else (0.5, 0.25)
    # kernels: (3, 7) on 2 -> 1, (2 + 3, 5 + 7) on 1 -> 2
    to_1 = first * (3.0 * 3.0 * 5.0 + 104.0 * 7.0 * 6.0) / 2
    to_2 = second * (5.0 * 5.0 * 3.0 + 106.0 * 12.0 * 4.0) / 2
    expected = torch.stack([0 * OFFSET[0], to_1 * OFFSET[1], to_2 * OFFSET[2]])[:, None]
    torch.testing.assert_close(vectors, expected)


def test_two_vectors_have_gates_of_their_own() -> None:
    made = readout("R3", E(3), 1, 2)
    with torch.no_grad():
        made.edge_kernel.weight.fill_(1.0)
        made.gate.weight.zero_()
        made.gate.bias.copy_(exact(2.0, 0.0, 0.0, 6.0))
    _, vectors = made(exact([[1.0, 2.0]]).expand(3, 1, 2), edges(), GRID[:0], HIERARCHY)
    torch.testing.assert_close(vectors[1], torch.stack([OFFSET[1], 6.0 * OFFSET[1]]))


def test_calibration_gives_the_sums_along_edges_deviation_one() -> None:
    made, hidden = readout("R3", E(3), 1, 1), exact([[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]])
    before = made.edge_kernel.weight.detach().clone()
    spread = edges().vector_conv(hidden, before).std()
    made.calibrate(hidden, edges())
    torch.testing.assert_close(made.edge_kernel.weight.detach(), before / spread)


def test_pooling_of_points() -> None:
    values, batch = exact([1.0, -2.0], [3.0, 4.0], [8.0, -6.0]), torch.tensor([0, 2, 2])
    assert pool_points(values, batch, 3, "sum").tolist() == [[1.0, -2.0], [0.0, 0.0], [11.0, -2.0]]
    assert pool_points(values, batch, 3, "mean").tolist() == [[1.0, -2.0], [0.0, 0.0], [5.5, -1.0]]
    assert pool_points(values, batch, 3, "max").tolist() == [[1.0, -2.0], [0.0, 0.0], [8.0, 4.0]]


def test_the_order_and_the_widths_of_blocks() -> None:
    down = [Step("scale", 0), Step("scale", 0), Step("down", 0), Step("scale", 1)]
    assert block_order([2, 1], has_way_up=False) == down
    both = block_order([2, 1], has_way_up=True)
    assert both == [*down, Step("scale", 1), Step("up", 0), Step("scale", 0), Step("scale", 0)]
    assert block_widths(both, [8, 12]) == [(8, 8), (8, 8), (8, 12), (12, 12), (12, 12), (12, 8), (8, 8), (8, 8)]
    assert block_order([2], has_way_up=True) == [Step("scale", 0)] * 2


def test_calibration_fixes_the_range_of_every_set_of_edges() -> None:
    """1.25 times the longest edge: of the fine scale 4, to the coarse points 1, and 4 between these."""
    model = Rapidash(
        in_scalars=1, channels=4, num_layers=[1, 1], edges=["fc", "fc"], basis_dim=4, basis_hidden_dim=4, level="node"
    ).double()
    assert model.table_reach.tolist() == [0.0, 0.0, 0.0]
    pos = exact([0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [4.0, 0.0, 0.0])
    model.calibrate(pos, torch.zeros(4, dtype=torch.long), scalars=torch.ones(4, 1).double())
    assert model.table_reach.tolist() == [5.0, 1.25, 5.0]
    assert model.is_calibrated
