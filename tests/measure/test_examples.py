"""The examples that measure other people's models run, and their assertions hold."""

import runpy
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["measure_egnn", "measure_image_cnn"])
def test_example_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "measure_egnn":
        pytest.importorskip("egnn_pytorch", reason="needs the library that it measures: pip install egnn-pytorch")
    with torch.random.fork_rng():
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert "local equivariance error" in capsys.readouterr().out
