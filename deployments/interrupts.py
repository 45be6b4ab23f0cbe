"""Ctrl-C, SIGTERM and SIGHUP as one exception, raised once and never in the middle of starting a child."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(SystemExit):
    """SIGTERM or SIGHUP asked this process to end; the exit status is the shell's, 128 plus the signal."""


class Interrupts:
    """Turns the first stop signal into an exception in the main thread, and every later one into a call.

    The exception is ``KeyboardInterrupt`` for SIGINT and ``Terminated`` for the others. It never comes inside
    `held` (it waits for its end) and never after `close`, so that a second Ctrl-C cannot break off the
    cleaning up that the first one began. Outside the main thread, where Python takes no signals, it does
    nothing.

    Args:
        on_repeat: Called for each signal after the first or after `close`; runs in a signal handler.
    """

    def __init__(self, on_repeat: Callable[[], None]) -> None:
        self._on_repeat = on_repeat
        self._previous: dict[signal.Signals, Any] = {}
        self._first: int | None = None
        self._raised = False
        self._held = 0
        self._closed = False

    def install(self) -> None:
        """Take the signals over, also where a shell started this process with SIGINT ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            # nohup means it: a terminal that closes is no reason to end.
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def close(self) -> None:
        """Raise nothing from now on."""
        self._closed = True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no exception come inside; one that was due comes at the end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self._raise_if_due()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._first is not None or self._closed:
            self._on_repeat()
            return
        self._first = number
        self._raise_if_due()

    def _raise_if_due(self) -> None:
        if self._first is None or self._raised or self._held or self._closed:
            return
        self._raised = True
        if self._first == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(128 + self._first)
