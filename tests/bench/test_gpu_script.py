"""The script for a machine with a GPU runs through on the CPU, small: it will be tried there once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_section_has_its_rows(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "gpu.py"),
        "--device",
        "cpu",
        "--small",
        "--out",
        str(tmp_path),
    ]
    subprocess.run(command, check=True, timeout=600, capture_output=True)
    found = json.loads((tmp_path / "gpu.json").read_text())
    sections = {"kernels": 6, "steps": 15, "graphs": 1, "forces": 4}
    for name, count in sections.items():
        rows = found[name]
        assert not [row for row in rows if "failed" in row]
        assert len(rows) >= min(count, 10) if name == "steps" else len(rows) == count
    assert all(row["largest error"] < 1e-4 for row in found["kernels"][1:])
    assert (found["device"], found["small"]) == ("CPU", True)
    assert list(tmp_path.iterdir()) == [tmp_path / "gpu.json"]
