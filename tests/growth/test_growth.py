"""A package of another author adds one thing of every kind by its entry points alone, and a study uses them all."""

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rapidash.registry import MEASURES, METHODS, NETWORKS, OBJECTIVES, REGISTRIES, TASKS, PluginError
from rapidash.train import read_checkpoint

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src" / "rapidash"

pytestmark = pytest.mark.xdist_group("growth")  # the study that they share is made once


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package on the path of this process, and of those that it starts; forgotten afterwards."""
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_foreign", None)
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.syspath_prepend(str(HERE))
    yield
    for name in [name for name in sys.modules if name.startswith("rapidash_growth")]:
        del sys.modules[name]


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def rapidash(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from rapidash.cli import main; sys.exit(main())", *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of the package, run by two processes."""
    out = tmp_path_factory.mktemp("growth") / "out"
    ended = rapidash("study", "growth-ring", "--out", str(out), "--workers", "2", "--seeds", "1")
    assert ended.returncode == 0, ended.stderr
    (out / "terminal.txt").write_text(ended.stdout, encoding="utf-8")
    return out


def records(out: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in sorted((out / "records").glob("*.json"))]
    assert all(record["status"] == "done" for record in found)
    return {record["config"]["variant"]["name"]: record for record in found}


def figures(record: dict[str, Any], name: str) -> dict[tuple[str, str], float]:
    """By view and moment, the measurements with this name."""
    found = [entry for entry in record["measurements"] if entry["name"] == name]
    return {(entry["view"], entry["moment"]): entry["value"] for entry in found}


def test_no_file_of_the_library_names_the_package() -> None:
    texts = {path: path.read_bytes() for path in SOURCE.rglob("*.py")}
    assert len(texts) > 200
    assert not [path for path, text in texts.items() if b"rapidash_growth" in text or b"growth-ring" in text]


def test_help_lists_what_the_package_adds() -> None:
    shown = " ".join(rapidash("--help").stdout.split())
    for line in (
        "growth-ring tasks:",
        "networks: rapidash, EGNN, DGCNN, mlp, ",
        ", growth-mlp methods:",
        ", growth-gate, growth-noise, growth-broken schedules: triangle, decay, constant objectives: supervised, ",
        ", growth-shifts measures:",
        ", growth-size",
    ):
        assert line in shown


def test_every_variant_of_the_study_has_its_figures_on_record(study: Path) -> None:
    found = records(study)
    assert set(found) == {"plain", "gated", "gated, noisy", "same under shifts"}
    for record in found.values():
        sizes = figures(record, "norm of the weights")
        assert sizes.keys() >= {("full", "before"), ("full", "after")}
        assert all(value > 0 for value in sizes.values())
        assert record["equivariance"]["group"] == "shifts(6)"
        assert record["symmetry"]["effective"] == "trivial"
    gated = found["gated"]
    assert {"gate", "dual"} <= {entry["name"] for entry in gated["measurements"]}
    assert [row["value/gate"] for row in gated["history"]] != [0.5, 0.5, 0.5]
    assert set(gated["views"]) == {"full", "closed"}
    assert gated["test_error"] == gated["views"]["closed"]["test_error"] != gated["views"]["full"]["test_error"]
    assert figures(gated, "test error, MSE of sums").keys() == {("full", "after"), ("closed", "after")}
    apart = found["same under shifts"]
    assert apart["history"][0]["loss/apart"] > 0
    assert "deviation of features" in apart["test_details"]
    assert figures(apart, "deviation of features")["full", "after"] == apart["test_details"]["deviation of features"]


@pytest.mark.parametrize("place", ["terminal.txt", "table.md", "report.html"])
def test_the_section_and_all_figures_stand_in_every_report(study: Path, place: str) -> None:
    text = (study / place).read_text(encoding="utf-8").partition('<script type="application/json"')[0]
    shown = " ".join(re.sub(r"<[^>]*>", " ", html.unescape(text)).split())
    gates = {
        name: figures(record, "gate")["full", "after"] for name, record in records(study).items() if "gate" in name
    }
    assert gates.keys() == {"gated", "gated, noisy"}
    for text in ("How open the gates are", "A closed gate is at 0.", "The first look.", "Also measured"):
        assert text in shown
    for name, gate in gates.items():
        assert re.search(rf"{name}\W+{gate:.3f}", shown)
    for figure in ("gate [full]", "dual [full]", "norm of the weights", "deviation of features"):
        assert figure in shown
    assert "section 'growth-no-gate' of another package is left out: LookupError: no gate in sight" in shown
    for record in records(study).values():
        size = figures(record, "norm of the weights")["full", "after"]
        assert f"{size:#.3g}" in shown
    assert max(map(len, (study / "terminal.txt").read_text(encoding="utf-8").splitlines())) <= 120


def test_the_gate_follows_its_own_gradient_descent_and_dual_variable(study: Path) -> None:
    """With zero gradient from the loss the pair (gate, dual) would obey this recurrence; the loss moves it a little."""
    gate, dual = 0.5, 0.0
    for _ in range(12):
        gate, dual = gate - 0.05 * dual, dual + 0.5 * gate
    row = records(study)["gated"]["history"][-1]
    assert row["value/gate"] == pytest.approx(gate, abs=0.15)
    assert row["value/dual"] == pytest.approx(dual, abs=0.4)


@pytest.mark.slow
def test_a_killed_study_continues_bit_for_bit(study: Path, tmp_path: Path) -> None:
    """Killed with all its processes at its first checkpoints, then continued by the same command."""
    out = tmp_path / "out"
    words = ["study", "growth-ring", "--out", str(out), "--workers", "2", "--seeds", "1"]
    command = [sys.executable, "-c", "import sys; from rapidash.cli import main; sys.exit(main())", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(command, env=environment(), start_new_session=True, **quiet)
    deadline = time.monotonic() + 120
    while not list(out.glob("work/*/checkpoint.pt")) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert list(out.glob("work/*/checkpoint.pt"))
    ended = rapidash(*words)
    assert ended.returncode == 0, ended.stderr
    straight, continued = records(study), records(out)
    assert straight.keys() == continued.keys()
    for name, record in straight.items():
        other = continued[name]
        for key in ("test_error", "test_error_rotated", "val_error", "best_step", "views", "equivariance"):
            assert record[key] == other[key], (name, key)
        rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in r["history"]] for r in (record, other)]
        assert rows[0] == rows[1], name
        places = [folder / "work" / record["key"] / "checkpoint.pt" for folder in (study, out)]
        states = [read_checkpoint(place)["state"] for place in places]
        for part in ("model", "average", "best", "best_of_views", "controls"):
            torch.testing.assert_close(states[0][part], states[1][part], rtol=0, atol=0)


def test_a_saved_model_is_read_again_with_its_view(study: Path, package: None) -> None:
    from rapidash.predict import TrainedModel

    record = records(study)["gated"]
    trained = TrainedModel.from_pretrained(study / "work" / record["key"])
    assert (trained.view, trained.views) == ("closed", ["full", "closed"])
    data = trained.task.dataset("test")
    batch = data.batch(torch.arange(len(data))).to(dtype=torch.float32)
    with torch.no_grad(), trained.view_model():
        closed = trained.model(batch)
    assert float(trained.task.errors(closed, batch).mean()) == pytest.approx(record["test_error"], rel=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(trained.finished()(batch), closed)
        assert not torch.allclose(trained.model(batch), closed)


def test_what_cannot_be_imported_is_named_and_the_rest_works(package: None) -> None:
    assert "growth-broken" in METHODS
    message = (
        r"method 'growth-broken': the entry point 'rapidash_growth\.broken:Broken' of the package rapidash-growth "
        r"cannot be imported: ModuleNotFoundError: .*a_package_that_is_not_installed"
    )
    with pytest.raises(PluginError, match=message):
        METHODS.get("growth-broken")
    assert METHODS.get("growth-gate").__name__ == "Gate"
    assert [NETWORKS.name_of(NETWORKS.get("growth-mlp")), OBJECTIVES.get("growth-shifts").__name__] == [
        "growth-mlp",
        "SameUnderShifts",
    ]
    assert "growth-size" in MEASURES
    assert "growth-ring" in TASKS
    with pytest.raises(
        ValueError, match=r"unknown method 'growth-gat', expected one of .*; did you mean 'growth-gate'"
    ):
        METHODS.get("growth-gat")
