"""A ledger of an older schema version is brought up to date by request, with what waits in it (DESIGN, ledger)."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import runbook.effects.catalogue  # noqa: F401 - the journal loads them
from runbook.clock import VirtualClock
from runbook.engine import audit
from runbook.engine.entries import Entries
from runbook.engine.exceptions import Exceptions
from runbook.engine.leases import Leases
from runbook.engine.ledger import Ledger
from runbook.engine.plans import Plans
from runbook.engine.schema import SCHEMA_VERSION, Base
from runbook.engine.states import PlanState
from runbook.errors import LedgerError
from tests.runbook.engine.conftest import START

DATA = Path(__file__).with_name("data")
VERSIONS = [int(path.stem.removeprefix("ledger_v")) for path in sorted(DATA.glob("ledger_v*.sql"))]


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A ledger as an older version left it."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / f"ledger_v{request.param}.sql").read_text())
    return path


def test_every_older_version_is_tried() -> None:
    assert list(range(1, SCHEMA_VERSION)) == VERSIONS


def test_an_older_ledger_is_refused_with_the_way_to_upgrade_it(old: Path) -> None:
    before = old.read_bytes()
    with pytest.raises(LedgerError) as refused:
        Ledger(f"sqlite:///{old}")
    assert "runbook ledger upgrade" in refused.value.next_step
    assert old.read_bytes()[100:] == before[100:]  # its head says WAL now


def test_an_upgraded_ledger_has_the_shape_of_a_new_one(old: Path, tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{old}", upgrade=True)
    assert ledger.upgraded_from in VERSIONS
    with ledger.write() as session:
        known = MigrationContext.configure(
            session.connection(),
            opts={"compare_type": True, "include_name": lambda name, kind, parents: name != "migrations"},
        )
        assert compare_metadata(known, Base.metadata) == []
    ledger.close()
    again = Ledger(f"sqlite:///{old}", upgrade=True)
    assert again.upgraded_from is None
    again.close()


def test_a_plan_that_waits_still_waits_after_the_upgrade(old: Path) -> None:
    ledger = Ledger(f"sqlite:///{old}", upgrade=True)
    clock = VirtualClock(START)
    (plan,) = Plans(ledger, clock=clock).waiting()
    assert (plan.state, plan.issue_number, plan.comment_id) == (PlanState.WAITING, 12, 3_000_000_001)
    leases = Leases(ledger, clock=clock, lease_seconds=60, poll_seconds=1)
    entries = Entries(ledger, clock=clock, leases=leases).of_plan(plan.id)
    assert [entry.effect.kind for entry in entries] == ["delete-cache-entries", "rerun-failed-jobs"]
    assert plan.plan.digest == plan.digest
    with ledger.read() as session:
        assert audit.verify(session).intact
    ledger.close()


def test_an_upgraded_ledger_keeps_exceptions(old: Path) -> None:
    ledger = Ledger(f"sqlite:///{old}", upgrade=True)
    clock = VirtualClock(START)
    (plan,) = Plans(ledger, clock=clock).waiting()
    exceptions = Exceptions(ledger, clock=clock)
    assert exceptions.open() == ()
    bar = exceptions.add_bar(
        plan.execution_id,
        repository=plan.plan.repository,
        subject="ghcr.io/acme/tts@sha256:0bad",
        service="tts",
        owner="alice",
        reason="it crashes",
        deadline=START + timedelta(days=90),
        incident_id=1,
    )
    assert exceptions.barred(plan.plan.repository) == (bar.subject,)
    ledger.close()


def test_an_upgrade_that_fails_leaves_the_ledger_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the machine lost power")

    with monkeypatch.context() as broken:
        broken.setattr("runbook.engine.migration.update", fail)
        with pytest.raises(RuntimeError):
            Ledger(f"sqlite:///{old}", upgrade=True)
    with closing(sqlite3.connect(old)) as connection:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    assert "exceptions" not in tables
    Ledger(f"sqlite:///{old}", upgrade=True).close()
