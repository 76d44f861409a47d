"""The cost of the Lie derivative of a deep network, in forward passes of the same network."""

import runpy
from pathlib import Path

import pytest
import torch

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "lie_derivative_cost.py"


@pytest.mark.slow
def test_all_generators_cost_at_most_four_forward_passes_each() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ratio = runpy.run_path(str(BENCHMARK))["ratio"]
        value, _ = ratio(torch.float64, clouds=8, points=12, channels=64, repeats=5)
    finally:
        torch.set_num_threads(threads)
    assert value < 4
