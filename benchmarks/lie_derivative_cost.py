"""Cost of the Lie derivative of all generators of SE(3), in forward passes of the same model per generator.

    python benchmarks/lie_derivative_cost.py

A 7-layer network with exact and with tabulated kernels, one thread, CPU time (robust to other load), forward passes and
derivatives in turn in one process. Two forward passes to compare with: as a model runs by itself, which records what
its gradients by the parameters need, and without gradients. The comparison of the derivative with a difference that
`lie_derivative` makes is part of its cost.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import SE
from rapidash.measure import lie_derivative, rapidash_action
from rapidash.models import Rapidash
from rapidash.models._config import KernelMode


class Cost(NamedTuple):
    """Forward passes per generator: as the model runs by itself, and without gradients; and the method."""

    plain: float
    inference: float
    method: str


def cost(
    kernel: KernelMode, dtype: torch.dtype, *, clouds: int = 8, points: int = 12, channels: int = 64, repeats: int = 5
) -> Cost:
    """Medians of the CPU time of the derivative over that of a forward pass and the number of generators."""
    torch.manual_seed(0)
    model = Rapidash(
        symmetry="E(3)", num_orientations=8, in_scalars=2, in_vectors=1, out_scalars=1, channels=channels, num_layers=7,
        basis_dim=64, basis_hidden_dim=64, kernel=kernel,
    ).to(dtype).eval()  # fmt: skip
    num, rng = clouds * points, seeded("cost")
    x = {
        "pos": torch.randn(num, 3, generator=rng).to(dtype),
        "batch": torch.arange(clouds).repeat_interleave(points),
        "scalars": torch.randn(num, 2, generator=rng).to(dtype),
        "vectors": torch.randn(num, 1, 3, generator=rng).to(dtype),
    }
    model.calibrate(x["pos"], x["batch"], scalars=x["scalars"], vectors=x["vectors"])
    action = rapidash_action(model, SE(3))
    method = lie_derivative(model, x, action).method
    without_gradients(model, x)  # makes the tables that are kept
    ratios = []
    for _ in range(repeats):
        forward = cpu_seconds(lambda: model(**x))
        inference = cpu_seconds(lambda: without_gradients(model, x))
        derivative = cpu_seconds(lambda: lie_derivative(model, x, action)) / len(SE(3).generators())
        ratios.append((derivative / forward, derivative / inference))
    plain, bare = (statistics.median(column) for column in zip(*ratios))
    return Cost(plain, bare, method)


@torch.no_grad()
def without_gradients(model: Rapidash, x: dict[str, Tensor]) -> None:
    model(**x)


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("forward passes per generator")
    print(f"{'kernel':<10} {'dtype':<14} {'method':<8} {'plain':>6} {'without gradients':>18}")
    kernels: tuple[KernelMode, ...] = ("exact", "tabulated")
    for kernel in kernels:
        for dtype in (torch.float64, torch.float32):
            plain, inference, method = cost(kernel, dtype, repeats=options.repeats)
            print(f"{kernel:<10} {dtype!s:<14} {method:<8} {plain:>6.2f} {inference:>18.2f}")


if __name__ == "__main__":
    main()
