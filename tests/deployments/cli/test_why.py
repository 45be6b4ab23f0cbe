"""``runbook why`` on logs and on runs of the stand-in."""

import gzip
import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sandbox
from tests.deployments.cli.conftest import Runbook

KEYS = ["class", "confidence", "severity", "first_cause", "evidence", "summary", "proposal"]
LOG = b"collected 2 items\nE   AssertionError: assert 1 == 2\nFAILED tests/test_sum.py::test_sum - assert 1 == 2\n"
GREEN = "collected 2 items\n======== 2 passed in 0.10s ========\n"


def scenario(*runs: dict[str, Any]) -> dict[str, Any]:
    """Return a repository like the policy's, with these runs."""
    return {
        "users": {"runbook-bot": {}},
        "repositories": {
            "acme/voice-agent": {
                "roles": {"runbook-bot": "write"},
                "commits": [{"id": "fix", "message": "Fix", "author": "runbook-bot", "ago": "1h"}],
                "workflows": [{"file": "ci-test.yml", "name": "CI"}, {"file": "docs.yml", "name": "Docs"}],
                "logs": {"red": LOG.decode(), "green": GREEN},
                "runs": [{"commit": "fix", "ago": "30m", "workflow": "ci-test.yml", **run} for run in runs],
            }
        },
    }


def job(name: str = "test", **more: Any) -> dict[str, Any]:
    """Return one job of a run."""
    return {"name": name, "seconds": 10, "log": "green", **more}


Playing = Callable[..., sandbox.Box]


@pytest.fixture
def playing(environment: pytest.MonkeyPatch) -> Iterator[Playing]:
    """Start a stand-in with given runs."""
    running: list[sandbox.Box] = []

    def start(*runs: dict[str, Any]) -> sandbox.Box:
        box = sandbox.Box(scenario(*runs) if runs else None)
        box.start()
        running.append(box)
        environment.setenv("GITHUB_API_URL", box.url)
        environment.setenv("GITHUB_TOKEN", box.token)
        return box

    yield start
    for box in running:
        box.stop()


def newest_run(box: sandbox.Box) -> int:
    """Return the number of the run that was started last."""
    return max(run.id for run in box.repository.runs.values())


def test_run_of_the_demo_is_explained_with_its_severity(playing: Playing, runbook: Runbook) -> None:
    box = playing()
    ended = runbook("why", f"https://github.com/acme/voice-agent/actions/runs/{newest_run(box)}", "--json")
    assert ended.status == 0
    why = ended.json
    assert list(why) == KEYS
    assert (why["class"], why["severity"]) == ("cache_corruption", "P0")
    assert why["first_cause"]["file"] == "test (3.12).txt"
    assert "Corrupted block" in why["first_cause"]["text"]
    assert all(request["applied"] is False for request in box.requests), "it only reads"
    shown = runbook("why", str(newest_run(box)), "--repo", "acme/voice-agent")
    assert "P0 a required test workflow is red on the default branch" in shown.out
    assert f"gh run view {newest_run(box)} --repo acme/voice-agent --log-failed" in shown.out


def test_no_ledger_and_no_policy_are_needed(
    playing: Playing, runbook: Runbook, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    box = playing()
    environment.delenv("RUNBOOK_POLICY")
    (tmp_path / "runbook.toml").unlink()
    why = runbook("why", str(newest_run(box)), "--repo", "acme/voice-agent", "--json").json
    assert (why["class"], why["severity"]) == ("cache_corruption", None)
    assert not (tmp_path / "ledger.db").exists()


def test_policy_that_was_asked_for_must_be_usable(playing: Playing, runbook: Runbook, tmp_path: Path) -> None:
    log = tmp_path / "job.txt"
    log.write_bytes(LOG)
    assert runbook("why", str(log), "--policy", "/nonexistent.toml").status == 2


def test_half_edited_policy_in_the_folder_does_not_stop_it(
    runbook: Runbook, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.delenv("RUNBOOK_POLICY")
    (tmp_path / "runbook.toml").write_text("approvals = [")
    log = tmp_path / "job.txt"
    log.write_bytes(LOG)
    ended = runbook("why", str(log), "--json")
    assert ended.status == 0
    assert ended.json["class"] == "test_failure"
    assert "Without severity" in ended.err


RUNS = [
    pytest.param({"jobs": [job()]}, "passing", None, id="green"),
    pytest.param({"jobs": [job(conclusion="failure", log="red")]}, "test_failure", "P0", id="red"),
    pytest.param(
        {"jobs": [job(conclusion="failure", log="red")], "branch": "topic"},
        "test_failure",
        "P2",
        id="other-branch",
    ),
    pytest.param(
        {"jobs": [job(conclusion="failure", log="red")], "workflow": "docs.yml"},
        "test_failure",
        "P3",
        id="docs",
    ),
    pytest.param({"jobs": [job(conclusion="failure")]}, "unknown", "P0", id="nothing-in-the-log"),
    pytest.param({"jobs": [job(conclusion="cancelled")]}, "cancelled", "P2", id="cancelled"),
    pytest.param({"jobs": [job(conclusion="timed_out")]}, "timeout", "P0", id="timed-out"),
    pytest.param(
        {"jobs": [], "conclusion": "startup_failure"}, "workflow_configuration", "P0", id="never-started"
    ),
]


@pytest.mark.parametrize(("run", "failure_class", "severity"), RUNS)
def test_run_ends_in_class_and_severity(
    playing: Playing, runbook: Runbook, run: dict[str, Any], failure_class: str, severity: str | None
) -> None:
    box = playing(run)
    ended = runbook("why", str(newest_run(box)), "--repo", "acme/voice-agent", "--json")
    assert ended.status == 0, ended.err
    assert list(ended.json) == KEYS
    assert (ended.json["class"], ended.json["severity"]) == (failure_class, severity)


def test_run_that_goes_on_is_explained_by_the_jobs_that_failed(playing: Playing, runbook: Runbook) -> None:
    failing = {"ago": "1m", "jobs": [job(conclusion="failure", log="red"), job("slow", seconds=3600)]}
    box = playing(failing)
    ended = runbook("why", str(newest_run(box)), "--repo", "acme/voice-agent", "--json")
    assert ended.json["class"] == "test_failure"
    assert "still goes on" in ended.err


def test_run_that_goes_on_without_a_failure_says_so(playing: Playing, runbook: Runbook) -> None:
    box = playing({"ago": "1m", "jobs": [job("slow", seconds=3600)]})
    ended = runbook("why", str(newest_run(box)), "--repo", "acme/voice-agent")
    assert ended.status == 1
    assert "no job of it has failed yet" in ended.err
    assert "gh run watch" in ended.err


def test_logs_that_are_gone_are_said(playing: Playing, runbook: Runbook) -> None:
    box = playing({"jobs": [job(conclusion="failure", log="red")], "logs_gone": True})
    ended = runbook("why", str(newest_run(box)), "--repo", "acme/voice-agent")
    assert ended.status == 1
    assert "expired or was deleted" in ended.err
    assert "Next: re-run" in ended.err


def test_reports_explain_what_the_logs_no_longer_can(playing: Playing, runbook: Runbook) -> None:
    failed = '<testcase classname="tests.test_call" name="test_ring"><failure message="no ring"/></testcase>'
    artifact = {"name": "test-results", "files": {"junit.xml": f"<testsuite>{failed}</testsuite>"}}
    box = playing(
        {"jobs": [job(conclusion="failure", log="red")], "logs_gone": True, "artifacts": [artifact]}
    )
    ended = runbook("why", str(newest_run(box)), "--repo", "acme/voice-agent", "--json")
    assert ended.status == 0, ended.err
    assert ended.json["class"] == "test_failure"
    assert "tests.test_call::test_ring" in ended.json["summary"]
    assert ended.json["first_cause"]["file"] == "test-results/junit.xml"
    assert "expired or was deleted" in ended.err


def test_job_that_is_not_text_is_noted_and_the_others_decide(playing: Playing, runbook: Runbook) -> None:
    binary = job("binary", conclusion="failure", log={"binary_bytes": 4096})
    box = playing({"jobs": [binary, job(conclusion="failure", log="red")]})
    ended = runbook("why", str(newest_run(box)), "--repo", "acme/voice-agent", "--json")
    assert ended.json["class"] == "test_failure"
    assert "the log of binary was not read" in ended.err


def test_one_job_of_a_run_can_be_asked_about(playing: Playing, runbook: Runbook) -> None:
    box = playing({"jobs": [job("a"), job("b", conclusion="failure", log="red")]})
    run = box.repository.runs[newest_run(box)]
    address = f"https://github.com/acme/voice-agent/actions/runs/{run.id}/job/"
    a, b = (one.id for one in run.latest.jobs)
    failed = runbook("why", f"{address}{b}", "--json")
    assert (failed.status, failed.json["class"]) == (0, "test_failure")
    assert failed.json["first_cause"]["file"] == "b.txt"
    passed = runbook("why", f"{address}{a}", "--json")
    assert (passed.status, passed.json["class"]) == (0, "passing")
    assert "Job a of" in passed.json["summary"]
    unknown = runbook("why", f"{address}{b + 999_999}", "--json")
    assert (unknown.status, unknown.out) == (1, "")
    assert f"has no job {b + 999_999}" in unknown.err


def test_the_newest_attempt_is_read_once_and_an_earlier_one_is_held_against_it(
    playing: Playing, runbook: Runbook
) -> None:
    box = playing({"jobs": [job(conclusion="failure", log="red")]})
    number = newest_run(box)
    path = f"/repos/acme/voice-agent/actions/runs/{number}"
    assert runbook("why", str(number), "--repo", "acme/voice-agent").status == 0
    assert [one["path"] for one in box.requests].count(path) == 1
    assert runbook("why", f"https://github.com/acme/voice-agent/actions/runs/{number}/attempts/1").status == 0
    assert [one["path"] for one in box.requests].count(path) == 2


@pytest.mark.parametrize("word", ["404", "https://github.com/acme/nowhere/actions/runs/1"])
def test_run_that_does_not_exist_is_said(playing: Playing, runbook: Runbook, word: str) -> None:
    playing()
    words = ("why", word) if word.startswith("http") else ("why", word, "--repo", "acme/voice-agent")
    ended = runbook(*words)
    assert ended.status == 1
    assert "GitHub answered 404" in ended.err


def test_missing_token_is_named(runbook: Runbook) -> None:
    ended = runbook("why", "1", "--repo", "acme/voice-agent")
    assert ended.status == 2
    assert "GITHUB_TOKEN" in ended.err


def _zip(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "file"),
    [
        ("job.txt", LOG, "job.txt"),
        ("job.log.gz", gzip.compress(LOG), "job.log.gz"),
        ("logs.zip", _zip(("0_build.txt", GREEN.encode()), ("1_test.txt", LOG)), "1_test.txt"),
        ("mixed.zip", _zip(("0_picture.txt", bytes(range(32)) * 200), ("1_test.txt", LOG)), "1_test.txt"),
    ],
    # Named, for an archive's bytes hold the second it was made in, and two collecting workers must agree on names.
    ids=["plain", "gzip", "zip", "zip with a binary"],
)
def test_log_files_of_each_kind_are_read(
    runbook: Runbook, tmp_path: Path, name: str, content: bytes, file: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    ended = runbook("why", str(path), "--json")
    assert ended.status == 0, ended.err
    assert list(ended.json) == KEYS
    assert ended.json["class"] == "test_failure"
    assert ended.json["severity"] is None
    assert ended.json["first_cause"]["file"].endswith(file)


def test_standard_input_is_read(runbook: Runbook, environment: pytest.MonkeyPatch) -> None:
    environment.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LOG)))
    assert runbook("why", "-", "--json").json["class"] == "test_failure"


def test_log_without_a_failure_is_passing(runbook: Runbook, tmp_path: Path) -> None:
    path = tmp_path / "job.txt"
    path.write_text(GREEN)
    assert runbook("why", str(path), "--json").json["class"] == "passing"


@pytest.mark.parametrize(("content", "status"), [(b"\x00\x01\x02\x03" * 99, 1), (None, 1)])
def test_file_that_is_no_log_is_said(
    runbook: Runbook, tmp_path: Path, content: bytes | None, status: int
) -> None:
    path = tmp_path / "job.txt"
    if content is not None:
        path.write_bytes(content)
    ended = runbook("why", str(path), "--json")
    assert (ended.status, ended.out) == (status, "")
    assert "Next: " in ended.err


def test_secret_in_a_log_is_shown_nowhere(runbook: Runbook, tmp_path: Path) -> None:
    path = tmp_path / "job.txt"
    path.write_bytes(LOG.replace(b"1 == 2", b"'ghp_abcdefghijklmnopqrstuvwxyz0123456789' == 2"))
    for words in (("why", str(path)), ("why", str(path), "--json")):
        ended = runbook(*words)
        assert "ghp_" not in ended.out + ended.err
