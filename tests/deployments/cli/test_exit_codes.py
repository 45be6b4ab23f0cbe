"""What a script may rely on: exit codes, and standard output that holds the answer alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from deployments import cli
from runbook.errors import (
    Ambiguous,
    Denied,
    LedgerError,
    NeedsPerson,
    NotFound,
    Permanent,
    PolicyError,
    RunbookError,
    Transient,
    UsageError,
)
from tests.deployments.cli.conftest import Runbook

ERRORS: list[tuple[type[RunbookError], int]] = [
    (Transient, 1),
    (Permanent, 1),
    (NotFound, 1),
    (Ambiguous, 1),
    (LedgerError, 1),
    (UsageError, 2),
    (PolicyError, 2),
    (NeedsPerson, 4),
    (Denied, 5),
]


@pytest.mark.parametrize(("kind", "status"), ERRORS)
def test_each_error_has_its_exit_code_and_says_what_to_do(
    kind: type[RunbookError], status: int, runbook: Runbook, environment: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise kind("It broke.", unchanged="Nothing was changed.", next_step="try a hammer.")

    environment.setattr("runbook.policy.load_policy", fail)
    ended = runbook("policy", "check", "--json")
    assert (ended.status, ended.out) == (status, "")
    assert ended.err == "It broke.\nUnchanged: Nothing was changed.\nNext: try a hammer.\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--help",), 0),
        (("approve",), 2),
        (("no-such-command",), 2),
        (("coverage", "--status", "half"), 2),
        (("coverage", "--json"), 0),
        (("policy", "check"), 0),
        (("--policy", "/nonexistent.toml", "policy", "check"), 2),
        (("policy", "check", "--policy", "/nonexistent.toml"), 2),
    ],
)
def test_exit_code_of(words: tuple[str, ...], status: int, runbook: Runbook) -> None:
    assert runbook(*words).status == status


def test_coverage_has_the_settled_shape(runbook: Runbook) -> None:
    steps = runbook("coverage", "--json").json
    assert len(steps) == 132
    assert {tuple(step) for step in steps} == {("id", "status", "step", "test")}
    assert {step["status"] for step in steps} <= {"done", "not_yet", "refused"}


def test_policy_check_names_what_is_wrong(runbook: Runbook, tmp_path: Path) -> None:
    policy = tmp_path / "runbook.toml"
    policy.write_text(policy.read_text().replace("poll_seconds", "pol_seconds"))
    ended = runbook("policy", "check")
    assert ended.status == 2
    assert "approvals.pol_seconds: unknown key; did you mean 'poll_seconds'?" in ended.err


def test_secret_in_an_error_is_not_printed(runbook: Runbook, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GITHUB_TOKEN", "canary-of-no-known-shape")

    def fail(*_: object) -> None:
        from runbook.settings import Settings

        Settings.from_environment()
        raise Permanent("the server said canary-of-no-known-shape")

    environment.setattr("runbook.policy.load_policy", fail)
    assert "canary" not in runbook("policy", "check").err


def test_defect_prints_its_traceback_without_secrets(environment: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; sys.argv = ['runbook', 'policy', 'check']\n"
        "import runbook.policy, runbook.scrub\n"
        "runbook.scrub.register_secret('canary-of-no-known-shape')\n"
        "def fail(path): raise RuntimeError('canary-of-no-known-shape')\n"
        "runbook.policy.load_policy = fail\n"
        "from deployments.cli import main; main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "RuntimeError" in ended.stderr
    assert "defect" in ended.stderr
    assert "canary" not in ended.stderr.split("RuntimeError", 1)[1]


def test_help_answers_at_once() -> None:
    """It imports nothing that takes long; time itself would depend on what else the machine does."""
    slow = "('prefect', 'sqlalchemy', 'github', 'hyperscan', 'kubernetes', 'fastapi')"
    program = (
        "import sys; from deployments import cli; status = cli.run(['--help'])\n"
        f"sys.exit(status or ' '.join(name for name in {slow} if name in sys.modules) or 0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_pipe_gets_no_colour_and_no_wrapped_line(runbook: Runbook) -> None:
    ended = runbook("coverage")
    assert "\x1b" not in ended.out
    assert all(line.count("not_yet") <= 1 for line in ended.out.splitlines())


def test_sandbox_gets_its_arguments_and_no_credential_of_ours(
    environment: pytest.MonkeyPatch, runbook: Runbook
) -> None:
    started: list[tuple[str, list[str], dict[str, str]]] = []

    def execve(path: str, arguments: list[str], variables: dict[str, str]) -> None:
        started.append((path, arguments, variables))
        raise typer.Exit

    environment.setenv("GITHUB_TOKEN", "canary-token-of-ours")
    environment.setattr(os, "execve", execve)
    runbook("sandbox", "--json", "--port", "0")
    ((path, arguments, variables),) = started
    assert path == sys.executable
    assert arguments[1:] == ["-m", "sandbox", "--json", "--port", "0"]
    assert "canary-token-of-ours" not in variables.values()


def test_reader_that_leaves_early_is_no_failure() -> None:
    program = "import sys; sys.argv = ['runbook', 'coverage']; from deployments.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        deadline = time.monotonic() + 30
        assert child.wait(timeout=max(0.0, deadline - time.monotonic())) in (0, 1)
        assert child.stderr.read() == b""


def test_every_command_is_there() -> None:
    names = {command.name for command in cli.app.registered_commands}
    names |= {
        command.name
        for group in cli.app.registered_groups
        for command in (group.typer_instance.registered_commands if group.typer_instance else [])
    }
    assert {
        "why",
        "approvals",
        "approve",
        "reject",
        "journal",
        "coverage",
        "sandbox",
        "doctor",
        "up",
    } <= names
