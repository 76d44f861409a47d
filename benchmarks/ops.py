"""Each op against its definition, side by side in one process: medians and ratios, after a check that they agree.

Run: python benchmarks/ops.py [--threads 1] [--rounds 5] [--channels 256] [--device cpu]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from rapidash.geometry import Graph
from rapidash.ops import channel_mlp, edge_conv, spherical_conv, table_conv
from rapidash.ops.channel_mlp.reference import channel_mlp_reference

NODES = (64, 32)  # of the table


def fully_connected(clouds: int, points: int) -> Graph:
    first = torch.arange(clouds).repeat_interleave(points * points) * points
    pair = torch.cartesian_prod(torch.arange(points), torch.arange(points)).repeat(clouds, 1)
    return Graph.from_edge_index((pair + first[:, None]).T, clouds * points, clouds * points)


def nearest(clouds: int, points: int, neighbors: int) -> tuple[Graph, Tensor]:
    pos = torch.rand(clouds, points, 3)
    source = torch.cdist(pos, pos).topk(neighbors, largest=False).indices + torch.arange(clouds)[:, None, None] * points
    target = torch.arange(clouds * points).repeat_interleave(neighbors)
    edges = torch.stack([source.flatten(), target])
    return Graph.from_edge_index(edges, clouds * points, clouds * points), pos.reshape(-1, 3)


def coordinates(graph: Graph, pos: Tensor, num_orientations: int) -> Tensor:
    """Invariants of every edge and orientation, in units of nodes: d.o and the distance from the line along o."""
    offset = pos[graph.source] - pos[graph.target]
    grid = torch.nn.functional.normalize(torch.randn(num_orientations, 3), dim=-1)
    along = offset @ grid.T
    across = (offset.square().sum(dim=1, keepdim=True) - along.square()).clamp(min=0).sqrt()
    reach = 1.001 * offset.norm(dim=1).max()
    return torch.stack([(along / reach + 1) / 2 * (NODES[0] - 1), across / reach * (NODES[1] - 1)], dim=-1).contiguous()


def gradients(function: Callable[..., Tensor], inputs: list[Tensor], grad: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(function(*inputs), inputs, grad)


def seconds(function: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(
    name: str, fast: Callable[..., Tensor], definition: Callable[..., Tensor], inputs: list[Tensor], rounds: int
) -> None:
    """Forward and backward of both in turn."""
    inputs = [tensor.requires_grad_() for tensor in inputs]
    grad = torch.randn_like(definition(*inputs))
    for got, expected in zip(gradients(fast, inputs, grad), gradients(definition, inputs, grad), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    device = inputs[0].device
    pairs = [
        (
            seconds(partial(gradients, fast, inputs, grad), device),
            seconds(partial(gradients, definition, inputs, grad), device),
        )
        for _ in range(rounds)
    ]
    times = [statistics.median(side) * 1e3 for side in zip(*pairs, strict=True)]
    ratio = statistics.median(slow / quick for quick, slow in pairs)
    print(f"{name:46s} {times[0]:10.2f} {times[1]:12.2f} {ratio:8.2f} x", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random = partial(torch.randn, device=options.device)
    channels = options.channels
    print(f"forward + backward, float32, {options.device}, {options.threads} threads; milliseconds, medians")
    print(f"{'case':46s} {'op':>10s} {'definition':>12s} {'ratio':>10s}")
    cases = [("16 x 18 points fc, O=8", 16, 18, 8, None), ("4 x 60 points fc, O=8", 4, 60, 8, None)]
    cases += [("100 x 5 points fc, O=12", 100, 5, 12, None), ("2 x 1024 points knn-16, O=8", 2, 1024, 8, 16)]
    for case, clouds, points, num_orientations, neighbors in cases:
        if neighbors is None:
            graph, pos = fully_connected(clouds, points), torch.randn(clouds * points, 3)
        else:
            graph, pos = nearest(clouds, points, neighbors)
        coords = coordinates(graph, pos, num_orientations).to(options.device)
        graph = Graph(*(t.to(options.device) for t in (graph.source, graph.target, graph.row_ptr)), len(pos), len(pos))
        x, table = random(len(pos), num_orientations, channels), random(*NODES, channels)
        for kind in ("linear", "cubic") if points == 18 else ("linear",):
            run = lambda x, table, backend: table_conv(x, table, coords, graph, interpolation=kind, backend=backend)  # noqa: B023, E731
            both = (partial(run, backend=backend) for backend in ("auto", "reference"))
            compare(f"table_conv {kind}, {case}", *both, [x, table], options.rounds)
        kernel = random(graph.num_edges, num_orientations, channels)
        both = (partial(edge_conv, graph=graph, backend=backend) for backend in ("auto", "reference"))
        compare(f"edge_conv, {case}", *both, [x, kernel], options.rounds)
        both = (partial(spherical_conv, backend=backend) for backend in ("auto", "reference"))
        fiber = random(num_orientations, num_orientations, channels)
        compare(f"spherical_conv, {case}", *both, [x, fiber], options.rounds)
    rows, hidden = 16 * 18 * 8, 4 * channels
    shapes = [(rows, channels), (rows, channels), (channels,), (channels,), (hidden, channels), (hidden,)]
    inputs = [random(*shape) / shape[-1] ** 0.5 for shape in [*shapes, (channels, hidden), (channels,), (channels,)]]
    for recompute in (False, True):
        fast = partial(channel_mlp, recompute=recompute)
        compare(f"channel_mlp, {recompute=}", fast, channel_mlp_reference, inputs, options.rounds)

    def products(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        return x @ w1.T @ w2.T

    compare(
        "  its products alone (op) ",
        products, lambda x, w1, w2: (x @ w1.T) @ w2.T, [inputs[0], inputs[4], inputs[6]], options.rounds,
    )  # fmt: skip


if __name__ == "__main__":
    main()
