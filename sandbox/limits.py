"""GitHub's rate limits: the hourly budget, and the secondary limits that answer bursts.

Numbers as documented: 5,000 requests an hour for a user (60 without a token); at most 100 at a time,
900 points a minute (a read is 1, a write 5), 80 content-creating requests a minute and 500 an hour.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

HOUR_SECONDS = 3600


@dataclass(frozen=True)
class LimitSettings:
    """The limits of a scenario; ``secondary_status`` (403, 429) and ``retry_after`` shape the refusals."""

    requests_per_hour: int = 5000
    anonymous_requests_per_hour: int = 60
    points_per_minute: int = 900
    content_per_minute: int = 80
    content_per_hour: int = 500
    concurrent: int = 100
    secondary_status: int = 403
    retry_after: bool = True


@dataclass(frozen=True)
class Refusal:
    """A request that a limit turns away. ``retry_after_seconds`` is None when the answer does not say."""

    primary: bool
    status: int
    retry_after_seconds: int | None


class _Window:
    """A sum over the last ``seconds``."""

    def __init__(self, seconds: int) -> None:
        self._length = timedelta(seconds=seconds)
        self._entries: deque[tuple[datetime, int]] = deque()
        self.total = 0

    def expire(self, now: datetime) -> None:
        while self._entries and self._entries[0][0] <= now - self._length:
            self.total -= self._entries.popleft()[1]

    def add(self, now: datetime, amount: int) -> None:
        self._entries.append((now, amount))
        self.total += amount

    def wait_seconds(self, now: datetime) -> int:
        if not self._entries:  # a limit of 0
            return math.ceil(self._length.total_seconds())
        return max(1, math.ceil((self._entries[0][0] + self._length - now).total_seconds()))


@dataclass
class _Account:
    limit: int
    resets_at: datetime
    used: int = 0
    in_flight: int = 0
    points: _Window = field(default_factory=lambda: _Window(60))
    content: _Window = field(default_factory=lambda: _Window(60))
    content_hour: _Window = field(default_factory=lambda: _Window(HOUR_SECONDS))


class Limits:
    """Books requests per actor. The caller holds the stand-in's lock."""

    def __init__(self, settings: LimitSettings) -> None:
        self.settings = settings
        self._accounts: dict[str, _Account] = {}

    def _account(self, actor: str | None, now: datetime) -> _Account:
        limit = self.settings.requests_per_hour if actor else self.settings.anonymous_requests_per_hour
        account = self._accounts.setdefault(
            actor or "", _Account(limit, now + timedelta(seconds=HOUR_SECONDS))
        )
        if now >= account.resets_at:
            account.used = 0
            account.resets_at = now + timedelta(seconds=HOUR_SECONDS)
        for window in (account.points, account.content, account.content_hour):
            window.expire(now)
        return account

    def admit(
        self, actor: str | None, now: datetime, *, points: int, creates_content: bool
    ) -> Refusal | None:
        """Book a request, or say why it is turned away; an admitted one must be ``release``d."""
        account = self._account(actor, now)
        if account.used >= account.limit:
            return Refusal(primary=True, status=403, retry_after_seconds=None)
        limits = self.settings
        waits = []
        if account.in_flight >= limits.concurrent:
            waits.append(1)
        if account.points.total + points > limits.points_per_minute:
            waits.append(account.points.wait_seconds(now))
        if creates_content and account.content.total >= limits.content_per_minute:
            waits.append(account.content.wait_seconds(now))
        if creates_content and account.content_hour.total >= limits.content_per_hour:
            waits.append(account.content_hour.wait_seconds(now))
        if waits:
            wait = max(waits) if limits.retry_after else None
            return Refusal(primary=False, status=limits.secondary_status, retry_after_seconds=wait)
        account.used += 1
        account.in_flight += 1
        account.points.add(now, points)
        if creates_content:
            account.content.add(now, 1)
            account.content_hour.add(now, 1)
        return None

    def refund(self, actor: str | None, now: datetime) -> None:
        """Give an admitted request back: 304 Not Modified costs nothing."""
        self._account(actor, now).used -= 1

    def release(self, actor: str | None, now: datetime) -> None:
        """End an admitted request, once its answer was sent."""
        self._account(actor, now).in_flight -= 1

    def overview(self, actor: str | None, now: datetime) -> dict[str, int]:
        """Return limit, used, remaining and reset (epoch seconds) of the hourly budget."""
        account = self._account(actor, now)
        return {
            "limit": account.limit,
            "used": account.used,
            "remaining": account.limit - account.used,
            "reset": math.ceil(account.resets_at.timestamp()),
        }
