"""Which failures are one outage."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.outage import (
    OpenIncident,
    OutsideReason,
    Together,
    alone,
    decide_outage,
    fingerprint_prefix,
    outage_fingerprint,
    outside_reason,
)
from runbook.models import RegistryState
from runbook.triage.classes import FailureClass

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NETWORK, LIMIT = OutsideReason.INFRASTRUCTURE, OutsideReason.RATE_LIMIT
WINDOW = 30


def failure(
    workflow: str = "ci-test.yml", *, minutes: float = 0, reason: OutsideReason = NETWORK
) -> Together:
    return alone(reason, workflow_file=workflow, failed_at=AT + timedelta(minutes=minutes))


def incident(number: int, *failures: Together) -> OpenIncident:
    together = failures[0]
    for other in failures[1:]:
        together = together.with_also(other)
    return OpenIncident(id=number, together=together)


@pytest.mark.parametrize(
    ("failure_class", "registry", "reason"),
    [
        (FailureClass.INFRASTRUCTURE, None, NETWORK),
        (FailureClass.RATE_LIMIT, None, LIMIT),
        (FailureClass.RATE_LIMIT, RegistryState.UNREACHABLE, LIMIT),
        (FailureClass.DEPENDENCY_RESOLUTION, None, None),
        (FailureClass.DEPENDENCY_RESOLUTION, RegistryState.UNREACHABLE, NETWORK),
        (FailureClass.BUILD_FAILURE, RegistryState.UNREACHABLE, NETWORK),
        (FailureClass.BUILD_FAILURE, RegistryState.READABLE, None),
        (FailureClass.TEST_FAILURE, RegistryState.UNREACHABLE, None),
        (FailureClass.UNKNOWN, None, None),
    ],
)
def test_only_what_no_change_of_the_code_would_mend_has_an_outside_reason(
    failure_class: FailureClass, registry: RegistryState | None, reason: OutsideReason | None
) -> None:
    assert outside_reason(failure_class, registry=registry) is reason


@pytest.mark.parametrize(
    ("incidents", "joins"),
    [
        ([], None),
        ([incident(1, failure("ci-build.yml", minutes=-10))], 1),
        ([incident(1, failure("ci-build.yml", minutes=10))], 1),  # heard of out of order
        ([incident(1, failure("ci-test.yml", minutes=-10))], 1),
        ([incident(1, failure("ci-build.yml", minutes=-30))], 1),
        ([incident(1, failure("ci-build.yml", minutes=-31))], None),
        ([incident(1, failure("ci-build.yml", minutes=31))], None),
        ([incident(1, failure("ci-build.yml", reason=LIMIT))], None),
        ([incident(1, failure("a", minutes=-50), failure("b", minutes=-25))], 1),  # it has grown
        ([incident(9, failure("a")), incident(4, failure("b"))], 4),
    ],
)
def test_a_failure_joins_the_oldest_incident_of_its_reason_within_the_window(
    incidents: list[OpenIncident], joins: int | None
) -> None:
    decision = decide_outage(failure(), incidents, window_minutes=WINDOW)
    assert decision.joins == joins
    assert "ci-test.yml" in decision.together.workflows
    assert decision.reason


@pytest.mark.parametrize(("names", "outage"), [(["a"], False), (["a", "a"], False), (["a", "b"], True)])
def test_it_is_called_an_outage_from_so_many_different_workflows_on(names: list[str], outage: bool) -> None:
    assert incident(1, *(failure(name) for name in names)).together.is_outage(workflows=2) is outage


@given(st.permutations(["a", "b", "c", "d", "e"]), st.lists(st.integers(0, 29), min_size=5, max_size=5))
def test_failures_within_one_window_end_in_one_incident_in_whatever_order_they_are_heard_of(
    names: list[str], minutes: list[int]
) -> None:
    known: list[OpenIncident] = []
    for name, minute in zip(names, minutes, strict=True):
        decision = decide_outage(failure(name, minutes=minute), known, window_minutes=WINDOW)
        number = decision.joins or len(known) + 1
        known = [one for one in known if one.id != number]
        known.append(OpenIncident(id=number, together=decision.together))
    assert len(known) == 1
    assert known[0].together.workflows == ("a", "b", "c", "d", "e")
    assert known[0].together.first_failed_at == AT + timedelta(minutes=min(minutes))


def test_the_fingerprint_of_an_outage_is_found_by_its_reason() -> None:
    assert outage_fingerprint(NETWORK, "f").startswith(fingerprint_prefix(NETWORK))
    assert not outage_fingerprint(NETWORK, "f").startswith(fingerprint_prefix(LIMIT))
