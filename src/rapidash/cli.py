"""The command line: `rapidash COMMAND`. A subcommand is one function and one row of `COMMANDS`."""

import contextlib
import os
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple

from rapidash._cli_usage import FAILED, USAGE_ERROR, UsageError
from rapidash._names import unknown_name
from rapidash._version import __version__


class Terminated(KeyboardInterrupt):
    """A signal that asks the process to end, such as SIGTERM: what Ctrl-C does is done."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Command(NamedTuple):
    """A subcommand: one line for the overview, what it does with the arguments after its name, and when interrupted."""

    summary: str
    run: Callable[[list[str]], int]
    interrupted: str = "the same command begins anew; files are written at its end, each whole or not at all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0, 1 for an error, 2 for wrong usage, 130 when interrupted.

    SIGTERM and SIGHUP, unless they are ignored (nohup), end a command as Ctrl-C does, with 143 and 129.

    A process of its own (no ``arguments``) lets torch ask for memory in pages of 2 MB, where Linux gives them on
    demand: features of wide networks are new memory in every layer. THP_MEM_ALLOC_ENABLE=0 in the environment stays.
    """
    if arguments is None:
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        print(end="", flush=True)  # who reads no more is noticed here, and not when the process ends
    except BrokenPipeError:  # `rapidash ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _run(words: list[str]) -> int:
    """The command that the words name, or what they ask of the program itself."""
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    warnings.showwarning = _show_warning
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"rapidash {__version__}")
        return 0
    if words[0] not in COMMANDS:
        print(f"rapidash: error: {unknown_name('command', words[0], COMMANDS)} (see rapidash --help)", file=sys.stderr)
        return USAGE_ERROR
    data = os.environ.get("RAPIDASH_DATA")
    try:
        with _terminations():
            return COMMANDS[words[0]].run(words[1:])
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Terminated) else signal.SIGINT
        by = f" by {signal.Signals(number).name}" if number != signal.SIGINT else ""
        with contextlib.suppress(OSError):  # the terminal may be closed
            print(f"rapidash: interrupted{by}; {COMMANDS[words[0]].interrupted}", file=sys.stderr)
        return 128 + number
    except BrokenPipeError:
        raise
    except Exception as error:
        if debug or not _is_user_error(error):
            raise
        print(f"rapidash: error: {_one_line(error)}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, UsageError) else FAILED
    finally:  # --data has changed it
        os.environ.pop("RAPIDASH_DATA", None)
        os.environ.update({} if data is None else {"RAPIDASH_DATA": data})


@contextlib.contextmanager
def _terminations() -> Iterator[None]:
    """Within the block, signals that would end the process without a word raise `Terminated`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    changed = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _advise(words: list[str]) -> int:
    """Advise which variant to train."""
    from rapidash._cli_advise import advise

    return advise(words)


def _study(words: list[str]) -> int:
    """Train all variants of a task's study and write its report."""
    from rapidash._cli_study import study

    return study(words)


def _train(words: list[str]) -> int:
    """Train one variant."""
    from rapidash._cli_train import train

    return train(words)


def _report(words: list[str]) -> int:
    """Write the report of a study's directory again."""
    from rapidash._cli_report import report

    return report(words)


def _measure(words: list[str]) -> int:
    """Measure the equivariance error of trained weights, or the data of a user's files."""
    from rapidash._cli_measure import measure

    return measure(words)


def _predict(words: list[str]) -> int:
    """Apply a trained model to files."""
    from rapidash._cli_predict import predict

    return predict(words)


def _sample(words: list[str]) -> int:
    """Draw clouds from a trained generator."""
    from rapidash._cli_sample import sample

    return sample(words)


def _bench(words: list[str]) -> int:
    """Time the fast network against its definition."""
    from rapidash._cli_bench import bench

    return bench(words)


_CONTINUES = "the same command continues where it stopped"
COMMANDS: dict[str, Command] = {
    "advise": Command("which variant should be trained on these data? Ask them, race, and answer", _advise, _CONTINUES),
    "study": Command("train the variants of a task over several seeds and write the report", _study, _CONTINUES),
    "train": Command("train one variant", _train, _CONTINUES),
    "predict": Command("apply a trained model to files of your own", _predict),
    "sample": Command("draw clouds from a trained generator", _sample),
    "report": Command("write the report of a study again, also of an unfinished one", _report),
    "measure": Command("measure how equivariant a trained model is, or what your files tell", _measure),
    "bench": Command("time the fast network against its definition", _bench),
}


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    rows = "\n".join(f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: rapidash COMMAND [options]\n\n"
        "How much symmetry should a model of geometric data have? Set it, break it, measure it.\n\n"
        f"commands:\n{rows}\n\n"
        "  rapidash COMMAND --help   options of a command, with units and defaults\n"
        "  rapidash --version        the version\n"
        "  --debug                   with any command: show the traceback of an error\n\n"
        f"{_registered()}\n\n"
        "start with:\n  rapidash study nbody      under 10 minutes on two cores; writes runs/nbody/report.html"
    )


def _registered() -> str:
    """The names that a configuration may use, by kind, with those of installed packages."""
    from rapidash.registry import REGISTRIES

    shown = ("designs", "tasks", "networks", "methods", "schedules", "objectives", "measures", "launchers")
    titles = {"designs": "studies"}
    lines = [f"{titles.get(group, group)}: {', '.join(REGISTRIES[group])}" for group in shown if len(REGISTRIES[group])]
    return "\n".join(textwrap.fill(line, 110, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def _is_user_error(error: Exception) -> bool:
    """An error that says what the user can change; anything else is ours, and shows its traceback."""
    if isinstance(error, ValueError | OSError | ImportError) or _is_lack_of_memory(error):
        return True
    return type(error).__name__ in ("StoreError", "CheckpointError", "TrainingDivergedError")


def _is_lack_of_memory(error: Exception) -> bool:
    """Of Python, NumPy or torch, whose allocator raises a RuntimeError."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error)


def _one_line(error: Exception) -> str:
    if not _is_lack_of_memory(error):
        return str(error)
    return f"not enough memory: ask for less, or a larger machine ({' '.join(str(error).split())[:200]})"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"rapidash: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
