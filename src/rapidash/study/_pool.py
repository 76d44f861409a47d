"""Worker processes on this machine: one dead worker loses its own run only, a dead parent takes its workers along."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from rapidash.study._provenance import failed_record
from rapidash.study._run import run_one
from rapidash.study._run_config import RunConfig
from rapidash.study._store import Record, Store, StoreError

OnStart = Callable[[RunConfig], None]
OnEnd = Callable[[RunConfig, Record], None]
OnRetry = Callable[[RunConfig, str], None]

_RETRY_SECONDS = 1.0  # until a run that another process holds is asked for again
_GRACE_SECONDS = 60.0  # for a worker to save its checkpoint when it is told to stop
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_FROM_OUTSIDE = tuple(  # of a process that has done nothing wrong
    getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU") if hasattr(signal, name)
)


@dataclass
class _Worker:
    """A process, the pipe to it, the GPU that it sees ("": all), and the run it is at work on."""

    process: SpawnProcess
    pipe: Connection
    gpu: str = ""
    run: RunConfig | None = None


@dataclass
class WorkerPool:
    """Runs of a study on local processes.

    Every run uses ``train.threads`` threads, 1 by default, whatever the number of workers, so that its record does not
    depend on it. A run whose worker is killed from outside is started once more, from its checkpoint.

    Args:
        study_dir: directory of the study.
        workers: processes, at least 1.
        on_start, on_end: called in this process when a run begins, and with its record when it has ended.
        gpus: values of ``CUDA_VISIBLE_DEVICES``; the workers are spread over them, each sees one. Empty: all see all.
        on_retry: called in this process when a run is started once more, with the reason.
    """

    study_dir: Path
    workers: int
    on_start: OnStart
    on_end: OnEnd
    gpus: Sequence[str] = ()
    on_retry: OnRetry | None = None
    _pool: list[_Worker] = field(default_factory=list)
    _retried: set[str] = field(default_factory=set)  # keys of runs that were started once more

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")

    def run(self, runs: Sequence[RunConfig]) -> None:
        """Run all; a run that another process holds is waited for.

        Raises: StoreError when the disk is full, or KeyboardInterrupt, after the workers have saved their checkpoints.
        """
        queue: deque[tuple[float, RunConfig]] = deque((0.0, run) for run in runs)
        finished = False
        try:
            while queue or any(worker.run for worker in self._pool):
                self._assign(queue)
                self._collect(queue)
            finished = True
        finally:
            self._stop(at_once=not finished)

    def _assign(self, queue: deque[tuple[float, RunConfig]]) -> None:
        """Give the runs whose time has come to idle workers, starting new ones up to the limit."""
        for _ in range(len(queue)):
            not_before, run = queue.popleft()
            if time.monotonic() < not_before:
                queue.append((not_before, run))
                continue
            self._pool = [worker for worker in self._pool if worker.run or worker.process.is_alive()]
            worker = next((worker for worker in self._pool if worker.run is None), None)
            if worker is None and len(self._pool) < self.workers:
                worker = self._start()
            if worker is None:
                queue.appendleft((not_before, run))
                return
            worker.run = run
            with contextlib.suppress(OSError):  # it has just died: `_collect` sees that
                worker.pipe.send(run)
            self.on_start(run)

    def _collect(self, queue: deque[tuple[float, RunConfig]]) -> None:
        """Wait for messages and deaths, and deal with them."""
        busy = [worker for worker in self._pool if worker.run is not None]
        wait([worker.pipe for worker in busy] + [worker.process.sentinel for worker in busy], timeout=_RETRY_SECONDS)
        for worker in busy:
            run = worker.run
            assert run is not None
            try:
                if not worker.pipe.poll():
                    if worker.process.is_alive():
                        continue
                    raise EOFError
                kind, content = worker.pipe.recv()
            except (EOFError, OSError):
                self._pool.remove(worker)
                self._bury(worker, run, queue)
                continue
            worker.run = None
            if kind == "stop":
                raise StoreError(content)
            if kind == "held":
                queue.append((time.monotonic() + _RETRY_SECONDS, run))
            else:
                self.on_end(run, content)

    def _bury(self, worker: _Worker, run: RunConfig, queue: deque[tuple[float, RunConfig]]) -> None:
        """A worker has died: its run is tried once more if that was not its fault, and has failed otherwise."""
        worker.process.join()
        worker.pipe.close()
        if _was_killed(worker.process) and run.key not in self._retried:
            self._retried.add(run.key)
            if self.on_retry is not None:
                self.on_retry(run, _cause(worker.process))
            queue.append((0.0, run))
        else:
            self._record_death(worker, run)

    def _record_death(self, worker: _Worker, run: RunConfig) -> None:
        """Unless a worker had just finished, its run has failed."""
        store = Store(self.study_dir)
        with store.claim(run.key) as is_free:
            record = store.load(run.key) if is_free else None
            if record is None or record["status"] != "done":
                record = failed_record(run, f"the worker process ended without a result: {_cause(worker.process)}")
                if is_free:
                    store.save(record)
        self.on_end(run, record)

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, self.study_dir), daemon=True)
        taken = Counter(worker.gpu for worker in self._pool)
        gpu = min(self.gpus, key=lambda name: taken[name], default="")
        with _environment(_ONE_THREAD | ({_VISIBLE: gpu} if gpu else {})):
            process.start()
        there.close()
        self._pool.append(_Worker(process, here, gpu))
        return self._pool[-1]

    def _stop(self, *, at_once: bool) -> None:
        """End all workers; those at work get the time to save a checkpoint."""
        for worker in self._pool:
            if at_once and worker.run is not None:
                worker.process.terminate()
            worker.pipe.close()
        deadline = time.monotonic() + _GRACE_SECONDS
        for worker in self._pool:
            worker.process.join(max(0.1, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._pool.clear()


def _work(pipe: Connection, study_dir: Path) -> None:
    """The life of a worker: one run after the other, until the pipe closes."""
    for name in ("SIGINT", "SIGHUP"):  # Ctrl-C and a closed terminal reach all processes; the parent decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by it the parent ends a worker, also one that ignores it itself
    warnings.formatwarning = _one_line
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    while True:
        try:
            run: RunConfig = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            record = run_one(run, study_dir)
            message: tuple[str, Record | str | None] = ("held", None) if record is None else ("ended", record)
        except StoreError as error:
            message = ("stop", str(error))
        with contextlib.suppress(OSError):
            pipe.send(message)


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    """A warning without the line of code that gives it."""
    return f"rapidash: warning: {message}\n"


def _end_with_parent() -> None:
    """Wait until the parent has died, then let the training save its checkpoint and end."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """The environment that a new process inherits: no thread pools of the size of the machine in each, and its GPU."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _cause(process: SpawnProcess) -> str:
    code = _exit_code(process)
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


def _was_killed(process: SpawnProcess) -> bool:
    """Whether somebody else ended a process: the system for want of memory, a scheduler, a person."""
    return -(_exit_code(process) or 0) in _FROM_OUTSIDE


def _exit_code(process: SpawnProcess) -> int | None:
    """Negative for a signal, also for one that the training caught to save a checkpoint."""
    code = process.exitcode
    return 128 - code if code is not None and code - 128 in _FROM_OUTSIDE else code
