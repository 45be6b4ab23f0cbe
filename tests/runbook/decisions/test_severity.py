"""The runbook's severity classification: one table for the rules, properties for all facts there can be."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.severity import (
    AffectedRef,
    SeverityFacts,
    SeverityRule,
    affected_ref,
    decide_severity,
    is_documentation,
    waiting_pull_requests,
)
from runbook.models import PullRequest, WorkflowRun
from runbook.policy import Policy, Severity, SeverityRules, Triage, WorkflowKind, parse_policy
from runbook.policy.repositories import RepositoryPolicy
from runbook.triage.classes import FailureClass as Class

_MAIN, _RELEASE = AffectedRef.DEFAULT_BRANCH, AffectedRef.RELEASE
_PULL, _BRANCH = AffectedRef.PULL_REQUEST, AffectedRef.OTHER_BRANCH


def _policy(**severities: str) -> Policy:
    return parse_policy(
        {
            "repositories": [{"name": "acme/app"}],
            "approvals": {"approvers": ["alice"]},
            "severities": severities,
        }
    )


POLICY = _policy()


def _facts(ref: AffectedRef, failure_class: Class = Class.TEST_FAILURE, **more: Any) -> SeverityFacts:
    return SeverityFacts(ref=ref, failure_class=failure_class, **more)


@pytest.mark.parametrize(
    ("facts", "severity", "rule"),
    [
        # IR-05
        (_facts(_MAIN), "P0", "default_branch_broken"),
        (_facts(_MAIN, Class.CACHE_CORRUPTION), "P0", "default_branch_broken"),
        (_facts(_MAIN, Class.UNKNOWN), "P0", "default_branch_broken"),
        (_facts(_MAIN, Class.FLAKY_TEST), "P0", "default_branch_broken"),
        (_facts(_MAIN, Class.LINT_OR_FORMAT), "P0", "default_branch_broken"),
        (_facts(_MAIN, documentation_only=True), "P0", "default_branch_broken"),
        (_facts(_RELEASE), "P0", "release_broken"),
        (_facts(_BRANCH, Class.SECURITY_SCAN, security_blocks_release=True), "P0", "security_blocks_release"),
        (
            _facts(_RELEASE, workflow_required=False, security_blocks_release=True),
            "P0",
            "security_blocks_release",
        ),
        # IR-06
        (_facts(_PULL, blocked_pull_requests=(7,)), "P1", "pull_requests_blocked"),
        (_facts(_PULL, documentation_only=True, blocked_pull_requests=(7,)), "P1", "pull_requests_blocked"),
        (
            _facts(_MAIN, workflow_kind=WorkflowKind.DOCS, blocked_pull_requests=(7,)),
            "P1",
            "pull_requests_blocked",
        ),
        (
            _facts(_BRANCH, Class.PASSING, duration_minutes=24.1, baseline_minutes=12),
            "P1",
            "performance_regression",
        ),
        (_facts(_BRANCH, duration_minutes=24.1, baseline_minutes=12), "P1", "performance_regression"),
        # IR-07
        (_facts(_MAIN, passed_on_retry=True), "P2", "intermittent_failure"),
        (_facts(_PULL, passed_on_retry=True, blocked_pull_requests=(7,)), "P2", "intermittent_failure"),
        (_facts(_BRANCH, Class.FLAKY_TEST), "P2", "intermittent_failure"),
        (_facts(_MAIN, workflow_required=False), "P2", "non_blocking_failure"),
        (_facts(_MAIN, Class.CANCELLED), "P2", "non_blocking_failure"),
        (_facts(_PULL), "P2", "non_blocking_failure"),
        (_facts(_BRANCH, duration_minutes=24, baseline_minutes=12), "P2", "non_blocking_failure"),
        (_facts(_BRANCH, duration_minutes=24), "P2", "non_blocking_failure"),
        # IR-08
        (_facts(_MAIN, workflow_kind=WorkflowKind.DOCS), "P3", "documentation_only"),
        (_facts(_BRANCH, documentation_only=True), "P3", "documentation_only"),
        (_facts(_BRANCH, Class.LINT_OR_FORMAT), "P3", "minor_finding"),
        # neither
        (_facts(_MAIN, Class.PASSING), None, None),
        (_facts(AffectedRef.NOT_KNOWN), None, None),
    ],
)
def test_severity_and_rule(facts: SeverityFacts, severity: str | None, rule: str | None) -> None:
    decision = decide_severity(facts, policy=POLICY)
    assert (decision.severity, decision.rule) == (severity, rule)


def test_the_decision_says_why_and_what_else_holds() -> None:
    facts = _facts(_MAIN, workflow_kind=WorkflowKind.TEST, blocked_pull_requests=(7, 9))
    decision = decide_severity(facts, policy=POLICY)
    assert decision.explanation == "P0: a required test workflow is red on the default branch."
    assert decision.also == (SeverityRule.PULL_REQUESTS_BLOCKED,)
    blocked = decide_severity(_facts(_PULL, blocked_pull_requests=(7, 9)), policy=POLICY)
    assert blocked.explanation == "P1: it keeps open pull requests from being merged: #7, #9."


def test_the_policy_decides_which_severity_a_rule_gives() -> None:
    facts = _facts(_MAIN, blocked_pull_requests=(7,))
    lowered = decide_severity(facts, policy=_policy(default_branch_broken="P2"))
    assert (lowered.severity, lowered.rule) == (Severity.P1, SeverityRule.PULL_REQUESTS_BLOCKED)


def test_the_policy_has_one_key_for_each_rule() -> None:
    assert list(SeverityRules.model_fields) == [rule.value for rule in SeverityRule]


_ANY_FACTS = st.builds(
    SeverityFacts,
    ref=st.sampled_from(AffectedRef),
    failure_class=st.sampled_from(Class),
    workflow_kind=st.sampled_from(WorkflowKind),
    workflow_required=st.booleans(),
    blocked_pull_requests=st.lists(st.integers(1, 99), max_size=3).map(tuple),
    duration_minutes=st.none() | st.floats(0, 500),
    baseline_minutes=st.none() | st.floats(0.1, 500),
    documentation_only=st.booleans(),
    security_blocks_release=st.booleans(),
    passed_on_retry=st.booleans(),
)


@given(_ANY_FACTS)
def test_every_failure_whose_ref_is_known_has_a_severity(facts: SeverityFacts) -> None:
    decision = decide_severity(facts, policy=POLICY)
    if facts.ref is AffectedRef.NOT_KNOWN:
        assert decision.severity is None
    elif facts.failure_class is not Class.PASSING:
        assert decision.severity is not None
    assert (decision.severity is None) == (decision.rule is None)


@given(
    _ANY_FACTS,
    st.fixed_dictionaries({rule.value: st.sampled_from(["P0", "P1", "P2", "P3"]) for rule in SeverityRule}),
)
def test_no_rule_that_holds_is_more_urgent_than_the_answer(
    facts: SeverityFacts, table: dict[str, str]
) -> None:
    decision = decide_severity(facts, policy=_policy(**table))
    assert decision.rule is None or decision.severity == table[decision.rule]
    assert all(table[rule] >= str(decision.severity) for rule in decision.also)
    assert decision.rule not in decision.also


@given(_ANY_FACTS)
def test_nothing_is_called_non_blocking_that_blocks_somebody(facts: SeverityFacts) -> None:
    decision = decide_severity(facts, policy=POLICY)
    holding = {decision.rule, *decision.also}
    mild = {SeverityRule.NON_BLOCKING_FAILURE, SeverityRule.DOCUMENTATION_ONLY, SeverityRule.MINOR_FINDING}
    blocking = {
        SeverityRule.SECURITY_BLOCKS_RELEASE,
        SeverityRule.DEFAULT_BRANCH_BROKEN,
        SeverityRule.RELEASE_BROKEN,
        SeverityRule.PULL_REQUESTS_BLOCKED,
    }
    assert not (holding & mild and holding & blocking)


def _run(event: str, head_branch: str | None) -> WorkflowRun:
    at = datetime(2026, 11, 24, tzinfo=UTC)
    return WorkflowRun(
        repository="acme/app",
        id=1,
        run_attempt=1,
        name="ci-test",
        display_title="Fix",
        path=".github/workflows/ci-test.yml",
        workflow_id=1,
        event=event,
        status="completed",
        conclusion="failure",
        head_branch=head_branch,
        head_sha="a" * 40,
        actor="alice",
        triggering_actor="alice",
        html_url="https://github.com/acme/app/actions/runs/1",
        created_at=at,
        run_started_at=at,
        updated_at=at,
        pull_requests=(),
    )


@pytest.mark.parametrize(
    ("event", "head_branch", "ref"),
    [
        ("push", "main", _MAIN),
        ("schedule", "main", _MAIN),
        ("workflow_dispatch", "main", _MAIN),
        ("push", "release/1.2", _RELEASE),
        ("push", "v1.2.0", _RELEASE),
        ("push", "feature", _BRANCH),
        ("push", "main2", _BRANCH),
        ("pull_request", "main", _PULL),  # a fork's main
        ("pull_request_target", "v1", _PULL),
        ("merge_group", "gh-readonly-queue/main/pr-7-abc", _PULL),
        ("push", None, AffectedRef.NOT_KNOWN),
    ],
)
def test_the_ref_of_a_run(event: str, head_branch: str | None, ref: AffectedRef) -> None:
    repository = RepositoryPolicy(name="acme/app", release_refs=("release/*", "v*"))
    assert affected_ref(_run(event, head_branch), repository) is ref


@pytest.mark.parametrize("head_branch", ["main", "release/1.2"])
def test_a_forks_branch_is_not_ours_whatever_it_is_called(head_branch: str) -> None:
    """GitHub gives a run of the event workflow_run the branch of the run that triggered it."""
    repository = RepositoryPolicy(name="acme/app", release_refs=("release/*",))
    run = _run("workflow_run", head_branch)
    assert affected_ref(run, repository) is not _PULL
    assert affected_ref(run.model_copy(update={"from_fork": True}), repository) is _PULL


# --- what a pull request waits for, and what is documentation ---------------------------------------------


def pull(number: int, base: str) -> PullRequest:
    """An open pull request."""
    return PullRequest(
        number=number, title="t", author="bob", head_sha="a", head_ref="topic", base_ref=base, html_url="u"
    )


@pytest.mark.parametrize(
    ("required", "waiting"),
    [
        ({"main": ("lint", "test")}, [1, 2]),
        ({"main": ("lint",)}, [2]),
        ({"main": ("lint",), "next": ("scan",)}, []),
        ({"main": ()}, [1, 2]),  # nothing is required: the policy's word on the workflow stands
        ({}, [1, 2]),  # nobody may read it
    ],
)
def test_a_pull_request_waits_for_the_checks_that_its_branch_requires(
    required: dict[str, tuple[str, ...]], waiting: list[int]
) -> None:
    pulls = (pull(1, "main"), pull(2, "next"))
    found = waiting_pull_requests(pulls, failed_checks={"test", "build"}, required_checks=required)
    assert [one.number for one in found] == waiting


@pytest.mark.parametrize(
    ("paths", "alone"),
    [
        (("docs/wake-word.md",), True),
        (("docs/deep/down/picture.png", "README.md"), True),
        (("agent/README.md",), True),
        (("docs/conf.py", "agent/speech.py"), False),
        (("pyproject.toml",), False),
        ((), False),
        (None, False),
    ],
)
def test_a_change_of_documentation_alone_is_known_by_its_paths(
    paths: tuple[str, ...] | None, alone: bool
) -> None:
    assert is_documentation(paths, patterns=Triage().documentation) is alone
