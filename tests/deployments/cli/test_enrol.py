"""``runbook enrol`` in a terminal of its own, as an operator sees it."""

import os
import pty
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from select import select as wait_for

import pyotp
import pytest
from pydantic import SecretStr
from sqlalchemy import select
from typer.testing import CliRunner

from deployments.cli import enrol_command
from runbook.engine.ledger import Ledger
from runbook.engine.schema import AuditRow
from runbook.errors import Conflict, UsageError
from runbook.one_time_codes import enrol, new_seed, read_seeds

DEADLINE_SECONDS = 30.0
# The seed is known here alone: the command makes it, and shows it as a picture.
CHILD = """
import sys
from pydantic import SecretStr
from deployments.cli import enrol_command, terminal
from runbook import one_time_codes
from runbook.engine.ledger import Ledger
from runbook.engine.schema import AuditRow
from runbook.errors import RunbookError
one_time_codes.new_seed = lambda: SecretStr({seed!r})
try:
    enrol_command.app(sys.argv[1:], standalone_mode=False)
except RunbookError as error:
    terminal.print_error(error)
    sys.exit(error.exit_code)
"""


def url_of(seeds_file: Path) -> str:
    """Where the ledger of a test is: beside the seeds' folder."""
    return f"sqlite:///{seeds_file.parent.parent}/ledger.db"


def audited(seeds_file: Path) -> list[tuple[str, str]]:
    """What the audit has: which event, about whom."""
    ledger = Ledger(url_of(seeds_file))
    try:
        with ledger.read() as session:
            rows = list(session.scalars(select(AuditRow)))
        assert not any(re.search("[A-Z2-7]{26}", str(row.body)) for row in rows)
        return [(row.event, row.subject) for row in rows]
    finally:
        ledger.close()


class Terminal:
    """A command in a pseudo-terminal.

    Args:
        words: Its arguments.
        seed: The seed that it will make.
        seeds_file: Where it keeps seeds.
    """

    def __init__(self, *words: str, seed: SecretStr, seeds_file: Path) -> None:
        self.screen = ""
        self._fd, child = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(seed=seed.get_secret_value()), *words],
            stdin=child,
            stdout=child,
            stderr=child,
            env={
                **os.environ,
                "RUNBOOK_APPROVER_SEEDS_FILE": str(seeds_file),
                "RUNBOOK_LEDGER_URL": url_of(seeds_file),
                "COLUMNS": "120",
            },
        )
        os.close(child)

    def read_until(self, text: str, times: int = 1) -> None:
        """Read until a text has appeared so many times."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.screen.count(text) < times:
            assert time.monotonic() < deadline, self.screen
            self._read()

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._fd, f"{line}\n".encode())

    def ended(self) -> int:
        """Read to the end and return the exit status."""
        while self._read():
            pass
        return self.process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def _read(self) -> bool:
        if not wait_for([self._fd], [], [], DEADLINE_SECONDS)[0]:
            return False
        try:
            data = os.read(self._fd, 65_536)
        except OSError:  # how a pseudo-terminal says that nobody is left on its other side
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def seed() -> SecretStr:
    """The seed that the command will make."""
    return new_seed()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where seeds are kept; nothing is there yet."""
    path = tmp_path / "keys" / "seeds.toml"
    Ledger(url_of(path)).close()
    return path


@pytest.fixture
def command(seed: SecretStr, file: Path) -> Iterator[Terminal]:
    """Enrol alice."""
    opened = Terminal("Alice", seed=seed, seeds_file=file)
    yield opened
    opened.close()


def code_of(seed: SecretStr) -> str:
    """What the app shows."""
    return pyotp.TOTP(seed.get_secret_value()).at(datetime.now(UTC))


def test_a_first_right_code_enrols_and_the_seed_is_only_ever_a_picture(
    command: Terminal, seed: SecretStr, file: Path
) -> None:
    command.read_until("First code")
    assert re.search("[\u2580\u2584\u2588]", command.screen), "a QR code"
    assert not file.exists()
    command.type("000000")
    command.read_until("First code", times=2)
    assert not file.exists()
    command.type(code_of(seed))
    assert command.ended() == 0
    shown, after = command.screen.split("\x1b[?1049l")
    assert shown.startswith("\x1b[?1049h"), "a screen of its own, which leaves nothing in the scroll-back"
    assert "Alice is enrolled" in after
    assert seed.get_secret_value() not in command.screen
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_seeds(file).logins == ("alice",)
    assert audited(file) == [("approver.enrolled", "login:alice")]


def test_without_a_right_code_nobody_is_enrolled(command: Terminal, file: Path) -> None:
    for number in range(1, enrol_command.TRIES + 1):
        command.read_until("First code", times=number)
        command.type("000000")
    assert command.ended() == 2
    assert "Nobody was enrolled" in command.screen
    assert (file.exists(), audited(file)) == (False, [])


def test_a_person_can_be_removed(seed: SecretStr, file: Path) -> None:
    enrol(file, "alice", seed)
    command = Terminal("alice", "--remove", seed=seed, seeds_file=file)
    try:
        assert command.ended() == 0
    finally:
        command.close()
    assert read_seeds(file).logins == ()
    assert audited(file) == [("approver.removed", "login:alice")]


def test_a_ledger_that_is_not_there_is_said_and_the_person_is_removed_all_the_same(
    seed: SecretStr, file: Path
) -> None:
    enrol(file, "alice", seed)
    (file.parent.parent / "ledger.db").unlink()
    command = Terminal("alice", "--remove", seed=seed, seeds_file=file)
    try:
        assert command.ended() == 0
    finally:
        command.close()
    assert "The audit does not have it: approver.removed alice" in command.screen
    assert read_seeds(file).logins == ()


# --- refusals, before anything is shown ------------------------------------------------------------------


def refusal(*words: str) -> BaseException | None:
    """Run the command in this process and return what ended it."""
    return CliRunner().invoke(enrol_command.app, list(words)).exception


@pytest.fixture
def in_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command take what it is given for a terminal."""
    monkeypatch.setattr(enrol_command, "_require_terminal", lambda: None)


@pytest.mark.parametrize("words", [("alice",), ("alice", "--remove")])
def test_it_needs_a_terminal(monkeypatch: pytest.MonkeyPatch, file: Path, words: tuple[str, ...]) -> None:
    monkeypatch.setenv("RUNBOOK_APPROVER_SEEDS_FILE", str(file))
    error = refusal(*words)
    assert isinstance(error, UsageError)
    assert "needs a terminal" in error.message
    assert not file.exists()


@pytest.mark.usefixtures("in_terminal")
def test_it_needs_to_be_told_where_seeds_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNBOOK_APPROVER_SEEDS_FILE", raising=False)
    error = refusal("alice")
    assert isinstance(error, UsageError)
    assert "RUNBOOK_APPROVER_SEEDS_FILE is not set" in error.message


@pytest.mark.usefixtures("in_terminal")
def test_whoever_is_enrolled_is_shown_no_second_seed(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("RUNBOOK_APPROVER_SEEDS_FILE", str(file))
    enrol(file, "alice", new_seed())
    assert isinstance(refusal("ALICE"), Conflict)
    assert isinstance(refusal("a b"), UsageError)
    assert isinstance(refusal("bob", "--remove"), UsageError)


def test_it_takes_no_seed_as_an_argument() -> None:
    assert CliRunner().invoke(enrol_command.app, ["alice", new_seed().get_secret_value()]).exit_code == 2
    assert "--seed" not in CliRunner().invoke(enrol_command.app, ["--help"]).output
