"""``runbook doctor``: each check good, and each one failing with what to do."""

from pathlib import Path

import pytest

import sandbox
from runbook.installation import Installation
from tests.deployments.cli.conftest import Ended, Runbook

REPOSITORY = "acme/voice-agent"


def findings(ended: Ended) -> dict[str, list[dict[str, str]]]:
    """Return what was found, by check."""
    found: dict[str, list[dict[str, str]]] = {}
    for finding in ended.json["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


def test_everything_on_github_is_good_and_nothing_is_changed(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    found = findings(runbook("doctor", "--json"))
    on_github = [one for check, ones in found.items() if "GitHub" in check or "/" in check for one in ones]
    assert len(on_github) >= 12
    assert {one["health"] for one in on_github if "workflows" not in one["check"]} == {"good"}
    assert not [request for request in box.requests if request["applied"]]


def test_nothing_to_connect_to_is_a_failure_with_advice(here: Installation, runbook: Runbook) -> None:
    ended = runbook("doctor", "--json")
    assert ended.status == 1
    assert ended.json["ok"] is False
    (server,) = findings(ended)["Prefect server"]
    assert server["health"] == "failed"
    assert "runbook up" in server["fix"]


@pytest.mark.parametrize(
    ("permission", "held", "check", "needs"),
    [
        ("actions", "read", f"{REPOSITORY}: re-run jobs, delete caches", "actions=write"),
        ("actions", "none", f"{REPOSITORY}: read runs, jobs and logs", "actions=read"),
        ("contents", "none", f"{REPOSITORY}: read commits", "contents=read"),
        ("pull_requests", "none", f"{REPOSITORY}: read pull requests", "pull_requests=read"),
        ("issues", "read", f"{REPOSITORY}: write incidents and approvals in {REPOSITORY}", "issues=write"),
    ],
)
def test_missing_permission_is_named_with_what_it_is_for(
    here: Installation, runbook: Runbook, box: sandbox.Box, permission: str, held: str, check: str, needs: str
) -> None:
    token = box.state.users["runbook-bot"].tokens[0]
    assert token.permissions is not None
    token.permissions[permission] = held
    ended = runbook("doctor", "--json")
    (finding,) = findings(ended)[check]
    assert ended.status == 1
    assert finding["health"] == "failed"
    assert needs in finding["fix"]


@pytest.mark.parametrize(
    ("permission", "held", "check", "health", "needs"),
    [
        ("deployments", "none", f"{REPOSITORY}: read deployments", "failed", "deployments=read"),
        (
            "packages",
            "none",
            f"{REPOSITORY}: versions of ghcr.io/acme/vibevoice-tts",
            "failed",
            "read:packages",
        ),
        ("contents", "read", f"{REPOSITORY}: push a revert's branch", "warning", "contents=write"),
        (
            "pull_requests",
            "read",
            f"{REPOSITORY}: open a revert's pull request",
            "warning",
            "pull_requests=write; or set revert_pull_request = false",
        ),
    ],
)
def test_what_a_rollback_lacks_is_named_and_its_revert_is_no_condition(
    here: Installation,
    runbook: Runbook,
    box: sandbox.Box,
    tmp_path: Path,
    permission: str,
    held: str,
    check: str,
    health: str,
    needs: str,
) -> None:
    token = box.state.users["runbook-bot"].tokens[0]
    assert token.permissions is not None
    token.permissions[permission] = held
    (finding,) = findings(runbook("doctor", "--json"))[check]
    assert finding["health"] == health
    assert needs in finding["fix"]


def test_an_image_that_nobody_has_pushed_is_noticed(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    box.repository.images.clear()
    (finding,) = findings(runbook("doctor", "--json"))[
        f"{REPOSITORY}: versions of ghcr.io/acme/vibevoice-tts"
    ]
    assert finding["health"] == "failed"
    assert "check the image's name" in finding["fix"]


def test_without_services_nothing_is_asked_for_a_rollback(
    here: Installation, runbook: Runbook, box: sandbox.Box, tmp_path: Path
) -> None:
    policy = tmp_path / "runbook.toml"
    head = policy.read_text().split("[[services]]")[0]
    policy.write_text(head)
    runbook("doctor", "--json")
    assert not [one for one in box.requests if "/packages/" in one["path"] or "/deployments" in one["path"]]
    assert not [one for one in box.requests if one["method"] == "DELETE" and "/git/" in one["path"]]


def test_token_of_another_account_is_noticed(
    here: Installation, runbook: Runbook, box: sandbox.Box, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("GITHUB_TOKEN", box.token_of("carol"))
    (finding,) = findings(runbook("doctor", "--json"))["GitHub token"]
    assert finding["health"] == "failed"
    assert "carol" in finding["detail"]
    assert "runbook-bot" in finding["fix"]


def test_invalid_token_ends_the_checks_on_github(
    here: Installation, runbook: Runbook, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("GITHUB_TOKEN", "canary-that-github-does-not-know")
    ended = runbook("doctor", "--json")
    (finding,) = findings(ended)["GitHub token"]
    assert finding["health"] == "failed"
    assert "valid" in finding["fix"]
    assert "canary" not in ended.out + ended.err


def test_missing_token_is_named(
    here: Installation, runbook: Runbook, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("GITHUB_TOKEN")
    (finding,) = findings(runbook("doctor", "--json"))["GitHub token"]
    assert "GITHUB_TOKEN" in finding["fix"]


@pytest.mark.parametrize(
    ("before", "after", "check", "health", "says"),
    [
        (
            '["alice", "bob"]',
            '["alice", "mallory"]',
            "approvers",
            "failed",
            "mallory has read and needs write",
        ),
        ('["alice", "bob"]', '["alice", "nobody-of-that-name"]', "approvers", "failed", "has none"),
        ('["alice", "bob"]', '["alice"]', "approvers", "warning", "nobody but the requester may approve"),
        ("quorum = 1  ", "quorum = 2  ", "approvers", "warning", "can never be approved"),
        ('default_branch = "main"', 'default_branch = "trunk"', "", "failed", "its default branch is main"),
        ('file = "docs.yml"', 'file = "dox.yml"', "workflows", "warning", "dox.yml"),
    ],
)
def test_policy_that_does_not_fit_the_repository_is_noticed(
    here: Installation,
    runbook: Runbook,
    tmp_path: Path,
    before: str,
    after: str,
    check: str,
    health: str,
    says: str,
) -> None:
    policy = tmp_path / "runbook.toml"
    assert before in policy.read_text()
    policy.write_text(policy.read_text().replace(before, after))
    found = findings(runbook("doctor", "--json"))[f"{REPOSITORY}: {check}" if check else REPOSITORY]
    assert any(one["health"] == health and says in one["detail"] for one in found), found


def test_one_person_installation_is_shown_the_lines_to_add(
    here: Installation, runbook: Runbook, tmp_path: Path
) -> None:
    policy = tmp_path / "runbook.toml"
    policy.write_text(policy.read_text().replace('["alice", "bob"]', '["alice"]'))
    shown = runbook("doctor").out
    lines = '[[approvals.overrides]]\nprocedure = "clear-caches"\nprefect_resume = "counts"\n'
    assert lines in shown
    # What is shown can be pasted as it is.
    policy.write_text(f"{policy.read_text()}\n{lines}")
    assert runbook("policy", "check").status == 0
    again = runbook("doctor").out
    assert lines not in again
    assert "for clear-caches it does already" in again
    policy.write_text(f"{policy.read_text()}\n{lines.replace('clear-caches', 'triage-failed-run')}")
    (finding,) = findings(runbook("doctor", "--json"))[f"{REPOSITORY}: approvers"]
    assert finding["health"] == "good"
    assert "for clear-caches, triage-failed-run the Resume button of Prefect counts" in finding["detail"]


def test_broken_audit_is_a_failure(here: Installation, runbook: Runbook) -> None:
    here.engine.executions.ask(procedure="clear-caches", request={}, requester="alice")
    with here.ledger.write() as session:
        from runbook.engine.schema import AuditRow

        session.get_one(AuditRow, 1).actor = "mallory"
    (finding,) = findings(runbook("doctor", "--json"))["ledger"]
    assert finding["health"] == "failed"


@pytest.mark.parametrize("url", ["nonsense", "postgresql://host:port/db", "nosuchthing://host/db"])
def test_a_ledger_that_is_no_database_is_a_finding(
    runbook: Runbook, environment: pytest.MonkeyPatch, url: str
) -> None:
    environment.setenv("RUNBOOK_LEDGER_URL", url)
    ended = runbook("doctor", "--json")
    (finding,) = findings(ended)["ledger"]
    assert ended.status == 1
    assert finding["health"] == "failed"
    assert "RUNBOOK_LEDGER_URL" in finding["detail"] + finding["fix"]


def test_unusable_policy_is_said_and_the_rest_still_looked_at(runbook: Runbook, tmp_path: Path) -> None:
    (tmp_path / "runbook.toml").write_text("nonsense")
    ended = runbook("doctor", "--json")
    found = findings(ended)
    assert ended.status == 1
    assert found["policy"][0]["health"] == "failed"
    assert found["ledger"][0]["health"] == "good"
    assert found["GitHub"][0]["health"] == "skipped"
    assert not (tmp_path / "ledger.db").exists()
