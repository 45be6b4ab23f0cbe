"""From findings to a policy, with the reason for each guess: pure functions."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from pydantic import TypeAdapter, ValidationError

from runbook.models import ActionsCache, Frozen
from runbook.policy.approvals import Approvals
from runbook.policy.base import Handle, Login, Name
from runbook.policy.estate import Secret
from runbook.policy.model import Policy
from runbook.policy.operations import Remedy, RemedyPolicy
from runbook.policy.proposing.findings import RepositoryFindings, WorkflowFinding
from runbook.policy.repositories import RepositoryPolicy, WorkflowKind, WorkflowPolicy
from runbook.triage.classes import FailureClass

NOBODY = "nobody-yet--put-the-login-of-an-approver-here"
"""Stands for an approver where none was found; longer than any login, so that nobody can be called so."""

MOST_APPROVERS = 10
ROTATION_MONTHS = 12
_SHOWN_PREFIXES = 6
_SHORTEST_HASH = 16
_WORKFLOW_FOLDER = ".github/workflows/"

# Asked in this order: "docker-scan" is about security, "deploy-docs" about documentation.
_BY_NAME: tuple[tuple[WorkflowKind, str], ...] = (
    (WorkflowKind.SECURITY, r"secur|codeql|scan|trivy|audit|sast|gitleaks|dependency-review|scorecard|vuln"),
    (WorkflowKind.DOCS, r"docs?\b|documentation|pages|mkdocs|sphinx"),
    (WorkflowKind.DEPLOY, r"deploy|release|publish|rollout|promote|\bcd\b"),
    (WorkflowKind.BUILD, r"build|docker|image|package|wheel|push"),
    (WorkflowKind.TEST, r"test|lint|check|unit|e2e|\bci\b|pre-commit|verify"),
)
_BY_CONTENT: tuple[tuple[WorkflowKind, str], ...] = (
    (WorkflowKind.SECURITY, r"codeql-action|trivy|gitleaks|pip-audit|npm audit|ossf/scorecard"),
    (WorkflowKind.DOCS, r"mkdocs|sphinx-build|deploy-pages"),
    (
        WorkflowKind.DEPLOY,
        r"helm (?:upgrade|install)|kubectl (?:apply|set)|gh-action-pypi-publish|gh release",
    ),
    (WorkflowKind.BUILD, r"build-push-action|docker build|docker buildx"),
    (
        WorkflowKind.TEST,
        r"pytest|unittest|npm (?:run )?test|go test|cargo test|mvn|gradle|tox|jest|ruff|eslint",
    ),
)
_RELEASE_REFS = (
    ("release/*", r"release/.+"),
    ("releases/*", r"releases/.+"),
    ("release-*", r"release-.+"),
    ("hotfix/*", r"hotfix/.+"),
    ("hotfix-v*", r"hotfix-v\d.*"),
    ("v*", r"v\d.*"),
)
_REMEDIES: dict[FailureClass, tuple[Remedy, ...]] = {
    FailureClass.CACHE_CORRUPTION: (Remedy.CLEAR_IMPLICATED_CACHES, Remedy.RERUN_FAILED_JOBS),
    FailureClass.RATE_LIMIT: (Remedy.WAIT_FOR_RATE_LIMIT_RESET, Remedy.RERUN_FAILED_JOBS),
    FailureClass.FLAKY_TEST: (Remedy.RERUN_FAILED_JOBS,),
    FailureClass.INFRASTRUCTURE: (Remedy.RERUN_FAILED_JOBS,),
    FailureClass.TIMEOUT: (Remedy.RERUN_FAILED_JOBS,),
}


class Remarks(Frozen):
    """Why a repository's tables are as they are.

    Args:
        repository: Remarks on the repository as a whole.
        workflows: By file.
    """

    repository: tuple[str, ...]
    workflows: dict[str, str]


class Proposal(Frozen):
    """A policy that loads, and the reasons for what it says.

    Args:
        policy: The policy.
        remarks: By repository's name.
        account: What is to be said about ``product_login``.
        on_call: What is to be said about who is called.
        approvers: What is to be said about them.
    """

    policy: Policy
    remarks: dict[str, Remarks]
    account: str
    on_call: str
    approvers: str


def propose(findings: Sequence[RepositoryFindings], *, login: str | None) -> Proposal:
    """Guess a policy.

    Args:
        findings: One for each repository, at least one; of different names.
        login: Whose token read them; None where GitHub does not say.
    """
    owners = _owners(findings)
    people = tuple(owner for owner in owners if "/" not in owner)
    is_person = login is not None and login.casefold() in {owner.casefold() for owner in people}
    account = login if login is not None and not is_person and _fits(Login, login) else None
    approvers = people[:MOST_APPROVERS] or (NOBODY,)
    on_call = next((owner for owner in owners if "/" in owner), next(iter(people), None))
    repositories = [_repository(found) for found in findings]
    policy = Policy(
        product_login=account,
        on_call=f"@{on_call}" if on_call else None,
        repositories=tuple(repository for repository, _ in repositories),
        approvals=Approvals(approvers=approvers),
        remedies={kind: RemedyPolicy(propose=remedies) for kind, remedies in _REMEDIES.items()},
        secrets=tuple(secret for found in findings for secret in _secrets(found)),
    )
    return Proposal(
        policy=policy,
        remarks={repository.name: remarks for repository, remarks in repositories},
        account=_account_remark(login, account, is_person=is_person),
        on_call="CHANGE if another is called: from CODEOWNERS" if on_call else "",
        approvers=_approvers_remark(people),
    )


def guess_kind(workflow: WorkflowFinding) -> tuple[WorkflowKind, str]:
    """Return what a workflow seems to be for, and by what that was told.

    Args:
        workflow: The workflow.
    """
    for what, text in (("file", _file(workflow)), ("name", workflow.name)):
        # Underscores would join words.
        words = text.rsplit(".", 1)[0] if what == "file" else text
        for kind, pattern in _BY_NAME:
            if re.search(pattern, words.replace("_", "-"), re.IGNORECASE):
                return kind, f"its {what} says {kind}"
    for kind, pattern in _BY_CONTENT:
        if found := re.search(pattern, workflow.content, re.IGNORECASE):
            return kind, f"it runs {found[0]}"
    return WorkflowKind.OTHER, "nothing tells what it is for"


def cache_remark(caches: Sequence[ActionsCache]) -> str:
    """Say how many caches there are, how large, and how their keys begin."""
    if not caches:
        return "No Actions caches."
    prefixes = Counter(_beginning(cache.key) for cache in caches)
    named = ", ".join(f"{prefix} ({number})" for prefix, number in prefixes.most_common(_SHOWN_PREFIXES))
    size = sum(cache.size_in_bytes for cache in caches) / 1024**3
    return f"{len(caches)} Actions caches, {size:.2f} GiB; keys begin with {named}."


def _beginning(key: str) -> str:
    """Return the words that a key begins with, without the hash that makes it one of many."""
    first, *rest = key.split("-")
    return f"{first}-{rest[0]}" if rest and len(rest[0]) < _SHORTEST_HASH else first


def _repository(found: RepositoryFindings) -> tuple[RepositoryPolicy, Remarks]:
    said = list(found.notes)
    workflows: list[WorkflowPolicy] = []
    remarks: dict[str, str] = {}
    taken: set[str] = set()
    for workflow in found.workflows:
        file = _file(workflow)
        if not workflow.path.startswith(_WORKFLOW_FOLDER):
            said.append(f"Left out: {workflow.name} ({workflow.path}) has no file in the repository.")
        elif not _fits(Name, file) or file.casefold() in taken:
            said.append(f"Left out: {file} cannot be told apart or written here; it counts as required.")
        else:
            taken.add(file.casefold())
            proposed, remarks[file] = _workflow(workflow, file, found.required_checks)
            workflows.append(proposed)
    branch = found.default_branch if _fits(Name, found.default_branch) else None
    if branch is None:
        said.append(f"CHANGE: the default branch {found.default_branch} cannot be written here.")
    if found.caches is not None:
        said.append(cache_remark(found.caches))
    if found.required_checks is not None:
        said.append(f"Required checks: {', '.join(found.required_checks) or 'none'}.")
    policy = RepositoryPolicy(
        name=found.name,
        default_branch=branch or "main",
        release_refs=_release_refs(found.refs),
        incidents_repository=found.name,
        workflows=tuple(workflows),
    )
    return policy, Remarks(repository=tuple(said), workflows=remarks)


def _workflow(
    workflow: WorkflowFinding, file: str, required_checks: tuple[str, ...] | None
) -> tuple[WorkflowPolicy, str]:
    kind, why = guess_kind(workflow)
    required, why_required = _required(workflow, kind, required_checks)
    baseline = round(median(workflow.green_minutes), 1) if workflow.green_minutes else None
    reasons = [f"{workflow.name}: {why}", why_required]
    if not workflow.active:
        reasons.append("it is disabled")
    if baseline:
        reasons.append(f"usual minutes of {len(workflow.green_minutes)} green runs")
    policy = WorkflowPolicy(file=file, kind=kind, required=required, baseline_minutes=baseline or None)
    return policy, "; ".join(reasons)


def _required(
    workflow: WorkflowFinding, kind: WorkflowKind, required_checks: tuple[str, ...] | None
) -> tuple[bool, str]:
    of_it = [name for name in workflow.job_names if name in (required_checks or ())]
    if of_it:
        return True, f"required checks: {', '.join(of_it)}"
    if kind in (WorkflowKind.BUILD, WorkflowKind.DEPLOY):
        return True, "CHANGE if its failure stops no release"
    if not required_checks or not workflow.job_names:
        return kind is not WorkflowKind.DOCS, "CHANGE if its failure stops nobody, or if it does"
    return False, "none of its jobs is a required check; CHANGE if it stops a release"


def _secrets(found: RepositoryFindings) -> Iterable[Secret]:
    names = {name.casefold(): name for name in found.secrets or () if _fits(Name, name)}
    for name in names.values():
        yield Secret(name=name, repository=found.name, every_months=ROTATION_MONTHS)


def _release_refs(refs: Iterable[str]) -> tuple[str, ...]:
    names = tuple(refs)
    return tuple(
        glob for glob, pattern in _RELEASE_REFS if any(re.fullmatch(pattern, name) for name in names)
    )


def _owners(findings: Iterable[RepositoryFindings]) -> tuple[str, ...]:
    """Return the code owners without their @, those of everything first, each once."""
    of_all: list[str] = []
    others: list[str] = []
    for found in findings:
        last: list[str] = []
        for line in found.codeowners.splitlines():
            pattern, *owners = line.split("#", 1)[0].split() or [""]
            named = [owner[1:] for owner in owners if owner.startswith("@") and _fits_owner(owner)]
            others += named
            last = named if pattern == "*" else last  # the last line that fits counts
        of_all += last
    unique: dict[str, str] = {}
    for owner in of_all or others:
        unique.setdefault(owner.casefold(), owner)
    return tuple(unique.values())


def _fits_owner(owner: str) -> bool:
    return _fits(Handle, owner) and ("/" in owner or _fits(Login, owner[1:]))


def _fits(kind: Any, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
        text.encode("utf-8")
    except (ValidationError, UnicodeEncodeError):
        return False
    return True


def _file(workflow: WorkflowFinding) -> str:
    return workflow.path.rsplit("/", 1)[-1]


def _account_remark(login: str | None, account: str | None, *, is_person: bool) -> str:
    if account:
        return "CHANGE if another account's token is used later; it never counts as an approver"
    if is_person:
        return (
            f"CHANGE: the token was {login}'s, who is a code owner; give the product an account of its own."
        )
    return "CHANGE: the account whose token the product uses."


def _approvers_remark(people: tuple[str, ...]) -> str:
    if not people:
        return "CHANGE: GitHub logins; CODEOWNERS names no person, and teams cannot approve"
    left = len(people) - MOST_APPROVERS
    more = f"; {left} more were left out" if left > 0 else ""
    return f"CHANGE: from CODEOWNERS{more}; who started a plan never approves it"
