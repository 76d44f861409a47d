"""The studies behind the documentation show their effect in a small run."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orientation_grids", "effective_invariance"])
def test_the_effect_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--check"])
    with torch.random.fork_rng():
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
