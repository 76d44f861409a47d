"""Neighbor search and sampling against plain torch: medians and ratios, both sides in turn in one process.

Run `python benchmarks/neighbors.py`, with `--device cuda` on a GPU. Plain torch is the usual loop over clouds: all
differences of a cloud, then topk, a comparison, or one sweep per sampled point. Results are compared before the clock
starts, except for the single cloud of 100,000 points, where plain torch would need 240 GB and no ratio is given.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from rapidash.geometry import farthest_point_sample, fully_connected_edges, knn_edges, radius_edges

CASES = [("n-body", 100, 5), ("molecules", 96, 18), ("molecules", 16, 60), ("shapes", 8, 1024), ("shape", 1, 8192)]
K, RADIUS, RATIO = 16, 0.3, 0.25


def per_cloud(make: Callable[[Tensor], Tensor], pos: Tensor, size: int) -> Tensor:
    return torch.cat([make(part) + first for first, part in zip(range(0, len(pos), size), pos.split(size))], dim=-1)


def plain_knn(pos: Tensor, k: int) -> Tensor:
    gap = (pos[:, None] - pos[None]).square().sum(-1)
    source = gap.topk(k, dim=1, largest=False).indices
    return torch.stack([source.flatten(), torch.arange(len(pos), device=pos.device).repeat_interleave(k)])


def plain_radius(pos: Tensor, r: float) -> Tensor:
    return ((pos[:, None] - pos[None]).square().sum(-1) <= r * r).nonzero().T.flip(0)


def plain_fully_connected(pos: Tensor) -> Tensor:
    return torch.ones(len(pos), len(pos), device=pos.device).nonzero().T.flip(0)


def plain_sample(pos: Tensor, number: int) -> Tensor:
    chosen, gap = [0], torch.full_like(pos[:, 0], torch.inf)
    for _ in range(number - 1):
        gap = torch.minimum(gap, (pos - pos[chosen[-1]]).square().sum(-1))
        chosen.append(int(gap.argmax()))
    return torch.tensor(chosen, device=pos.device)


def seconds(run: Callable[[], Tensor]) -> float:
    begin = time.perf_counter()
    if run().is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def in_turn(ours: Callable[[], Tensor], plain: Callable[[], Tensor], repeats: int) -> tuple[float, float]:
    """Median seconds of both after a warm-up, which also compares their results as sets."""
    found, expected = (result.reshape(-1, result.shape[-1]).unique(dim=1) for result in (ours(), plain()))
    if not torch.equal(found, expected):
        raise AssertionError("the results differ")
    times = [(seconds(ours), seconds(plain)) for _ in range(repeats)]
    return median(first for first, _ in times), median(second for _, second in times)


def small_clouds(pos: Tensor, batch: Tensor, size: int) -> dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]]:
    """What is measured on many clouds of one size: ours and plain torch."""
    k, number = min(K, size), max(1, int(RATIO * size))
    knn = (lambda: knn_edges(pos, batch, k)), (lambda: per_cloud(lambda part: plain_knn(part, k), pos, size))
    if size > 2000:
        return {f"knn-{k}": knn}
    return {
        f"knn-{k}": knn,
        f"radius-{RADIUS}": (
            lambda: radius_edges(pos, batch, RADIUS),
            lambda: per_cloud(lambda part: plain_radius(part, RADIUS), pos, size),
        ),
        "fc": (lambda: fully_connected_edges(batch), lambda: per_cloud(plain_fully_connected, pos, size)),
        f"sample {RATIO}": (
            lambda: farthest_point_sample(pos, batch, RATIO),
            lambda: per_cloud(lambda part: plain_sample(part, number), pos, size),
        ),
    }


def large_cloud(pos: Tensor, batch: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What is measured on one large cloud."""
    r = 1.56 * len(pos) ** (-1 / 3)  # 16 neighbors
    return {
        f"knn-{K}": lambda: knn_edges(pos, batch, K),
        f"radius-{r:.3f}": lambda: radius_edges(pos, batch, r),
        f"sample {RATIO}": lambda: farthest_point_sample(pos, batch, RATIO),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()
    rng = torch.Generator().manual_seed(0)
    print(f"{torch.get_num_threads()} threads" if options.device == "cpu" else torch.cuda.get_device_name())
    print(f"{'case':>22} {'what':>16} {'ours ms':>9} {'plain ms':>9} {'ratio':>7}")
    for name, num_clouds, size in CASES:
        pos = torch.rand(num_clouds * size, 3, generator=rng, dtype=torch.float64).to(options.device)
        batch = torch.arange(num_clouds, device=options.device).repeat_interleave(size)
        for what, (ours, plain) in small_clouds(pos, batch, size).items():
            fast, slow = in_turn(ours, plain, options.repeats if size < 1000 else 3)
            case = f"{name} {num_clouds} x {size}"
            print(f"{case:>22} {what:>16} {1e3 * fast:9.2f} {1e3 * slow:9.2f} {slow / fast:7.1f}", flush=True)
    for size in (25_000, 50_000, 100_000):
        pos = torch.rand(size, 3, generator=rng).to(options.device)
        for what, run in large_cloud(pos, torch.zeros(size, dtype=torch.long, device=options.device)).items():
            run()
            print(
                f"{f'cloud 1 x {size}':>22} {what:>16} {1e3 * median(seconds(run) for _ in range(3)):9.2f}", flush=True
            )


if __name__ == "__main__":
    main()
