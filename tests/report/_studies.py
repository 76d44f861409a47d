"""Synthetic studies: records of the form that `rapidash study nbody` writes, with plausible numbers."""

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rapidash.study._corruption_plan import SCHEMA

MODEL = {"dim": 3, "symmetry": "E(3)", "space": "R3xS2", "num_orientations": 12, "grid": "fibonacci", "channels": 64}
TRAIN = {"steps": 2000, "batch_size": 100, "learning_rate": 5e-4, "eval_every": 100, "dtype": "float32"}

# name: (model, inputs, augment, neighbor, knob, layers, effective, reasons, error, rotated factor, before, after, step)
VARIANTS: dict[str, tuple[Any, ...]] = {
    "E(3) on R3xS2": (
        {}, ["velocity:vector"], None, None, "", "E(3)", "E(3)",
        ["every input enters as a scalar or a vector", "rotations hold exactly for those of the orientation grid"],
        0.0051, 1.0, 2.1e-2, 1.4e-2, 0.041,
    ),
    "E(3) on R3": (
        {"space": "R3"}, ["velocity:vector"], None, "E(3) on R3xS2", "base space R3 instead of R3xS2", "E(3)", "E(3)",
        ["vectors enter through their lengths and inner products"], 0.0074, 1.0, 4.0e-7, 6.1e-7, 0.009,
    ),
    "T(3) on R3xS2": (
        {"symmetry": "T(3)"}, ["velocity:vector"], None, "E(3) on R3xS2", "layers keep T(3) instead of E(3)", "T(3)",
        "T(3)", ["the kernel sees the offset of two points, not only its length"], 0.0098, 2.7, 0.94, 0.22, 0.058,
    ),
    "T(3) on R3": (
        {"symmetry": "T(3)", "space": "R3"}, ["velocity:scalar"], None, "T(3) on R3xS2",
        "base space R3 instead of R3xS2", "T(3)", "T(3)",
        ["the kernel sees the offset of two points", "velocity enters as scalar components"], 0.0143, 4.1, 1.21, 0.37,
        0.014,
    ),
    "T(3) on R3 + rotations": (
        {"symmetry": "T(3)", "space": "R3"}, ["velocity:scalar"], "SO(3)", "T(3) on R3",
        "rotations of the training samples", "T(3)", "T(3)", ["the kernel sees the offset of two points"], 0.0089, 1.01,
        1.2, 0.094, 0.015,
    ),
    "E(3) on R3xS2 + global frame": (
        {}, ["velocity:vector", "frame:vector"], None, "E(3) on R3xS2", "a constant frame as further input", "E(3)",
        "T(3)", ["a constant frame does not turn with the cloud: rotations are broken, translations stay"], 0.0051,
        1.19, 0.61, 0.085, 0.043,
    ),
}  # fmt: skip


def make_record(name: str, seed: int, fraction: float = 1.0, *, steps: int = 2000) -> dict[str, Any]:
    """The record of a finished run."""
    model, inputs, augment, neighbor, knob, layers, effective, reasons, error, factor, before, after, step = VARIANTS[
        name
    ]
    rng = np.random.default_rng([seed, sorted(VARIANTS).index(name), int(1000 * fraction)])
    shared = np.random.default_rng([seed, 99]).normal(0, 0.05)  # what a seed does to every variant
    error = error * fraction**-0.45 * math.exp(shared + rng.normal(0, 0.012))
    history = [
        {
            "step": at, "epoch": at / 30,
            "train_loss": error * (1 + 40 * math.exp(-at / 160)) * math.exp(rng.normal(0, 0.1)),
            "val_error": error * (1 + 25 * math.exp(-at / 260) + 0.3 - at / steps / 4) * math.exp(rng.normal(0, 0.03)),
            "learning_rate": 5e-4 * (1 - at / steps), "seconds": step * at,
        }
        for at in range(100, steps + 1, 100)
    ]  # fmt: skip
    return {
        "schema": 1,
        "key": f"{zlib.crc32(repr((name, seed, fraction)).encode()):016x}",
        "status": "done",
        "error": None,
        "config": {
            "task": "nbody",
            "task_options": {"num_train": 3000},
            "variant": {
                "name": name, "model": MODEL | model, "inputs": inputs, "augment": augment, "tta": 0,
                "neighbor": neighbor, "knob": knob,
            },
            "seed": seed,
            "fraction": fraction,
            "train": TRAIN | {"steps": steps},
        },
        "commit": "4549f2b6a1d2f0c3b9e8d7c6b5a493827160f5e4",
        "versions": {"python": "3.11.9", "torch": "2.13.0", "rapidash": "0.1.0", "numpy": "2.3.4"},
        "device": "Intel Xeon Platinum 8481C",
        "threads": 1,
        "started": f"2026-11-21T02:{10 + 7 * seed:02d}:04+00:00",
        "seconds": 95.0,
        "parameters": 178_432 if "S2" in name else 141_568,
        "num_train": round(3000 * fraction),
        "history": history,
        "best_step": steps,
        "seconds_per_step": step * math.exp(rng.normal(0, 0.02)),
        "train_seconds": step * steps,
        "peak_memory_bytes": 3.1e8 if "S2" in name else 1.2e8,
        "val_error": error * 1.02,
        "test_error": error,
        "test_error_rotated": error * factor * math.exp(rng.normal(0, 0.003)),
        "test_error_tta": None,
        "metric": "MSE of positions",
        "unit": "length^2",
        "equivariance": {
            "group": "SO(3)",
            "before": {"mean": before * math.exp(rng.normal(0, 0.1)), "max": 2 * before, "output_norm": 41.0},
            "after": {"mean": after * math.exp(rng.normal(0, 0.1)), "max": 2 * after, "output_norm": 44.0},
        },
        "equivariance_reflections": {
            "group": "O(3)",
            "before": {"mean": before * 1.1, "max": 2 * before, "output_norm": 41.0},
            "after": {"mean": after * 1.2, "max": 2 * after, "output_norm": 44.0},
        },
        "symmetry": {
            "layers": layers, "effective": effective, "reasons": reasons,
            "exact": name != "E(3) on R3xS2", "oracle": False,
        },
    }  # fmt: skip


def make_design(
    seeds: list[int], fractions: list[float], names: list[str], *, setting: str = "quick"
) -> dict[str, Any]:
    """The frozen design that the records belong to."""
    variants = [make_record(name, 0)["config"]["variant"] for name in names]
    return {
        "schema": 1, "task": "nbody", "task_options": {"num_train": 3000}, "variants": variants, "seeds": seeds,
        "fractions": fractions, "train": TRAIN, "train_overrides": {}, "setting": setting,
    }  # fmt: skip


def small_record(name: str, seed: int, test_error: float, **changes: Any) -> dict[str, Any]:
    """The record of a finished run with what a summary needs and no more."""
    plain: dict[str, Any] = {
        "schema": 1,
        "key": f"{name}{seed}",
        "status": "done",
        "error": None,
        "config": {"variant": {"name": name, "neighbor": None, "knob": ""}, "seed": seed, "fraction": 1.0},
        "commit": "abc",
        "metric": "MSE of positions",
        "unit": "length^2",
        "test_error": test_error,
        "test_error_rotated": 2 * test_error,
        "test_error_tta": None,
        "parameters": 1234567,
        "seconds_per_step": 0.01 * (seed + 1),
        "peak_memory_bytes": (seed + 1) * 10**6,
        "equivariance": {"before": {"mean": 1e-6}, "after": {"mean": 2e-6}},
        "symmetry": {"layers": "E(3)", "effective": "E(3)", "oracle": False},
    }
    plain["config"]["variant"] |= changes.pop("variant", {})
    plain["config"] |= changes.pop("config", {})
    return plain | changes


WriteStudy = Callable[..., Path]


def make_study(
    seeds: tuple[int, ...] = (0, 1, 2), fractions: tuple[float, ...] = (1.0,), setting: str = "quick"
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(records, design) of the six variants of nbody."""
    records = [make_record(name, seed, fraction) for fraction in fractions for name in VARIANTS for seed in seeds]
    return records, make_design(list(seeds), list(fractions), list(VARIANTS), setting=setting)


CORRUPTED = {  # name: factor of the error at severity 5
    "scale": 1.5, "jitter": 1.3, "rotate": 1.2, "dropout_global": 2.0, "dropout_local": 1.8, "add_global": 1.4,
    "add_local": 1.6,
}  # fmt: skip


def write_corruptions(directory: Path, records: list[dict[str, Any]], *, reference: str = "") -> None:
    """The files of `rapidash study --corruptions` for finished records; "rotate" does nothing to E(3) on R3."""
    plan = {
        "schema": SCHEMA, "names": list(CORRUPTED), "reference": reference,
        "skipped": {"lidar": "visibility needs at least 4 points"},
    }  # fmt: skip
    (directory / "corruptions.json").write_text(json.dumps(plan))
    (directory / "corruptions").mkdir(exist_ok=True)
    for record in records:
        name, error = record["config"]["variant"]["name"], record["test_error"]
        factors = CORRUPTED | ({"rotate": 1.0} if name == "E(3) on R3" else {})
        weak = 1 + 0.1 * sorted(VARIANTS).index(name)
        errors = {
            corruption: [error * factor ** (weak * severity / 5) for severity in range(1, 6)]
            for corruption, factor in factors.items()
        }
        plain = {"schema": SCHEMA, "key": record["key"], "weights": "0", "seed": 0, "errors": errors}
        (directory / "corruptions" / f"{record['key']}.json").write_text(json.dumps(plain))
