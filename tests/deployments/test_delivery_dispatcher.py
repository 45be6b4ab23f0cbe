"""The dispatcher of deliveries: each failed attempt is started once, whatever is lost, doubled, late or away."""

import asyncio
import json
import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

import runbook.effects.catalogue  # noqa: F401 - plans name effects
from deployments.delivery_actions import PlanWaker, PrefectStarter
from deployments.delivery_dispatcher import (
    LONGEST_BACKOFF_SECONDS,
    POLL_SECONDS,
    ROLLBACK,
    TARGET,
    TRIAGE,
    DeliveryDispatcher,
    _dispatch,
    run,
)
from deployments.gateway.app import create_app
from runbook.clock import VirtualClock
from runbook.decisions.deliveries import WakePlans
from runbook.effects.actions_caches import DeleteCacheEntries
from runbook.engine.deliveries import Deliveries, DeliveryState, Incoming, pack
from runbook.engine.executions import BY_PRODUCT, Executions
from runbook.engine.leases import Leases
from runbook.engine.ledger import Ledger
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import Plans, StoredPlan
from runbook.engine.schema import PlanRow
from runbook.errors import Conflict, Denied, LedgerError, PolicyError, RunbookError, Transient, UsageError
from runbook.policy import Policy
from runbook.requests import Mode, ProcedureRequest, RollbackImageRequest, TriageRequest
from runbook.settings import Settings
from tasks.waking import Woken
from tests.deployments.gateway.conftest import connected
from tests.deployments.gateway.payloads import PATH, POLICY, REPOSITORY, SECRET, body_of, headers, run_payload

START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


class Prefect:
    """Takes the place of Prefect: one run for each idempotency key; it may be away, refuse, or die in between."""

    def __init__(self) -> None:
        self.runs: dict[str, ProcedureRequest] = {}
        self.calls: list[str] = []
        self.announced: list[str] = []
        self.deaf = False
        self.trouble: Callable[[str], RunbookError | None] = lambda key: None
        self.after: Callable[[], None] = lambda: None

    def start(self, procedure: str, request: ProcedureRequest, *, idempotency_key: str) -> str:
        assert procedure == (ROLLBACK if isinstance(request, RollbackImageRequest) else TRIAGE)
        self.calls.append(idempotency_key)
        trouble = self.trouble(idempotency_key)
        if trouble is not None:
            raise trouble
        self.runs.setdefault(idempotency_key, request)
        self.after()
        return f"triage-{idempotency_key}"

    def announce(self, event: str, *, about: str, payload: Mapping[str, object], at: datetime) -> None:
        assert event == "runbook.attempt.failed"
        if self.deaf:
            raise Transient("The Prefect server answered 503.")
        self.announced.append(about)


@dataclass
class Desk:
    """A dispatcher and what is around it."""

    dispatcher: DeliveryDispatcher
    deliveries: Deliveries
    prefect: Prefect
    clock: VirtualClock
    woken: list[WakePlans]

    def receive(self, *bodies: bytes, event: str = "workflow_run", key: str | None = None) -> None:
        """Store bodies as the gateway does."""
        self.deliveries.store(
            [
                Incoming(
                    id=str(uuid.uuid4()),
                    event=event,
                    action="",
                    repository=REPOSITORY,
                    key=key or str(uuid.uuid4()),
                    body=pack(body),
                )
                for body in bodies
            ]
        )

    def work(self, *, seconds: float) -> None:
        """Let the dispatcher work for so long, as its loop does, but that an idle one looks every five seconds."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < until:
            self.dispatcher.cycle()
            self.clock.sleep(max(5.0, self.dispatcher.pause_seconds))

    def count(self, state: DeliveryState) -> int:
        """Count deliveries."""
        return self.deliveries.backlog().counts[state]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def new_desk(ledger: Ledger, clock: VirtualClock) -> Callable[..., Desk]:
    prefect, woken = Prefect(), list[WakePlans]()

    def wake(wanted: WakePlans, policy: Policy) -> str:
        woken.append(wanted)
        return "plans woken"

    def make(policy: Callable[[], Policy] = lambda: POLICY) -> Desk:
        deliveries = Deliveries(ledger, clock=clock)
        dispatcher = DeliveryDispatcher(
            deliveries,
            policy=policy,
            starter=prefect,
            executions=Executions(ledger, clock=clock),
            wake=wake,
            clock=clock,
        )
        return Desk(dispatcher, deliveries, prefect, clock, woken)

    return make


@pytest.fixture
def desk(new_desk: Callable[..., Desk]) -> Desk:
    return new_desk()


def key_of(run_id: int, attempt: int = 1) -> str:
    return f"{REPOSITORY}:{run_id}:{attempt}"


def test_failed_attempt_is_triaged_in_apply_mode_under_its_own_key(desk: Desk) -> None:
    desk.receive(run_payload(42, attempt=3))
    assert desk.dispatcher.cycle() == 1
    assert list(desk.prefect.runs) == [key_of(42, 3)]
    assert desk.prefect.runs[key_of(42, 3)].canonical() == {
        "repository": REPOSITORY,
        "mode": "apply",
        "run_id": 42,
        "run_attempt": 3,
    }
    assert desk.dispatcher.cycle() == 0


def failed_deployment(deployment_id: int, state: str = "failure", *, status_id: int = 1) -> bytes:
    """Return what GitHub sends of a deployment."""
    return body_of(
        action="created",
        deployment_status={"id": status_id, "state": state},
        deployment={"id": deployment_id, "sha": 40 * "a", "environment": "production"},
    )


def test_failed_deployment_starts_one_rollback_that_the_product_asks_for(
    ledger: Ledger, clock: VirtualClock, desk: Desk
) -> None:
    key = f"{REPOSITORY}:deployment:9:1"
    desk.receive(failed_deployment(9), failed_deployment(9, "error"), event="deployment_status", key=key)
    desk.work(seconds=10)
    desk.receive(failed_deployment(9), event="deployment_status", key=key)
    desk.receive(failed_deployment(10, "success"), event="deployment_status")
    desk.work(seconds=10)
    (started,) = desk.prefect.calls
    request = desk.prefect.runs[started].canonical()
    assert request == {
        "repository": REPOSITORY,
        "mode": "apply",
        "services": ["tts-service"],
        "deployment_id": 9,
    }
    assert (desk.count(DeliveryState.DONE), desk.count(DeliveryState.IGNORED)) == (3, 1)
    execution = Executions(ledger, clock=clock).begin(
        "e1", procedure=ROLLBACK, repository=REPOSITORY, subject="s", request=request, idempotency_key=started
    )
    assert execution.requester_kind is BY_PRODUCT.kind


def test_rollback_that_is_not_deployed_is_refused_and_holds_up_no_triage(desk: Desk) -> None:
    def refuse(key: str) -> RunbookError | None:
        return UsageError("rollback-image is not deployed at x.") if ":deployment:" in key else None

    desk.prefect.trouble = refuse
    desk.receive(failed_deployment(9), event="deployment_status")
    desk.receive(run_payload(42))
    desk.dispatcher.cycle()
    assert list(desk.prefect.runs) == [key_of(42)]
    assert desk.dispatcher.pause_seconds == POLL_SECONDS
    assert desk.count(DeliveryState.IGNORED) == 1


def test_rollback_is_asked_for_again_while_prefect_is_away(desk: Desk) -> None:
    away = [Transient("The Prefect server answered 503.")] * 3
    desk.prefect.trouble = lambda key: away.pop() if away else None
    desk.receive(failed_deployment(9), event="deployment_status")
    desk.work(seconds=120)
    assert len(desk.prefect.runs) == 1
    assert len(set(desk.prefect.calls)) == 1, "each try has the same key"
    assert desk.count(DeliveryState.DONE) == 1


def test_deployment_that_fails_once_more_is_planned_for_once_more(desk: Desk) -> None:
    for status_id, state in ((1, "failure"), (2, "in_progress"), (3, "failure")):
        desk.receive(failed_deployment(9, state, status_id=status_id), event="deployment_status")
        desk.work(seconds=10)
    assert len(desk.prefect.runs) == 2


def test_run_that_somebody_else_made_under_a_guessed_key_takes_no_rollbacks_place(desk: Desk) -> None:
    forged = TriageRequest(repository=REPOSITORY, mode=Mode.APPLY, run_id=1, run_attempt=1)
    desk.prefect.runs = {f"{REPOSITORY}:deployment:9:1": forged, f"{REPOSITORY}:deployment:9": forged}
    desk.receive(failed_deployment(9), event="deployment_status")
    desk.work(seconds=10)
    (ours,) = [run for run in desk.prefect.runs.values() if run is not forged]
    assert isinstance(ours, RollbackImageRequest)


def test_failed_attempt_is_announced_and_nothing_depends_on_it(desk: Desk) -> None:
    desk.receive(run_payload(1))
    desk.dispatcher.cycle()
    assert desk.prefect.announced == [key_of(1)]
    desk.prefect.deaf = True
    desk.receive(run_payload(2))
    assert desk.dispatcher.cycle() == 1
    assert desk.dispatcher.pause_seconds == POLL_SECONDS


def test_starter_speaks_prefect_s_api() -> None:
    asked: list[tuple[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"id": "d1"})

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, sent))
            state = {"type": "SCHEDULED", "name": "Scheduled", "timestamp": START.isoformat()}
            run = {"id": "r1", "name": "busy-bee", "state": state}
            self._answer(204, None) if self.path == "/api/events" else self._answer(201, run)

        def _answer(self, status: int, content: object) -> None:
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    request = TriageRequest(repository=REPOSITORY, mode=Mode.APPLY, run_id=42, run_attempt=1)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with PrefectStarter(f"http://127.0.0.1:{server.server_port}/api") as starter:
            assert starter.start(TRIAGE, request, idempotency_key=key_of(42)) == "busy-bee"
            starter.announce("runbook.attempt.failed", about=key_of(42), payload={"run_id": 42}, at=START)
        server.shutdown()
    (path, create), (events, (event,)) = asked  # type: ignore[misc]
    assert path == "/api/deployments/d1/create_flow_run"
    assert create["idempotency_key"] == key_of(42)  # type: ignore[index]
    assert create["parameters"] == {"request": request.canonical()}  # type: ignore[index]
    assert events == "/api/events"
    assert event["resource"]["prefect.resource.id"] == f"runbook.{key_of(42)}"  # type: ignore[index]


def test_process_without_a_prefect_server_says_what_to_set(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="No Prefect server"):
        _dispatch(Settings.from_environment({"HOME": str(tmp_path)}))


def test_oldest_is_started_first(desk: Desk) -> None:
    for run_id in (3, 1, 2):
        desk.receive(run_payload(run_id))
        desk.clock.sleep(1)
    desk.dispatcher.cycle()
    assert desk.prefect.calls == [key_of(3), key_of(1), key_of(2)]


def test_storm_of_the_same_attempt_is_one_start(desk: Desk) -> None:
    for _ in range(3):
        desk.receive(*[run_payload(42)] * 150, key=key_of(42))
        desk.dispatcher.cycle()
    assert desk.prefect.calls == [key_of(42)]
    assert desk.count(DeliveryState.DONE) == 450


def test_command_wakes_the_plans_of_its_issue(desk: Desk) -> None:
    comment = {"body": "/approve 0123456789abcdef", "user": {"login": "alice"}}
    desk.receive(body_of(action="created", comment=comment, issue={"number": 7}), event="issue_comment")
    assert desk.dispatcher.cycle() == 1
    assert [(wanted.issue_number, wanted.login) for wanted in desk.woken] == [(7, "alice")]


def test_policy_in_force_decides_not_the_one_at_reception(new_desk: Callable[..., Desk]) -> None:
    other = POLICY.repositories[0].model_copy(update={"name": "acme/other"})
    desk = new_desk(lambda: POLICY.model_copy(update={"repositories": (other,)}))
    desk.receive(run_payload(42))
    desk.dispatcher.cycle()
    assert desk.prefect.calls == []
    assert desk.count(DeliveryState.IGNORED) == 1


def test_unreadable_policy_means_doing_nothing_until_it_can_be_read(new_desk: Callable[..., Desk]) -> None:
    policies: list[Policy] = []

    def policy() -> Policy:
        if not policies:
            raise PolicyError("runbook.toml is not valid TOML.")
        return policies[0]

    desk = new_desk(policy)
    desk.receive(run_payload(42))
    desk.work(seconds=30)
    assert desk.prefect.calls == []
    policies.append(POLICY)
    desk.work(seconds=60)
    assert list(desk.prefect.runs) == [key_of(42)]


@pytest.mark.parametrize(
    "trouble",
    [
        Transient("The Prefect server does not answer."),
        Denied("The Prefect server wants a password."),
        UsageError("triage-failed-run is not deployed."),
    ],
)
def test_prefect_that_is_away_is_asked_ever_less_often_and_loses_nothing(
    desk: Desk, trouble: RunbookError, caplog: pytest.LogCaptureFixture
) -> None:
    desk.prefect.trouble = lambda key: trouble
    desk.receive(*(run_payload(number) for number in range(1, 21)))
    desk.work(seconds=600)
    assert desk.dispatcher.pause_seconds == LONGEST_BACKOFF_SECONDS
    assert len(desk.prefect.calls) < 30
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    desk.prefect.trouble = lambda key: None
    desk.work(seconds=600)
    assert sorted(desk.prefect.runs) == sorted(key_of(number) for number in range(1, 21))
    assert desk.dispatcher.pause_seconds == POLL_SECONDS


def test_start_that_never_gets_an_answer_holds_up_no_other_for_long(desk: Desk) -> None:
    silent = Transient("The Prefect server does not answer.")
    desk.prefect.trouble = lambda key: silent if key == key_of(1) else None
    desk.receive(run_payload(1), run_payload(2), run_payload(3))
    desk.work(seconds=10)
    assert list(desk.prefect.runs) == [key_of(2), key_of(3)]
    desk.work(seconds=3_600)
    assert desk.count(DeliveryState.WAITING) == 1, "it is never given up while Prefect is what is missing"


def test_run_that_prefect_refuses_holds_up_no_other_and_is_given_up(desk: Desk) -> None:
    refused = Conflict("The Prefect server answered 422.")
    desk.prefect.trouble = lambda key: refused if key == key_of(1) else None
    desk.receive(run_payload(1), run_payload(2))
    desk.dispatcher.cycle()
    assert list(desk.prefect.runs) == [key_of(2)]
    assert desk.dispatcher.pause_seconds == POLL_SECONDS
    desk.work(seconds=3600)
    assert desk.count(DeliveryState.FAILED) == 1
    assert desk.count(DeliveryState.WAITING) == 0


def test_wake_that_fails_holds_up_no_start(
    ledger: Ledger, clock: VirtualClock, new_desk: Callable[..., Desk]
) -> None:
    def wake(wanted: WakePlans, policy: Policy) -> str:
        raise Transient("The Prefect server answered 503.")

    desk = new_desk()
    desk.dispatcher = DeliveryDispatcher(
        desk.deliveries,
        policy=lambda: POLICY,
        starter=desk.prefect,
        executions=Executions(ledger, clock=clock),
        wake=wake,
        clock=clock,
    )
    comment = {"body": "/approve 0123456789abcdef", "user": {"login": "alice"}}
    desk.receive(body_of(action="created", comment=comment, issue={"number": 7}), event="issue_comment")
    desk.receive(run_payload(42))
    desk.dispatcher.cycle()
    assert list(desk.prefect.runs) == [key_of(42)]
    desk.work(seconds=60)
    assert desk.count(DeliveryState.FAILED) == 1


def test_dispatcher_that_dies_after_a_start_repeats_it_with_the_same_key(
    new_desk: Callable[..., Desk], desk: Desk
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    desk.prefect.after = die
    desk.receive(run_payload(42))
    with pytest.raises(KeyboardInterrupt):
        desk.dispatcher.cycle()
    desk.prefect.after = lambda: None
    assert new_desk().dispatcher.cycle() == 1
    assert desk.prefect.calls == [key_of(42)] * 2
    assert list(desk.prefect.runs) == [key_of(42)]


def test_ledger_that_is_away_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.receive(run_payload(42))
    with monkeypatch.context() as patched:

        def away(*args: object, **kwargs: object) -> None:
            raise LedgerError("The ledger was locked by another process for too long.")

        patched.setattr(Deliveries, "due", away)
        desk.work(seconds=10)
    assert desk.prefect.calls == []
    desk.work(seconds=60)
    assert list(desk.prefect.runs) == [key_of(42)]


def test_handled_deliveries_are_forgotten_in_time(desk: Desk) -> None:
    desk.receive(run_payload(42))
    desk.dispatcher.cycle()
    desk.clock.sleep(timedelta(days=15).total_seconds())
    desk.dispatcher.cycle()
    assert desk.count(DeliveryState.DONE) == 0


def _mangled(dice: random.Random, attempts: Sequence[tuple[int, int]]) -> list[tuple[str, bytes]]:
    """Return the deliveries of attempts: some lost, some doubled by id, some by another hook, all out of order."""
    sent = []
    for run_id, attempt in attempts:
        fate = dice.random()
        body, delivery = run_payload(run_id, attempt=attempt), str(uuid.UUID(int=dice.getrandbits(128)))
        if fate < 0.1:
            continue
        sent.append((delivery, body))
        if fate > 0.7:
            sent.append((delivery, body))
        if fate > 0.9:
            sent.append((str(uuid.UUID(int=dice.getrandbits(128))), body))
        sent.append((f"{delivery}-s", run_payload(run_id, attempt=attempt + 100, conclusion="success")))
    dice.shuffle(sent)
    return sent


async def _post_all(app: FastAPI, sent: Sequence[tuple[str, bytes]]) -> set[int]:
    async with connected(app) as client:
        statuses: set[int] = set()
        for start in range(0, len(sent), 200):
            answers = await asyncio.gather(
                *(
                    client.post(PATH, content=body, headers=headers(body, delivery=delivery))
                    for delivery, body in sent[start : start + 200]
                )
            )
            statuses |= {answer.status_code for answer in answers}
        return statuses


@pytest.mark.parametrize("deliveries", [2_000, pytest.param(10_000, marks=pytest.mark.integration)])
def test_thousands_of_deliveries_lost_doubled_and_reordered_start_each_failed_attempt_once(
    desk: Desk, new_desk: Callable[..., Desk], clock: VirtualClock, deliveries: int
) -> None:
    dice = random.Random(4)  # noqa: S311 - a storm, no secret
    attempts = [(run_id, attempt) for run_id in range(1, deliveries // 5 + 1) for attempt in (1, 2)]
    sent = _mangled(dice, attempts)
    sent += [(str(uuid.uuid4()), body_of(ref="x"))] * max(0, deliveries - len(sent))
    app = create_app(
        deliveries=desk.deliveries,
        policy=lambda: POLICY,
        webhook_secrets=lambda: (SecretStr(SECRET),),
        clock=clock,
    )

    async def deliver() -> set[int]:
        async with app.router.lifespan_context(app):
            return await _post_all(app, sent)

    assert asyncio.run(deliver()) == {202}
    deaths = set(dice.sample(range(deliveries // 2), deliveries // 500))

    def sometimes(key: str) -> RunbookError | None:
        return Transient("The Prefect server does not answer.") if dice.random() < 0.02 else None

    def die() -> None:
        if len(desk.prefect.calls) in deaths:
            raise KeyboardInterrupt  # as a kill would, between the start and the note of it

    desk.prefect.trouble, desk.prefect.after = sometimes, die
    while desk.deliveries.backlog().oldest_waiting_at is not None:
        with suppress(KeyboardInterrupt):
            desk = new_desk()
            while desk.deliveries.backlog().oldest_waiting_at is not None:
                desk.dispatcher.cycle()
                clock.sleep(desk.dispatcher.pause_seconds)
    told = {body for _, body in sent if b'"failure"' in body}
    expected = {
        key_of(run_id, attempt)
        for run_id, attempt in attempts
        if run_payload(run_id, attempt=attempt) in told
    }
    assert len(sent) >= deliveries
    assert set(desk.prefect.runs) == expected
    again = len(desk.prefect.calls) - len(expected)
    assert 0 < again < deliveries // 50, "repeated only where Prefect was away or the dispatcher died"
    assert desk.count(DeliveryState.FAILED) == 0


# ---- Waking ------------------------------------------------------------------------------------------------------


@pytest.fixture
def plan(ledger: Ledger, clock: VirtualClock) -> StoredPlan:
    """A plan that waits on issue 7."""
    Executions(ledger, clock=clock).begin(
        "e1",
        procedure="clear-caches",
        repository=REPOSITORY,
        subject="e1",
        request={},
        requester=BY_PRODUCT,
    )
    effect = DeleteCacheEntries(repository=REPOSITORY, key="pip", ref="refs/heads/main", cache_ids=(1,))
    view = PlanView(title="t", why="w", remedy="r", failure_class="c", blast_radius="b", if_nobody_acts="n")
    plans = Plans(ledger, clock=clock)
    stored = plans.store(
        "e1",
        Plan.of(procedure="clear-caches", repository=REPOSITORY, effects=[effect]),
        view=view,
        expires_after_seconds=3600,
    )
    return plans.placed(stored.id, issues_repository=REPOSITORY, issue_number=7, issue_url="")


@pytest.mark.parametrize(
    ("changes", "woken"),
    [
        ({}, ["e1"]),
        ({"login": "ALICE"}, ["e1"]),
        ({"login": "mallory"}, []),
        ({"issue_number": 8}, []),
        ({"issues_repository": "acme/other"}, []),
        ({"digits": "0" * 16}, []),
    ],
)
def test_only_an_approver_s_words_wake_the_plan_that_they_name(
    ledger: Ledger, clock: VirtualClock, plan: StoredPlan, changes: dict[str, object], woken: list[str]
) -> None:
    found: list[str] = []

    def wake(flow_run_id: str) -> Woken:
        found.append(flow_run_id)
        return Woken.RESUMED

    wanted = WakePlans(
        issues_repository=REPOSITORY, issue_number=7, digits=plan.short_digest, login="alice"
    ).model_copy(update=changes)
    said = PlanWaker(Plans(ledger, clock=clock), wake=wake)(wanted, POLICY)
    assert found == woken
    assert (plan.short_digest in said) is bool(woken)


def test_plan_of_another_issue_is_not_even_read(
    ledger: Ledger, clock: VirtualClock, plan: StoredPlan
) -> None:
    with ledger.write() as session:
        session.get_one(PlanRow, plan.id).body = {"written": "by another version"}
    wanted = WakePlans(issues_repository=REPOSITORY, issue_number=8, digits=plan.short_digest, login="alice")
    assert "no waiting plan" in PlanWaker(Plans(ledger, clock=clock))(wanted, POLICY)


# ---- One instance ------------------------------------------------------------------------------------------------


class Passing(VirtualClock):
    """Ends the loop when it is told to sleep for the hundredth time."""

    sleeps = 0

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.sleeps += 1
        if self.sleeps == 100:
            raise KeyboardInterrupt


def _leases(ledger: Ledger, clock: VirtualClock) -> Leases:
    return Leases(ledger, clock=clock, lease_seconds=120, poll_seconds=2)


def test_loop_works_and_gives_its_lease_back(ledger: Ledger, desk: Desk) -> None:
    desk.receive(run_payload(42))
    clock = Passing(START)
    with pytest.raises(KeyboardInterrupt):
        run(desk.dispatcher, _leases(ledger, clock), clock)
    assert list(desk.prefect.runs) == [key_of(42)]
    assert _leases(ledger, clock).acquire_now((TARGET,), execution_id="another") is not None


def test_second_instance_does_not_start(ledger: Ledger, desk: Desk, clock: VirtualClock) -> None:
    other = Leases(ledger, clock=clock, lease_seconds=100_000, poll_seconds=2)
    assert other.acquire_now((TARGET,), execution_id="another")
    with pytest.raises(Transient, match="Another dispatcher"):
        run(desk.dispatcher, _leases(ledger, clock), clock)
