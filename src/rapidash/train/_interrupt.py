"""Ctrl-C, SIGTERM and a closed terminal, held back until the loop can save."""

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupts:
    """Within the block, SIGINT, SIGTERM and SIGHUP are remembered instead of raised; a second one takes effect at once.

    Handlers exist in the main thread only; in another one the block changes nothing. Signals that the process ignores
    stay ignored.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._handlers: dict[int, signal.Handlers] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._remember)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def raise_received(self) -> None:
        """Let the remembered signal do what it would have done, as an exception.

        Raises: KeyboardInterrupt for SIGINT, SystemExit(143) for SIGTERM, SystemExit(129) for SIGHUP, or what the
            process's own handler raises.
        """
        if self.received is None:
            return
        handler = self._handlers.get(self.received)
        self._restore()
        if callable(handler):
            signal.raise_signal(self.received)
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.received)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.raise_received()
        self.received = number

    def _restore(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)
