"""Cost of the Lie derivative of all generators of SE(3), in forward passes of the same model per generator.

    python benchmarks/lie_derivative_cost.py

A 7-layer network, one thread, CPU time (robust to other load), forward passes and derivatives in turn in one process.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.groups import SE, Position, Scalar, Vector
from rapidash.measure import Action, lie_derivative
from rapidash.models import Rapidash


def ratio(dtype: torch.dtype, *, clouds: int, points: int, channels: int, repeats: int) -> tuple[float, str]:
    """Median CPU time of the derivative over that of a forward pass and the number of generators; and the method."""
    torch.manual_seed(0)
    model = Rapidash(
        symmetry="E(3)", num_orientations=8, in_scalars=2, in_vectors=1, out_scalars=1, channels=channels, num_layers=7,
        basis_dim=64, basis_hidden_dim=64, kernel="exact",
    ).to(dtype).eval()  # fmt: skip
    num, rng = clouds * points, seeded("cost")
    x = {
        "pos": torch.randn(num, 3, generator=rng).to(dtype),
        "batch": torch.arange(clouds).repeat_interleave(points),
        "scalars": torch.randn(num, 2, generator=rng).to(dtype),
        "vectors": torch.randn(num, 1, 3, generator=rng).to(dtype),
    }
    model.calibrate(x["pos"], x["batch"], scalars=x["scalars"], vectors=x["vectors"])
    fields = {"pos": Field(Position()), "batch": Scalar(), "scalars": Scalar(), "vectors": Field(Vector())}
    action = Action(SE(3), fields, {"scalars": Field(Scalar(), level="cloud")}, batch="batch")
    method = lie_derivative(model, x, action).method
    ratios = []
    for _ in range(repeats):
        forward = cpu_seconds(lambda: model(**x))
        ratios.append(cpu_seconds(lambda: lie_derivative(model, x, action)) / forward / len(SE(3).generators()))
    return statistics.median(ratios), method


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for dtype in (torch.float64, torch.float32):
        value, method = ratio(dtype, clouds=8, points=12, channels=64, repeats=options.repeats)
        print(f"{dtype!s:<14} {method:<16} {value:.2f} forward passes per generator")


if __name__ == "__main__":
    main()
