"""How urgent is a failure? The runbook's severity classification (IR-05 to IR-08) as a pure function."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase

from runbook.models import Frozen, PullRequest, WorkflowRun
from runbook.policy import Policy, RepositoryPolicy, Severity, WorkflowKind
from runbook.triage.classes import FailureClass

# For these events the branch that a run names belongs to the pull request's author, perhaps in a fork: its
# "main" is not ours. A merge queue's branch stands for the pull requests that wait in it.
_PULL_REQUEST_EVENTS = frozenset(
    {
        "pull_request",
        "pull_request_target",
        "pull_request_review",
        "pull_request_review_comment",
        "merge_group",
    }
)


class AffectedRef(StrEnum):
    """What kind of ref a run was made for."""

    DEFAULT_BRANCH = "default_branch"
    RELEASE = "release"
    PULL_REQUEST = "pull_request"
    OTHER_BRANCH = "other_branch"
    NOT_KNOWN = "not_known"


class SeverityRule(StrEnum):
    """The rules of the policy's [severities], most urgent by default first."""

    SECURITY_BLOCKS_RELEASE = "security_blocks_release"
    DEFAULT_BRANCH_BROKEN = "default_branch_broken"
    RELEASE_BROKEN = "release_broken"
    PULL_REQUESTS_BLOCKED = "pull_requests_blocked"
    PERFORMANCE_REGRESSION = "performance_regression"
    INTERMITTENT_FAILURE = "intermittent_failure"
    NON_BLOCKING_FAILURE = "non_blocking_failure"
    DOCUMENTATION_ONLY = "documentation_only"
    MINOR_FINDING = "minor_finding"


class SeverityFacts(Frozen):
    """What the severity of a failure depends on.

    Args:
        ref: What the run was made for; NOT_KNOWN where there is only a log.
        failure_class: What triage found.
        workflow_kind: What the workflow is for.
        workflow_required: Whether its failure stops merges and releases.
        blocked_pull_requests: Open pull requests that it keeps from being merged.
        duration_minutes: How long the run took; None where it has not ended.
        baseline_minutes: How long it usually takes; None where nobody knows.
        documentation_only: Whether the change under test touches documentation alone.
        security_blocks_release: Whether a vulnerability that was found holds up a release.
        passed_on_retry: Whether a later attempt on the same commit passed.
    """

    ref: AffectedRef
    failure_class: FailureClass
    workflow_kind: WorkflowKind = WorkflowKind.OTHER
    workflow_required: bool = True
    blocked_pull_requests: tuple[int, ...] = ()
    duration_minutes: float | None = None
    baseline_minutes: float | None = None
    documentation_only: bool = False
    security_blocks_release: bool = False
    passed_on_retry: bool = False


class SeverityDecision(Frozen):
    """The severity, the rule that gave it, and the reason in words.

    ``severity`` and ``rule`` are None where no rule holds: there is no failure, or only a log is known.
    ``also`` names the further rules that hold.
    """

    severity: Severity | None
    rule: SeverityRule | None
    explanation: str
    also: tuple[SeverityRule, ...] = ()


def affected_ref(run: WorkflowRun, repository: RepositoryPolicy) -> AffectedRef:
    """Tell what kind of ref a run was made for.

    Args:
        run: The run; GitHub gives a branch or a tag as ``head_branch``.
        repository: The policy of the repository that the run belongs to.
    """
    return ref_of(run.event, run.head_branch, from_fork=run.from_fork, repository=repository)


def ref_of(
    event: str, head_branch: str | None, *, from_fork: bool, repository: RepositoryPolicy
) -> AffectedRef:
    """Tell the same by a run's fields.

    Args:
        event: What started it.
        head_branch: Branch or tag; None where GitHub names none.
        from_fork: Whether its commit lies in another repository.
        repository: The policy of the repository that the run belongs to.
    """
    # A run of the event workflow_run carries the branch of the run that triggered it.
    if event in _PULL_REQUEST_EVENTS or from_fork:
        return AffectedRef.PULL_REQUEST
    if head_branch is None:
        return AffectedRef.NOT_KNOWN
    if head_branch == repository.default_branch:
        return AffectedRef.DEFAULT_BRANCH
    if any(fnmatchcase(head_branch, pattern) for pattern in repository.release_refs):
        return AffectedRef.RELEASE
    return AffectedRef.OTHER_BRANCH


def waiting_pull_requests(
    pulls: Iterable[PullRequest],
    *,
    failed_checks: Collection[str],
    required_checks: Mapping[str, Collection[str]],
) -> tuple[PullRequest, ...]:
    """Return the pull requests that a failure keeps from being merged (IR-06, IR-10).

    Where a branch requires checks, one that is not among them holds up nobody. Where it requires none, or nobody
    may read which, the policy's word on the workflow stands.

    Args:
        pulls: The open pull requests with the commit that failed.
        failed_checks: The failed jobs' names, which are their checks' names.
        required_checks: What each base branch is known to require.
    """
    failed = set(failed_checks)
    return tuple(
        pull
        for pull in pulls
        if not required_checks.get(pull.base_ref) or failed & set(required_checks[pull.base_ref])
    )


def is_documentation(paths: Collection[str] | None, *, patterns: Iterable[str]) -> bool:
    """Tell whether a change touches documentation alone (IR-08).

    Args:
        paths: The changed files; None where they are not known.
        patterns: Globs of documentation; ``*`` goes over folders.
    """
    globs = tuple(patterns)
    return bool(paths) and all(any(fnmatchcase(path, glob) for glob in globs) for path in paths or ())


def decide_severity(facts: SeverityFacts, *, policy: Policy) -> SeverityDecision:
    """Decide the severity of a failure: of all rules that hold, the most urgent one counts (IR-05 to IR-08).

    Args:
        facts: What is known about the run.
        policy: Its ``severities`` say which severity a rule gives, its ``slo.duration`` what is too slow.
    """
    if facts.ref is AffectedRef.NOT_KNOWN:
        return SeverityDecision(
            severity=None,
            rule=None,
            explanation="It is not known which branch this ran for, nor what it blocks.",
        )
    holding = list(_holding(facts, alert_factor=policy.slo.duration.alert_factor))
    if not holding:
        return SeverityDecision(severity=None, rule=None, explanation="Nothing failed.")
    severities = {rule: Severity(getattr(policy.severities, rule)) for rule in holding}
    first = min(holding, key=lambda rule: severities[rule].rank)
    return SeverityDecision(
        severity=severities[first],
        rule=first,
        explanation=f"{severities[first]}: {_explain(first, facts)}",
        also=tuple(rule for rule in holding if rule is not first),
    )


def _holding(facts: SeverityFacts, *, alert_factor: float) -> Iterator[SeverityRule]:
    """Yield every rule that holds; for a failure there is always one."""
    failed = facts.failure_class is not FailureClass.PASSING
    blocking = list(_blocking(facts)) if failed else []
    yield from blocking
    if _is_slow(facts, alert_factor=alert_factor):
        yield SeverityRule.PERFORMANCE_REGRESSION
    if not failed:
        return
    intermittent = facts.passed_on_retry or facts.failure_class is FailureClass.FLAKY_TEST
    if intermittent:
        yield SeverityRule.INTERMITTENT_FAILURE
    if blocking:
        return
    if facts.documentation_only or facts.workflow_kind is WorkflowKind.DOCS:
        yield SeverityRule.DOCUMENTATION_ONLY
    elif facts.failure_class is FailureClass.LINT_OR_FORMAT:
        yield SeverityRule.MINOR_FINDING
    elif not intermittent:
        yield SeverityRule.NON_BLOCKING_FAILURE


def _blocking(facts: SeverityFacts) -> Iterator[SeverityRule]:
    """Yield the rules about a failure that keeps somebody from merging or releasing."""
    if facts.security_blocks_release:
        yield SeverityRule.SECURITY_BLOCKS_RELEASE
    # A cancelled run was stopped on purpose, and one that passed on retry stands green.
    cancelled = facts.failure_class is FailureClass.CANCELLED
    if cancelled or facts.passed_on_retry or not facts.workflow_required:
        return
    if facts.workflow_kind is not WorkflowKind.DOCS:
        if facts.ref is AffectedRef.DEFAULT_BRANCH:
            yield SeverityRule.DEFAULT_BRANCH_BROKEN
        elif facts.ref is AffectedRef.RELEASE:
            yield SeverityRule.RELEASE_BROKEN
    if facts.blocked_pull_requests:
        yield SeverityRule.PULL_REQUESTS_BLOCKED


def _is_slow(facts: SeverityFacts, *, alert_factor: float) -> bool:
    if facts.duration_minutes is None or facts.baseline_minutes is None:
        return False
    return facts.duration_minutes > alert_factor * facts.baseline_minutes


def _explain(rule: SeverityRule, facts: SeverityFacts) -> str:
    match rule:
        case SeverityRule.SECURITY_BLOCKS_RELEASE:
            return "a vulnerability holds up a release."
        case SeverityRule.DEFAULT_BRANCH_BROKEN:
            return f"a required {facts.workflow_kind} workflow is red on the default branch."
        case SeverityRule.RELEASE_BROKEN:
            return f"a required {facts.workflow_kind} workflow is red on a release ref."
        case SeverityRule.PULL_REQUESTS_BLOCKED:
            numbers = ", ".join(f"#{number}" for number in facts.blocked_pull_requests)
            return f"it keeps open pull requests from being merged: {numbers}."
        case SeverityRule.PERFORMANCE_REGRESSION:
            return f"it took {facts.duration_minutes:.3g} minutes, usually {facts.baseline_minutes:.3g}."
        case SeverityRule.INTERMITTENT_FAILURE if facts.passed_on_retry:
            return "it passed when run again on the same commit."
        case SeverityRule.INTERMITTENT_FAILURE:
            return "the test is known to fail now and then."
        case SeverityRule.DOCUMENTATION_ONLY:
            return "only documentation is concerned, and nothing is blocked."
        case SeverityRule.MINOR_FINDING:
            return "lint or format asks for an improvement, and nothing is blocked."
        case SeverityRule.NON_BLOCKING_FAILURE:
            return "it stops neither a merge nor a release."
