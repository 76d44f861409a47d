"""The features of a Rapidash network before its readout: lifted inputs, kernels on edges and orientations, blocks."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.geometry import Cell, Hierarchy, Radius, is_differentiated, polynomial_cutoff, safe_norm
from rapidash.models._edge_sets import edge_sets
from rapidash.nn import Block, EdgeKernel, ExactKernel, KernelBasis, KernelTable, lift

if TYPE_CHECKING:
    from rapidash.models._rapidash import Rapidash


def hidden_features(
    network: "Rapidash",
    pos: Tensor,
    hierarchy: Hierarchy,
    features: tuple[Tensor | None, Tensor | None],
    *,
    pairs: Tensor | None,
    grid_rotation: Tensor | None = None,
    cell: Cell | None = None,
    calibrate: bool = False,
    output: nn.Linear | None = None,
) -> tuple[Tensor, list[EdgeKernel], Tensor]:
    """Features (N, O, C), on R^D (N, 1, C), with the kernels of all edges and the orientations (O, D) behind them.

    Args:
        network: whose parts are used.
        pos, hierarchy, pairs, grid_rotation, cell: as of `Rapidash.forward`.
        features: scalars and vectors that fit the network.
        calibrate: rescale each block's kernels before it is passed.
        output: a linear map that the last block applies to what it returns.
    """
    grid = network.grid.to(pos)
    if grid_rotation is not None:
        grid = grid @ grid_rotation.to(grid).T
    if network.invariants.has_orientations:
        x = network.embedding(lift(*features, grid))
        fiber_basis = _fiber_basis(network, grid, is_turned=grid_rotation is not None)
    else:
        x, fiber_basis = network.embedding(features[0]).unsqueeze(1), None
    kernels = edge_kernels(network, pos, hierarchy, grid, cell)
    pair_scales = [None] * len(hierarchy.batch) if pairs is None else hierarchy.positions(pairs)
    skips: list[Tensor] = []
    for (stage, scale), block in zip(network.steps, network.blocks):
        assert isinstance(block, Block)
        edges, source, target = kernels[2 * scale], pair_scales[scale], pair_scales[scale]
        if stage == "down":
            skips.append(x)
            edges, target = kernels[2 * scale + 1], pair_scales[scale + 1]
        elif stage == "up":
            edges = kernels[2 * scale + 1].permuted(*hierarchy.up[scale])
            source = pair_scales[scale + 1]
        sides = None if source is None or target is None else (source, target)
        if calibrate:
            block.calibrate(x, edges, fiber_basis, grid, sides)
        merged = {} if output is None or block is not network.blocks[-1] else {"output": output}
        x = block(x, edges, fiber_basis, grid, sides, **merged)
        if stage == "up" and network.skip_connections:
            x = x + skips[scale]
    return x, kernels, grid


def _fiber_basis(network: "Rapidash", grid: Float[Tensor, "grid D"], *, is_turned: bool) -> Float[Tensor, "O O basis"]:
    """The kernel basis on pairs of orientations; without gradients kept for the grid as it is."""
    basis = network.spherical_basis
    assert basis is not None

    def make() -> Tensor:
        return _values(network, basis, network.invariants.spherical(grid))

    if is_turned or type(basis) is not KernelBasis:
        return make()
    return network.kept_basis.value(make, basis, (network.grid, *basis.parameters()))


def _values(network: "Rapidash", basis: nn.Module, attributes: Tensor) -> Tensor:
    """Of a kernel basis by the network's backend, or of what has taken its place."""
    out: Tensor = basis(attributes, network.backend) if type(basis) is KernelBasis else basis(attributes)
    return out


def edge_kernels(
    network: "Rapidash", pos: Tensor, hierarchy: Hierarchy, grid: Tensor, cell: Cell | None = None
) -> list[EdgeKernel]:
    """The kernel basis on every set of edges; entry 2s is scale s, entry 2s + 1 leads from s to s + 1.

    Args:
        network: whose kernel basis or table is used.
        pos, hierarchy, cell: as of `Rapidash.forward`.
        grid: the orientations (O, D), empty on R^D.
    """
    kernels: list[EdgeKernel] = []
    points = hierarchy.positions(pos)
    for index, (graph, offset) in enumerate(edge_sets(pos, hierarchy, cell)):
        rule = network.rules[index // 2]
        window = None
        if isinstance(rule, Radius) and index % 2 == 0:
            window = polynomial_cutoff(safe_norm(offset), rule.r)
        attributes = network.pair_attributes(offset, grid)
        if _tabulates(network, pos):
            assert isinstance(network.table, KernelTable)
            reach = network.table_reach[index]
            kernel: EdgeKernel = network.table(
                network.spatial_basis, graph, offset, window, attributes, reach, network.backend
            )
        else:
            basis = _values(network, network.spatial_basis, attributes)
            kernel = ExactKernel(graph, offset, window, network.backend, basis)
        kernels.append(replace(kernel, pos=points[(index + 1) // 2]))
    return kernels


def _tabulates(network: "Rapidash", pos: Tensor) -> bool:
    mode = network.config.kernel
    if mode == "auto":
        usual = network.is_calibrated or pos.dtype != torch.float64
        return network.invariants.signed is not None and usual and not is_differentiated(pos)
    return mode == "tabulated"
