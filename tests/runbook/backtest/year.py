"""A simulated year of a repository, whose truth is known: what broke, for which reason, and what mended it.

Every day at noon main gets a commit and ci-test.yml runs; every other day ci-build-push.yml follows. All of it is
green but for the episodes below, which lie so that none touches another.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sandbox
from sandbox.github.records import JobPlan, Repository, Run
from sandbox.github.state import State

END = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAYS = 365
REPOSITORY = "acme/voice-agent"
TEST, BUILD = "ci-test.yml", "ci-build-push.yml"
REQUEUE = timedelta(minutes=1)

_EXIT = "##[error]Process completed with exit code 1.\n"
LOGS = {
    "green": "all is well\n",
    "tests": "##[group]Run pytest\npytest -q\n##[endgroup]\n"
    "FAILED tests/test_voice.py::test_barge_in - AssertionError: assert 3 == 4\n"
    "1 failed, 41 passed in 3.21s\n" + _EXIT,
    "lint": "##[group]Run ruff check .\nruff check .\n##[endgroup]\n"
    "src/app.py:3:1: F401 [*] `os` imported but unused\nFound 1 error.\n" + _EXIT,
    "runner": "##[group]Run make\nmake\n##[endgroup]\n"
    "##[error]The hosted runner lost communication with the server. Anything in your workflow that terminates the "
    "runner process, starves it for CPU/Memory, or blocks its network access can cause this error.\n",
    "cache": "##[group]Run actions/cache@v4\nwith:\n  path: ~/.cache/pip\n  key: pip-Linux-5c0ffee4\n##[endgroup]\n"
    "Cache hit for: pip-Linux-5c0ffee4\n/*stdin*\\ : Decoding error (36) : Corrupted block detected\n"
    "/usr/bin/tar: Unexpected EOF in archive\n"
    "##[warning]Failed to restore: Tar failed with error: The process '/usr/bin/tar' failed with exit code 2\n"
    "Cache restored from key: pip-Linux-5c0ffee4\n"
    "##[group]Run pip install --require-hashes -r requirements.txt\npip install\n##[endgroup]\n"
    "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n" + _EXIT,
    "odd": "##[group]Run ./go.sh\n./go.sh\n##[endgroup]\nit went otherwise\n"
    "##[error]Process completed with exit code 3.\n",
}


@dataclass(frozen=True)
class Episode:
    """How the runs of one day end.

    Attributes:
        attempts: The log of each attempt of ci-test.yml in turn; "green" for one that passes.
        build: The same for ci-build-push.yml; green where empty.
        more: Further keys of ci-test.yml's run, as a scenario has them.
    """

    attempts: tuple[str, ...]
    build: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


EPISODES: dict[int, Episode] = {
    # A test fails once a month, and the next day's commit repairs it.
    **{day: Episode(("tests",)) for day in range(5, 360, 30)},
    # Four times a test fails, and passes when it is run again.
    **{day: Episode(("tests", "green")) for day in (10, 100, 190, 280)},
    # Six times a cache is corrupt, and the re-run passes.
    **{day: Episode(("cache", "green")) for day in (12, 72, 132, 192, 252, 312)},
    # Two outages: both workflows fail, and pass when they are run again.
    **{day: Episode(("runner", "green"), build=("runner", "green")) for day in (20, 200)},
    # Lint is red for three days.
    **{day: Episode(("lint",)) for day in (40, 41, 42)},
    # A runner is blamed; the re-run fails likewise, and the next day's commit is green.
    50: Episode(("runner", "runner")),
    # Of three failures the log is gone; two have logs that say nothing.
    **{day: Episode(("tests",), more={"logs_gone": True}) for day in (60, 160, 260)},
    **{day: Episode(("odd",)) for day in (70, 170)},
}


def start() -> datetime:
    """Return the first day's noon."""
    return END - timedelta(days=DAYS)


def scenario() -> dict[str, Any]:
    """Return the year as the stand-in's scenario; later attempts are added by ``add_attempts``."""
    commits, runs = [], []
    for day in range(DAYS):
        ago = f"{(DAYS - day) * 24}h"
        commits.append({"id": f"day-{day}", "message": f"Day {day}", "author": "alice", "ago": ago})
        episode = EPISODES.get(day, Episode(("green",)))
        runs.append(_run(TEST, day, ago, episode.attempts[0], episode.more))
        if day % 2 == 0:
            runs.append(_run(BUILD, day, ago, (episode.build or ("green",))[0], {}))
    # A person's own branch: cancelled by the next push, which is nobody's incident.
    runs.append({**_run(TEST, 300, "1000h", "green", {}), "branch": "topic", "conclusion": "cancelled"})
    return {
        "bot": "runbook-bot",
        "limits": {"requests_per_hour": 100_000, "points_per_minute": 100_000},
        "users": {"runbook-bot": {}, "alice": {}},
        "repositories": {
            REPOSITORY: {
                "roles": {"runbook-bot": "read", "alice": "admin"},
                "commits": commits[::-1],  # newest first
                "workflows": [{"file": TEST}, {"file": BUILD}],
                "logs": LOGS,
                "runs": runs,
            }
        },
    }


def _run(workflow: str, day: int, ago: str, log: str, more: dict[str, Any]) -> dict[str, Any]:
    job = {"name": "job", "seconds": 60, "conclusion": "success" if log == "green" else "failure", "log": log}
    return {"workflow": workflow, "commit": f"day-{day}", "ago": ago, "jobs": [job], **more}


def add_attempts(box: sandbox.Box) -> None:
    """Run again what the episodes ran again, as it happened."""
    state, repository = box.state, box.repository
    for day, episode in EPISODES.items():
        for workflow, logs in ((TEST, episode.attempts), (BUILD, episode.build)):
            for number, log in enumerate(logs[1:], start=2):
                _again(state, repository, _find(repository, workflow, day), number, log)


def _find(repository: Repository, workflow: str, day: int) -> Run:
    return next(
        run
        for run in repository.runs.values()
        if run.title == f"Day {day}" and repository.workflows[run.workflow_id].path.endswith(workflow)
    )


def _again(state: State, repository: Repository, run: Run, number: int, log: str) -> None:
    conclusion = "success" if log == "green" else "failure"
    first = run.attempts[0].jobs[0].plan
    text = _texts(repository)[log]
    plan = JobPlan(first.name, first.seconds, conclusion, first.steps, {"": text})
    at = run.latest.ended_at() + REQUEUE
    job = state.new_job(plan, attempt=number, queued_at=at, queued_seconds=5)
    state.start_attempt(repository, run, actor="alice", jobs=[job], at=at)
    job.conclusion = conclusion


def _texts(repository: Repository) -> dict[str, Any]:
    from sandbox.github.records import LogText

    return {name: LogText(text, stamped=True) for name, text in repository.logs.items()}
