"""Awaiting a condition of the outside world."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.05


def until(holds: Callable[[], bool], *, seconds: float) -> None:
    """Return once ``holds()`` is true.

    Raises:
        AssertionError: It was not within ``seconds``.
    """
    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at, f"{holds} was not true within {seconds:g} s"
        time.sleep(POLL_SECONDS)
