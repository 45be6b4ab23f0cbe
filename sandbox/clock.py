"""Time in the stand-ins: real, or virtual and shared with the client under test.

The same two methods as the product's clock; repeated here because stand-ins import nothing of the product.
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time and lets it pass."""

    def now(self) -> datetime:
        """Return the current time, UTC-aware."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current time, UTC-aware."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        time.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock that moves only when somebody sleeps (or posts to ``/_sandbox/advance``).

    Args:
        start: The first ``now``, UTC-aware.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the virtual time."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Move the virtual time on by ``seconds``."""
        with self._lock:
            self._now += timedelta(seconds=max(0.0, seconds))
