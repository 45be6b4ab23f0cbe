"""What is guessed of a repository, and what is left to people."""

from datetime import UTC, datetime

import pytest

from runbook.models import ActionsCache
from runbook.policy import WorkflowKind
from runbook.policy.proposing import RepositoryFindings, WorkflowFinding, propose
from runbook.policy.proposing.guesses import MOST_APPROVERS, NOBODY, cache_remark, guess_kind


@pytest.mark.parametrize(
    ("file", "name", "content", "kind"),
    [
        ("ci-test.yml", "CI Test", "", WorkflowKind.TEST),
        ("ci.yml", "CI", "run: docker build .", WorkflowKind.TEST),
        ("ci-build-push.yml", "", "", WorkflowKind.BUILD),
        ("ci-security-containers.yml", "", "", WorkflowKind.SECURITY),
        ("docker-scan.yaml", "", "", WorkflowKind.SECURITY),
        ("deploy_docs.yml", "", "", WorkflowKind.DOCS),
        ("release.yml", "", "", WorkflowKind.DEPLOY),
        ("main.yml", "Unit tests", "", WorkflowKind.TEST),
        ("main.yml", "Main", "- run: cargo test --locked", WorkflowKind.TEST),
        ("main.yml", "Main", "- uses: docker/build-push-action@v6", WorkflowKind.BUILD),
        ("main.yml", "Main", "- run: helm upgrade --install app", WorkflowKind.DEPLOY),
        ("stale.yml", "Close stale issues", "- uses: actions/stale@v9", WorkflowKind.OTHER),
    ],
)
def test_a_workflow_is_what_its_file_its_name_or_its_content_says(
    file: str, name: str, content: str, kind: WorkflowKind
) -> None:
    path = f".github/workflows/{file}"
    assert guess_kind(WorkflowFinding(path=path, name=name, content=content))[0] is kind


def _found(**more: object) -> RepositoryFindings:
    return RepositoryFindings.model_validate({"name": "acme/app", "default_branch": "main", **more})


def _workflow(file: str, *jobs: str) -> WorkflowFinding:
    return WorkflowFinding(path=f".github/workflows/{file}", name=file, job_names=jobs)


@pytest.mark.parametrize(
    ("workflow", "checks", "required"),
    [
        (_workflow("ci-test.yml", "lint", "test (3.12)"), ("test (3.12)",), True),
        (_workflow("nightly.yml", "soak"), ("lint",), False),
        (_workflow("release.yml", "upload"), ("lint",), True),
        (_workflow("nightly.yml", "soak"), (), True),
        (_workflow("nightly.yml", "soak"), None, True),
        (_workflow("docs.yml", "render"), None, False),
        (_workflow("never-ran.yml"), ("lint",), True),
    ],
)
def test_a_workflow_is_required_where_a_check_comes_from_it_or_nobody_can_tell(
    workflow: WorkflowFinding, checks: tuple[str, ...] | None, required: bool
) -> None:
    policy = propose((_found(workflows=(workflow,), required_checks=checks),), login=None).policy
    assert policy.repositories[0].workflows[0].required is required


@pytest.mark.parametrize(
    ("codeowners", "approvers", "on_call"),
    [
        ("* @alice @acme/ops\n/infra/ @bob\n", ("alice",), "@acme/ops"),
        ("* @alice # @mallory\n* @bob\n", ("bob",), "@bob"),
        ("/infra/ @bob\n/web/ @carol @bob\n", ("bob", "carol"), "@bob"),
        ("* @acme/ops\n", (NOBODY,), "@acme/ops"),
        ("* ops@example.com\n", (NOBODY,), None),
        ("", (NOBODY,), None),
    ],
)
def test_approvers_are_the_people_who_own_everything(
    codeowners: str, approvers: tuple[str, ...], on_call: str | None
) -> None:
    policy = propose((_found(codeowners=codeowners),), login="runbook-bot").policy
    assert policy.approvals.approvers == approvers
    assert policy.on_call == on_call
    assert policy.product_login == "runbook-bot"


def test_nobody_can_be_called_like_the_place_holder() -> None:
    assert len(NOBODY) > 39, "GitHub's longest login"


def test_a_code_owner_whose_token_was_used_is_not_taken_for_the_product() -> None:
    proposal = propose((_found(codeowners="* @alice\n"),), login="Alice")
    assert proposal.policy.product_login is None
    assert "CHANGE" in proposal.account


def test_no_more_approvers_are_named_than_people_read() -> None:
    owners = " ".join(f"@dev-{number}" for number in range(40))
    proposal = propose((_found(codeowners=f"* {owners}\n"),), login=None)
    assert len(proposal.policy.approvals.approvers) == MOST_APPROVERS
    assert "30 more" in proposal.approvers


def test_files_that_differ_by_case_alone_are_named_once_and_said() -> None:
    proposal = propose((_found(workflows=(_workflow("ci.yml"), _workflow("CI.yml"))),), login=None)
    assert [one.file for one in proposal.policy.repositories[0].workflows] == ["ci.yml"]
    assert any("CI.yml" in remark for remark in proposal.remarks["acme/app"].repository)


def test_only_refs_that_exist_are_taken_for_a_release() -> None:
    policy = propose((_found(refs=("main", "v1.2.0", "hotfix/login", "vendor")),), login=None).policy
    assert policy.repositories[0].release_refs == ("hotfix/*", "v*")


def test_nothing_acts_without_a_person() -> None:
    policy = propose((_found(),), login=None).policy
    assert policy.remedies
    assert not any(remedy.automatic for remedy in policy.remedies.values())


def test_caches_are_told_by_how_their_keys_begin() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    caches = [
        ActionsCache(
            id=number,
            key=f"pip-Linux-{number}",
            ref="refs/heads/main",
            version="1",
            size_in_bytes=1024**3,
            created_at=at,
            last_accessed_at=at,
        )
        for number in range(3)
    ]
    assert cache_remark(caches) == "3 Actions caches, 3.00 GiB; keys begin with pip-Linux (3)."
