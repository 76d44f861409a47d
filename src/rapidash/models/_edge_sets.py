"""The edges of a network at all its scales, with the offsets that its kernels see."""

from torch import Tensor

from rapidash.geometry import Cell, Graph, Hierarchy


def edge_sets(pos: Tensor, hierarchy: Hierarchy, cell: Cell | None) -> list[tuple[Graph, Tensor]]:
    """Every graph with the offsets of its edges: scale 0, from 0 to 1, scale 1, ..."""
    points = hierarchy.positions(pos)
    sets = []
    for scale, graph in enumerate(hierarchy.graphs):
        offset = points[scale][graph.source] - points[scale][graph.target]
        if cell is not None and hierarchy.shift is not None:
            offset = offset + cell.displacement(hierarchy.shift, hierarchy.batch[scale][graph.target])
        sets.append((graph, offset))
        if scale < len(hierarchy.down):
            down = hierarchy.down[scale]
            sets.append((down, points[scale][down.source] - points[scale + 1][down.target]))
    return sets


def check_hierarchy(hierarchy: Hierarchy, pos: Tensor, cell: Cell | None) -> None:
    """Raise ValueError for edges that belong to other points, or to a cell where none is given, or the reverse."""
    if not isinstance(hierarchy, Hierarchy):
        raise ValueError(f"hierarchy must be what connect(pos, batch) returns, got {type(hierarchy).__name__}")
    found = hierarchy.batch[0]
    if len(found) != len(pos) or found.device != pos.device:
        raise ValueError(
            f"hierarchy connects {len(found)} points on {found.device}, pos has {len(pos)} on {pos.device}: "
            "make it for these points, connect(pos, batch)"
        )
    if (hierarchy.shift is None) != (cell is None):
        made = "without a cell" if hierarchy.shift is None else "with a cell"
        raise ValueError(f"hierarchy was made {made}: give the same cell to connect and to the network, or neither")
