"""The benchmark measures what it says; its checks reject a wrong variant."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from rapidash._cli_bench import bench
from rapidash.bench import CASES, BenchResult, check_agreement, select_cases, text_table, variants, write_results
from rapidash.bench._growth import SWEEPS, GrowthRow, Sweep, grown_case
from rapidash.bench._measure import (
    PARTS,
    REST,
    Times,
    _with_library,
    interleaved,
    matrix_floor,
    peak_memory,
    time_shares,
    with_size,
)
from rapidash.ops import product_kind, product_libraries, use_products

SMALL = with_size(CASES["qm9-8"], num_clouds=2, num_points=5, channels=8, num_layers=2, basis_dim=8)
CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["qm9-8", "shapes-8"])
def test_variants_agree_with_the_definition_and_a_wrong_one_is_rejected(name: str) -> None:
    case = SMALL
    if name == "shapes-8":
        config = replace(
            CASES[name].config, channels=(8, 8), num_layers=(1, 1), edges=("knn-4", "knn-2"), ratios=(0.5,)
        )
        case = replace(CASES[name], num_clouds=2, num_points=12, config=config)
    ways = variants(case, CPU)
    check_agreement(ways)
    assert set(ways) == {"definition", "fast", "recompute"}
    with torch.no_grad():
        ways["recompute"].model.blocks[0].linear_2.weight *= 1.5
    with pytest.raises(AssertionError, match="recompute differs from the definition"):
        check_agreement(ways)


def test_the_floor_counts_the_products_of_the_channel_mlps() -> None:
    batch = variants(SMALL, CPU)["fast"]
    assert batch.rows() == [(2 * 5 * 8, 8, 32)] * 2
    activities = [torch.profiler.ProfilerActivity.CPU]
    with use_products("torch"), torch.profiler.profile(activities=activities) as profile:
        matrix_floor(batch, CPU)()
    products = [event for event in profile.key_averages() if event.key in ("aten::mm", "aten::addmm_")]
    assert sum(event.count for event in products) == 2 * 6


def test_the_time_of_a_step_is_divided_among_its_parts() -> None:
    shares = time_shares(variants(SMALL, CPU)["fast"])
    assert list(shares) == [*PARTS, REST]
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) > 0


def test_jobs_take_turns_short_ones_several_times_and_the_warm_up_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job of 0.4 seconds runs three times in a turn, one of 0.1 five times, one of 2 once."""
    clock, calls = [0.0], []

    def job(name: str, *durations: float) -> Callable[[], object]:
        left = list(durations)

        def run() -> None:
            calls.append(name)
            clock[0] += left.pop(0)

        return run

    monkeypatch.setattr("rapidash.bench._measure.time.perf_counter", lambda: clock[0])
    jobs = {
        "a": job("a", 0.4, 1, 2, 9, 3, 4, 9),
        "b": job("b", 0.1, *range(10)),
        "c": job("c", 2.0, 5.0, 6.0),
    }
    seconds = interleaved(jobs, 2, CPU)
    assert "".join(calls) == "abc" + 2 * "aaabbbbbc"
    assert seconds == {"a": pytest.approx(3.5), "b": pytest.approx(4.5), "c": pytest.approx(5.5)}


def test_results_are_written_with_ratios_and_a_plot(tmp_path) -> None:
    result = BenchResult(
        "qm9-8",
        {"torch": Times(6.0, 1.0, 1.2, 0.8, 2.0, 0.4, 2e-7), "onednn": Times(3.0, 0.6, 0.7, 0.4, 1.0, 0.25, 2.3e-3)},
        {"matrix products": 0.75, "all else": 0.25},
        {"definition": 600, "fast": 200, "recompute": 100},
        1e-3,
    )
    assert all(cell in text_table([result]) for cell in ("6.0 x", "5.0 x"))
    rows = [GrowthRow("points", n, 0.1 * n if n < 16 else None, 0.01 * n, None, 10**6 * n) for n in (8, 16)]
    text = write_results(tmp_path, [result], rows, device="cpu", command="rapidash bench").read_text()
    for cell in (
        "6.0 x",
        "1.25",
        "7.5 x",
        "5.0 x",
        "1/3.0",
        "1/6.0",
        "75 %",
        "1.0e-03",
        "| torch | 2.0e-07 |",
        "| onednn | 2.3e-03 |",
        "growth-cpu.svg",
        "| 0.8000 |",
        "| – | 16 |",
    ):
        assert cell in text
    assert (tmp_path / "growth-cpu.svg").read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(("sweep", "size"), [(sweep, size) for sweep in SWEEPS for size in sweep.sizes], ids=str)
def test_every_size_of_a_sweep_is_a_network(sweep: Sweep, size: int) -> None:
    case = with_size(grown_case(sweep, size), num_clouds=2, num_points=65)
    model, pos, batch, _ = case.build(CPU)
    grown = {
        "points, all pairs": grown_case(sweep, size).num_points,
        "points, 16 neighbors": grown_case(sweep, size).num_points,
        "clouds": grown_case(sweep, size).num_clouds,
        "orientations": len(model.grid),
        "channels": model.blocks[0].linear_2.weight.shape[0],
        "neighbors": len(model.connect(pos, batch).graphs[0].source) // len(pos),
    }
    assert grown[sweep.name] == size


def test_what_was_measured_before_an_interruption_is_shown_and_written(tmp_path, monkeypatch, capsys) -> None:
    result = BenchResult(
        "qm9-8",
        {"torch": Times(6.0, 1.0, 1.2, 0.8, 2.0, 0.4, 2e-7)},
        {"matrix products": 0.75, "all else": 0.25},
        {"definition": 600, "fast": 200, "recompute": 100},
        1e-3,
    )

    def grow(**_: object) -> Iterator[GrowthRow]:
        yield GrowthRow("points", 8, 0.8, 0.08, None, 10**6)
        raise KeyboardInterrupt

    monkeypatch.setattr("rapidash.bench.measure", lambda case, **_: result)
    monkeypatch.setattr("rapidash.bench.measure_growth", grow)
    with pytest.raises(KeyboardInterrupt):
        bench(["qm9-8", "--growth", "--out", str(tmp_path)])
    assert "6.0 x" in capsys.readouterr().out
    assert "| points | 8 | 0.8000 | 0.0800 |" in (tmp_path / "RESULTS.md").read_text()


def test_both_sides_have_the_same_products_and_the_flag_of_torch_is_as_before() -> None:
    seen: list[tuple[str, str]] = []

    def note() -> None:
        seen.append((product_kind(), torch.get_float32_matmul_precision()))

    before = torch.get_float32_matmul_precision()
    for library in product_libraries():
        _with_library(library, note)()
    assert seen == [("torch", before), ("onednn", "medium")][: len(product_libraries())]
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qm9-8", "shapes-8"])
def test_memory_is_measured_in_a_process_of_its_own(name: str) -> None:
    case = CASES[name]
    if name == "shapes-8":
        case = with_size(case, num_clouds=1, num_points=512)
    definition, fast = (peak_memory(case, variant, "cpu") for variant in ("definition", "fast"))
    assert fast < definition / 2


def test_an_unknown_case_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown benchmark cases \['qm10'\]"):
        select_cases(["qm10"])
