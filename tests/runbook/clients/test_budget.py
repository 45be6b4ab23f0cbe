"""Rules of the budget: use what GitHub gives, trip nothing, and say so when the wait is too long."""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.clients.budget import Budget, Refusal, SecondaryLimits, read_refusal
from runbook.clock import VirtualClock
from runbook.errors import Transient
from runbook.patience import waiting_at_most

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Sliding:
    """The sum of what was added in the last ``seconds``."""

    def __init__(self, seconds: int) -> None:
        self.length, self.entries, self.total = timedelta(seconds=seconds), deque[tuple[datetime, int]](), 0

    def add(self, now: datetime, amount: int) -> int:
        self.entries.append((now, amount))
        self.total += amount
        while self.entries[0][0] <= now - self.length:
            self.total -= self.entries.popleft()[1]
        return self.total


class Judge:
    """Counts as GitHub documents it: points and creations in any 60 s, creations and calls in an hour."""

    def __init__(self, clock: VirtualClock, *, hourly: int = 5000) -> None:
        self.clock, self.hourly, self.left = clock, hourly, hourly
        self.reset_at = clock.now() + timedelta(hours=1)
        self.lock = threading.Lock()
        self.points, self.by_minute, self.by_hour = Sliding(60), Sliding(60), Sliding(3600)

    def answer(self, method: str) -> dict[str, str]:
        with self.lock:
            now = self.clock.now()
            if now >= self.reset_at:
                self.left, self.reset_at = self.hourly, now + timedelta(hours=1)
            self.left -= 1
            creates = int(method in ("POST", "PATCH", "PUT"))
            assert self.left >= 0, "hourly limit tripped"
            assert self.points.add(now, 1 if method == "GET" else 5) <= 900, "points limit tripped"
            assert self.by_minute.add(now, creates) <= 80, "creations a minute tripped"
            assert self.by_hour.add(now, creates) <= 500, "creations an hour tripped"
            return {
                "x-ratelimit-limit": str(self.hourly),
                "x-ratelimit-remaining": str(self.left),
                "x-ratelimit-reset": str(int(self.reset_at.timestamp())),
                "x-ratelimit-resource": "core",
            }


def send(budget: Budget, judge: Judge, method: str) -> None:
    with budget.spend(method):
        headers = judge.answer(method)
        budget.learn(headers)


@pytest.mark.parametrize(
    ("method", "calls", "least_seconds"),
    [
        ("DELETE", 1000, 5 * 60),  # 180 writes a minute
        ("DELETE", 12_000, 2 * 3600),  # 5,000 an hour
        ("GET", 20_000, 3 * 3600),
        ("POST", 80 * 3, 2 * 60),  # 80 creations a minute
        ("POST", 1500, 2 * 3600),  # 500 creations an hour
    ],
)
def test_at_least_nine_tenths_of_the_binding_limit_is_used(
    method: str, calls: int, least_seconds: float
) -> None:
    clock = VirtualClock(START)
    budget = Budget(clock, max_wait_seconds=4000)
    judge = Judge(clock)
    for _ in range(calls):
        send(budget, judge, method)
    taken = (clock.now() - START).total_seconds()
    assert least_seconds / taken >= 0.9
    assert budget.calls() == {method: calls}
    assert budget.waited_seconds() == pytest.approx(taken)


@given(st.lists(st.sampled_from(["GET", "DELETE", "POST"]), min_size=1, max_size=600), st.integers(50, 400))
@settings(max_examples=40, deadline=None)
def test_no_mix_of_calls_trips_a_limit(methods: list[str], hourly: int) -> None:
    clock = VirtualClock(START)
    budget = Budget(clock, max_wait_seconds=1e9)
    judge = Judge(clock, hourly=hourly)
    for method in methods:
        send(budget, judge, method)


def test_many_threads_trip_no_limit_either() -> None:
    clock = VirtualClock(START)
    budget = Budget(clock, max_wait_seconds=1e9)
    judge = Judge(clock, hourly=700)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: send(budget, judge, ("GET", "DELETE", "POST")[n % 3]), range(1500)))
    assert sum(budget.calls().values()) == 1500


def test_no_more_calls_are_under_way_than_allowed() -> None:
    budget = Budget(VirtualClock(START), limits=SecondaryLimits(concurrent_calls=3))
    lock, gate = threading.Lock(), threading.Semaphore(0)
    under_way, most = 0, 0

    def call() -> None:
        nonlocal under_way, most
        with budget.spend("GET"):
            with lock:
                under_way += 1
                most = max(most, under_way)
                if under_way == 3:
                    gate.release(20)
            assert gate.acquire(timeout=10)
            with lock:
                under_way -= 1

    with ThreadPoolExecutor(12) as pool:
        for result in [pool.submit(call) for _ in range(12)]:
            result.result(timeout=20)
    assert most == 3


def test_a_call_that_fails_gives_its_place_back() -> None:
    budget = Budget(VirtualClock(START), limits=SecondaryLimits(concurrent_calls=1))
    with pytest.raises(RuntimeError), budget.spend("GET"):
        raise RuntimeError
    with budget.spend("GET"):
        pass


def test_a_wait_longer_than_allowed_is_refused_with_its_length_and_nothing_sent() -> None:
    clock = VirtualClock(START)
    budget = Budget(clock, max_wait_seconds=60)
    budget.learn(
        {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(int(START.timestamp()) + 1800),
        }
    )
    said = r"hourly budget \(core, 5000 calls\).*Nothing was sent"
    with pytest.raises(Transient, match=said) as refusal, budget.spend("GET"):
        pytest.fail("sent")
    assert refusal.value.retry_after_seconds == pytest.approx(1801)
    assert clock.now() == START
    assert budget.calls() == {}
    assert budget.waited_seconds() == 0


def test_a_caller_in_a_hurry_is_refused_a_wait_that_the_budget_would_allow() -> None:
    clock = VirtualClock(START)
    budget = Budget(clock, max_wait_seconds=900)
    budget.refused(Refusal(wait_seconds=30, resource=None), {})
    with pytest.raises(Transient) as refused, waiting_at_most(5), budget.spend("POST"):
        raise AssertionError("it was sent")
    assert refused.value.retry_after_seconds == pytest.approx(31)
    assert clock.now() == START
    with budget.spend("POST"):
        assert clock.now() - START == timedelta(seconds=31)


def test_other_hourly_budgets_do_not_hold_a_call_back() -> None:
    budget = Budget(VirtualClock(START), max_wait_seconds=0)
    budget.learn(
        {
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(int(START.timestamp()) + 1800),
            "x-ratelimit-resource": "search",
        }
    )
    with budget.spend("GET"):
        pass


def test_answers_that_overtake_each_other_never_raise_what_is_left() -> None:
    clock = VirtualClock(START)
    budget = Budget(clock, max_wait_seconds=0)
    reset = str(int(START.timestamp()) + 1800)
    budget.learn({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})
    budget.learn({"x-ratelimit-remaining": "1", "x-ratelimit-reset": reset})
    budget.learn({"x-ratelimit-remaining": "99", "x-ratelimit-reset": str(int(START.timestamp()) - 5)})
    with pytest.raises(Transient), budget.spend("GET"):
        pytest.fail("sent")


def test_refusals_without_a_time_are_waited_out_longer_each_time_until_one_succeeds() -> None:
    clock = VirtualClock(START)
    budget = Budget(clock, max_wait_seconds=1e6)
    blind = Refusal(wait_seconds=None, resource=None)
    assert [budget.refused(blind, {}) for _ in range(6)] == [61, 121, 241, 481, 961, 961]
    with budget.spend("GET"):
        assert (clock.now() - START).total_seconds() >= 961
    budget.learn({})
    assert budget.refused(blind, {}) == 61


NOW = int(START.timestamp())


@pytest.mark.parametrize(
    ("status", "headers", "message", "expected"),
    [
        (403, {}, "Resource not accessible by personal access token", None),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW)}, "Must have admin rights", None),
        (404, {"retry-after": "5"}, "Not Found", None),
        (200, {"retry-after": "5"}, "", None),
        (429, {"retry-after": "7"}, "", Refusal(7, None)),
        (403, {"retry-after": "60"}, "You have exceeded a secondary rate limit", Refusal(60, None)),
        (
            403,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 90)},
            "API rate limit exceeded for user ID 1.",
            Refusal(90, "core"),
        ),
        (
            429,
            {
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(NOW - 9),
                "x-ratelimit-resource": "search",
            },
            "",
            Refusal(0, "search"),
        ),
        (
            403,
            {"x-ratelimit-remaining": "12"},
            "You have exceeded a secondary rate limit",
            Refusal(None, None),
        ),
        (403, {}, "You have triggered an abuse detection mechanism", Refusal(None, None)),
        (429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", Refusal(None, None)),
    ],
)
def test_what_an_answer_says_about_limits(
    status: int, headers: dict[str, str], message: str, expected: Refusal | None
) -> None:
    assert read_refusal(status, headers, message, now=START) == expected
