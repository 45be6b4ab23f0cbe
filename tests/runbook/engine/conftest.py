"""An engine over a real SQLite file, a virtual clock, and a small world outside."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

import runbook.effects.catalogue  # noqa: F401 - the journal loads them
from runbook.clients.github_client import GitHubClient
from runbook.clients.helm_client import HelmClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import VirtualClock
from runbook.engine import effects
from runbook.engine.effects import Effect
from runbook.engine.engine import Engine, Outcome, Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.executions import Executions, Requester
from runbook.engine.ledger import Ledger
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import StoredPlan
from runbook.policy import Timings
from tests.runbook.engine.databases import new_ledger_url
from tests.runbook.engine.lamps import KINDS, Lamps, LampWorld
from tests.runbook.engine.passing import let_pass

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REPOSITORY = "acme/voice-agent"
TIMINGS = Timings(lease_seconds=60, settle_seconds=120, probe_interval_seconds=2)
VIEW = PlanView(title="t", why="w", remedy="r", failure_class="c", blast_radius="b", if_nobody_acts="n")


@dataclass
class Room:
    """An engine in a room of lamps.

    Args:
        engine: The engine.
        lamps: The outside world.
        clock: Its time.
        boundaries: Raised at the boundary of that name, once.
    """

    engine: Engine
    lamps: Lamps
    clock: VirtualClock
    boundaries: dict[str, BaseException] = field(default_factory=dict)

    def begin(self, execution_id: str, requester: Requester | None = None) -> None:
        """Begin an execution."""
        self.engine.executions.begin(
            execution_id,
            procedure="clear-caches",
            repository=REPOSITORY,
            subject=execution_id,
            request={},
            requester=requester,
        )

    def store(
        self,
        *wanted: Effect,
        execution_id: str = "e1",
        expires_after_seconds: float = 3600,
        waiting: bool = False,
    ) -> StoredPlan:
        """Store a plan, in an execution of its own unless it was begun, and let it pass unless it is to wait."""
        if self.engine.executions.get(execution_id) is None:
            self.begin(execution_id)
        plan = Plan.of(procedure="clear-caches", repository=REPOSITORY, effects=list(wanted))
        stored = self.engine.plans.store(
            execution_id, plan, view=VIEW, expires_after_seconds=expires_after_seconds
        )
        return stored if waiting else let_pass(self.engine, stored)

    def apply(self, plan: StoredPlan, *, passed: bool = True) -> Outcome:
        """Apply a plan that passed its gate."""
        verdict = Verification(passed=passed, reason="looked" if passed else "still dark")
        return self.engine.apply(plan, verify=lambda lease: verdict)

    def entries(self, plan: StoredPlan) -> tuple[JournalEntry, ...]:
        """Return the plan's journal."""
        return self.engine.entries.of_plan(plan.id)


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that moves only when somebody sleeps."""
    return VirtualClock(START)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A fresh ledger in a file."""
    opened = Ledger(new_ledger_url(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def executions(ledger: Ledger, clock: VirtualClock) -> Executions:
    """The executions of the ledger."""
    return Executions(ledger, clock=clock)


@pytest.fixture
def lamp_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enrol the lamps' effects for one test; the kill matrix must not find them."""
    for kind in KINDS:
        monkeypatch.setitem(effects._registry, kind.kind, kind)


@pytest.fixture
def new_room(lamp_kinds: None, ledger: Ledger, clock: VirtualClock) -> Callable[[Lamps], Room]:
    """Open one more engine on the ledger, as another process would."""

    def open_room(lamps: Lamps) -> Room:
        boundaries: dict[str, BaseException] = {}

        def boundary(name: str) -> None:
            if name in boundaries:
                raise boundaries.pop(name)

        # Lamps need no GitHub; a call to it would fail the test at once.
        github = GitHubClient(token=SecretStr("none"), api_url="http://127.0.0.1:9", clock=clock)
        world = LampWorld(
            github=github,
            kubernetes=KubernetesClient(None),
            helm=HelmClient(None),
            product_login="runbook-bot",
            clock=clock,
            lamps=lamps,
        )
        engine = Engine(ledger, world=world, timings=TIMINGS, boundary=boundary)
        return Room(engine=engine, lamps=lamps, clock=clock, boundaries=boundaries)

    return open_room


@pytest.fixture
def room(new_room: Callable[[Lamps], Room]) -> Room:
    """An engine in a dark room."""
    return new_room(Lamps())
