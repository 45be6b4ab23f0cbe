"""Logs and artifacts: signed links, expiry, content."""

import io
import zipfile
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.contracts.github.conftest import Api, GitHub


def failed_job(bot: Api) -> int:
    jobs = bot.get(f"actions/runs/{bot.failed_run()['id']}/jobs").json()["jobs"]
    return int(next(job["id"] for job in jobs if job["conclusion"] == "failure"))


def location(reply: Any) -> str:
    assert reply.status_code == 302
    target: str = reply.headers["Location"]
    return target


def test_a_job_log_is_behind_a_link_that_needs_no_token(github: GitHub, bot: Api) -> None:
    link = location(bot.get(f"actions/jobs/{failed_job(bot)}/logs"))
    reply = github.with_token(None).get(link)
    lines = reply.content.decode("utf-8-sig").split("\n")
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert lines[1].endswith("Z \x1b[31mFAILED\x1b[0m tests/test_a.py")
    assert lines[2].startswith("2026-05-04T08:3")
    assert lines[-1] == ""


def test_the_log_store_refuses_a_request_that_carries_a_token(github: GitHub, bot: Api) -> None:
    link = location(bot.get(f"actions/jobs/{failed_job(bot)}/logs"))
    assert bot.get(link).status_code == 400


def test_the_log_store_is_at_another_host(github: GitHub, bot: Api) -> None:
    link = location(bot.get(f"actions/jobs/{failed_job(bot)}/logs"))
    assert urlsplit(link).hostname != urlsplit(github.url).hostname


def test_a_link_lasts_a_minute(github: GitHub, bot: Api) -> None:
    link = location(bot.get(f"actions/jobs/{failed_job(bot)}/logs"))
    github.wait(61)
    assert github.with_token(None).get(link).status_code == 403


def test_a_link_that_was_tampered_with_is_refused(github: GitHub, bot: Api) -> None:
    job = failed_job(bot)
    link = location(bot.get(f"actions/jobs/{job}/logs"))
    assert github.with_token(None).get(link.replace(str(job), str(job - 1))).status_code == 403


def test_the_log_of_a_job_that_runs_is_not_there_yet(bot: Api) -> None:
    (run,) = bot.get("actions/runs?status=in_progress").json()["workflow_runs"]
    job = bot.get(f"actions/runs/{run['id']}/jobs").json()["jobs"][0]
    assert bot.get(f"actions/jobs/{job['id']}/logs").status_code == 404


@pytest.mark.parametrize("created", ["2026-05-02", "<2026-02-01"])
def test_logs_that_were_deleted_or_are_older_than_ninety_days_are_gone(bot: Api, created: str) -> None:
    (run,) = bot.get("actions/runs", params={"created": created}).json()["workflow_runs"]
    job = bot.get(f"actions/runs/{run['id']}/jobs").json()["jobs"][0]
    for path in (f"actions/jobs/{job['id']}/logs", f"actions/runs/{run['id']}/logs"):
        reply = bot.get(path)
        assert (reply.status_code, reply.json()["message"]) == (410, "Server Error")


@pytest.mark.parametrize("path", ["logs", "attempts/1/logs"])
def test_the_logs_of_a_run_are_one_zip_with_a_file_for_each_job(github: GitHub, bot: Api, path: str) -> None:
    link = location(bot.get(f"actions/runs/{bot.failed_run()['id']}/{path}"))
    archive = zipfile.ZipFile(io.BytesIO(github.with_token(None).get(link).content))
    assert archive.namelist() == ["0_lint.txt", "1_test.txt"]
    assert b"##[error]" in archive.read("1_test.txt")


def test_artifacts_are_listed_and_downloaded_as_zip(github: GitHub, bot: Api) -> None:
    run = bot.failed_run()
    listed = bot.get(f"actions/runs/{run['id']}/artifacts").json()
    assert [one["name"] for one in listed["artifacts"]] == ["report", "stale"]
    assert bot.get("actions/artifacts?name=report").json()["total_count"] == 1
    report = listed["artifacts"][0]
    assert bot.get(f"actions/artifacts/{report['id']}").json() == report
    link = location(bot.get(f"actions/artifacts/{report['id']}/zip"))
    archive = zipfile.ZipFile(io.BytesIO(github.with_token(None).get(link).content))
    assert archive.read("report.txt") == b"fine"


def test_an_expired_artifact_is_gone(bot: Api) -> None:
    (stale,) = bot.get("actions/artifacts?name=stale").json()["artifacts"]
    assert stale["expired"] is True
    assert bot.get(f"actions/artifacts/{stale['id']}/zip").status_code == 410
