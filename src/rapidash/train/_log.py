"""The display of a running training: a progress bar, or lines in a log, and TensorBoard curves."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal


class TrainingLog:
    """Progress on stderr and TensorBoard events, both optional.

    Args:
        total, done: steps of the run, and those done before it was resumed.
        progress: True shows the bar when stderr is a terminal, and else prints a line for every row of the history;
            ``"always"`` shows the bar in any case.
        tensorboard: directory of the events; None writes none.
    Raises: ImportError naming the extra to install.
    """

    def __init__(
        self,
        *,
        total: int,
        done: int,
        progress: bool | Literal["always"],
        tensorboard: Path | None,
        label: str = "train",
    ) -> None:
        self._bar = self._writer = None
        self._total, self._label = total, label
        if progress == "always" or (progress and sys.stderr.isatty()):
            self._bar = _tqdm()(total=total, initial=done, desc=label, unit="step", file=sys.stderr, dynamic_ncols=True)
        self._says_rows = bool(progress) and self._bar is None
        if tensorboard is not None:
            self._writer = _summary_writer()(log_dir=str(tensorboard), purge_step=done + 1)

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def advance(self, steps: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(steps)

    def row(self, row: Mapping[str, int | float]) -> None:
        """Show a row of the history."""
        if self._bar is not None:
            self._bar.set_postfix({"loss": f"{row['train_loss']:.4g}", "val": f"{row['val_error']:.4g}"})
        if self._says_rows:
            losses = f"loss {row['train_loss']:.4g}, validation {row['val_error']:.4g}"
            done = f"step {row['step']} of {self._total}"
            print(f"{self._label}: {done}, {losses}, {row['seconds']:.0f} s", file=sys.stderr, flush=True)
        if self._writer is not None:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, int(row["step"]))


@contextmanager
def progress_bar(total: int | None, label: str, unit: str, *, show: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if asked for and that is a terminal; yields what moves it. Without a total it counts.

    Raises: ImportError naming the extra to install.
    """
    if not (show and sys.stderr.isatty()):
        yield lambda count: None
        return
    with _tqdm()(total=total, desc=label, unit=unit, file=sys.stderr, dynamic_ncols=True) as bar:
        yield lambda count: bar.update(count)


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError('a progress bar needs tqdm: pip install "rapidash[study]", or pass progress=False') from error
    return tqdm


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            'log_tensorboard=True needs tensorboard: pip install "rapidash[study]", or set it to False'
        ) from error
    return SummaryWriter
