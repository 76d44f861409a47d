"""Progress bar and TensorBoard."""

import sys
from pathlib import Path

import pytest
import torch

from rapidash.train import PeakMemory


def test_lines_in_the_place_of_a_bar_where_stderr_is_no_terminal(
    tmp_path: Path, toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.run(tmp_path / "a", progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"train: step {step} of 12" for step in (4, 8, 12)]
    assert all(" loss 0." in line and " validation 0." in line for line in lines)
    toy.run(tmp_path / "b", progress=False)
    assert capsys.readouterr().err == ""


def test_a_forced_bar_counts_the_steps(tmp_path: Path, toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run(tmp_path, progress="always")
    captured = capsys.readouterr()
    assert "12/12" in captured.err
    assert captured.out == ""


def test_a_missing_extra_is_named(tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r'pip install "rapidash\[study\]", or pass progress=False'):
        toy.run(tmp_path, progress="always")


def test_tensorboard_gets_every_row(tmp_path: Path, toy) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _, result = toy.run(tmp_path, log_tensorboard=True)
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = {event.step: event.value for event in events.Scalars("val_error")}
    assert logged == pytest.approx({row["step"]: row["val_error"] for row in result.history}, rel=1e-6)


def test_peak_memory_sees_what_was_freed_and_only_while_it_runs() -> None:
    meter = PeakMemory(torch.device("cpu"))
    meter.start()
    torch.ones(8_000_000, dtype=torch.float64).sum()  # 64 MB, freed at once
    meter.stop()
    assert 60e6 < meter.bytes < 120e6
    torch.ones(40_000_000, dtype=torch.float64).sum()  # outside: does not count
    meter.start()
    meter.stop()
    assert meter.bytes < 120e6
