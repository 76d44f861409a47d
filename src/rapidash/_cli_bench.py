"""`rapidash bench`: time and memory of the fast network beside its definition."""

import sys
from pathlib import Path

from rapidash._cli_parser import Parser


def bench(words: list[str]) -> int:
    """Time the fast network against its definition."""
    import torch

    from rapidash.bench import (
        CASES,
        BenchResult,
        GrowthRow,
        measure,
        measure_growth,
        select_cases,
        text_table,
        write_results,
    )
    from rapidash.train import MAX_THREADS, find_device

    options = _parser().parse_args(words)
    find_device(options.device)
    if options.rounds < 1 or not 1 <= options.threads <= MAX_THREADS:
        raise ValueError(
            f"rounds must be at least 1 and threads from 1 to {MAX_THREADS}, got {options.rounds} and {options.threads}"
        )
    torch.set_num_threads(options.threads)
    results: list[BenchResult] = []
    growth: list[GrowthRow] = []
    try:
        for case in select_cases(options.cases or list(CASES)):
            print(f"{case.name}: {case.about}", file=sys.stderr)
            results.append(measure(case, rounds=options.rounds, device=options.device))
        if options.growth:
            growth.extend(measure_growth(device=options.device))  # row by row: those before an interruption stay
    finally:  # of what is interrupted or fails, the rest is not lost
        if results:
            print(text_table(results))
            if options.out:
                command = "rapidash bench " + " ".join(words)
                print(write_results(Path(options.out), results, growth, device=options.device, command=command))
    return 0


def _parser() -> Parser:
    from rapidash.bench import CASES

    listed = "\n".join(f"  {name:<12}{case.about}" for name, case in CASES.items())
    parser = Parser(
        "bench",
        usage="[CASE ...] [options]",
        description=(
            "Time training steps and inference of the fast network against its definition, side by side, and their\n"
            f"peak memory. Quote the ratios: machines differ and are noisy. Cases:\n{listed}"
        ),
        examples="  rapidash bench qm9-8 fc60-8\n  rapidash bench --growth --out benchmarks",
    )
    parser.add_argument("cases", metavar="CASE", nargs="*", type=str, help="default: all")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="timed repetitions; the median counts")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of torch")
    parser.add_argument("--device", type=str, default="cpu", metavar="DEVICE", help="cpu or cuda")
    parser.add_argument("--growth", action="store_true", help="also vary points, neighbors, orientations and channels")
    parser.add_argument("--out", type=str, metavar="DIR", help="write RESULTS.md (and the plot) there")
    return parser
