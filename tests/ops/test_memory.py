"""Peak memory of the fused ops, in a process of its own: no tensor of size (E, O, C), and linear growth."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys, torch
from pathlib import Path
from rapidash.geometry import Graph
from rapidash.ops import table_conv

def memory(entry):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(entry)).split()[1])

def run(points, neighbors=16, orientations=4, channels=32):
    near = torch.arange(points)[:, None] + torch.randint(-50, 50, (points, neighbors))
    target = torch.arange(points).repeat_interleave(neighbors)
    graph = Graph.from_edge_index(torch.stack([near.clamp(0, points - 1).flatten(), target]), points, points)
    x = torch.randn(points, orientations, channels, requires_grad=True)
    table = torch.randn(64, 32, channels, requires_grad=True)
    coords = torch.rand(graph.num_edges, orientations, 2) * torch.tensor([63.0, 31.0])
    ctypes.CDLL(None).malloc_trim(0)  # what was freed must not hide what is taken
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = memory("VmRSS")
    table_conv(x, table, coords, graph, backend=sys.argv[1]).sum().backward()
    return memory("VmHWM") - before

torch.set_num_threads(1)
run(10)
print(run(int(sys.argv[2])))
"""


def peak(backend: str, points: int) -> int:
    command = [sys.executable, "-c", SCRIPT, backend, str(points)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_nothing_of_the_size_of_edges_times_orientations_times_channels() -> None:
    features = 4 * 32 * 4  # bytes of a point; an (E, O, C) tensor has 16 times as many
    small, large = peak("numba", 25_000), peak("numba", 100_000)
    assert large < 5 * features * 100_000
    assert large < 5 * small
    assert peak("reference", 25_000) > 16 * features * 25_000  # the check sees such a tensor
