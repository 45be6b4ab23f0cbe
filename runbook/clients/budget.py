"""GitHub's request limits as one budget in front of every client of a process: wait instead of tripping one.

The hourly (primary) limit is learnt from response headers. The secondary limits cannot be read anywhere, so
they are counted here as GitHub documents them ("Rate limits for the REST API"). Counting is per process:
others that use the same token are seen through the hourly headers and through refusals.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runbook.clock import Clock
from runbook.errors import Transient
from runbook.patience import longest_wait

_LOG = logging.getLogger(__name__)
# Of GitHub's hourly budgets, the one that every call of ours draws on; what is told of others is kept apart from it.
_CORE = "core"
READ_METHODS = frozenset({"GET", "HEAD"})
# GitHub: with no header to go by, wait at least a minute, and longer each time.
_FIRST_BLIND_WAIT_SECONDS = 60.0
_LONGEST_BLIND_WAIT_SECONDS = 960.0


@dataclass(frozen=True)
class SecondaryLimits:
    """The documented limits that no header tells.

    Args:
        concurrent_calls: Calls under way at once.
        points_per_minute: A read costs 1 point, a write 5.
        creations_per_minute: Calls that create or change content: every POST, PATCH and PUT is counted,
            because GitHub does not say which of them are.
        creations_per_hour: The same by the hour.
        margin_seconds: By how much longer than a minute or an hour a call is remembered, for rounding there.
    """

    concurrent_calls: int = 100
    points_per_minute: int = 900
    creations_per_minute: int = 80
    creations_per_hour: int = 500
    margin_seconds: float = 1.0


@dataclass(frozen=True)
class Refusal:
    """GitHub's answer that a limit was tripped.

    Args:
        wait_seconds: How long it asks to wait; None where it does not say.
        resource: The hourly budget that is used up; None for a secondary limit.
    """

    wait_seconds: float | None
    resource: str | None


def read_refusal(status: int, headers: Mapping[str, str], message: str, *, now: datetime) -> Refusal | None:
    """Return what a 403 or 429 answer says about limits, or None if it is about something else.

    Args:
        status: The HTTP status.
        headers: The response headers, names in lower case.
        message: The ``message`` of the body.
        now: The current time.
    """
    said = message.lower()
    retry_after = _number(headers.get("retry-after"))
    worded = "rate limit" in said or "abuse detection" in said
    if status != 429 and not (status == 403 and (worded or retry_after is not None)):
        return None
    if retry_after is not None:
        return Refusal(wait_seconds=max(0.0, retry_after), resource=None)
    reset = _number(headers.get("x-ratelimit-reset"))
    if _number(headers.get("x-ratelimit-remaining")) == 0 and reset is not None and "secondary" not in said:
        wait = reset - now.timestamp()
        return Refusal(wait_seconds=max(0.0, wait), resource=headers.get("x-ratelimit-resource", _CORE))
    return Refusal(wait_seconds=None, resource=None)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None  # an HTTP date or nonsense: as if it had not been sent


class _Window:
    """Points spent within a sliding time. A call counts from its start until that time after its *end*.

    GitHub counts a call somewhere between the two, so no window of theirs can hold more than ours.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._length = timedelta(seconds=seconds)
        self._under_way = 0
        self._ended: deque[tuple[datetime, int]] = deque()
        self._spent = 0  # both together

    def seconds_until(self, points: int, now: datetime) -> float | None:
        """Return how long until ``points`` may be spent; None if only a call's end can tell."""
        while self._ended and self._ended[0][0] + self._length <= now:
            self._spent -= self._ended.popleft()[1]
        excess = self._spent + points - self._limit
        if excess <= 0:
            return 0.0
        for ended_at, freed in self._ended:
            excess -= freed
            if excess <= 0:
                return (ended_at + self._length - now).total_seconds()
        return None

    def start(self, points: int) -> None:
        self._under_way += points
        self._spent += points

    def end(self, points: int, now: datetime) -> None:
        self._under_way -= points
        self._ended.append((now, points))


@dataclass
class _Hourly:
    limit: int
    remaining: int
    reset_at: datetime


class Budget:
    """Thread-safe; one per process and credential.

    Args:
        clock: What waits.
        max_wait_seconds: The longest that one call waits before it gives up with ``Transient``; a caller may
            want it shorter (:mod:`runbook.patience`).
        limits: The secondary limits.
    """

    def __init__(
        self, clock: Clock, *, max_wait_seconds: float = 900.0, limits: SecondaryLimits | None = None
    ) -> None:
        limits = limits or SecondaryLimits()
        minute, hour = 60.0 + limits.margin_seconds, 3600.0 + limits.margin_seconds
        self._clock = clock
        self._max_wait_seconds = max_wait_seconds
        self._slots = threading.BoundedSemaphore(limits.concurrent_calls)
        self._changed = threading.Condition()
        self._points = _Window(limits.points_per_minute, minute)
        self._creations = (
            _Window(limits.creations_per_minute, minute),
            _Window(limits.creations_per_hour, hour),
        )
        self._hourly: dict[str, _Hourly] = {}
        self._under_way = 0
        self._refused_until: datetime | None = None
        self._blind_waits = 0
        self._calls: Counter[str] = Counter()
        self._waited_seconds = 0.0

    @contextmanager
    def spend(self, method: str) -> Iterator[None]:
        """Wait until one call may be sent, and hold its place while the body of ``with`` sends it.

        Args:
            method: The HTTP method, in capitals.

        Raises:
            Transient: The wait would be longer than that; nothing was sent.
        """
        with self._slots:
            windows = self._wait_for_turn(method)
            try:
                yield
            finally:
                with self._changed:
                    for window, points in windows:
                        window.end(points, self._clock.now())
                    self._under_way -= 1
                    self._changed.notify_all()

    def _wait_for_turn(self, method: str) -> list[tuple[_Window, int]]:
        windows = [(self._points, 1 if method in READ_METHODS else 5)]
        if method in ("POST", "PATCH", "PUT"):
            windows += [(window, 1) for window in self._creations]
        waited = 0.0
        while True:
            with self._changed:
                wait, why = self._next_wait(windows)
                if wait is None:
                    self._changed.wait()
                    continue
                if wait <= 0:
                    for window, points in windows:
                        window.start(points)
                    self._start(method)
                    return windows
            waited += wait
            if waited > longest_wait(self._max_wait_seconds):
                raise Transient(
                    f"{why} is used up for another {wait:.0f} s, longer than this call may wait.",
                    unchanged="Nothing was sent.",
                    next_step="try again after that time.",
                    retry_after_seconds=wait,
                )
            _LOG.info("Waiting %.0f s: %s is used up.", wait, why)
            self._clock.sleep(wait)
            with self._changed:
                self._waited_seconds += wait

    def _next_wait(self, windows: list[tuple[_Window, int]]) -> tuple[float | None, str]:
        now = self._clock.now()
        waits: list[tuple[float, str]] = [(0.0, "")]
        for window, points in windows:
            until = window.seconds_until(points, now)
            if until is None:
                return None, ""
            waits.append((until, "GitHub's secondary limit (as counted here)"))
        if self._refused_until is not None:
            waits.append(((self._refused_until - now).total_seconds(), "GitHub's secondary limit"))
        hourly = self._hourly.get(_CORE)
        if hourly is not None:
            if hourly.reset_at <= now:
                del self._hourly[_CORE]  # a new hour, whose numbers the next answer tells
            elif hourly.remaining <= 0:
                left = (hourly.reset_at - now).total_seconds()
                waits.append((left, f"GitHub's hourly budget ({_CORE}, {hourly.limit} calls)"))
        return max(waits)

    def _start(self, method: str) -> None:
        self._calls[method] += 1
        self._under_way += 1
        if _CORE in self._hourly:
            self._hourly[_CORE].remaining -= 1

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take in the ``x-ratelimit-*`` headers of an answer that was not refused.

        Args:
            headers: The response headers, names in lower case.
        """
        remaining, reset = (
            _number(headers.get("x-ratelimit-remaining")),
            _number(headers.get("x-ratelimit-reset")),
        )
        with self._changed:
            self._blind_waits = 0
            if remaining is None or reset is None:
                return
            resource = headers.get("x-ratelimit-resource", _CORE)
            limit = int(_number(headers.get("x-ratelimit-limit")) or 0)
            # One second more, for their reset is cut to whole seconds.
            reset_at = datetime.fromtimestamp(reset, UTC) + timedelta(seconds=1)
            known = self._hourly.get(resource)
            # Other calls under way, whose cost this answer may not have seen yet.
            left = int(remaining) - max(0, self._under_way - 1)
            if known is not None and reset_at <= known.reset_at:
                # Answers overtake each other: in the same hour, what remains only shrinks.
                known.remaining = (
                    min(known.remaining, left) if reset_at == known.reset_at else known.remaining
                )
                return
            self._hourly[resource] = _Hourly(limit=limit, remaining=left, reset_at=reset_at)

    def refused(self, refusal: Refusal, headers: Mapping[str, str]) -> float:
        """Hold back every further call as a refusal asks; return for how many seconds."""
        with self._changed:
            now = self._clock.now()
            wait = refusal.wait_seconds
            if wait is None:
                wait = min(_FIRST_BLIND_WAIT_SECONDS * 2**self._blind_waits, _LONGEST_BLIND_WAIT_SECONDS)
                self._blind_waits += 1
            until = now + timedelta(seconds=wait + 1)
            if refusal.resource is not None:
                limit = int(_number(headers.get("x-ratelimit-limit")) or 0)
                self._hourly[refusal.resource] = _Hourly(limit=limit, remaining=0, reset_at=until)
            elif self._refused_until is None or until > self._refused_until:
                self._refused_until = until
            return wait + 1

    def calls(self) -> dict[str, int]:
        """Return how many calls were sent so far, by HTTP method."""
        with self._changed:
            return dict(self._calls)

    def waited_seconds(self) -> float:
        """Return how long calls were held back so far, all together."""
        with self._changed:
            return self._waited_seconds
