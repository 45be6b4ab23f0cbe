"""The engine's own tests with the ledger on a real PostgreSQL server: transactions, leases, journal, kill matrix."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.ports import free_port
from tests.runbook.engine.databases import SERVER

pytestmark = pytest.mark.integration

BIN = Path("/usr/lib/postgresql/15/bin")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server of our own on loopback; its folder is not pytest's, which lets no other user through."""
    with tempfile.TemporaryDirectory(prefix="runbook-postgresql-") as name:
        folder = Path(name)
        as_user: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            as_user = ["runuser", "-u", "postgres", "--"]
            shutil.chown(folder, "postgres")

        def run(*command: str | Path) -> None:
            line = [*as_user, *map(str, command)]
            subprocess.run(line, check=True, cwd=folder, stdout=subprocess.DEVNULL)

        port = free_port()
        run(BIN / "initdb", "-D", folder / "data", "-U", "ledger", "-A", "trust", "-E", "UTF8", "--no-sync")
        # Each test leaves a pool of connections behind until its process ends.
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
        settings |= {"fsync": "off", "max_connections": 400}
        options = " ".join(f"-c {key}={value}" for key, value in settings.items())
        control = (BIN / "pg_ctl", "-D", folder / "data", "-w", "-t", "60")
        run(*control, "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://ledger@127.0.0.1:{port}/postgres"
        finally:
            run(*control, "-m", "immediate", "stop")


def test_the_engine_keeps_its_rules_on_postgresql(server: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-m",
        "not integration",
        "tests/runbook/engine",
    ]
    ended = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env={**os.environ, SERVER: server},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert " passed" in ended.stdout
