"""A cloud of few points: microseconds of one call of each op, and milliseconds of a whole network without gradients.

Run: python benchmarks/small.py [--points 8] [--rounds 300] [--step]

Times are medians of the CPU time of this thread, so that other processes count for little; with --step also those of a
training step (forward and backward, no optimizer). Networks have 7 layers, all pairs of points, E(3), one thread.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from rapidash.geometry import Graph, fully_connected_edges
from rapidash.models import Rapidash
from rapidash.ops import channel_mlp, spherical_conv, table_conv

NETWORKS = (("R3", 32, 1), ("R3", 64, 1), ("R3", 256, 1), ("R3xS2", 32, 8), ("R3xS2", 64, 8))


def seconds(job: Callable[[], object], rounds: int) -> float:
    """Median of the thread's CPU time, after a tenth of the rounds to warm up."""
    samples = []
    for turn in range(rounds + rounds // 10 + 1):
        start = time.thread_time()
        job()
        if turn > rounds // 10:
            samples.append(time.thread_time() - start)
    return median(samples)


def time_ops(points: int, orientations: int, channels: int, rounds: int) -> dict[str, float]:
    """Microseconds of a call of every op without gradients, as a block of a network makes it."""
    graph = Graph.from_edge_index(fully_connected_edges(torch.zeros(points, dtype=torch.long)), points, points)
    axes = 1 if orientations == 1 else 2
    x, kernel = torch.randn(points, orientations, channels), torch.randn(orientations, orientations, channels)
    table = torch.randn(*((256,) if axes == 1 else (64, 32)), channels)
    coords = 31 * torch.rand(graph.num_edges, orientations, axes)
    shapes = (channels,), (channels,), (4 * channels, channels), (4 * channels,), (channels, 4 * channels), (channels,)
    parameters = [torch.randn(shape) for shape in shapes]
    jobs = {
        "channel_mlp": lambda: channel_mlp(x, x, *parameters),
        "table_conv": lambda: table_conv(x, table, coords, graph),
        "spherical_conv": lambda: spherical_conv(x, kernel),
    }
    with torch.inference_mode():
        return {name: 1e6 * seconds(job, rounds) for name, job in jobs.items()}


def time_network(points: int, space: str, channels: int, orientations: int, rounds: int, *, step: bool) -> list[float]:
    """Milliseconds of a forward pass without gradients, and of a training step if asked for."""
    torch.manual_seed(0)
    model = Rapidash(in_scalars=3, space=space, channels=channels, num_orientations=orientations)
    pos, batch, scalars = torch.randn(points, 3), torch.zeros(points, dtype=torch.long), torch.randn(points, 3)
    model.calibrate(pos, batch, scalars=scalars)

    def infer() -> None:
        with torch.inference_mode():
            model(pos, batch, scalars=scalars)

    def train() -> None:
        model(pos, batch, scalars=scalars).scalars.square().sum().backward()
        model.zero_grad(set_to_none=True)

    return [1e3 * seconds(job, rounds) for job in ([infer, train] if step else [infer])]


def main() -> None:
    """Print one line for every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--step", action="store_true", help="time training steps too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for space, channels, orientations in NETWORKS:
        found = time_ops(options.points, orientations, channels, options.rounds)
        ops = ", ".join(f"{name} {value:.0f} us" for name, value in found.items())
        times = time_network(options.points, space, channels, orientations, options.rounds, step=options.step)
        network = " and ".join(f"{value:.2f} ms" for value in times)
        print(f"{options.points} points, {space}, {channels} channels, O = {orientations}: {ops}; network {network}")


if __name__ == "__main__":
    main()
