"""The cost of the Lie derivative of a deep network, in forward passes of the same network."""

import runpy
from pathlib import Path

import pytest
import torch

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "lie_derivative_cost.py"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("kernel", ["exact", "tabulated"])
def test_all_generators_cost_at_most_four_forward_passes_each(kernel: str, dtype: torch.dtype) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cost = runpy.run_path(str(BENCHMARK))["cost"](kernel, dtype)
    finally:
        torch.set_num_threads(threads)
    assert cost.method == "forward"
    assert cost.plain < 4
