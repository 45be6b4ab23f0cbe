"""``runbook init``: what it writes, what it refuses, where it looks."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import sandbox
from deployments.cli import init_command
from deployments.cli.init_command import origin_of, repository_in
from runbook.errors import UsageError
from runbook.policy import WorkflowKind, load_policy
from tests.deployments.cli.alone import run_alone
from tests.deployments.cli.conftest import Ended

Init = Callable[..., Ended]


@pytest.fixture
def init(
    environment: pytest.MonkeyPatch, box: sandbox.Box, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Init:
    """Run it in an empty folder, on the demo's repository."""
    environment.setenv("GITHUB_API_URL", box.url)
    environment.setenv("GITHUB_TOKEN", box.token)
    environment.delenv("RUNBOOK_POLICY")
    (tmp_path / "runbook.toml").unlink()

    def run(*words: str) -> Ended:
        return run_alone(init_command.app, capsys, words)

    return run


def test_a_policy_is_written_that_says_what_the_repository_is(init: Init, tmp_path: Path) -> None:
    ended = init("--repo", "acme/voice-agent")
    assert ended.status == 0, ended.err
    policy = load_policy(tmp_path / "runbook.toml")
    (repository,) = policy.repositories
    assert (repository.name, repository.default_branch) == ("acme/voice-agent", "main")
    assert [(one.file, one.kind, one.required) for one in repository.workflows] == [
        ("ci-test.yml", WorkflowKind.TEST, True),
        ("ci-build-push.yml", WorkflowKind.BUILD, True),
        ("ci-security-deps.yml", WorkflowKind.SECURITY, False),
    ]
    assert policy.approvals.approvers == ("alice", "carol")
    assert policy.product_login == "runbook-bot"
    text = (tmp_path / "runbook.toml").read_text()
    assert "12 Actions caches" in text
    assert "required checks: lint" in text
    assert "Not known: the names of its Actions secrets" in text
    assert "doctor" in ended.out


def test_it_reads_only(init: Init, box: sandbox.Box) -> None:
    init("--repo", "acme/voice-agent")
    assert {one["method"] for one in box.requests} == {"GET"}


def test_a_policy_that_is_there_is_not_replaced(init: Init, box: sandbox.Box, tmp_path: Path) -> None:
    (tmp_path / "runbook.toml").write_text("mine")
    ended = init("--repo", "acme/voice-agent")
    assert ended.status == 2
    assert "--force" in ended.err
    assert (tmp_path / "runbook.toml").read_text() == "mine"
    assert box.requests == []
    assert init("--repo", "acme/voice-agent", "--force").status == 0
    assert load_policy(tmp_path / "runbook.toml")


def test_the_json_answer_names_what_is_to_be_decided_by_line(init: Init, tmp_path: Path) -> None:
    ended = init("--repo", "acme/voice-agent", "--repo", "acme/incidents", "--out", "p.toml", "--json")
    answer = ended.json
    assert [one["name"] for one in answer["repositories"]] == ["acme/voice-agent", "acme/incidents"]
    lines = (tmp_path / "p.toml").read_text().splitlines()
    assert answer["change"]
    assert all("CHANGE" in lines[one["line"] - 1] for one in answer["change"])
    assert "runbook --policy p.toml doctor" in answer["next"]


def test_a_repository_that_cannot_be_seen_writes_nothing(init: Init, tmp_path: Path) -> None:
    assert init("--repo", "acme/none").status == 1
    assert not (tmp_path / "runbook.toml").exists()


def test_without_repo_the_origin_of_this_folder_is_meant(
    init: Init, box: sandbox.Box, tmp_path: Path
) -> None:
    host = box.url.removeprefix("http://").partition(":")[0]
    for words in (["init", "-q"], ["remote", "add", "origin", f"git@{host}:acme/voice-agent.git"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert init().status == 0
    assert load_policy(tmp_path / "runbook.toml").repositories[0].name == "acme/voice-agent"


def test_git_knows_none_of_the_installations_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "git"
    program.write_text('#!/bin/sh\necho "git@github.com:acme/app-of-$(basename "$HOME")$GITHUB_TOKEN"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("GITHUB_TOKEN", "canary")
    assert origin_of(tmp_path, api_url="https://api.github.com") == "acme/app-of-alice"


def test_without_repo_and_without_git_nothing_is_asked(init: Init, box: sandbox.Box) -> None:
    ended = init()
    assert ended.status == 2
    assert "--repo" in ended.err
    assert box.requests == []


@pytest.mark.parametrize(
    ("address", "api", "name"),
    [
        ("git@github.com:acme/app.git", "https://api.github.com", "acme/app"),
        ("https://github.com/acme/app", "https://api.github.com", "acme/app"),
        ("https://user@github.com/acme/app.git/", "https://api.github.com", "acme/app"),
        ("ssh://git@ssh.github.com:443/acme/my.app.git", "https://api.github.com", "acme/my.app"),
        ("git@ghe.example:acme/app", "https://ghe.example/api/v3", "acme/app"),
        ("git@github.com:alice_acme/.github.git", "https://api.github.com", "alice_acme/.github"),
    ],
)
def test_an_address_of_git_names_a_repository(address: str, api: str, name: str) -> None:
    assert repository_in(address, api_url=api) == name


@pytest.mark.parametrize(
    "address",
    [
        "",
        "../elsewhere",
        "/srv/git/app.git",
        "git@gitlab.com:acme/app.git",
        "https://github.com.evil.example/acme/app",
        "https://github.com/acme",
        "https://github.com/acme/app/tree/main",
        "git@github.com:--upload-pack=x/y z",
    ],
)
def test_what_is_on_another_server_or_no_repository_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        repository_in(address, api_url="https://api.github.com")
