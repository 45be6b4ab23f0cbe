"""``runbook doctor`` on GitHub: who we are there, and whether we may do each thing that procedures do."""

from datetime import datetime, timedelta

from deployments.cli.doctor_findings import Finding, Findings, attempt, failed, good, warning
from deployments.cli.doctor_permissions import NOBODYS_NUMBER, Need, allowed
from deployments.cli.doctor_rollback import rollback_permissions
from deployments.product_account import require_named_account
from runbook.clients.github_client import GitHubClient
from runbook.errors import Denied, RunbookError
from runbook.models import Permission, RepositoryFacts, TokenFacts
from runbook.policy import LOW_RISK, Policy, RepositoryPolicy

_NO_KEY = "runbook-doctor-looks-whether-it-may-list"
_EXPIRES_SOON = timedelta(days=14)
_LOW_BUDGET_PERCENT = 10
_FOR_ONE_PERSON = tuple(name for name in ("clear-caches", "triage-failed-run") if name in LOW_RISK)


def check_github(github: GitHubClient, policy: Policy, *, now: datetime) -> Findings:
    """Check the credential, its limits, and every repository of the policy.

    Args:
        github: The product's own client.
        policy: The policy.
        now: The time.
    """
    try:
        facts = github.token_facts()
    except RunbookError as error:
        yield failed("GitHub token", error.message, fix=error.next_step)
        return
    yield attempt("GitHub token", lambda: _token(facts, policy, now))
    yield attempt("GitHub rate limit", lambda: _rate_limit(github))
    for repository in policy.repositories:
        yield from _repository(github, policy, repository)
        yield from _approvers(github, policy, repository, product=policy.product_login or facts.login)
    yield from _kill_switch(github, policy)


def _token(facts: TokenFacts, policy: Policy, now: datetime) -> Finding:
    check = "GitHub token"
    require_named_account(policy, facts.login)
    what = "permissions of its own" if facts.scopes is None else f"scopes {', '.join(facts.scopes) or 'none'}"
    if facts.expires_at is not None and facts.expires_at - now < _EXPIRES_SOON:
        return warning(check, f"{facts.login}, expires at {facts.expires_at:%Y-%m-%d %H:%M}", fix="renew it.")
    return good(check, f"{facts.login}, with {what}")


def _rate_limit(github: GitHubClient) -> Finding:
    check = "GitHub rate limit"
    core = next((limit for limit in github.rate_limits() if limit.resource == "core"), None)
    if core is None:
        return good(check, "GitHub names none")
    said = f"{core.remaining} of {core.limit} calls left this hour"
    if core.remaining * 100 < core.limit * _LOW_BUDGET_PERCENT:
        return warning(
            check, said, fix=f"wait until {core.reset_at:%H:%M} UTC, or see who else uses the token."
        )
    return good(check, said)


def _repository(github: GitHubClient, policy: Policy, repository: RepositoryPolicy) -> Findings:
    name = repository.name
    try:
        facts = github.repository_facts(name)
    except RunbookError as error:
        yield failed(f"{name}", error.message, fix=error.next_step)
        return
    yield _seen(repository, facts)
    for need in _needed(github, repository):
        yield allowed(github, f"{name}: {need.what}", need)
    yield from rollback_permissions(github, policy, repository)
    yield attempt(f"{name}: workflows", lambda: _workflows(github, repository))
    yield attempt(f"{name}: required checks", lambda: _required_checks(github, repository))
    if repository.incidents_repository.casefold() != name.casefold():
        yield attempt(
            f"{name}: incidents in {repository.incidents_repository}",
            lambda: _incidents_repository(github, repository, code=facts),
        )


def _seen(repository: RepositoryPolicy, facts: RepositoryFacts) -> Finding:
    if facts.archived:
        return failed(
            repository.name, "it is archived: nothing can be done there", fix="take it out of the policy."
        )
    if facts.default_branch != repository.default_branch:
        return failed(
            repository.name,
            f"its default branch is {facts.default_branch}; the policy says {repository.default_branch}",
            fix=f'set default_branch = "{facts.default_branch}" in the policy.',
        )
    return good(
        repository.name, f"{'private' if facts.private else 'public'}, default branch {facts.default_branch}"
    )


def _needed(github: GitHubClient, repository: RepositoryPolicy) -> tuple[Need, ...]:
    name, issues = repository.name, repository.incidents_repository
    branch = repository.default_branch
    return (
        Need("read runs, jobs and logs", name, "actions=read", lambda: github.list_runs(name, limit=1)),
        Need("read caches", name, "actions=read", lambda: github.list_caches(name, key=_NO_KEY)),
        Need(
            "re-run jobs, delete caches",
            name,
            "actions=write",
            lambda: github.delete_cache_by_id(name, NOBODYS_NUMBER),
        ),
        Need(
            "read commits", name, "contents=read", lambda: github.list_commits(name, branch=branch, limit=1)
        ),
        Need(
            "read pull requests",
            name,
            "pull_requests=read",
            lambda: github.list_pull_requests(name, head_sha=branch),
        ),
        Need(
            f"read issues of {issues}",
            issues,
            "issues=read",
            lambda: github.list_issues(issues, labels=(_NO_KEY,)),
        ),
        Need(
            f"write incidents and approvals in {issues}",
            issues,
            "issues=write",
            lambda: github.update_issue(issues, NOBODYS_NUMBER, state="open"),
        ),
    )


def _workflows(github: GitHubClient, repository: RepositoryPolicy) -> Finding:
    check = f"{repository.name}: workflows"
    there = {workflow.path.rsplit("/", 1)[-1] for workflow in github.list_workflows(repository.name)}
    missing = [entry.file for entry in repository.workflows if entry.file not in there]
    if missing:
        return warning(
            check,
            f"the policy names {', '.join(missing)}, which are not there",
            fix=f"there are: {', '.join(sorted(there)) or 'none'}; correct [[repositories.workflows]].",
        )
    return good(check, f"{len(there)}, and all that the policy names are among them")


def _required_checks(github: GitHubClient, repository: RepositoryPolicy) -> Finding:
    check = f"{repository.name}: required checks"
    found = github.required_checks(repository.name, repository.default_branch)
    if found.unreadable:
        return warning(
            check,
            f"not all can be read ({'; '.join(found.unreadable)})",
            fix="without them the policy's `required` alone says what blocks a merge.",
        )
    return good(check, ", ".join(found.contexts) or "none are required")


def _incidents_repository(
    github: GitHubClient, repository: RepositoryPolicy, *, code: RepositoryFacts
) -> Finding:
    check = f"{repository.name}: incidents in {repository.incidents_repository}"
    facts = github.repository_facts(repository.incidents_repository)
    if facts.archived:
        return failed(check, "it is archived", fix="name another incidents_repository in the policy.")
    if code.private and not facts.private:
        return warning(
            check,
            "it is public, but the code is private: log lines would be published",
            fix="make it private, or name another incidents_repository.",
        )
    return good(check, "private" if facts.private else "public")


def _approvers(
    github: GitHubClient, policy: Policy, repository: RepositoryPolicy, *, product: str
) -> Findings:
    check = f"{repository.name}: approvers"
    rule = policy.approval_rule("clear-caches", repository.name)
    entitled: list[str] = []
    for login in rule.approvers:
        if login.casefold() == product.casefold():
            yield failed(
                check,
                f"{login} is the account that the product acts as: it never counts",
                fix="take it out of approvers, or give the product an account of its own.",
            )
            continue
        held = _permission(github, repository.name, login)
        if isinstance(held, Finding):
            yield held
        elif held.rank < rule.minimum_permission.rank:
            yield failed(
                check,
                f"{login} has {held} and needs {rule.minimum_permission}",
                fix=f"give {login} that role on {repository.name}, or take the name out of approvers.",
            )
        else:
            entitled.append(login)
    resumable = tuple(
        procedure
        for procedure in _FOR_ONE_PERSON
        if policy.approval_rule(procedure, repository.name).prefect_resume_counts
    )
    yield _enough(check, entitled, quorum=rule.quorum, resumable=resumable)


def _permission(github: GitHubClient, repository: str, login: str) -> Permission | Finding:
    try:
        return github.permission_of(repository, login)
    except RunbookError as error:
        fix = f"give the token's account the role write on {repository}: who may not write may not ask."
        return failed(
            f"{repository}: approvers",
            error.message,
            fix=fix if isinstance(error, Denied) else error.next_step,
        )


def _enough(check: str, entitled: list[str], *, quorum: int, resumable: tuple[str, ...]) -> Finding:
    names = ", ".join(entitled) or "nobody"
    if len(entitled) < quorum:
        return failed(
            check, f"{names} may approve, and {quorum} must", fix="name more approvers, or lower the quorum."
        )
    if len(entitled) > quorum:
        return good(check, f"{names} may approve; {quorum} must")
    # Whoever asks never counts: with no approver to spare, some plan can never be approved.
    detail = f"{names} may approve, and {quorum} must: a plan that one of them asks for can never be approved"
    if len(entitled) > 1:
        return warning(check, detail, fix="name one approver more.")
    return _alone(check, detail, resumable)


def _alone(check: str, detail: str, resumable: tuple[str, ...]) -> Finding:
    """Say what somebody without a second person can do, or has done, about their own plans."""
    missing = [procedure for procedure in _FOR_ONE_PERSON if procedure not in resumable]
    if not missing:
        return good(
            check,
            f"{detail} by a comment; for {', '.join(resumable)} the Resume button of Prefect counts, "
            "as the policy says",
        )
    override = "\n".join(
        f'[[approvals.overrides]]\nprocedure = "{procedure}"\nprefect_resume = "counts"\n'
        for procedure in missing
    )
    there = f"for {', '.join(resumable)} it does already; " if resumable else ""
    return warning(
        check,
        f"{detail}; nobody but the requester may approve, and that never counts",
        fix="name a second person. Alone? For low-risk procedures the Resume button of Prefect may count, "
        f"recorded as unnamed; {there}add to the policy:\n\n{override}",
    )


def _kill_switch(github: GitHubClient, policy: Policy) -> Findings:
    switch = policy.kill_switch
    if switch is None:
        return
    check = f"kill switch {switch.repository}#{switch.issue}"

    def look() -> Finding:
        thrown = switch.label in github.get_issue(switch.repository, switch.issue).labels
        if thrown:
            return warning(
                check,
                "it is thrown: nothing acts without a person",
                fix=f"take the label {switch.label} off.",
            )
        return good(check, "can be read, and is not thrown")

    yield attempt(check, look)
