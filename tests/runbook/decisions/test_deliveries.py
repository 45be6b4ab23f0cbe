"""What a delivery asks for: tables of what GitHub sends, and everything else that might come."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.deliveries import (
    KINDS,
    Decision,
    Ignore,
    Malformed,
    StartTriage,
    WakePlans,
    WhyIgnored,
    is_failed,
    read_delivery,
)
from runbook.decisions.failed_deployments import StartRollback, deployed_services
from runbook.decisions.severity import AffectedRef
from runbook.policy import Policy, parse_policy


def _service(name: str, environments: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "repository": "acme/voice-agent",
        "namespace": "voice-agent",
        "image": f"ghcr.io/acme/{name}",
        "dockerfile": "Dockerfile",
        "environments": environments,
    }


POLICY: Policy = parse_policy(
    {
        "repositories": [
            {
                "name": "acme/voice-agent",
                "release_refs": ["release/*"],
                "incidents_repository": "acme/incidents",
            },
        ],
        "approvals": {"approvers": ["alice"]},
        "services": [
            _service("tts-service", ("production", "staging")),
            _service("agent-service", ("Production",)),
            _service("docs", ()),
        ],
    }
)
DIGITS = "0123456789abcdef"


def run_event(**fields: Any) -> dict[str, Any]:
    run = {"id": 42, "run_attempt": 2, "conclusion": "failure", "head_branch": "topic", "name": "CI"}
    return {
        "action": "completed",
        "workflow_run": run | fields,
        "repository": {"full_name": "acme/voice-agent", "private": True},
    }


def comment_event(body: str | None = f"/approve {DIGITS}", **changes: Any) -> dict[str, Any]:
    return {
        "action": "created",
        "comment": {"body": body, "user": {"login": "alice"}},
        "issue": {"number": 7},
        "repository": {"full_name": "ACME/incidents"},
    } | changes


def deployment_event(state: str = "failure", **changes: Any) -> dict[str, Any]:
    deployment = {"id": 9, "sha": 40 * "a", "environment": "production", "ref": "main"}
    return {
        "action": "created",
        "repository": {"full_name": "Acme/voice-agent"},
        "deployment_status": {"id": 17, "state": state, "description": "boom"},
        "deployment": deployment | changes,
    }


def decide(event: str, payload: object) -> Decision:
    return read_delivery(event, json.dumps(payload).encode(), policy=POLICY).decision


def why(event: str, payload: object) -> WhyIgnored:
    decision = decide(event, payload)
    assert isinstance(decision, Ignore), decision
    return decision.why


@pytest.mark.parametrize("conclusion", ["failure", "timed_out", "startup_failure"])
def test_failed_attempt_is_triaged_once_for_each_attempt(conclusion: str) -> None:
    decision = decide("workflow_run", run_event(conclusion=conclusion))
    assert decision == StartTriage(repository="acme/voice-agent", run_id=42, run_attempt=2)
    assert isinstance(decision, StartTriage)
    assert decision.key == "acme/voice-agent:42:2"


def test_repository_is_spelled_as_the_policy_spells_it() -> None:
    decision = decide("workflow_run", run_event() | {"repository": {"full_name": "Acme/Voice-Agent"}})
    assert isinstance(decision, StartTriage)
    assert decision.repository == "acme/voice-agent"


@pytest.mark.parametrize("conclusion", ["success", "skipped", "neutral", "action_required", "stale", None])
def test_attempt_that_did_not_fail_is_ignored(conclusion: str | None) -> None:
    assert why("workflow_run", run_event(conclusion=conclusion)) is WhyIgnored.NOT_FAILED


_OURS = {"full_name": "Acme/voice-agent"}
_FORK = {"full_name": "mallory/voice-agent"}


@pytest.mark.parametrize(
    ("branch", "changes", "failed"),
    [
        ("main", {"event": "push", "head_repository": _OURS}, True),
        ("release/1.2", {"event": "push", "head_repository": _OURS}, True),
        ("main", {}, True),
        ("topic", {"event": "push", "head_repository": _OURS}, False),
        ("main2", {}, False),
        (None, {}, False),
        # A fork calls its branches as it likes, and a pull request from our own main is one nonetheless.
        ("main", {"event": "pull_request", "head_repository": _FORK}, False),
        ("main", {"event": "workflow_run", "head_repository": _FORK}, False),
        ("main", {"event": "workflow_run", "head_repository": None}, False),
        ("main", {"event": "pull_request", "head_repository": _OURS}, False),
        ("release/1.2", {"event": "pull_request", "head_repository": {"full_name": "-/odd name"}}, False),
    ],
)
def test_cancelled_run_counts_where_nobody_else_looks(
    branch: str | None, changes: dict[str, object], failed: bool
) -> None:
    decision = decide("workflow_run", run_event(conclusion="cancelled", head_branch=branch, **changes))
    assert isinstance(decision, StartTriage) is failed
    assert decide("workflow_run", run_event(head_branch=branch, **changes)) == StartTriage(
        repository="acme/voice-agent", run_id=42, run_attempt=2
    ), "what broke is looked into wherever it ran"


@pytest.mark.parametrize("ref", AffectedRef)
def test_cancelled_is_a_failure_on_the_default_branch_and_releases_alone(ref: AffectedRef) -> None:
    assert is_failed("cancelled", ref=ref) is (ref in (AffectedRef.DEFAULT_BRANCH, AffectedRef.RELEASE))
    assert is_failed("failure", ref=ref)


@pytest.mark.parametrize(
    ("event", "payload", "reason"),
    [
        ("ping", {"zen": "Keep it logically awesome.", "hook_id": 1}, WhyIgnored.PING),
        ("push", {"ref": "refs/heads/main"}, WhyIgnored.OTHER_EVENT),
        ("check_suite", run_event(), WhyIgnored.OTHER_EVENT),
        ("workflow_run", run_event() | {"action": "requested"}, WhyIgnored.OTHER_ACTION),
        (
            "workflow_run",
            run_event() | {"repository": {"full_name": "acme/other"}},
            WhyIgnored.UNKNOWN_REPOSITORY,
        ),
        # Its incidents are there, its workflows are not.
        (
            "workflow_run",
            run_event() | {"repository": {"full_name": "acme/incidents"}},
            WhyIgnored.UNKNOWN_REPOSITORY,
        ),
        ("issue_comment", comment_event("looks good to me"), WhyIgnored.NO_COMMAND),
        ("issue_comment", comment_event(f"> /approve {DIGITS}"), WhyIgnored.NO_COMMAND),
        ("issue_comment", comment_event(None), WhyIgnored.NO_COMMAND),
        ("issue_comment", comment_event(action="edited"), WhyIgnored.OTHER_ACTION),
        ("issue_comment", comment_event(repository={"full_name": "a/b"}), WhyIgnored.UNKNOWN_REPOSITORY),
        (
            "secret_scanning_alert",
            {"action": "created", "repository": {"full_name": "acme/voice-agent"}},
            WhyIgnored.NOT_BUILT,
        ),
        ("deployment_status", deployment_event("success"), WhyIgnored.NOT_BROKEN),
        ("deployment_status", deployment_event("in_progress"), WhyIgnored.NOT_BROKEN),
        ("deployment_status", deployment_event(environment="preview"), WhyIgnored.NO_SERVICE),
        ("deployment_status", deployment_event() | {"action": "edited"}, WhyIgnored.OTHER_ACTION),
        (
            "deployment_status",
            deployment_event() | {"repository": {"full_name": "acme/other"}},
            WhyIgnored.UNKNOWN_REPOSITORY,
        ),
        ("deployment_status", deployment_event(environment=["production"]), WhyIgnored.UNREADABLE),
        ("deployment_status", deployment_event(id="9"), WhyIgnored.UNREADABLE),
        ("deployment_status", deployment_event(environment="x" * 256), WhyIgnored.UNREADABLE),
    ],
)
def test_whatever_leads_to_nothing_says_why(event: str, payload: object, reason: WhyIgnored) -> None:
    assert why(event, payload) is reason


@pytest.mark.parametrize("state", ["failure", "error"])
@pytest.mark.parametrize(
    ("environment", "services"),
    [("production", ("tts-service", "agent-service")), ("STAGING", ("tts-service",))],
)
def test_failed_deployment_asks_for_a_rollback_of_what_its_environment_deploys(
    state: str, environment: str, services: tuple[str, ...]
) -> None:
    decision = decide("deployment_status", deployment_event(state, environment=environment))
    assert decision == StartRollback(
        repository="acme/voice-agent",
        services=services,
        deployment_id=9,
        status_id=17,
    )
    assert isinstance(decision, StartRollback)
    assert decision.key == "acme/voice-agent:deployment:9:17"


def test_services_of_another_repository_are_none_of_its_deployments() -> None:
    assert deployed_services(POLICY.services, repository="acme/other", environment="production") == ()


@pytest.mark.parametrize(
    "broken",
    [
        {"run_attempt": "2"},
        {"run_attempt": None},
        {"run_attempt": 0},
        {"run_attempt": True},
        {"id": -1},
        {"id": 2**63},
        {"id": 1.5},
        {"conclusion": ["failure"]},
        {"conclusion": "Failure; DROP"},
        {"head_branch": {}},
        {"event": 3},
        {"head_repository": "acme/voice-agent"},
    ],
)
def test_field_of_another_type_is_named_and_its_value_is_not_repeated(broken: dict[str, object]) -> None:
    decision = decide("workflow_run", run_event(**broken))
    assert isinstance(decision, Ignore)
    assert decision.why is WhyIgnored.UNREADABLE
    assert decision.detail == f"workflow_run.{next(iter(broken))}"


@pytest.mark.parametrize("event", sorted(KINDS - {"ping"}))
@pytest.mark.parametrize(
    "payload",
    [{}, {"repository": None}, {"repository": []}, {"action": 3}, {"repository": {"full_name": "x"}}],
)
def test_missing_fields_are_ignored_with_a_reason(event: str, payload: dict[str, object]) -> None:
    assert why(event, payload) is WhyIgnored.UNREADABLE


def test_command_wakes_the_plans_of_its_issue() -> None:
    decision = decide("issue_comment", comment_event(f"/reject {DIGITS.upper()} not now"))
    assert decision == WakePlans(
        issues_repository="acme/incidents", issue_number=7, digits=DIGITS, login="alice"
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b"{}{}", b"[" * 100_000])
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    for event in ("workflow_run", "push"):
        with pytest.raises(Malformed):
            read_delivery(event, body, policy=POLICY)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_PLACES = (
    ("action",),
    ("repository",),
    ("repository", "full_name"),
    ("workflow_run",),
    ("comment",),
    ("issue",),
    ("issue", "number"),
    ("comment", "body"),
    ("comment", "user"),
    ("workflow_run", "id"),
    ("workflow_run", "run_attempt"),
    ("workflow_run", "conclusion"),
    ("workflow_run", "head_branch"),
    ("workflow_run", "event"),
    ("workflow_run", "head_repository"),
    ("deployment_status", "state"),
    ("deployment_status", "id"),
    ("deployment",),
    ("deployment", "id"),
    ("deployment", "sha"),
    ("deployment", "environment"),
)


@given(event=st.sampled_from(sorted(KINDS)), place=st.sampled_from(_PLACES), value=_JSON)
def test_any_value_anywhere_is_a_decision_and_never_an_error(
    event: str, place: tuple[str, ...], value: object
) -> None:
    payload: dict[str, Any] = comment_event() | run_event() | deployment_event()
    inside = payload
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    reading = read_delivery(event, json.dumps(payload).encode(), policy=POLICY)
    assert isinstance(reading.decision, StartTriage | StartRollback | WakePlans | Ignore)
    assert reading.action.replace("_", "a").isalpha() or not reading.action
