"""Steps of networks whose channel maps tell parts of a signal on the orientations apart, all in turn in one process.

Run: python benchmarks/orientation_maps.py [--clouds 16] [--rounds 7] [--channels 256]

Clouds of 18 points, all pairs, 7 layers, a Platonic grid, float32, one thread. Times are medians of the CPU time of the
thread: of a training step (edges, forward, backward, no optimizer) and a forward pass without gradients; ratios are to
pointwise maps on as many orientations.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from rapidash.models import Rapidash

KINDS = (("pointwise", 12, 1), ("bandlimited", 12, 1), ("irreps", 12, 1), ("pointwise", 20, 1), ("bandlimited", 20, 1))


def jobs(kind: str, orientations: int, bandlimit: int, options: argparse.Namespace) -> list[Callable[[], None]]:
    """A training step and a forward pass."""
    torch.manual_seed(0)
    model = Rapidash(
        in_scalars=11, channels=options.channels, num_orientations=orientations, grid="platonic",
        orientation_mlp=kind, bandlimit=bandlimit,
    )  # fmt: skip
    num = 18 * options.clouds
    pos, scalars, batch = torch.randn(num, 3), torch.randn(num, 11), torch.arange(options.clouds).repeat_interleave(18)
    model.calibrate(pos, batch, scalars=scalars)

    def step() -> None:
        model(pos, batch, scalars=scalars).scalars.square().mean().backward()
        model.zero_grad(set_to_none=True)

    def infer() -> None:
        with torch.inference_mode():
            model(pos, batch, scalars=scalars)

    return [step, infer]


def main() -> None:
    """Print a line for every kind of maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clouds", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--channels", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {kind: jobs(*kind, options) for kind in KINDS}
    samples: dict[tuple[str, int, int], tuple[list[float], list[float]]] = {kind: ([], []) for kind in KINDS}
    for turn in range(options.rounds + 1):
        for kind, both in found.items():
            for job, times in zip(both, samples[kind]):
                start = time.thread_time()
                job()
                if turn > 0:
                    times.append(time.thread_time() - start)
    medians = {kind: [median(times) for times in both] for kind, both in samples.items()}
    for (name, orientations, bandlimit), times in medians.items():
        pointwise = medians["pointwise", orientations, 1]
        step, infer = (f"{value:.3f} s ({value / other:.2f})" for value, other in zip(times, pointwise, strict=True))
        label = f"{name}, L = {bandlimit}" if name == "bandlimited" else name
        print(f"O = {orientations}, {label}: step {step}, inference {infer}", flush=True)


if __name__ == "__main__":
    main()
