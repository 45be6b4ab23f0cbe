"""GitHub's own command line program, through the unix socket: the runbook's own commands must work on the stand-in."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sandbox

pytestmark = pytest.mark.integration
CORRUPT = "pip-Linux-5c0ffee4b1d2a9e8f7d6c5b4a3928170"
Gh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[sandbox.Box]:
    with sandbox.running(socket_path=tmp_path / "gh.sock") as one:
        yield one


@pytest.fixture
def gh(box: sandbox.Box, gh_program: Path, tmp_path: Path) -> Gh:
    """Run gh on the sandbox as the product's account, with no configuration but the socket."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GH_CONFIG_DIR": str(tmp_path / "gh"),
        "GH_TOKEN": box.token,
        "GH_NO_UPDATE_NOTIFIER": "1",
        "GH_REPO": f"{box.owner}/{box.repo}",
        "NO_COLOR": "1",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(gh_program), *arguments],
            env=environment,
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    done = run("config", "set", "http_unix_socket", str(tmp_path / "gh.sock"))
    assert done.returncode == 0, done.stderr
    return run


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, object]] = json.loads(done.stdout)
    return listed


def failed_run(gh: Gh) -> str:
    (run,) = rows(gh("run", "list", "--status", "failure", "--json", "databaseId"))
    return str(run["databaseId"])


def test_cache_list_shows_every_cache_with_its_ref(gh: Gh, box: sandbox.Box) -> None:
    listed = rows(gh("cache", "list", "--limit", "100", "--json", "id,key,ref,sizeInBytes"))
    assert {one["id"] for one in listed} == set(box.repository.caches)
    narrowed = rows(gh("cache", "list", "--key", CORRUPT, "--ref", "refs/heads/main", "--json", "key"))
    assert narrowed == [{"key": CORRUPT}]


def test_cache_delete_by_id_and_by_key_and_ref(gh: Gh, box: sandbox.Box) -> None:
    before = len(box.repository.caches)
    number = next(iter(box.repository.caches))
    assert gh("cache", "delete", str(number)).returncode == 0
    assert number not in box.repository.caches
    assert gh("cache", "delete", CORRUPT, "--ref", "refs/pull/1/merge").returncode == 0
    assert len(box.repository.caches) == before - 2
    again = gh("cache", "delete", CORRUPT, "--ref", "refs/pull/1/merge")
    assert (again.returncode, "Could not find a cache matching" in again.stderr) == (1, True)


def test_cache_delete_all_follows_every_page(gh: Gh, box: sandbox.Box) -> None:
    for number in range(120):
        box.state.add_cache(
            box.repository, key=f"k{number}", ref="refs/heads/main", size=1, at=box.clock.now()
        )
    done = gh("cache", "delete", "--all")
    assert done.returncode == 0, done.stderr
    assert box.repository.caches == {}


def test_run_list_filters_as_asked(gh: Gh) -> None:
    names = "databaseId,conclusion,headBranch,workflowName,attempt"
    (run,) = rows(gh("run", "list", "--workflow", "ci-test.yml", "--status", "failure", "--json", names))
    assert (run["conclusion"], run["headBranch"], run["workflowName"]) == ("failure", "main", "CI Test")


def test_run_rerun_failed_starts_an_attempt_and_is_refused_while_it_runs(gh: Gh, box: sandbox.Box) -> None:
    run = failed_run(gh)
    assert gh("run", "rerun", run, "--failed").returncode == 0
    assert len(box.repository.runs[int(run)].attempts) == 2
    again = gh("run", "rerun", run, "--failed")
    assert (again.returncode, "already running" in again.stderr) == (1, True)


def test_workflow_list_and_disable_and_enable(gh: Gh) -> None:
    listed = rows(gh("workflow", "list", "--all", "--json", "name,path,state"))
    assert [one["state"] for one in listed] == ["active"] * 3
    for verb, state in (("disable", "disabled_manually"), ("enable", "active")):
        assert gh("workflow", verb, "ci-test.yml").returncode == 0
        by_path = {
            one["path"]: one["state"] for one in rows(gh("workflow", "list", "--all", "--json", "path,state"))
        }
        assert by_path[".github/workflows/ci-test.yml"] == state


def test_api_rate_limit_tells_what_is_left(gh: Gh) -> None:
    done = gh("api", "rate_limit", "--jq", ".resources.core.limit")
    assert done.stdout.strip() == "5000"


def test_api_paginate_follows_the_links(gh: Gh, box: sandbox.Box) -> None:
    path = f"repos/{box.owner}/{box.repo}/actions/caches?per_page=5"
    done = gh("api", "--paginate", path, "--jq", ".actions_caches[].id")
    assert len(done.stdout.split()) == 12


def test_run_view_and_its_log_and_download(gh: Gh, tmp_path: Path) -> None:
    run = failed_run(gh)
    done = gh("run", "view", run, "--log-failed")
    assert done.returncode == 0, done.stderr
    assert "Corrupted block detected" in done.stdout
    done = gh("run", "download", run, "--name", "coverage-report", "--dir", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "coverage.xml").exists()
