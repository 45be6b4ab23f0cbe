"""A clock whose waits can be ended: Ctrl-C must not wait for the hour in which a rate limit ends."""

import threading
from datetime import UTC, datetime

from runbook.errors import RunbookError


class Stopped(RunbookError):
    """A wait was ended because the backtest was interrupted."""


class StoppableClock:
    """The machine's clock for several threads, until somebody stops it."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> datetime:
        """Return the current time, UTC-aware."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass.

        Raises:
            Stopped: ``stop`` was called, before or meanwhile.
        """
        if self._stopped.wait(max(0.0, seconds)):
            raise Stopped(
                "The wait was ended: the backtest was interrupted.", unchanged="Nothing was changed."
            )

    def stop(self) -> None:
        """End every wait, now and from now on."""
        self._stopped.set()
