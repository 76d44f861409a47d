"""Every layer on a case worked out by hand, or by loops over the sums of its formula."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from rapidash.geometry import Graph, pair_invariants
from rapidash.groups import SE, SO2, E, T
from rapidash.nn import (
    ConvNextBlock,
    ExactKernel,
    GroupConv,
    KernelBasis,
    KernelTable,
    PairAttributes,
    TabulatedKernel,
    lift,
    project_scalars,
    project_vectors,
    tensor_powers,
)

EDGES = torch.tensor([[0, 1, 1], [0, 0, 1]])  # 0 -> 0, 1 -> 0, 1 -> 1


def exact(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def waves(*shape: int, phase: float = 0.0) -> Tensor:
    """Numbers without a pattern, the same on every machine."""
    count = math.prod(shape)
    return torch.tensor([math.sin(phase + 1.7 * k) for k in range(1, count + 1)], dtype=torch.float64).reshape(shape)


def filled(module: nn.Module) -> nn.Module:
    """The module in float64 with weights from `waves`."""
    module = module.double()
    with torch.no_grad():
        for place, parameter in enumerate(module.parameters()):
            parameter.copy_(waves(*parameter.shape, phase=place))
    return module


def gelu(x: float) -> float:
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def edges_of(basis: Tensor, *, window: Tensor | None = None, offset: Tensor | None = None) -> ExactKernel:
    """The three edges with these values of the basis."""
    graph = Graph.from_edge_index(EDGES, 2, 2)
    return ExactKernel(graph, exact(*[[1.0, 2.0, 3.0]] * 3) if offset is None else offset, window, "reference", basis)


# ---------------------------------------------------------------- between points and the sphere


def test_a_scalar_is_copied_and_a_vector_is_projected_on_every_orientation() -> None:
    grid, scalars, vectors = exact([1.0, 0.0], [0.6, 0.8]), exact([7.0]), exact([[2.0, -1.0], [0.0, 5.0]])
    assert lift(scalars, vectors, grid).tolist() == [[[7.0, 2.0, 0.0], [7.0, 1.2 - 0.8, 4.0]]]
    assert lift(scalars, None, grid).tolist() == [[[7.0], [7.0]]]
    assert lift(None, vectors, grid).tolist() == [[[2.0, 0.0], [1.2 - 0.8, 4.0]]]


def test_projections_are_means_over_the_orientations() -> None:
    grid, signal = exact([1.0, 0.0], [0.6, 0.8]), exact([[2.0, 1.0], [5.0, 10.0]])
    assert project_scalars(signal).tolist() == [[3.5, 5.5]]
    torch.testing.assert_close(project_vectors(signal, grid), exact([[2.5, 2.0], [3.5, 4.0]]))


# ---------------------------------------------------------------- kernels


def test_monomials_come_in_the_order_of_their_powers() -> None:
    a, b = 2.0, 3.0
    second = [a * a, a * b, b * a, b * b]
    third = [x * y for x in second for y in (a, b)]
    assert tensor_powers(exact(a, b), 1).tolist() == [a, b]
    assert tensor_powers(exact(a, b), 3).tolist() == [a, b, *second, *third]


def test_the_kernel_basis_is_two_layers_with_a_gelu_after_each() -> None:
    basis = filled(KernelBasis(2, 3, 2, 2))
    w1, b1, w2, b2 = (parameter.tolist() for parameter in basis.parameters())
    monomials = [0.5, -2.0, 0.25, -1.0, -1.0, 4.0]
    hidden = [gelu(sum(w * m for w, m in zip(row, monomials)) + b) for row, b in zip(w1, b1)]
    expected = [gelu(sum(w * h for w, h in zip(row, hidden)) + b) for row, b in zip(w2, b2)]
    torch.testing.assert_close(basis(exact(0.5, -2.0)), exact(*expected), rtol=1e-12, atol=1e-12)


def test_edges_are_the_way_of_their_attributes_into_the_network() -> None:
    """The layer of the attributes calls the invariants with offset and grid in this order."""
    grid, offset = exact([1.0, 0.0, 0.0], [0.0, 0.6, 0.8]), exact([2.0, 3.0, 6.0])
    for group in (E(3), T(3), SO2("z")):
        invariants = pair_invariants("R3xS2", group)
        assert torch.equal(PairAttributes(invariants)(offset, grid), invariants.spatial(offset, grid))


def test_sums_over_edges_with_a_window() -> None:
    basis = exact([[1.0, 2.0]], [[3.0, 0.0]], [[0.0, 1.0]])  # (E, O = 1, basis = 2)
    weight = exact([1.0, 1.0], [2.0, 0.0])  # kernels (3, 2), (3, 6), (1, 0)
    x = exact([[1.0, 10.0]], [[2.0, 20.0]])
    offset = exact([0.0, 0.0], [1.0, 2.0], [3.0, -1.0])
    plain = edges_of(basis, offset=offset)
    assert plain.kernel(weight).tolist() == [[[3.0, 2.0]], [[3.0, 6.0]], [[1.0, 0.0]]]
    assert plain.conv(x, weight).tolist() == [[[3.0 + 6.0, 20.0 + 120.0]], [[2.0, 0.0]]]
    # only 1 -> 0 and 1 -> 1 have an offset
    assert plain.vector_conv(x, weight).tolist() == [[[[6.0, 120.0]], [[6.0, 0.0]]], [[[12.0, 240.0]], [[-2.0, 0.0]]]]
    cut = edges_of(basis, offset=offset, window=exact(1.0, 0.5, 0.25))
    assert cut.conv(x, weight).tolist() == [[[3.0 + 3.0, 20.0 + 60.0]], [[0.5, 0.0]]]
    assert cut.vector_conv(x, weight).tolist() == [[[[3.0, 60.0]], [[1.5, 0.0]]], [[[6.0, 120.0]], [[-0.5, 0.0]]]]


# ---------------------------------------------------------------- tables


def test_a_table_holds_the_kernel_at_its_nodes_and_locates_an_edge() -> None:
    """On one axis 64 fine nodes for 16 coarse ones, in asinh(10 a / R): every 21st fine node is a coarse one."""
    basis, table = filled(KernelBasis(1, 3, 2, 2)), KernelTable(8, (False,), "linear").double()
    reach = 2.0
    attributes = [0.0, *(reach * math.sinh(k / 3 * math.asinh(10)) / 10 for k in (1, 2, 3))]
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0]]), 4, 1)
    offset = exact(*([a, 0.0, 0.0] for a in attributes))
    values = exact(*([[a]] for a in attributes))
    kernel = table(basis, graph, offset, None, values, torch.tensor(reach * 1.00001).double(), "reference")
    torch.testing.assert_close(kernel.coords.flatten(), exact(0.0, 21.0, 42.0, 63.0), rtol=0, atol=1e-3)
    weight, x = waves(2, 2), waves(4, 1, 2)
    expected = sum(x[j] * (basis(values[j]) @ weight.T) for j in range(4))
    torch.testing.assert_close(kernel.conv(x, weight), expected[None], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_table_of_two_attributes_agrees_with_the_definition_in_every_corner(interpolation: str) -> None:
    basis, table = filled(KernelBasis(2, 3, 2, 1)), KernelTable(64, (True, False), interpolation).double()
    corners = [(-1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (-0.6, 0.8), (0.6, 0.8), (0.28, 0.96)]
    graph = Graph.from_edge_index(torch.stack([torch.arange(6), torch.zeros(6, dtype=torch.long)]), 6, 1)
    values, offset = (
        exact(*([corner] for corner in corners)),
        exact(*([along, across, 0.0] for along, across in corners)),
    )
    window = exact(1.0, 0.5, 0.25, 2.0, 0.1, 1.0)
    kernel = table(basis, graph, offset, window, values, torch.tensor(0.5).double(), "reference")
    assert kernel.coords[0, 0].tolist() == pytest.approx([0.0, 0.0], abs=1e-3)  # the longest offset is the range
    assert kernel.coords[1, 0].tolist() == pytest.approx([127.0, 0.0], abs=1e-3)
    assert kernel.coords[2, 0].tolist() == pytest.approx([63.5, 63.0], abs=1e-3)
    weight, x = waves(2, 2), waves(6, 1, 2)
    definition = ExactKernel(graph, offset, window, "reference", basis(values))
    for name in ("conv", "vector_conv"):
        found, wanted = getattr(kernel, name)(x, weight), getattr(definition, name)(x, weight)
        torch.testing.assert_close(found, wanted, rtol=1e-2, atol=2e-3)
    moved = values.clone()
    moved[0, 0, 0] = 0.25
    other = kernel.with_attributes(moved)
    wanted = ExactKernel(graph, offset, window, "reference", basis(moved)).conv(x, weight)
    torch.testing.assert_close(other.conv(x, weight), wanted, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("kind", ["exact", "tabulated"])
@pytest.mark.parametrize("has_window", [False, True], ids=["everywhere", "window"])
def test_reversed_edges_keep_what_belongs_to_them(kind: str, has_window: bool) -> None:
    """The edge j -> i of offset d becomes i -> j with the same offset, window and kernel."""
    pairs = [(0, 1), (2, 0), (1, 0), (2, 1)]
    graph = Graph.from_edge_index(torch.tensor(pairs).T, 3, 2)
    flipped, order = graph.flip()
    assert order.tolist() != [0, 1, 2, 3]
    basis, offset = filled(KernelBasis(2, 3, 2, 1)), waves(4, 3)
    window = exact(1.0, 0.5, 0.25, 2.0) if has_window else None
    values = waves(4, 1, 2, phase=1.0).abs() / 3
    edges: ExactKernel | TabulatedKernel = ExactKernel(graph, offset, window, "reference", basis(values))
    if kind == "tabulated":
        table = KernelTable(64, (True, False), "cubic").double()
        edges = table(basis, graph, offset, window, values, torch.tensor(1.0).double(), "reference")
    back, weight, x = edges.permuted(flipped, order), waves(2, 2), waves(2, 1, 2)
    kernel = basis(values[:, 0]) @ weight.T
    factor = torch.ones(4).double() if window is None else window
    sums, moments = torch.zeros(3, 1, 2).double(), torch.zeros(3, 3, 1, 2).double()
    for e in range(4):
        term = factor[e] * kernel[e].detach() * x[graph.target[e], 0]
        sums[graph.source[e], 0] += term
        moments[:, graph.source[e], 0] += offset[e][:, None] * term
    torch.testing.assert_close(back.conv(x, weight).detach(), sums, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(back.vector_conv(x, weight).detach(), moments, rtol=1e-4, atol=1e-4)
    if isinstance(back, TabulatedKernel):
        assert torch.equal(back.attributes, values[order])


# ---------------------------------------------------------------- the group convolution


def test_the_convolution_on_points_with_a_pair_by_hand() -> None:
    """Charges 2 and 3: an edge j -> i counts kernel + s_i s_j pair kernel, so 3 + 4, 4 + 6 * 2 and 5 + 9 * 3."""
    conv = GroupConv(1, 2, has_orientations=False, num_pairs=1).double()
    with torch.no_grad():
        conv.kernel.weight.copy_(exact([1.0, 0.0]))
        conv.pair_kernels[0].weight.copy_(exact([0.0, 1.0]))
        conv.bias.fill_(100.0)
    edges = edges_of(exact([[3.0, 1.0]], [[4.0, 2.0]], [[5.0, 3.0]]))
    charges = exact([2.0], [3.0])
    found = conv(exact([[10.0]], [[1000.0]]), edges, None, exact([0.0] * 3)[:0], (charges, charges))
    assert found.flatten().tolist() == [100.0 + 7 * 10.0 + 16 * 1000.0, 100.0 + 32 * 1000.0]
    source, target = exact([2.0], [3.0]), exact([5.0], [7.0])  # of two scales
    found = conv(exact([[10.0]], [[1000.0]]), edges, None, exact([0.0] * 3)[:0], (source, target))
    assert found.flatten().tolist() == [100.0 + (3 + 10) * 10.0 + (4 + 30) * 1000.0, 100.0 + (5 + 63) * 1000.0]


def by_loops(
    conv: GroupConv, x: Tensor, edges: ExactKernel, fiber: Tensor, grid: Tensor, pairs: tuple[Tensor, Tensor]
) -> Tensor:
    """The sums of the docstring of `GroupConv`, term by term."""
    sizes = x.shape[1], x.shape[2]
    out = x.new_zeros(2, *sizes) + conv.bias
    window = torch.ones(3) if edges.window is None else edges.window
    for i, b, c in product(range(2), *map(range, sizes)):
        for a, e in product(range(sizes[0]), range(3)):
            source, target = edges.graph.source[e], edges.graph.target[e]
            if target != i:
                continue
            phi, value = edges.basis[e, a], window[e] * x[source, a, c]
            message = (conv.kernel.weight[c] @ phi) * value
            for p, kernel in enumerate(conv.pair_kernels):
                message = message + pairs[1][i, p] * pairs[0][source, p] * (kernel.weight[c] @ phi) * value
            total = (conv.fiber_kernel.weight[c] @ fiber[b, a]) * message
            if conv.odd_kernel is not None:
                det = torch.linalg.det(torch.stack([edges.offset[e], grid[a], grid[b]]))
                odd = (conv.odd_fiber_kernel.weight[c] @ fiber[b, a]) * (conv.odd_kernel.weight[c] @ phi)
                total = total + det * odd * value
            out[i, b, c] += total / sizes[0]
    return out


@pytest.mark.parametrize("is_chiral", [False, True], ids=["even", "with the odd part"])
@pytest.mark.parametrize("window", [None, exact(1.0, 0.5, 0.25)], ids=["everywhere", "window"])
def test_the_convolution_on_points_and_sphere_is_its_formula(is_chiral: bool, window: Tensor | None) -> None:
    grid = exact([1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.6, 0.0, -0.8])
    conv = filled(GroupConv(2, 4, has_orientations=True, is_chiral=is_chiral, num_pairs=2))
    edges = edges_of(waves(3, 3, 4), window=window, offset=waves(3, 3, phase=1.0))
    arguments = waves(2, 3, 2, phase=2.0), edges, waves(3, 3, 4, phase=3.0), grid, (waves(2, 2), waves(2, 2, phase=5.0))
    torch.testing.assert_close(conv(*arguments), by_loops(conv, *arguments), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("is_chiral", [False, True], ids=["even", "with the odd part"])
def test_calibration_scales_all_kernels_of_a_sum_alike_and_keeps_the_spread(is_chiral: bool) -> None:
    grid = exact([1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.6, 0.0, -0.8])
    conv = filled(GroupConv(2, 4, has_orientations=True, is_chiral=is_chiral, num_pairs=2))
    edges, x = edges_of(waves(3, 3, 4), offset=waves(3, 3, phase=1.0)), 50 * waves(2, 3, 2, phase=2.0)
    arguments = x, edges, waves(3, 3, 4, phase=3.0), grid, (waves(2, 2), waves(2, 2, phase=5.0))
    before = {name: weight.clone() for name, weight in conv.named_parameters()}
    output = conv(*arguments) - conv.bias
    conv.calibrate(*arguments)
    factors = {name: weight / before[name] for name, weight in conv.named_parameters()}
    assert all(torch.allclose(factor, factor.flatten()[0].expand_as(factor)) for factor in factors.values())
    scale = {name: float(factor.detach().flatten()[0]) for name, factor in factors.items()}
    assert scale["bias"] == 1.0
    on_points = [scale["kernel.weight"], scale["pair_kernels.0.weight"], scale["pair_kernels.1.weight"]]
    on_sphere = [scale["fiber_kernel.weight"]]
    if is_chiral:
        on_points.append(scale["odd_kernel.weight"])
        on_sphere.append(scale["odd_fiber_kernel.weight"])
    assert on_points == pytest.approx([on_points[0]] * len(on_points), rel=1e-12)
    assert on_sphere == pytest.approx([on_sphere[0]] * len(on_sphere), rel=1e-12)
    assert on_points[0] * on_sphere[0] == pytest.approx(float(x.std() / output.detach().std()), rel=1e-12)
    assert float((conv(*arguments) - conv.bias).detach().std()) == pytest.approx(float(x.std()), rel=1e-12)


def test_calibration_on_points_by_hand() -> None:
    """Features 1 and 3 (deviation sqrt 2) become 1 + 2 * 3 = 7 and 3 * 3 = 9 (the same) for kernels 1, 2, 3."""
    conv = GroupConv(1, 1, has_orientations=False, num_pairs=1).double()
    with torch.no_grad():
        conv.kernel.weight.fill_(2.0)
        conv.pair_kernels[0].weight.fill_(-8.0)
    edges, charges = edges_of(exact([[1.0]], [[2.0]], [[3.0]])), exact([0.0], [0.0])
    conv.calibrate(exact([[1.0]], [[3.0]]), edges, None, exact([0.0] * 3)[:0], (charges, charges))
    assert conv.kernel.weight.item() == pytest.approx(1.0)
    assert conv.pair_kernels[0].weight.item() == pytest.approx(-4.0)


# ---------------------------------------------------------------- the block


@pytest.mark.parametrize("is_residual", [True, False])
@pytest.mark.parametrize("layer_scale", [None, 0.5])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_the_block_is_its_list_of_maps(is_residual: bool, layer_scale: float | None, backend: str) -> None:
    conv = GroupConv(2, 1, has_orientations=False)
    block = filled(ConvNextBlock(conv, 2, 2, widening=2, layer_scale=layer_scale, is_residual=is_residual))
    edges = ExactKernel(edges_of(waves(3, 1, 1)).graph, waves(3, 3), None, backend, waves(3, 1, 1))
    x, grid = waves(2, 1, 2, phase=4.0), exact([0.0] * 3)[:0]
    convolved, found = conv(x, edges, None, grid).detach(), block(x, edges, None, grid).detach()
    w1, b1, w2, b2 = (
        part.tolist() for layer in (block.linear_1, block.linear_2) for part in (layer.weight, layer.bias)
    )
    scale = [1.0, 1.0] if layer_scale is None else block.layer_scale.tolist()
    for point in range(2):
        u, v = convolved[point, 0].tolist()
        mean, variance = (u + v) / 2, ((u - v) / 2) ** 2
        normal = [
            (value - mean) / math.sqrt(variance + 1e-5) * w + b
            for value, w, b in zip((u, v), block.norm.weight.tolist(), block.norm.bias.tolist())
        ]
        hidden = [gelu(sum(w * n for w, n in zip(row, normal)) + b) for row, b in zip(w1, b1)]
        assert len(hidden) == 4
        for c in range(2):
            value = scale[c] * (sum(w * h for w, h in zip(w2[c], hidden)) + b2[c])
            value += float(x[point, 0, c]) if is_residual else 0.0
            assert float(found[point, 0, c]) == pytest.approx(value, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("layer_scale", [None, 0.5])
def test_a_block_with_an_output_is_the_block_and_then_the_map(layer_scale: float | None) -> None:
    conv = GroupConv(2, 1, has_orientations=False)
    block, output = filled(ConvNextBlock(conv, 2, 2, widening=2, layer_scale=layer_scale)), filled(nn.Linear(2, 1))
    edges, x, grid = edges_of(waves(3, 1, 1)), waves(2, 1, 2, phase=4.0), exact([0.0] * 3)[:0]
    plain = block(x, edges, None, grid)
    torch.testing.assert_close(block(x, edges, None, grid, output=output), output(plain), rtol=1e-12, atol=1e-12)


def test_the_layer_scale_starts_where_it_was_told() -> None:
    conv = GroupConv(2, 1, has_orientations=False)
    assert ConvNextBlock(conv, 2, 3, is_residual=False, layer_scale=0.25).layer_scale.tolist() == [0.25] * 3


def test_chiral_attributes_are_those_of_e3() -> None:
    grid, offset = exact([1.0, 0.0, 0.0], [0.0, 0.6, 0.8]), exact([2.0, 3.0, 6.0])
    chiral, plain = (pair_invariants("R3xS2", group).spatial(offset, grid) for group in (SE(3), E(3)))
    assert torch.equal(chiral, plain)
