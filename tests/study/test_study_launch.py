"""Whole studies: what kills a run, a worker or the study itself loses nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy_plugin import variant

from rapidash.study import Store, StoreError, StudyDesign, load_plugins, run_study
from rapidash.study._pool import WorkerPool
from rapidash.study._progress import StudyProgress

SCRIPT = """
import sys, toy_plugin
from dataclasses import replace
from rapidash.study import run_study
kinds, out, workers, checkpoint_every = ("equivariant", "slow"), sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
design = replace(toy_plugin.make_design(), variants=tuple(map(toy_plugin.variant, kinds)), seeds=(0,))
design = replace(design, train=replace(design.train, checkpoint_every=checkpoint_every))
if __name__ == "__main__":
    run_study(design, out, workers=workers)
"""


def outcomes(records) -> Counter:
    return Counter((record["config"]["variant"]["name"], record["status"]) for record in records)


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


@pytest.fixture
def script(tmp_path: Path):
    path = tmp_path / "study.py"
    path.write_text(SCRIPT)

    def start(workers: int = 1, checkpoint_every: int = 2) -> subprocess.Popen:
        command = [sys.executable, str(path), str(tmp_path / "out"), str(workers), str(checkpoint_every)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)

    return start


def test_a_failing_and_a_dying_run_do_not_lose_the_others(tmp_path: Path, design: StudyDesign, toy_log, capfd) -> None:
    design = replace(design, variants=tuple(map(variant, ("failing", "dying", "equivariant"))), seeds=(0,))
    records = run_study(design, tmp_path / "out", workers=2)
    assert outcomes(records) == {("failing", "failed"): 1, ("dying", "failed"): 1, ("equivariant", "done"): 1}
    by_name = {record["config"]["variant"]["name"]: record for record in records}
    assert "killed by SIGKILL, perhaps for want of memory" in by_name["dying"]["error"]
    assert "this model always fails" in by_name["failing"]["error"]
    assert by_name["equivariant"]["threads"] == 1
    shown = capfd.readouterr().err
    assert "[3/3]" in shown
    assert "failing · seed 0: failed: RuntimeError: this model always fails" in shown
    # on the next call, what failed is tried again and nothing else
    built = Counter(toy_log())
    run_study(design.select(["equivariant", "failing"]), tmp_path / "out", workers=1, progress=False)
    assert Counter(toy_log()) - built == {"failing": 1}
    assert capfd.readouterr().err == ""


def test_a_killed_study_continues_and_repeats_no_finished_run(tmp_path: Path, design, toy_log, script) -> None:
    store = Store(tmp_path / "out")
    study = script()
    try:
        wait_until(lambda: len(list((tmp_path / "out" / "work").rglob("checkpoint.pt"))) >= 2)
        os.kill(study.pid, signal.SIGKILL)
    finally:
        study.kill()
    study.communicate()
    finished = store.records()
    assert outcomes(finished) == {("equivariant", "done"): 1}  # "slow" was at work
    design = replace(design, variants=(variant("equivariant"), variant("slow")), seeds=(0,))
    records = run_study(design, tmp_path / "out", workers=1, progress=False)
    assert outcomes(records) == {("equivariant", "done"): 1, ("slow", "done"): 1}
    assert finished[0] in records
    assert Counter(toy_log()) == {"equivariant": 1, "slow": 2}
    assert not list((tmp_path / "out").rglob("*.tmp"))


@pytest.mark.slow
def test_ctrl_c_saves_checkpoints_and_leaves_no_process(tmp_path: Path, design, script) -> None:
    study = script(workers=2, checkpoint_every=100)
    wait_until((tmp_path / "built.stepping").exists)
    os.killpg(study.pid, signal.SIGINT)  # as the terminal does: to all processes of the study
    _, shown = study.communicate(timeout=60)
    assert "KeyboardInterrupt" in shown
    assert "failed" not in shown
    assert "slow" not in {record["config"]["variant"]["name"] for record in Store(tmp_path / "out").records()}
    settings = replace(design.train, checkpoint_every=100)  # so only the interruption can have made a checkpoint
    (slow,) = replace(design, variants=(variant("slow"),), seeds=(0,), train=settings).runs()
    assert (Store(tmp_path / "out").work_dir(slow.key) / "checkpoint.pt").exists()
    wait_until(lambda: not has_members(study.pid))


def has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_run_that_another_process_holds_is_waited_for(tmp_path: Path, design: StudyDesign) -> None:
    design = replace(design, seeds=(0,))
    held, free = design.runs()
    store = Store(tmp_path)
    study = threading.Thread(target=run_study, args=(design, tmp_path), kwargs={"workers": 1, "progress": False})
    with store.claim(held.key) as mine:
        assert mine
        study.start()
        wait_until(lambda: store.load(free.key) is not None)
        assert study.is_alive()
        assert store.load(held.key) is None
    study.join(60)
    assert not study.is_alive()
    assert store.load(held.key)["status"] == "done"


def test_a_store_that_cannot_be_written_stops_the_study(tmp_path: Path, design: StudyDesign) -> None:
    pool = WorkerPool(tmp_path, 1, on_start=lambda run: None, on_end=lambda run, record: None)
    (tmp_path / "work").write_text("a file where the folder of the runs should be")
    with pytest.raises(StoreError, match=r"could not write the claim.*Finished runs are kept"):
        pool.run(design.runs())


def test_unknown_launchers_and_worker_counts_are_refused(tmp_path: Path, design: StudyDesign) -> None:
    with pytest.raises(ValueError, match=r"unknown launcher 'locla'.*did you mean 'local'"):
        run_study(design, tmp_path, launcher="locla")
    for options in ({"workers": 0}, {"workers": 2, "launcher": "ray"}):
        with pytest.raises(ValueError, match=r"workers must be at least 1"):
            run_study(design, tmp_path, **options)
    assert not list(tmp_path.glob("*.json"))


def test_a_plugin_that_cannot_be_imported_is_named(tmp_path: Path, run, monkeypatch) -> None:
    monkeypatch.setenv("RAPIDASH_PLUGINS", "toy_plugin, no_such_plugin")
    with pytest.raises(ValueError, match="RAPIDASH_PLUGINS names 'no_such_plugin'"):
        load_plugins()


def test_the_bar_names_the_runs_at_work(run, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with StudyProgress(total=3, done=1) as progress:
        progress.started(run("equivariant"))
        progress.started(run("components"))
        progress.ended(run("components"), {"status": "done", "metric": "MSE", "test_error": 0.5, "seconds": 3.2})
    shown = capsys.readouterr().err
    assert "equivariant · seed 0, components · seed 0" in shown
    assert "[2/3] components · seed 0: MSE 0.5 (3 s)" in shown


def fake_ray():
    """Runs at once what is sent to the cluster; the run of a variant "dying" is lost with its node."""

    variants = {}

    def remote(function):
        def call(config, study_dir):
            reference = partial(function, config, study_dir)
            variants[reference] = config.variant.name
            return reference

        return SimpleNamespace(remote=call)

    def get(reference):
        if variants[reference] == "dying":
            raise RuntimeError("the node died")
        return reference()

    return SimpleNamespace(
        is_initialized=lambda: True,
        remote=lambda **options: remote,
        wait=lambda references, num_returns: (references[:num_returns], references[num_returns:]),
        get=get,
    )


def fake_submitit(submitted: list):
    class Executor:
        def __init__(self, folder: Path) -> None:
            submitted.append(folder)

        def update_parameters(self, **parameters: object) -> None:
            submitted.append(parameters)

        def map_array(self, function, *columns):
            return [self.job(function, *arguments) for arguments in zip(*columns)]

        @staticmethod
        def job(function, config, study_dir):
            def result():
                if config.variant.name == "dying":
                    raise RuntimeError("the node died")
                return function(config, study_dir)

            return SimpleNamespace(result=result)

    return SimpleNamespace(AutoExecutor=Executor, helpers=SimpleNamespace(as_completed=reversed))


@pytest.mark.parametrize("launcher", ["ray", "slurm"])
def test_a_cluster_runs_the_same_runs(tmp_path: Path, design: StudyDesign, monkeypatch, launcher: str) -> None:
    submitted: list = []
    monkeypatch.setitem(sys.modules, "ray", fake_ray())
    monkeypatch.setitem(sys.modules, "submitit", fake_submitit(submitted))
    design = replace(design, variants=(variant("equivariant"), variant("dying")))
    records = run_study(design, tmp_path, launcher=launcher, progress=False)
    assert outcomes(records) == {("equivariant", "done"): 2, ("dying", "failed"): 2}
    assert "the node died" in next(record["error"] for record in records if record["status"] == "failed")
    assert bool(submitted) == (launcher == "slurm")


@pytest.mark.parametrize("launcher", ["ray", "slurm"])
def test_a_missing_cluster_package_is_named(tmp_path: Path, design: StudyDesign, monkeypatch, launcher: str) -> None:
    for module in ("ray", "submitit"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install (ray|submitit)"):
        run_study(design, tmp_path, launcher=launcher, progress=False)
