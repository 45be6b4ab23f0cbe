"""The ledger database: opening it, its schema version, and transactions that serialise.

SQLite runs in WAL mode; a writing transaction begins with ``BEGIN IMMEDIATE``, so that what it read cannot
change before it commits. On PostgreSQL a writing transaction takes one advisory lock, to the same end. Several
processes may share one ledger.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    TimeoutError,
)
from sqlalchemy.orm import Session

from runbook.engine.migration import migrate
from runbook.engine.schema import SCHEMA_VERSION, Base, MetaRow
from runbook.errors import LedgerError

BUSY_TIMEOUT_SECONDS = 30.0
"""How long a transaction waits for another process's to end before the ledger counts as locked."""

_WAL_POLL_SECONDS = 0.01
_READ = "runbook_read"
_ADVISORY_LOCK = 7_281_905_113  # any number: it names this lock among a database's others


class Ledger:
    """The database of what the product itself must remember.

    Args:
        url: A SQLAlchemy URL (``sqlite:////var/lib/runbook/ledger.db``, ``postgresql://…``).
        busy_timeout_seconds: How long a transaction waits for another one, and for a connection.
        upgrade: Bring a ledger of an older schema version up to this program's.

    Raises:
        LedgerError: The database cannot be opened, is read-only, locked, or of another schema version.
    """

    def __init__(
        self, url: str, *, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS, upgrade: bool = False
    ) -> None:
        self.url = url
        self._upgrade = upgrade
        parsed = parsed_url(url)
        if path := _file_of(parsed):
            _make_file(path)
        self._engine = _create_engine(parsed, busy_timeout_seconds)
        self._shown_url = parsed.render_as_string(hide_password=True)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", partial(_configure_sqlite, busy_timeout_seconds))
            event.listen(self._engine, "begin", _begin)
        if self._engine.dialect.name == "postgresql":
            event.listen(self._engine, "begin", _begin_on_postgresql)
        self.upgraded_from = self._open_schema()
        """The schema version that it was brought up from; None where it was up to date."""

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a serialised writing transaction; it commits when the block ends without an error."""
        with self._translated(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a reading transaction: one consistent snapshot, blocking nobody."""
        with self._translated(), Session(self._engine.execution_options(**{_READ: True})) as session:
            yield session

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _open_schema(self) -> int | None:
        upgraded_from: int | None = None
        with self._translated():
            # A look first: opening a ledger that is up to date must not wait for a writer.
            with self._engine.execution_options(**{_READ: True}).connect() as connection:
                found = _schema_version(connection)
            if found is None:
                with self.write() as session:
                    if _schema_version(session.connection()) is None:
                        Base.metadata.create_all(session.connection())
                        session.add(MetaRow(id=1, schema_version=SCHEMA_VERSION))
                found = SCHEMA_VERSION
            if found < SCHEMA_VERSION and self._upgrade:
                with self.write() as session:
                    upgraded_from = _schema_version(session.connection())
                    if upgraded_from is not None and upgraded_from < SCHEMA_VERSION:
                        migrate(session.connection(), found=upgraded_from)
                found = SCHEMA_VERSION
        if found != SCHEMA_VERSION:
            newer = found > SCHEMA_VERSION
            upgrade = (
                "stop what uses it, then bring it up to date with `runbook ledger upgrade`: its plans stay"
            )
            raise LedgerError(
                f"The ledger {self._shown_url} has schema version {found}, {'a newer' if newer else 'an older'} "
                f"one than this program's {SCHEMA_VERSION}.",
                unchanged="Nothing was read or changed.",
                next_step="run the version that wrote it, or name another ledger in RUNBOOK_LEDGER_URL"
                if newer
                else upgrade,
            )
        return upgraded_from

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise _ledger_error(self._shown_url, error) from error
        except TimeoutError as error:
            raise LedgerError(
                f"The ledger {self._shown_url} had no connection free for too long.",
                unchanged="This transaction changed nothing.",
                next_step="try again; if it stays so, look for a thread of this process that hangs",
            ) from error
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig):
                raise LedgerError(
                    f"The ledger {self._shown_url} is not a database.",
                    unchanged="It was not changed.",
                    next_step="name another file in RUNBOOK_LEDGER_URL",
                ) from error
            raise


def _file_of(url: URL) -> Path | None:
    """Return the file that a URL names; None on a server, or in memory."""
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database))


def parsed_url(url: str) -> URL:
    """Return a ledger's address in its parts.

    Args:
        url: A SQLAlchemy URL.

    Raises:
        LedgerError: It is none.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise LedgerError(
            "RUNBOOK_LEDGER_URL is not a database URL.",
            next_step="set it to something like sqlite:////var/lib/runbook/ledger.db",
        ) from error


def _make_file(path: Path) -> None:
    """Make the file, if there is none, readable by this user alone; SQLite gives its other files the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"The ledger's folder {path.parent} cannot be made: {error.strerror}.",
            next_step="name another place in RUNBOOK_LEDGER_URL",
        ) from error
    # What cannot be made here, SQLite cannot open either, and then it says why. One that exists is not even
    # opened: closing it again would drop the locks of every connection that this process has to it.
    with suppress(OSError):
        path.touch(mode=0o600, exist_ok=False)


def _create_engine(url: URL, busy_timeout_seconds: float) -> Engine:
    connect_args: dict[str, Any] = {}
    # A database in memory has one connection, for which nobody waits.
    in_memory = url.get_backend_name() == "sqlite" and _file_of(url) is None
    pool_args = {} if in_memory else {"pool_timeout": busy_timeout_seconds}
    if url.get_backend_name() == "sqlite":
        connect_args = {"timeout": busy_timeout_seconds, "check_same_thread": False}
    elif url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        connect_args = {
            "options": f"-c lock_timeout={int(busy_timeout_seconds * 1000)}",
            "connect_timeout": 10,
        }
    try:
        # An error shows the statement without its values, which are what others said: it ends in Prefect's states.
        return create_engine(
            url, connect_args=connect_args, hide_parameters=True, pool_pre_ping=True, **pool_args
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise LedgerError(
            f"RUNBOOK_LEDGER_URL names a kind of database, {url.drivername}, that nothing here can talk to.",
            unchanged="Nothing was opened.",
            next_step="use sqlite:////…, or install that database's driver",
        ) from error


def _schema_version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(MetaRow.__tablename__):
        return None
    row = connection.execute(MetaRow.__table__.select()).first()
    return None if row is None else int(row.schema_version)


def _configure_sqlite(busy_timeout_seconds: float, connection: Any, _record: Any) -> None:
    # The driver's own transaction handling is switched off: it would begin late and deferred.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        _switch_to_wal(cursor, busy_timeout_seconds)
        cursor.execute("PRAGMA synchronous = FULL")  # a confirmed effect must survive a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor, busy_timeout_seconds: float) -> None:
    # Where several processes open a new file at once, SQLite may refuse this switch without waiting: its busy
    # timeout does not cover it. (Seen with four processes in one of some thirty openings.)
    deadline = time.monotonic() + busy_timeout_seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_WAL_POLL_SECONDS)


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READ)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _begin_on_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(_READ):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


def _ledger_error(shown_url: str, error: OperationalError | InterfaceError) -> LedgerError:
    text = str(error.orig)
    if "locked" in text or "busy" in text or "lock timeout" in text:
        return LedgerError(
            f"The ledger {shown_url} was locked by another process for too long.",
            unchanged="This transaction changed nothing.",
            next_step="try again; if it stays so, look for a process that hangs (lsof names it)",
        )
    if "readonly" in text or "read-only" in text:
        return LedgerError(
            f"The ledger {shown_url} is read-only.",
            unchanged="Nothing was changed.",
            next_step="give this user write access to the file and its folder",
        )
    return LedgerError(
        f"The ledger {shown_url} cannot be used: {text}.",
        unchanged="This transaction changed nothing.",
        next_step="check RUNBOOK_LEDGER_URL, the disk and the permissions",
    )
