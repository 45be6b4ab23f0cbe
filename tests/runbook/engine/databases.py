"""Where a test's ledger is: in a file, or on the PostgreSQL server that RUNBOOK_TEST_POSTGRESQL names."""

import os
import uuid
from pathlib import Path

from sqlalchemy import create_engine, make_url

SERVER = "RUNBOOK_TEST_POSTGRESQL"
"""A URL of a server on which databases may be made; `make integration` starts one."""


def new_ledger_url(tmp_path: Path) -> str:
    """Return the URL of an empty database."""
    if SERVER not in os.environ:
        return f"sqlite:///{tmp_path}/ledger.db"
    server = make_url(os.environ[SERVER]).set(drivername="postgresql+psycopg")
    name = f"ledger_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
