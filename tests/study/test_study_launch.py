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

from rapidash.study import Resources, Store, StoreError, StudyDesign, load_plugins, run_study
from rapidash.study._pool import WorkerPool
from rapidash.study._progress import StudyProgress
from rapidash.study._provenance import failed_record
from rapidash.study._study import launch_local
from rapidash.train import read_checkpoint

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
    assert Counter(toy_log()) == {"failing": 1, "dying": 2, "equivariant": 1}  # a killed worker is given another chance
    assert "this model always fails" in by_name["failing"]["error"]
    assert by_name["equivariant"]["threads"] == 1
    shown = capfd.readouterr().err
    assert "[3/3]" in shown
    assert "failing · seed 0: failed: RuntimeError: this model always fails" in shown
    assert shown.count("dying · seed 0: killed by SIGKILL, perhaps for want of memory; it continues from its last") == 1
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


@pytest.mark.parametrize("equal", ["steps", "time"])
def test_a_study_is_accepted_once_before_anything_is_measured_or_trained(
    tmp_path: Path, design: StudyDesign, toy_log, equal: str
) -> None:
    seen: list[list[str]] = []
    timed = replace(design, equal=equal, seeds=(0,))
    run_study(timed, tmp_path / "out", workers=1, progress=False, on_accepted=lambda: seen.append(toy_log()))
    assert seen == [[]]
    built = toy_log()
    run_study(timed, tmp_path / "out", workers=1, progress=False, on_accepted=lambda: seen.append(toy_log()))
    assert seen == [[], built]
    with pytest.raises(StoreError, match="another study: setting is 'quick' there, 'full' here"):
        run_study(replace(timed, setting="full"), tmp_path / "out", on_accepted=lambda: pytest.fail("accepted"))


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


@pytest.mark.parametrize(("unit", "shown"), [("1", "loss 0.9414 (111 s)"), ("m", "loss 0.9414 m (111 s)")])
def test_an_error_without_a_unit_stands_alone(run, capsys, unit: str, shown: str) -> None:
    with StudyProgress(total=1, done=0) as progress:
        record = {"status": "done", "metric": "loss", "test_error": 0.94142, "unit": unit, "seconds": 111.2}
        progress.ended(run("components"), record)
    assert capsys.readouterr().err == f"[1/1] components · seed 0: {shown}\n"


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


SLOW_SIGNALS = [pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP)]


@pytest.mark.parametrize("number", [signal.SIGKILL, *SLOW_SIGNALS], ids=lambda number: number.name)
def test_a_worker_killed_from_outside_goes_on_from_its_checkpoint(tmp_path: Path, design, toy_log, number) -> None:
    """The record is that of a run that nobody has disturbed, and steps before the checkpoint are not repeated."""
    settings = replace(design.train, checkpoint_every=1 if number == signal.SIGKILL else 100)
    design = replace(design, variants=(variant("slow"),), seeds=(0,), train=settings)
    (run,) = design.runs()
    retried, ended = [], []
    pool = WorkerPool(
        tmp_path / "out",
        1,
        on_start=lambda run: None,
        on_end=lambda run, record: ended.append(record),
        on_retry=lambda run, reason: retried.append(reason),
    )
    study = threading.Thread(target=pool.run, args=([run],))
    study.start()
    work = Store(tmp_path / "out").work_dir(run.key)
    checkpoint = work / "checkpoint.pt"
    wait_until(checkpoint.exists if number == signal.SIGKILL else (tmp_path / "built.stepping").exists)
    if number == signal.SIGHUP:  # a closed terminal reaches the workers too: they wait for the parent
        os.kill(pool._pool[0].process.pid, number)
        time.sleep(0.3)
        assert pool._pool[0].process.is_alive()
    else:
        os.kill(pool._pool[0].process.pid, number)
    study.join(90)
    assert not study.is_alive()
    assert retried == ([] if number == signal.SIGHUP else [f"killed by {number.name}" + perhaps(number)])
    assert [record["status"] for record in ended] == ["done"]
    assert Counter(toy_log()) == {"slow": 1 if number == signal.SIGHUP else 2}
    undisturbed = run_study(design, tmp_path / "other", workers=1, progress=False)[0]
    for name in ("test_error", "val_error", "best_step"):
        assert ended[0][name] == undisturbed[name]
    steps = [row["step"] for row in ended[0]["history"]]
    assert steps == [row["step"] for row in undisturbed["history"]] == [4, 8]


def perhaps(number: int) -> str:
    return ", perhaps for want of memory" if number == signal.SIGKILL else ""


CLI = "import sys; from rapidash.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    "ignored",
    [
        pytest.param(False, id="foreground", marks=pytest.mark.slow),
        pytest.param(True, id="nohup, in the background"),
    ],
)
def test_sigterm_ends_a_study_as_ctrl_c_does(tmp_path: Path, design: StudyDesign, ignored: bool, monkeypatch) -> None:
    (tmp_path / "slow_study.py").write_text(
        "import toy_plugin\nfrom dataclasses import replace\nfrom rapidash.registry import DESIGNS\n"
        "design = toy_plugin.make_design()\n"
        "variants = tuple(map(toy_plugin.variant, ('equivariant', 'slow')))\n"
        "settings = replace(design.train, checkpoint_every=100, steps=40)\n"
        "design = replace(design, variants=variants, seeds=(0,), train=settings)\n"
        "DESIGNS['toy'] = lambda full: design\n"
    )
    monkeypatch.setenv("RAPIDASH_PLUGINS", "slow_study")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    command = [sys.executable, "-c", CLI, "study", "toy", "--out", str(tmp_path / "out"), "--workers", "1"]
    study = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=ignore if ignored else None)
    try:
        wait_until((tmp_path / "built.stepping").exists)
        if ignored:
            for number in (signal.SIGINT, signal.SIGHUP):
                study.send_signal(number)
        study.send_signal(signal.SIGTERM)
        _, shown = study.communicate(timeout=90)
    finally:
        study.kill()
    assert study.returncode == 143
    assert "Traceback" not in shown
    assert "rapidash: interrupted by SIGTERM; the same command continues where it stopped" in shown
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000
    records = Store(tmp_path / "out").records()
    assert outcomes(records) == {("equivariant", "done"): 1}
    (slow,) = (
        path.parent for path in (tmp_path / "out").rglob("checkpoint.pt") if path.parent.name != records[0]["key"]
    )
    assert 0 < read_checkpoint(slow / "checkpoint.pt")["state"]["progress"]["step"] < 40


def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("sbatch", "srun"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def test_slurm_is_refused_where_there_is_none(tmp_path: Path, design: StudyDesign, monkeypatch) -> None:
    submitted: list = []
    monkeypatch.setitem(sys.modules, "submitit", fake_submitit(submitted))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(
        ValueError, match=r"needs Slurm, but this machine has no sbatch and no srun: start the study on"
    ):
        run_study(design, tmp_path / "out", launcher="slurm", progress=False)
    assert not submitted
    assert not (tmp_path / "out").exists()


def test_slurm_gets_what_a_run_needs(tmp_path: Path, design: StudyDesign, monkeypatch) -> None:
    submitted: list = []
    monkeypatch.setitem(sys.modules, "submitit", fake_submitit(submitted))
    fake_slurm(tmp_path, monkeypatch)
    monkeypatch.setattr("rapidash.study._cluster.run_one", lambda run, folder: failed_record(run, "not run"))
    monkeypatch.setattr("rapidash.study._provenance.device_name", lambda name: name)
    on_gpu = replace(design, train=replace(design.train, device="cuda", threads=4))
    resources = Resources(memory=15.5, time=1.5, partition="gpu", account="lab", max_jobs=3)
    run_study(on_gpu, tmp_path / "gpu", launcher="slurm", resources=resources, progress=False)
    run_study(design, tmp_path / "cpu", launcher="slurm", progress=False)
    assert submitted[1] == {
        "name": "rapidash",
        "timeout_min": 90,
        "cpus_per_task": 4,
        "gpus_per_node": 1,
        "mem_gb": 15.5,
        "slurm_partition": "gpu",
        "slurm_account": "lab",
        "slurm_array_parallelism": 3,
    }
    assert submitted[3] == {"name": "rapidash", "timeout_min": 1440, "cpus_per_task": 1}


def test_ray_gets_what_a_run_needs(tmp_path: Path, design: StudyDesign, monkeypatch) -> None:
    asked: list[dict] = []
    ray = fake_ray()
    remote = ray.remote
    ray.remote = lambda **options: asked.append(options) or remote(**options)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr("rapidash.study._cluster.run_one", lambda run, folder: failed_record(run, "not run"))
    monkeypatch.setattr("rapidash.study._provenance.device_name", lambda name: name)
    mixed = replace(design, seeds=(0,), train_overrides={"components": {"device": "cuda", "threads": 2}})
    run_study(mixed, tmp_path / "a", launcher="ray", progress=False)
    run_study(mixed, tmp_path / "b", launcher="ray", resources=Resources(cpus=3, gpus=0.5, memory=2), progress=False)
    needs = [(found["num_cpus"], found["num_gpus"], found.get("memory")) for found in asked]
    assert needs == [(1, 0, None), (2, 1, None), (3, 0, 2 * 2**30), (3, 0.5, 2 * 2**30)]


@pytest.mark.parametrize(
    ("launcher", "options", "message"),
    [
        ("local", {"partition": "gpu"}, "partition is for the launcher 'slurm', not for 'local'"),
        ("ray", {"account": "lab"}, "account is for the launcher 'slurm', not for 'ray'"),
        ("slurm", {"devices": (0,)}, "devices is for the launcher 'local', not for 'slurm'"),
        ("local", {"memory": 4}, "memory is for the launcher 'ray' and 'slurm', not for 'local'"),
        ("local", {"devices": (0,)}, "use train.device 'cuda'"),
    ],
)
def test_resources_that_a_launcher_does_not_take_are_refused(
    tmp_path: Path, design, launcher, options, message
) -> None:
    with pytest.raises(ValueError, match=message):
        run_study(design, tmp_path, launcher=launcher, resources=Resources(**options), progress=False)


@pytest.mark.parametrize(
    "options",
    [
        {"cpus": 0},
        {"memory": -1},
        {"time": float("inf")},
        {"gpus": -1},
        {"devices": ()},
        {"devices": (-1,)},
        {"cpus": "2"},
    ],
    ids=str,
)
def test_resources_that_cannot_be_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Resources(**options)


@pytest.mark.parametrize("launcher", ["ray", "slurm"])
def test_a_cluster_chooses_the_gpu(tmp_path: Path, design: StudyDesign, monkeypatch, launcher: str) -> None:
    monkeypatch.setitem(sys.modules, "ray", fake_ray())
    monkeypatch.setitem(sys.modules, "submitit", fake_submitit([]))
    fake_slurm(tmp_path, monkeypatch)
    second = replace(design, train=replace(design.train, device="cuda:1"))
    with pytest.raises(ValueError, match=r"train.device is 'cuda:1': .* use train.device 'cuda'"):
        run_study(second, tmp_path / "out", launcher=launcher, progress=False)


def test_each_gpu_has_a_worker_that_sees_no_other(tmp_path: Path, design: StudyDesign, monkeypatch) -> None:
    """The processes are real; the GPUs are not, so that the runs fail and say what they saw."""
    pools: list[WorkerPool] = []
    real = WorkerPool.run
    monkeypatch.setattr(WorkerPool, "run", lambda pool, runs: pools.append(pool))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    runs = replace(design, train=replace(design.train, device="cuda")).runs()

    def launched(runs, **options) -> tuple[int, tuple[str, ...]]:
        launch_local(runs, tmp_path, lambda run: None, lambda run, record: None, **options)
        return pools[-1].workers, tuple(pools[-1].gpus)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert launched(runs) == (3, ("0", "1", "2"))
    assert launched(runs[:2])[0] == 2
    assert launched(runs, resources=Resources(devices=(2, 0))) == (2, ("2", "0"))
    assert launched(runs, workers=5) == (5, ("0", "1", "2"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-abc,7")
    assert launched(runs, resources=Resources(devices=(1,))) == (1, ("GPU-abc",))
    with pytest.raises(ValueError, match="devices has 3, but torch sees 3 CUDA devices"):
        launched(runs, resources=Resources(devices=(3,)))
    one = replace(design, train=replace(design.train, device="cuda:1")).runs()
    assert launched(one) == (1, ())
    monkeypatch.setattr(WorkerPool, "run", real)
    pool = WorkerPool(tmp_path, 3, lambda run: None, lambda run, record: None, gpus=("4", "GPU-abc"))
    seen: list[str] = []

    class Process:
        def start(self) -> None:
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])

    monkeypatch.setattr("multiprocessing.context.SpawnContext.Process", lambda *_, **__: Process())
    for _ in range(3):
        pool._start()
    assert seen == ["4", "GPU-abc", "4"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,GPU-abc,7"


@pytest.mark.parametrize("launcher", ["ray", "slurm"])
def test_a_cluster_runs_the_same_runs(tmp_path: Path, design: StudyDesign, monkeypatch, launcher: str) -> None:
    submitted: list = []
    fake_slurm(tmp_path, monkeypatch)
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
