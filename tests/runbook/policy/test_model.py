"""The questions that the rest of the product asks the policy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runbook.errors import UsageError
from runbook.models import Permission
from runbook.policy import PROCEDURES, Policy, Remedy, Severity, WorkflowKind, parse_policy
from runbook.policy.operations import Timings
from runbook.triage.classes import FailureClass

Document = dict[str, Any]


def test_a_repository_is_found_in_any_case_under_its_own_spelling(document: Document) -> None:
    assert parse_policy(document).repository("ACME/Voice-Agent").name == "acme/voice-agent"


def test_an_unknown_repository_is_refused_with_the_known_ones(document: Document) -> None:
    with pytest.raises(UsageError, match=r"'acme/other'; it names acme/voice-agent"):
        parse_policy(document).repository("acme/other")


def test_an_unlisted_workflow_counts_as_required(document: Document) -> None:
    repository = parse_policy(document).repository("acme/voice-agent")
    listed = repository.workflow(".github/workflows/docs.yml")
    assert (listed.kind, listed.required) == (WorkflowKind.DOCS, False)
    unlisted = repository.workflow("stale.yml")
    assert (unlisted.kind, unlisted.required) == (WorkflowKind.OTHER, True)


def test_severity_labels_carry_the_prefix(document: Document) -> None:
    assert parse_policy(document).repositories[0].labels.for_severity(Severity.P0) == "severity:P0"


def test_the_most_specific_override_wins_field_by_field(minimal: Document) -> None:
    minimal["repositories"] += [{"name": "acme/other"}]
    minimal["approvals"]["overrides"] = [
        {"procedure": "bypass-check", "repository": "Acme/App", "minimum_permission": "admin"},
        {"procedure": "bypass-check", "minimum_permission": "maintain", "expires_after_seconds": 600},
        {"repository": "acme/app", "quorum": 2, "expires_after_seconds": 900},
    ]
    policy = parse_policy(minimal)
    both = policy.approval_rule("bypass-check", "acme/APP")
    assert (both.minimum_permission, both.expires_after_seconds, both.quorum) == (Permission.ADMIN, 600, 2)
    procedure_only = policy.approval_rule("bypass-check", "acme/other")
    assert (procedure_only.minimum_permission, procedure_only.quorum) == (Permission.MAINTAIN, 1)
    repository_only = policy.approval_rule("clear-caches", "acme/app")
    assert (repository_only.minimum_permission, repository_only.expires_after_seconds) == (
        Permission.WRITE,
        900,
    )
    neither = policy.approval_rule("clear-caches", "acme/other")
    assert (neither.quorum, neither.expires_after_seconds, neither.approvers) == (1, 86_400, ("alice", "bob"))


@given(procedure=st.sampled_from(PROCEDURES))
def test_a_resume_counts_for_no_procedure_that_was_not_named(procedure: str) -> None:
    policy = parse_policy(
        {
            "repositories": [{"name": "acme/app"}],
            "approvals": {
                "approvers": ["alice"],
                "overrides": [{"procedure": "clear-caches", "prefect_resume": "counts"}],
            },
        }
    )
    assert policy.approval_rule(procedure, "acme/app").prefect_resume_counts is (procedure == "clear-caches")


def test_a_repository_may_take_the_resume_back(minimal: Document) -> None:
    minimal["approvals"]["overrides"] = [
        {"procedure": "clear-caches", "prefect_resume": "counts"},
        {"procedure": "clear-caches", "repository": "acme/app", "prefect_resume": "wakes"},
    ]
    assert not parse_policy(minimal).approval_rule("clear-caches", "acme/app").prefect_resume_counts


def test_approvers_are_compared_as_github_does(minimal: Document) -> None:
    rule = parse_policy(minimal).approval_rule("clear-caches", "acme/app")
    assert rule.names("Alice")
    assert not rule.names("mallory")


def test_an_unknown_procedure_is_refused_with_the_nearest_name(minimal: Document) -> None:
    with pytest.raises(UsageError, match=r"'clear-cache'.*did you mean 'clear-caches'\?"):
        parse_policy(minimal).approval_rule("clear-cache", "acme/app")


def test_a_scheduled_run_is_recognised_by_its_exact_request_only(document: Document) -> None:
    policy = parse_policy(document)
    request = {"repository": "acme/voice-agent", "mode": "apply", "key_prefix": "docker-"}
    found = policy.scheduled_run("clear-caches", request)
    assert found is not None
    assert (found.name, found.quorum, found.max_effects) == ("weekly-prune", 0, 200)
    assert policy.scheduled_run("triage-failed-run", request) is None
    assert policy.scheduled_run("clear-caches", request | {"key_prefix": ""}) is None
    assert policy.scheduled_run("clear-caches", request | {"all": True}) is None
    del request["key_prefix"]
    assert policy.scheduled_run("clear-caches", request) is None


def test_a_class_without_remedies_proposes_nothing_and_nothing_is_automatic(document: Document) -> None:
    policy = parse_policy(document)
    assert policy.remedy(FailureClass.CACHE_CORRUPTION).propose == (
        Remedy.CLEAR_IMPLICATED_CACHES,
        Remedy.RERUN_FAILED_JOBS,
    )
    assert policy.remedy(FailureClass.UNKNOWN).propose == ()
    assert not any(policy.remedy(failure_class).automatic for failure_class in FailureClass)


def _frozen(minimal: Document, **window: object) -> Policy:
    start = datetime(2027, 1, 11, tzinfo=UTC)
    end = start + timedelta(days=5)
    entry = {"name": "Release week", "start": start.isoformat(), "end": end.isoformat(), **window}
    return parse_policy(minimal | {"freeze_windows": [entry]})


@pytest.mark.parametrize(
    ("now", "held"),
    [
        (datetime(2027, 1, 10, 23, 59, 59, tzinfo=UTC), False),
        (datetime(2027, 1, 11, tzinfo=UTC), True),
        (datetime(2027, 1, 15, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2027, 1, 16, tzinfo=UTC), False),
    ],
)
def test_a_freeze_holds_from_its_start_up_to_its_end(minimal: Document, now: datetime, held: bool) -> None:
    policy = _frozen(minimal)
    assert (policy.freeze(now, procedure="clear-caches", repository="acme/app") is not None) is held


def test_a_freeze_holds_back_only_what_it_names(minimal: Document) -> None:
    now = datetime(2027, 1, 12, tzinfo=UTC)
    policy = _frozen(minimal, procedures=["rollback-image"], repositories=["Acme/App"])
    assert policy.freeze(now, procedure="rollback-image", repository="acme/app") is not None
    assert policy.freeze(now, procedure="clear-caches", repository="acme/app") is None
    assert policy.freeze(now, procedure="rollback-image", repository="acme/other") is None


def test_a_policy_cannot_be_changed_after_it_was_read(minimal: Document) -> None:
    policy = parse_policy(minimal)
    with pytest.raises(ValidationError, match="frozen"):
        policy.approvals.quorum = 0


def test_a_dead_run_is_revived_for_longer_than_any_hourly_limit_lasts() -> None:
    """Each revival waits twice as long as the one before; giving up undoes a remedy that may be good."""
    timings = Timings()
    waits = [timings.revive_grace_seconds * 2**revivals for revivals in range(timings.max_revivals)]
    assert sum(waits) > 2 * 3600
    description = Timings.model_fields["max_revivals"].description or ""
    assert f"{sum(waits):,.0f} s" in description
