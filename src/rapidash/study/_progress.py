"""The display of a running study: a line per ended run, and on a terminal a bar with the runs at work."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rapidash._names import with_unit
from rapidash.study._run_config import RunConfig

_MAX_LINE = 1_000


class StudyProgress:
    """Progress on stderr.

    Args:
        total, done: runs of the study, and those that have a record already.
        show: False prints nothing.
    Raises: ImportError naming the extra to install, when a bar is to be drawn without tqdm.
    """

    def __init__(self, *, total: int, done: int, show: bool = True) -> None:
        self._total, self._ended, self._show = total, done, show
        self._running: dict[str, str] = {}
        self._bar: Any = _tqdm()(total=total, initial=done, unit="run", dynamic_ncols=True) if _is_drawn(show) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def started(self, run: RunConfig) -> None:
        """A run is at work."""
        self._running[run.key] = run.label
        self._refresh()

    def retried(self, run: RunConfig, reason: str) -> None:
        """The worker of a run was killed, and the run goes on."""
        self._say(f"{run.label}: {reason}; it continues from its last checkpoint")

    def ended(self, run: RunConfig, record: Mapping[str, Any]) -> None:
        """A run has its record."""
        self._running.pop(run.key, None)
        self._ended += 1
        seconds = f" ({record['seconds']:.0f} s)" if record.get("seconds") is not None else ""
        if record["status"] == "done":
            error = with_unit(f"{record['test_error']:.4g}", record.get("unit"))
            outcome = f"{record['metric']} {error}"
        else:
            outcome = "failed: " + last_line(str(record["error"]))
        self._say(f"[{self._ended}/{self._total}] {run.label}: {outcome}{seconds}")
        if self._bar is not None:
            self._bar.update(1)
        self._refresh()

    def _refresh(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(self._running.values()))

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        elif self._show:
            print(line, file=sys.stderr, flush=True)


def last_line(text: str) -> str:
    """Of an error, what it says: short enough for a terminal."""
    line = next(reversed(text.strip().splitlines()), "no reason is on record")
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}..."


def _is_drawn(show: bool) -> bool:
    return show and sys.stderr.isatty()


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError('a progress bar needs tqdm: pip install "rapidash[study]", or pass progress=False') from error
    return tqdm
