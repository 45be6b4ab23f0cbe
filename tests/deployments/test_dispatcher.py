"""The dispatcher: wakes what was decided, nothing else, and outlives what it depends on."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import sandbox
from deployments.dispatcher import LONGEST_BACKOFF_SECONDS, TARGET, Dispatcher
from runbook.clock import SystemClock, VirtualClock
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.leases import Fenced, Lease, Leases
from runbook.errors import LedgerError, Transient
from runbook.installation import Installation
from runbook.settings import Settings
from tasks.waking import Woken
from tests.deployments.cli.story import POLICY, REPOSITORY, Story, comment_as, product, waiting_plan

POLL_SECONDS = 15


class Waker:
    """Takes the place of Prefect: notes whom it wakes, and may be away."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.away = False

    def __call__(self, flow_run_id: str) -> Woken:
        if self.away:
            raise Transient("The Prefect server does not answer.")
        self.woken.append(flow_run_id)
        return Woken.RESUMED


@pytest.fixture
def clock() -> VirtualClock:
    """Time that passes only when somebody sleeps, for product and stand-in alike."""
    return VirtualClock(datetime(2026, 11, 24, 3, 0, tzinfo=UTC))


@pytest.fixture
def box(clock: VirtualClock) -> Iterator[sandbox.Box]:
    """Run the demo's GitHub on that time."""
    with sandbox.running(clock=clock) as running:
        yield running


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a policy file that a test may change."""
    path = tmp_path / "runbook.toml"
    path.write_text(POLICY.read_text())
    return path


@pytest.fixture
def here(box: sandbox.Box, clock: VirtualClock, policy: Path, tmp_path: Path) -> Iterator[Installation]:
    """Open an installation on the stand-in."""
    settings = Settings.from_environment(
        {
            "RUNBOOK_POLICY": str(policy),
            "RUNBOOK_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
            "GITHUB_API_URL": box.url,
            "GITHUB_TOKEN": box.token,
        }
    )
    installation = Installation.open(settings, clock=clock)
    yield installation
    installation.ledger.close()
    installation.github.close()


@pytest.fixture
def waker() -> Waker:
    """Return a Prefect that notes whom it wakes."""
    return Waker()


@pytest.fixture
def dispatcher(here: Installation, waker: Waker, clock: VirtualClock) -> Dispatcher:
    """Return a dispatcher that is not running yet."""
    return Dispatcher(here, wake=waker, clock=clock)


def test_undecided_plan_is_left_asleep(here: Installation, dispatcher: Dispatcher, waker: Waker) -> None:
    waiting_plan(here, by=product())
    dispatcher.cycle()
    assert waker.woken == []
    assert dispatcher.pause_seconds == POLL_SECONDS


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_decided_plan_is_woken(
    here: Installation, dispatcher: Dispatcher, waker: Waker, box: sandbox.Box, verb: str
) -> None:
    story = waiting_plan(here, by=product())
    comment_as(box, "alice", story, f"/{verb} {story.plan.short_digest}")
    dispatcher.cycle()
    assert waker.woken == [story.execution_id]


def test_comment_that_does_not_count_wakes_nobody(
    here: Installation, dispatcher: Dispatcher, waker: Waker, box: sandbox.Box
) -> None:
    story = waiting_plan(here, by=product())
    comment_as(box, "mallory", story, f"/approve {story.plan.digest}")
    dispatcher.cycle()
    assert waker.woken == []


def test_expired_plan_is_woken_so_that_it_ends(
    here: Installation, dispatcher: Dispatcher, waker: Waker, clock: VirtualClock
) -> None:
    story = waiting_plan(here, by=product(), expires_after_seconds=3600)
    clock.sleep(3601)
    dispatcher.cycle()
    assert waker.woken == [story.execution_id]


def test_policy_is_read_anew_in_each_cycle(
    here: Installation, dispatcher: Dispatcher, waker: Waker, box: sandbox.Box, policy: Path
) -> None:
    story = waiting_plan(here, by=product())
    comment_as(box, "carol", story, f"/approve {story.plan.digest}")
    dispatcher.cycle()
    assert waker.woken == []
    policy.write_text(policy.read_text().replace('["alice", "bob"]', '["alice", "carol"]'))
    dispatcher.cycle()
    assert waker.woken == [story.execution_id]


def test_unreadable_policy_means_doing_nothing(
    here: Installation,
    dispatcher: Dispatcher,
    waker: Waker,
    box: sandbox.Box,
    policy: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = waiting_plan(here, by=product())
    comment_as(box, "alice", story, f"/approve {story.plan.digest}")
    readable = policy.read_text()
    policy.write_text("approvals = 'everybody'")
    asked = len(box.requests)
    dispatcher.cycle()
    dispatcher.cycle()
    assert waker.woken == []
    assert len(box.requests) == asked
    assert len(_warnings(caplog)) == 1, "said once"
    policy.write_text(readable)
    dispatcher.cycle()
    assert waker.woken == [story.execution_id]


def test_github_away_is_said_once_waited_out_and_gone_on_from(
    here: Installation,
    dispatcher: Dispatcher,
    waker: Waker,
    box: sandbox.Box,
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = waiting_plan(here, by=product())
    comment_as(box, "alice", story, f"/approve {story.plan.digest}")
    box.fail("500_before", method="GET", times=8)  # two cycles: a read is tried four times
    pauses = []
    for _ in range(2):
        dispatcher.cycle()
        pauses.append(dispatcher.pause_seconds)
    assert waker.woken == []
    assert pauses == [2 * POLL_SECONDS, 4 * POLL_SECONDS]
    assert len(_warnings(caplog)) == 1
    dispatcher.cycle()
    assert waker.woken == [story.execution_id]
    assert dispatcher.pause_seconds == POLL_SECONDS


def test_prefect_away_loses_no_decision(
    here: Installation, dispatcher: Dispatcher, waker: Waker, box: sandbox.Box
) -> None:
    story = waiting_plan(here, by=product())
    comment_as(box, "alice", story, f"/approve {story.plan.digest}")
    waker.away = True
    for _ in range(20):
        dispatcher.cycle()
    assert dispatcher.pause_seconds == LONGEST_BACKOFF_SECONDS
    waker.away = False
    dispatcher.cycle()
    assert waker.woken == [story.execution_id]


def test_trouble_with_one_plan_does_not_keep_others_asleep(
    here: Installation,
    dispatcher: Dispatcher,
    waker: Waker,
    box: sandbox.Box,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rerun = RerunFailedJobs(repository=REPOSITORY, run_id=7, failed_attempt=1, workflow_file="ci-test.yml")
    broken = waiting_plan(here, by=product(), effect=rerun)
    fine = waiting_plan(here, by=product())
    comment_as(box, "alice", fine, f"/approve {fine.plan.digest}")
    box.fail(
        "403", path_regex=f".*/issues/{broken.issue}/comments", message="Resource not accessible", times=100
    )
    dispatcher.cycle()
    dispatcher.cycle()
    assert set(waker.woken) == {fine.execution_id}
    assert len(_warnings(caplog)) == 1


def _waiting_plans(here: Installation, number: int) -> list[Story]:
    """Return that many plans of runs of their own, oldest first."""
    return [
        waiting_plan(
            here,
            by=product(),
            effect=RerunFailedJobs(
                repository=REPOSITORY, run_id=run_id, failed_attempt=1, workflow_file="ci-test.yml"
            ),
        )
        for run_id in range(1, number + 1)
    ]


def _unreadable(box: sandbox.Box, stories: list[Story]) -> None:
    """Let GitHub fail, for good, whenever the comments of these plans are read."""
    numbers = "|".join(str(story.issue) for story in stories)
    box.fail("500_before", method="GET", path_regex=f".*/issues/({numbers})/comments", times=10_000)


@pytest.mark.parametrize("broken", [1, 2, 3, 4, 7])
def test_plans_that_github_cannot_answer_for_starve_none_after_them(
    here: Installation,
    dispatcher: Dispatcher,
    waker: Waker,
    box: sandbox.Box,
    broken: int,
) -> None:
    *unreadable, fine = _waiting_plans(here, broken + 1)
    _unreadable(box, unreadable)
    comment_as(box, "alice", fine, f"/approve {fine.plan.digest}")
    for _ in range(broken // 3 + 1):
        dispatcher.cycle()
    assert waker.woken == [fine.execution_id]


def test_trouble_with_some_plans_slows_nothing_down_and_is_said_once_for_each(
    here: Installation, dispatcher: Dispatcher, box: sandbox.Box, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable, _ = _waiting_plans(here, 2)
    _unreadable(box, [unreadable])
    for _ in range(3):
        dispatcher.cycle()
        assert dispatcher.pause_seconds == POLL_SECONDS
    (said,) = _warnings(caplog)
    assert said.startswith(f"Plan {unreadable.plan.short_digest}: ")


def test_github_away_is_noticed_by_three_plans_and_backed_off_from(
    here: Installation, dispatcher: Dispatcher, box: sandbox.Box, caplog: pytest.LogCaptureFixture
) -> None:
    stories = _waiting_plans(here, 5)
    _unreadable(box, stories)
    asked = []
    for _ in range(2):
        before = len(box.requests)
        dispatcher.cycle()
        paths = [request["path"] for request in box.requests[before:] if "comments" in request["path"]]
        asked.append([int(path.split("/")[-2]) for path in dict.fromkeys(paths)])
    numbers = [story.issue for story in stories]
    assert asked == [numbers[:3], [*numbers[3:], numbers[0]]], "another three each time"
    assert dispatcher.pause_seconds == 4 * POLL_SECONDS
    assert len(_warnings(caplog)) == 1, "said once"


def test_only_one_dispatcher_works_on_a_ledger(here: Installation, waker: Waker, clock: VirtualClock) -> None:
    leases = Leases(here.ledger, clock=clock, lease_seconds=100_000, poll_seconds=1)
    held = leases.acquire((TARGET,), execution_id="dispatcher:another")
    with pytest.raises(Transient, match="Another dispatcher"):
        Dispatcher(here, wake=waker, clock=clock).run()
    leases.release(held)


def test_dispatcher_that_lost_its_lease_stops(
    here: Installation, dispatcher: Dispatcher, waker: Waker, clock: VirtualClock
) -> None:
    waiting_plan(here, by=product())
    leases = Leases(here.ledger, clock=clock, lease_seconds=60, poll_seconds=1)
    mine = leases.acquire((TARGET,), execution_id="dispatcher:mine")
    clock.sleep(61)
    leases.acquire((TARGET,), execution_id="dispatcher:other")
    with pytest.raises(Fenced):
        dispatcher.cycle(mine)
    assert waker.woken == []


class Watched(VirtualClock):
    """Has somebody look before each sleep and after it, and ends the loop in three hours."""

    def __init__(self, start: datetime, look: Callable[[], None]) -> None:
        super().__init__(start)
        self._end = start + timedelta(hours=3)
        self._look = look

    def sleep(self, seconds: float) -> None:
        self._look()
        super().sleep(seconds)
        self._look()
        if self.now() >= self._end:
            raise KeyboardInterrupt


@pytest.mark.parametrize("written", ["poll_seconds = 15", "poll_seconds = 3600", "poll_seconds = 'never'"])
def test_dispatcher_with_nothing_to_look_at_keeps_its_lease(
    here: Installation, waker: Waker, policy: Path, clock: VirtualClock, written: str
) -> None:
    policy.write_text(policy.read_text().replace("poll_seconds = 15", written))
    taken: list[Lease] = []

    def try_to_take() -> None:
        thief = Leases(here.ledger, clock=watched, lease_seconds=60, poll_seconds=1)
        lease = thief.acquire_now((TARGET,), execution_id="dispatcher:another")
        taken.extend([lease] if lease is not None else [])

    watched = Watched(clock.now(), try_to_take)
    with pytest.raises(KeyboardInterrupt):
        Dispatcher(here, wake=waker, clock=watched).run()
    assert taken == []
    try_to_take()
    assert len(taken) == 1, "it was given back"


def test_dispatcher_outlives_a_locked_ledger(
    here: Installation, waker: Waker, policy: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it sleeps, too: the next cycle says so and goes on."""
    policy.write_text(policy.read_text().replace("poll_seconds = 15", "poll_seconds = 3600"))
    kept = iter([None, None, LedgerError("locked"), LedgerError("locked")])
    keep = Leases.keep

    def may_fail(leases: Leases, lease: Lease) -> None:
        if error := next(kept, None):
            raise error
        keep(leases, lease)

    monkeypatch.setattr(Leases, "keep", may_fail)
    with pytest.raises(KeyboardInterrupt):
        Dispatcher(here, wake=waker, clock=Watched(clock.now(), lambda: None)).run()
    assert list(kept) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signal_ends_it_at_once_and_gives_the_lease_back(
    here: Installation, tmp_path: Path, box: sandbox.Box, policy: Path, number: signal.Signals, status: int
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RUNBOOK_POLICY": str(policy),
        "RUNBOOK_LEDGER_URL": here.settings.ledger_url.get_secret_value(),
        "GITHUB_API_URL": box.url,
        "GITHUB_TOKEN": box.token,
    }
    _ = here.ledger
    command = [sys.executable, "-m", "deployments.dispatcher"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert "looks" in child.stderr.readline()
        child.send_signal(number)
        _, rest = child.communicate(timeout=10)
    assert child.returncode == status
    assert "Traceback" not in rest
    # Nobody holds it now: taking it needs no waiting.
    taken = Leases(here.ledger, clock=SystemClock(), lease_seconds=1, poll_seconds=1)
    assert taken.acquire((TARGET,), execution_id="dispatcher:next").tokens[TARGET] == 2


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "runbook.dispatcher" and record.levelno >= logging.WARNING
    ]
