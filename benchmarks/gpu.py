"""All figures of a GPU, case by case; each is written when it is there: a run that is cut off loses one case only.

Run: benchmarks/gpu.sh [FOLDER] on a machine with CUDA; python benchmarks/gpu.py --device cpu --small checks the script.
"""

import argparse
import json
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median

import torch
from ops import NODES, coordinates, fully_connected, gradients
from torch import Tensor

from rapidash.bench import CASES, BenchCase, measure, variants
from rapidash.bench._measure import with_size
from rapidash.geometry import Graph
from rapidash.models import Rapidash
from rapidash.ops import channel_mlp, counted_flops, edge_conv, spherical_conv, table_conv, use_products
from rapidash.ops.channel_mlp.reference import channel_mlp_reference

GOALS = {"qm9-8": 6.0, "fc60-8": 10.0}  # times the definition, a training step
BARS = {150: 2.6, 1000: 14.0}  # milliseconds for energy and forces: UMA Nitro on an H200
ROUNDS = 7
Row = dict[str, object]


def timed(job: Callable[[], object], device: torch.device, rounds: int = ROUNDS) -> float:
    """Median seconds of a job after two warm-ups, the device waited for."""
    found = []
    for turn in range(rounds + 2):
        wait(device)
        start = time.perf_counter()
        job()
        wait(device)
        if turn > 1:
            found.append(time.perf_counter() - start)
    return median(found)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def kernels(
    device: torch.device, small: bool
) -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[Tensor]]]:
    """By name: an operation, its definition, and inputs."""
    clouds, points, orientations, channels = (2, 5, 4, 8) if small else (96, 18, 8, 256)
    torch.manual_seed(0)
    graph, pos = fully_connected(clouds, points), torch.randn(clouds * points, 3)
    coords = coordinates(graph, pos, orientations).to(device)
    graph = Graph(*(t.to(device) for t in (graph.source, graph.target, graph.row_ptr)), len(pos), len(pos))
    random = partial(torch.randn, device=device)
    x, table, fiber = (
        random(len(pos), orientations, channels),
        random(*NODES, channels),
        random(orientations, orientations, channels),
    )
    kernel = random(graph.num_edges, orientations, channels)

    def conv(kind: str, backend: str, x: Tensor, table: Tensor) -> Tensor:
        return table_conv(x, table, coords, graph, interpolation=kind, backend=backend)  # type: ignore[arg-type]

    found = {
        f"table_conv {kind}": (partial(conv, kind, "auto"), partial(conv, kind, "reference"), [x, table])
        for kind in ("linear", "cubic")
    }
    found["edge_conv"] = (*(partial(edge_conv, graph=graph, backend=b) for b in ("auto", "reference")), [x, kernel])
    found["spherical_conv"] = (*(partial(spherical_conv, backend=b) for b in ("auto", "reference")), [x, fiber])
    rows, hidden = len(pos) * orientations, 4 * channels
    shapes = [(rows, channels), (rows, channels), (channels,), (channels,), (hidden, channels), (hidden,)]
    inputs = [random(*shape) / shape[-1] ** 0.5 for shape in [*shapes, (channels, hidden), (channels,), (channels,)]]
    found["channel_mlp"] = (channel_mlp, channel_mlp_reference, inputs)
    return found


def parity_and_roof(device: torch.device, small: bool) -> Iterator[Row]:
    """Values and gradients of every kernel against the definition, their times, and the share of the measured roof."""
    size = 64 if small else 8192
    square = torch.randn(size, size, device=device)
    flops_per_second = 2 * size**3 / timed(lambda: square @ square, device)
    big = torch.randn(2**12 if small else 2**28, device=device)
    bytes_per_second = 2 * 4 * big.numel() / timed(lambda: big.clone(), device)
    yield {"kernel": "roof", "TFLOP/s, float32": flops_per_second / 1e12, "TB/s": bytes_per_second / 1e12}
    for name, (fast, definition, inputs) in kernels(device, small).items():
        leaves = [tensor.requires_grad_() for tensor in inputs]
        out = definition(*leaves)
        grad = torch.randn_like(out)
        errors = [relative(fast(*leaves), out)]
        errors += [relative(a, b) for a, b in zip(gradients(fast, leaves, grad), gradients(definition, leaves, grad))]
        seconds = {
            way: timed(partial(gradients, op, leaves, grad), device)
            for way, op in (("fast", fast), ("definition", definition))
        }
        moved = 4 * (2 * out.numel() + 3 * sum(leaf.numel() for leaf in leaves))  # read, and gradients written
        with counted_flops() as flops:
            gradients(fast, leaves, grad)
        least = max(moved / bytes_per_second, flops.total / flops_per_second)
        yield {
            "kernel": name,
            "largest error": max(errors),
            "ms": 1e3 * seconds["fast"],
            "ratio": seconds["definition"] / seconds["fast"],
            "share of the roof": least / seconds["fast"],
        }


def steps(device: torch.device, small: bool) -> Iterator[Row]:
    """Training steps and inference against the definition: float32 on both sides, then bfloat16 on both."""
    for name in ("qm9-8", "qm9-12", "qm9-20", "fc60-8", "shapes-8"):
        case = shrunk(CASES[name]) if small else CASES[name]
        clouds = case.num_clouds_gpu if device.type == "cuda" else case.num_clouds
        for library, times in measure(case, rounds=1 if small else ROUNDS, device=str(device)).times.items():
            yield {
                "case": name,
                "precision": f"float32 ({library})",
                "step ratio": times.definition / times.fast,
                "goal": GOALS.get(name),
                "inference ratio": times.definition_inference / times.fast_inference,
                "step over floor": times.fast / times.floor,
                "molecules per second": clouds / times.fast,
                **{key: 1e3 * value for key, value in asdict(times).items() if value is not None},
            }
        ways = variants(case, device)

        def definition(step: Callable[[], object] = ways["definition"].step) -> None:
            with torch.autocast(device.type, torch.bfloat16):
                step()

        def fast(step: Callable[[], object] = ways["fast"].step) -> None:
            with use_products("bfloat16"):
                step()

        seconds = {"fast": timed(fast, device), "definition": timed(definition, device)}
        yield {
            "case": name,
            "precision": "bfloat16",
            "step ratio": seconds["definition"] / seconds["fast"],
            "molecules per second": clouds / seconds["fast"],
            **{key: 1e3 * value for key, value in seconds.items()},
        }


def shrunk(case: BenchCase) -> BenchCase:
    """The case with few channels, for a check of the script."""
    sizes = (8,) * len(case.config.channels) if isinstance(case.config.channels, tuple) else 8
    points = min(case.num_points, 512)
    return with_size(case, num_clouds=2, num_points=points, channels=sizes, basis_dim=8, basis_hidden_dim=8)


def graphs(device: torch.device, small: bool) -> Iterator[Row]:
    """Inference of one cloud of 8 points with a captured graph, which launches all kernels at once."""
    case = with_size(CASES["qm9-8"], num_clouds=1, num_points=8)
    case = shrunk(case) if small else case
    model, pos, batch, scalars = case.build(device)
    pos, batch, scalars = pos[:8], batch[:8], scalars[:8]
    model.eval()
    hierarchy = model.connect(pos, batch)

    @torch.no_grad()
    def run() -> Tensor:
        return model(pos, batch, scalars=scalars, hierarchy=hierarchy).scalars

    eager = timed(run, device)
    row: Row = {"case": "one cloud of 8 points", "eager, ms": 1e3 * eager}
    if device.type == "cuda":
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = run()
        seconds = timed(graph.replay, device)
        row |= {"graph, ms": 1e3 * seconds, "ratio": eager / seconds, "error": relative(out, run())}
    yield row


def forces(device: torch.device, small: bool) -> Iterator[Row]:
    """Energy and forces of one structure, edges included."""
    for atoms, bar in BARS.items():
        for space in ("R3", "R3xS2"):
            count, width = (20, 8) if small else (atoms, 128)
            model = Rapidash(
                space=space, num_orientations=8, channels=width, num_layers=4, basis_dim=width, edges="radius-5.0",
                basis_hidden_dim=width, in_scalars=4, kernel="tabulated", interpolation="cubic",
            ).to(device)  # fmt: skip
            pos = torch.rand(count, 3, device=device, generator=torch.Generator(device).manual_seed(0))
            pos = (pos * (10.0 * count) ** (1 / 3)).requires_grad_()  # 10 cubic angstrom an atom
            batch, scalars = torch.zeros(count, dtype=torch.long, device=device), torch.randn(count, 4, device=device)
            model.calibrate(pos.detach(), batch, scalars=scalars)

            def run(
                model: Rapidash = model, pos: Tensor = pos, batch: Tensor = batch, scalars: Tensor = scalars
            ) -> object:
                energy = model(pos, batch, scalars=scalars).scalars.sum()
                return torch.autograd.grad(energy, pos)

            yield {"atoms": count, "space": space, "ms": 1e3 * timed(run, device), "bar, ms": bar}


SECTIONS = {"kernels": parity_and_roof, "steps": steps, "graphs": graphs, "forces": forces}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks"))
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--small", action="store_true", help="few channels: checks the script, measures nothing")
    options = parser.parse_args()
    on_gpu = options.device.type == "cuda"
    name = torch.cuda.get_device_name(options.device) if on_gpu else "CPU"
    found: dict[str, object] = {"device": name, "torch": torch.__version__, "small": options.small}
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "gpu.json"
    for title, section in SECTIONS.items():
        rows: list[Row] = []
        found[title] = rows
        try:
            for row in section(options.device, options.small):
                rows.append(row)
                print(title, json.dumps(row), flush=True)
                save(path, found)
        except Exception as error:  # the other sections can still be measured
            traceback.print_exc()
            rows.append({"failed": f"{type(error).__name__}: {error}"})
            save(path, found)
    print(f"written: {path}")


def save(path: Path, found: dict[str, object]) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(found, indent=1) + "\n")
    temporary.replace(path)


if __name__ == "__main__":
    main()
