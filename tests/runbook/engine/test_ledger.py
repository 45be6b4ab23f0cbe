"""The ledger as a file that several processes share, and every way in which it cannot be used."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, InterfaceError, StatementError, TimeoutError

from runbook.engine import audit
from runbook.engine.ledger import Ledger
from runbook.engine.schema import SCHEMA_VERSION, AuditRow, MetaRow, RequestRow
from runbook.errors import LedgerError
from tests.runbook.engine import children
from tests.runbook.engine.databases import new_ledger_url


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a writing transaction on a database, as a process that hangs would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def request(number: int, at: datetime) -> RequestRow:
    """Return a row to write."""
    return RequestRow(id=f"r{number}", procedure="p", request_digest="d", requester="alice", created_at=at)


# --- several processes -----------------------------------------------------------------------------------


def test_opening_at_the_same_time_creates_the_schema_once(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(40)]
    barrier = children.context().Barrier(4)
    assert children.run_all(children.open_at_once, *[(urls, barrier)] * 4) == [0] * 4
    for url in urls:
        with Ledger(url).read() as session:
            assert session.scalars(select(MetaRow.schema_version)).all() == [SCHEMA_VERSION]


def test_writers_of_two_processes_take_turns(tmp_path: Path) -> None:
    """Each line was appended to a chain that did not move between its reading and its writing."""
    url = new_ledger_url(tmp_path)
    ledger = Ledger(url)
    barrier = children.context().Barrier(2)
    codes = children.run_all(children.write_lines, (url, "one", 25, barrier), (url, "two", 25, barrier))
    assert codes == [0, 0]
    with ledger.read() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.seq)).all()
        assert [row.body["seen"] for row in rows] == list(range(50))
        assert {row.actor for row in rows} == {"one", "two"}
        assert audit.verify(session).intact
    ledger.close()


def test_an_attempt_claimed_by_many_processes_at_once_is_claimed_by_one(tmp_path: Path) -> None:
    url = new_ledger_url(tmp_path)
    Ledger(url).close()
    (tmp_path / "claimed").mkdir()
    barrier = children.context().Barrier(4)
    names = [(url, f"e{number}", barrier, f"{tmp_path}/claimed") for number in range(4)]
    assert children.run_all(children.claim_attempt, *names) == [0] * 4
    assert len(list((tmp_path / "claimed").iterdir())) == 1


def test_a_reader_sees_one_moment_and_blocks_nobody(ledger: Ledger) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with ledger.read() as session:
        before = session.scalars(select(RequestRow.id)).all()
        with ledger.write() as writing:
            writing.add(request(1, now))
        assert session.scalars(select(RequestRow.id)).all() == before == []
    with ledger.read() as session:
        assert session.scalars(select(RequestRow.id)).all() == ["r1"]


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with suppress(RuntimeError), ledger.write() as session:
        session.add(request(1, now))
        session.flush()
        raise RuntimeError("the caller failed")
    with ledger.read() as session:
        assert session.scalars(select(RequestRow.id)).all() == []


# --- what it says when it cannot be used -----------------------------------------------------------------


def test_a_ledger_locked_for_too_long_says_so_and_works_again_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}", busy_timeout_seconds=0.05)
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with locked(path):
        with (
            pytest.raises(LedgerError, match="locked by another process") as raised,
            ledger.write() as session,
        ):
            session.add(request(1, now))
        assert "changed nothing" in raised.value.unchanged
        with ledger.read() as session:
            assert session.scalars(select(RequestRow.id)).all() == []
    with ledger.write() as session:
        session.add(request(1, now))


def test_a_ledger_that_has_no_connection_left_says_so_and_works_again_afterwards(tmp_path: Path) -> None:
    """A process may have more threads than its pool has connections."""
    ledger = Ledger(new_ledger_url(tmp_path), busy_timeout_seconds=0.05)
    version = select(MetaRow.schema_version)
    with ExitStack() as others:
        for _ in range(15):
            others.enter_context(ledger.read()).scalar(version)
        with pytest.raises(LedgerError, match="no connection") as raised, ledger.read() as session:
            session.scalar(version)
    assert isinstance(raised.value.__cause__, TimeoutError)
    assert "changed nothing" in raised.value.unchanged
    with ledger.read() as session:
        assert session.scalar(version) == SCHEMA_VERSION
    ledger.close()


def test_a_ledger_whose_connection_was_closed_says_so(ledger: Ledger) -> None:
    """As PostgreSQL's driver says it, when the server ends while a transaction is under way."""
    closed = InterfaceError("SELECT 1", {}, psycopg.InterfaceError("the connection is closed"))
    with pytest.raises(LedgerError, match="the connection is closed"), ledger.write():
        raise closed


def test_an_existing_ledger_opens_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(f"sqlite:///{path}").close()
    with locked(path):
        Ledger(f"sqlite:///{path}", busy_timeout_seconds=0.05).close()


@pytest.mark.parametrize(("version", "age"), [(SCHEMA_VERSION + 1, "newer"), (SCHEMA_VERSION - 1, "older")])
def test_a_ledger_of_another_version_is_refused_and_left_alone(
    tmp_path: Path, version: int, age: str
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger(url)
    with ledger.write() as session:
        session.get_one(MetaRow, 1).schema_version = version
    ledger.close()
    with pytest.raises(LedgerError, match=f"version {version}, an? {age}") as raised:
        Ledger(url)
    assert "Nothing was read or changed" in raised.value.unchanged
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        assert connection.execute("SELECT schema_version FROM meta").fetchall() == [(version,)]


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("dear diary, " * 500)
    with pytest.raises(LedgerError, match="is not a database"):
        Ledger(f"sqlite:///{path}")
    assert path.read_text() == "dear diary, " * 500


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be used"):
        Ledger(f"sqlite:///{tmp_path}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be made"):
        Ledger(f"sqlite:///{tmp_path}/file/ledger.db")


def test_a_new_ledger_is_readable_by_its_user_alone(tmp_path: Path) -> None:
    """Its write-ahead log included: it holds what the logs of private repositories say."""
    before = os.umask(0o022)
    try:
        ledger = Ledger(f"sqlite:///{tmp_path / 'new' / 'ledger.db'}")
        with ledger.read() as session:
            session.execute(select(MetaRow)).all()
            modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "new").iterdir()}
        ledger.close()
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


def test_an_error_of_the_database_shows_no_values(ledger: Ledger) -> None:
    request = {"id": "r", "procedure": "p", "request_digest": "d", "created_at": datetime.now(UTC)}
    with ledger.write() as session:
        session.add(RequestRow(**request, requester="what-somebody-said"))
    with pytest.raises(IntegrityError) as refused, ledger.write() as session:
        session.add(RequestRow(**request, requester="what-somebody-said"))
    assert "what-somebody-said" not in str(refused.value)


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    Ledger(f"sqlite:///{tmp_path}/var/lib/ledger.db").close()
    assert (tmp_path / "var/lib/ledger.db").exists()


@pytest.mark.parametrize("url", ["ledger.db", "", "no such thing"])
def test_what_is_no_database_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(LedgerError, match="not a database URL") as raised:
        Ledger(url)
    assert "sqlite:////" in raised.value.next_step


def test_an_unknown_kind_of_database_is_refused() -> None:
    with pytest.raises(LedgerError, match="RUNBOOK_LEDGER_URL"):
        Ledger("oracle9i://host/db")


def test_a_read_only_ledger_says_so_at_the_first_write() -> None:
    """In a process without the right to write: the one that runs the tests may be root."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        path, said = place / "data" / "ledger.db", place / "said"
        Ledger(f"sqlite:///{path}").close()
        said.touch()
        said.chmod(0o666)
        path.chmod(0o444)
        path.parent.chmod(0o555)
        place.chmod(0o755)
        try:
            assert children.run_all(children.open_as_nobody, (f"sqlite:///{path}", str(said))) == [0]
            assert "is read-only" in said.read_text()
            assert "write access" in said.read_text()
        finally:
            path.parent.chmod(0o755)


def test_a_password_in_the_url_is_never_shown() -> None:
    """Nothing listens there: whether the driver is missing or the server, the password stays out."""
    with pytest.raises(LedgerError) as raised:
        Ledger("postgresql://runbook:hunter2hunter2@127.0.0.1:9/ledger")
    assert "hunter2hunter2" not in str(raised.value)


# --- times -----------------------------------------------------------------------------------------------


def test_times_come_back_as_utc_and_sort_as_times(ledger: Ledger) -> None:
    east = timezone(timedelta(hours=9))
    early = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    late = datetime(2026, 3, 2, 21, 0, 0, 1, tzinfo=east)
    with ledger.write() as session:
        session.add_all([request(2, late), request(1, early)])
    with ledger.read() as session:
        rows = session.scalars(select(RequestRow).order_by(RequestRow.created_at)).all()
        assert [row.created_at for row in rows] == [early, late]
        assert all(row.created_at.tzinfo == UTC for row in rows)


def test_a_naive_time_is_refused(ledger: Ledger) -> None:
    row = request(1, datetime(2026, 3, 2))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(StatementError, match="UTC-aware"), ledger.write() as session:
        session.add(row)


def test_foreign_keys_hold(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")  # PostgreSQL cannot do otherwise
    with ledger.read() as session:
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
