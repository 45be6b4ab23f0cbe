"""A repository with a history: red runs of every urgency, for the stories that ask what triage says of each."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runbook.requests import ProcedureRequest
from sandbox.github.scenario import add_repository
from tests.flows.theatre import LOG, Theatre

REPOSITORY = "acme/newsroom"
TURN_SECONDS = 180.0
POLICY = f"""
[[repositories]]
name = "{REPOSITORY}"
release_refs = ["release/*"]
workflows = [
  {{ file = "ci-test.yml", kind = "test", baseline_minutes = 10 }},
  {{ file = "ci-build-push.yml", kind = "build" }},
  {{ file = "ci-security-deps.yml", kind = "security" }},
  {{ file = "docs.yml", kind = "docs", required = false }},
]
[[services]]
name = "tts"
repository = "{REPOSITORY}"
namespace = "voice"
image = "ghcr.io/acme/tts"
dockerfile = "Dockerfile"
"""
TEST_LOG = """\
##[group]Run pytest tests/
##[endgroup]
tests/test_speech.py F..                                                 [100%]
=================================== FAILURES ===================================
E       AssertionError: assert 'one' == 'two'
tests/test_speech.py:12: AssertionError
FAILED tests/test_speech.py::test_number - AssertionError: assert 'one' == 'two'
========================= 1 failed, 2 passed in 0.12s ==========================
##[error]Process completed with exit code 1.
"""
BUILD_LOG = """\
##[group]Run docker buildx build --tag ghcr.io/acme/tts:1 .
##[endgroup]
#11 [4/5] RUN make -C /src
#11 1.204 gcc -c voice.c -o voice.o
#11 1.611 voice.c:42:17: error: expected ';' before 'return'
#11 1.640 make: *** [Makefile:7: voice.o] Error 1
#11 ERROR: process "/bin/sh -c make -C /src" did not complete successfully: exit code: 2
ERROR: failed to build: failed to solve: process "/bin/sh -c make -C /src" did not complete successfully: exit code: 2
##[error]Process completed with exit code 1.
"""
AUDIT_LOG = """\
##[group]Run pip-audit -r requirements.txt
##[endgroup]
Found 2 known vulnerabilities in 1 package
##[error]Process completed with exit code 1.
"""
DOCS_LOG = """\
##[group]Run mkdocs build --strict
##[endgroup]
Aborted with 1 warnings in strict mode!
##[error]Process completed with exit code 1.
"""


def open_newsroom(theatre: Theatre) -> dict[str, int]:
    """Add the repository to the stand-in and to the policy; return its runs' ids by title."""
    add_repository(theatre.box.state, REPOSITORY, _content())
    with theatre.policy_file.open("a") as policy:
        policy.write(POLICY)
    return {run.title: run.id for run in theatre.state_of(REPOSITORY).runs.values()}


def plan_in_turn(
    theatre: Theatre, procedure: str, requests: Mapping[str, ProcedureRequest]
) -> dict[str, str]:
    """Run a procedure's flow in plan mode for each request, in one process like a worker's.

    Returns:
        The flow runs' ids, by the requests' titles.
    """
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("plan_in_turn.py"))],
        input=json.dumps(
            {title: (procedure, request.model_dump(mode="json")) for title, request in requests.items()}
        ),
        env=theatre.environment,
        cwd=theatre.folder,
        capture_output=True,
        text=True,
        timeout=TURN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ids: dict[str, str] = json.loads(done.stdout)
    return ids


def artifact(theatre: Theatre, run_id: str, key: str) -> str:
    """Return a flow run's artifact as people read it."""
    return plain(theatre.prefect.artifact(run_id, key) or "")


def plain(markdown: str) -> str:
    """Take away what makes text from outside harmless."""
    return markdown.replace("\\", "").replace("\u200b", "")


def _content() -> dict[str, Any]:
    return {
        "roles": {"runbook-bot": "write", "alice": "admin", "bob": "write"},
        "images": ["acme/tts:latest"],
        "labels": ["incident"],
        "workflows": [
            {"file": file, "name": file}
            for file in ("ci-test.yml", "ci-build-push.yml", "ci-security-deps.yml", "docs.yml")
        ],
        "commits": [  # newest first
            {"id": "numbers", "message": "Speak numbers with their unit", "author": "bob", "ago": "50m"},
            {"id": "retry", "message": "Retry the speech service once", "author": "alice", "ago": "2h"},
            {"id": "good", "message": "Describe the wake word", "author": "alice", "ago": "9h"},
            {"id": "topic", "message": "Try a smaller voice", "author": "bob", "branch": "topic"},
            {"id": "spike", "message": "Spike", "author": "bob", "branch": "spike"},
            {"id": "release", "message": "Release 1.0", "author": "alice", "branch": "release/1.0"},
        ],
        "pulls": [{"title": "Try a smaller voice", "author": "bob", "head": "topic", "commit": "topic"}],
        "caches": [{"key": "pip-Linux-0badcafe", "size": 1000}],
        "runs": [
            _run("green", "ci-test.yml", "good", ago="8h", jobs=[{"name": "test"}]),
            # Of one workflow and branch, each by another event: else the newest would take the others' place.
            _red("again and again", "ci-test.yml", "numbers", LOG, ago="4h", attempts=4, event="schedule"),
            _red("main", "ci-test.yml", "numbers", LOG, ago="45m", green=["lint"]),
            _red(
                "pull request",
                "ci-test.yml",
                "topic",
                TEST_LOG,
                ago="44m",
                event="pull_request",
                seconds=1500,
            ),
            _red(
                "slow",
                "ci-test.yml",
                "spike",
                TEST_LOG,
                ago="43m",
                event="workflow_dispatch",
                seconds=1500,
            ),
            _red("spike", "ci-test.yml", "spike", TEST_LOG, ago="42m"),
            _red("now and then", "ci-test.yml", "numbers", TEST_LOG, ago="41m", event="workflow_dispatch"),
            _red("build", "ci-build-push.yml", "numbers", BUILD_LOG, ago="40m"),
            _red("release", "ci-security-deps.yml", "release", AUDIT_LOG, ago="39m"),
            _red("docs", "docs.yml", "numbers", DOCS_LOG, ago="38m"),
        ],
    }


def _red(
    title: str,
    workflow: str,
    commit: str,
    log: str,
    *,
    seconds: int = 20,
    green: Iterable[str] = (),
    **more: object,
) -> dict[str, Any]:
    """Return a run whose job ``check`` failed, and passes when it is run again."""
    check = {
        "name": "check",
        "seconds": seconds,
        "conclusion": "failure",
        "steps": ["Set up job", {"Run it": "failure"}],
        "log": log,
        "rerun": {"seconds": 1, "conclusion": "success"},
    }
    return _run(title, workflow, commit, jobs=[check, *({"name": name} for name in green)], **more)


def _run(title: str, workflow: str, commit: str, **more: object) -> dict[str, Any]:
    return {"title": title, "workflow": workflow, "commit": commit, **more}
