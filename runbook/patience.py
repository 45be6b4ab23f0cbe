"""How long a call to an outside system may wait for its turn.

A call waits for a rate limit by itself, up to what its client allows. Between the claim of an effect and its
sending nobody may wait for long: the lease would end meanwhile, and another process could find the effect not done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_longest_wait_seconds: ContextVar[float] = ContextVar("longest_wait_seconds", default=float("inf"))


@contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """Let every call of the body wait no longer than this for its turn; it fails with ``Transient`` instead."""
    token = _longest_wait_seconds.set(seconds)
    try:
        yield
    finally:
        _longest_wait_seconds.reset(token)


def longest_wait(allowed_seconds: float) -> float:
    """Return how long a call may wait now, where its client allows ``allowed_seconds``."""
    return min(allowed_seconds, _longest_wait_seconds.get())
