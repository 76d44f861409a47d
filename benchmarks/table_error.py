"""Evidence for tabulated kernels: output error against resolution, and their effect on the test error of a study.

    python benchmarks/table_error.py [--study DIR]

trains the E(3) variant of the n-body study with exact kernels and with tables (3 seeds each, resumed if interrupted),
evaluates random and trained networks at several resolutions, and writes docs/kernel_evidence.rst.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from rapidash._files import atomic_write
from rapidash._seed import seeded
from rapidash.methods import Variant
from rapidash.models import Interface, Rapidash, RapidashConfig, kernel_error
from rapidash.study import StudyDesign, get_design, load_run, mean_interval, paired_difference, run_study

SIZES = (16, 32, 64, 128)
RANDOM = {
    "molecule-like: 18 points, all pairs, O = 8": {"edges": "fc"},
    "shape-like: 64 points, knn-16, O = 8": {"edges": "knn-16"},
    "64 points, knn-16, R3": {"edges": "knn-16", "space": "R3"},
}
INTERPOLATIONS = ("linear", "cubic")


def random_errors(**options: str) -> dict[tuple[str, int], float]:
    """Relative output error of fresh networks (128 channels, 7 layers), median over 3 initializations."""
    num = 18 if options["edges"] == "fc" else 64
    found: dict[tuple[str, int], list[float]] = {}
    for seed in range(3):
        torch.manual_seed(seed)
        config = replace(RapidashConfig(channels=128, num_orientations=8), **options)
        pos, scalars = (torch.randn(4 * num, width, generator=seeded("table", seed)) for width in (3, 4))
        batch = torch.arange(4).repeat_interleave(num)
        model = Rapidash.from_config(config, Interface(in_scalars=4))
        model.calibrate(pos, batch, scalars=scalars)
        for kind in INTERPOLATIONS:
            network = model.with_kernel("tabulated", interpolation=kind)
            for size in SIZES:
                error = kernel_error(network, pos, batch, table_size=size, scalars=scalars).relative
                found.setdefault((kind, size), []).append(error)
    return {key: median(errors) for key, errors in found.items()}


def study_design() -> StudyDesign:
    """The quick n-body study of E(3) on R3xS2, with exact kernels and with tables of two resolutions."""
    design = get_design("nbody").select(["E(3) on R3xS2"])
    base = design.variants[0]
    exact = Variant("exact kernels", replace(base.model, kernel="exact"))
    tables = tuple(
        Variant(
            f"tables of size {size}",
            replace(base.model, kernel="tabulated", table_size=size),
            neighbor=exact.name,
            knob="kernel",
        )
        for size in (16, 32)
    )
    return replace(design, variants=(exact, *tables))


def trained_errors(directory: Path, records: list[dict]) -> dict[tuple[str, int], float]:
    """Relative output error of the trained networks on validation data, median over the seeds trained with tables."""
    found: dict[tuple[str, int], list[float]] = {}
    for record in records:
        if record["config"]["variant"]["name"] != "tables of size 32":
            continue
        run = load_run(directory / "work" / record["key"])
        batch = run.task.dataset("val").batch(torch.arange(100))
        features, _ = run.model._features(batch)
        features = {name: value for name, value in features.items() if value is not None}
        for kind in INTERPOLATIONS:
            network = run.model.backbone.with_kernel("tabulated", interpolation=kind)
            for size in SIZES:
                error = kernel_error(network, batch.pos, batch.batch, table_size=size, **features).relative
                found.setdefault((kind, size), []).append(error)
    return {key: median(errors) for key, errors in found.items()}


def error_table(rows: dict[str, dict[tuple[str, int], float]]) -> str:
    """A list-table of errors against the resolution."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - network", "     - interpolation"]
    lines += [f"     - size {size}" for size in SIZES]
    for name, errors in rows.items():
        for kind in INTERPOLATIONS:
            lines += [f"   * - {name}", f"     - {kind}", *(f"     - {errors[kind, size]:.1e}" for size in SIZES)]
    return "\n".join(lines)


def study_table(records: list[dict]) -> str:
    """Test errors of the study, and the paired differences to exact kernels."""
    by_name: dict[str, dict[int, dict]] = {}
    for record in records:
        by_name.setdefault(record["config"]["variant"]["name"], {})[record["config"]["seed"]] = record
    exact = {seed: record["test_error"] for seed, record in by_name["exact kernels"].items()}
    lines = [".. list-table::", "   :header-rows: 1", ""]
    lines += ["   * - kernels", "     - test error (mean, 95 % interval)", "     - difference to exact (95 % interval)"]
    lines += ["     - seconds per step"]
    for name, runs in by_name.items():
        mean, low, high = mean_interval([record["test_error"] for record in runs.values()])
        seconds = median(record["seconds_per_step"] for record in runs.values())
        difference = "--"
        if name != "exact kernels":
            change = paired_difference({seed: record["test_error"] for seed, record in runs.items()}, exact)
            difference = f"{change[0]:+.2e} [{change[1]:+.2e}, {change[2]:+.2e}]"
        lines += [f"   * - {name}", f"     - {mean:.5f} [{low:.5f}, {high:.5f}]", f"     - {difference}"]
        lines += [f"     - {seconds:.3f}"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, default=Path("runs/table-error"))
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {f"random, {name}": random_errors(**changes) for name, changes in RANDOM.items()}
    records = run_study(study_design(), options.study, workers=options.workers)
    rows["trained on n-body, E(3) on R3xS2, O = 8"] = trained_errors(options.study, records)
    text = f"""Written by ``python benchmarks/table_error.py``.

Relative error of the outputs, tables against exact kernels in float64 (random networks: 128 channels, 7 layers, median
of 3 initializations; trained networks: the quick n-body study, median of 3 seeds):

{error_table(rows)}

Effect on the test error of the n-body study (quick setting, 3 seeds, the same seeds for every row):

{study_table(records)}
"""
    path = Path(__file__).parents[1] / "docs" / "kernel_evidence.rst"
    atomic_write(path, text)
    print(text)


if __name__ == "__main__":
    main()
