"""What a procedure may be asked, and the canonical form by which requests are compared."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runbook.requests import ClearCachesRequest, Mode, SweepRequest, TriageRequest

REPOSITORY = "acme/voice-agent"


def clear(**fields: Any) -> ClearCachesRequest:
    """Return a request to clear caches."""
    return ClearCachesRequest.model_validate({"repository": REPOSITORY, **fields})


@pytest.mark.parametrize(
    ("given_ref", "ref"),
    [
        ("main", "refs/heads/main"),
        ("feature/x", "refs/heads/feature/x"),
        ("refs/heads/main", "refs/heads/main"),
        ("refs/tags/v1", "refs/tags/v1"),
        ("refs/pull/12/merge", "refs/pull/12/merge"),
        ("#12", "refs/pull/12/merge"),
        ("12", "refs/heads/12"),
        ("#12x", "refs/heads/#12x"),
        ("#١٢", "refs/heads/#١٢"),
    ],
)
def test_a_ref_is_understood_as_people_write_it(given_ref: str, ref: str) -> None:
    assert clear(ref=given_ref).ref == ref


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "say which caches"),
        ({"mode": "apply"}, "say which caches"),
        ({"cache_ids": []}, "say which caches"),
        ({"everything": False}, "say which caches"),
        ({"everything": True, "key": "k"}, "no other choice"),
        ({"everything": True, "cache_ids": [1]}, "no other choice"),
        ({"everything": True, "ref": "main"}, "no other choice"),
        ({"key": "k", "key_prefix": "k"}, "not both"),
        ({"key": ""}, "at least 1"),
        ({"key_prefix": ""}, "at least 1"),
        ({"ref": ""}, "at least 1"),
        ({"key": "k" * 513}, "at most 512"),
        ({"everything": True, "mode": "force"}, "plan"),
        ({"everything": True, "colour": "red"}, "Extra inputs"),
        ({"everything": True, "repository": "voice-agent"}, "pattern"),
        ({"everything": True, "repository": "acme/voice-agent\n"}, "pattern"),
        ({"everything": True, "repository": "acme/voice-agent/../x"}, "pattern"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        clear(**fields)


@pytest.mark.parametrize("field", ["run_id", "run_attempt"])
@pytest.mark.parametrize("number", [0, -1])
def test_runs_and_attempts_count_from_one(field: str, number: int) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        TriageRequest.model_validate({"repository": REPOSITORY, "run_id": 1, field: number})


def test_plan_is_the_default_for_people() -> None:
    assert clear(everything=True).mode is Mode.PLAN
    assert TriageRequest(repository=REPOSITORY, run_id=1).mode is Mode.PLAN


def test_only_the_sweeper_names_no_repository_and_applies_by_default() -> None:
    assert (SweepRequest().repository, SweepRequest().mode) == ("*", Mode.APPLY)
    with pytest.raises(ValidationError):
        TriageRequest(repository="*", run_id=1)


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({"everything": True}, "every cache"),
        ({"cache_ids": [5, 6]}, "ids 5, 6"),
        ({"key": "k"}, "key k"),
        ({"key_prefix": "k", "ref": "#3"}, "keys beginning with k and ref refs/pull/3/merge"),
    ],
)
def test_the_choice_is_said_in_words(fields: dict[str, Any], choice: str) -> None:
    assert clear(**fields).choice == choice
    assert choice in clear(**fields).subject


def test_canonical_keeps_repository_and_mode_and_leaves_out_what_was_left_out() -> None:
    assert clear(key_prefix="pip-").canonical() == {
        "repository": REPOSITORY,
        "mode": "plan",
        "key_prefix": "pip-",
    }
    assert TriageRequest(repository=REPOSITORY, run_id=7, run_attempt=None).canonical() == {
        "repository": REPOSITORY,
        "mode": "plan",
        "run_id": 7,
    }


def test_spelling_a_default_out_changes_nothing() -> None:
    spelt = clear(everything=True, cache_ids=[], key=None, key_prefix=None, ref=None, mode="plan")
    assert spelt.canonical() == clear(everything=True).canonical()


def test_two_ways_to_name_a_ref_are_one_request() -> None:
    assert clear(ref="#12").canonical() == clear(ref="refs/pull/12/merge").canonical()


_CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "cache_ids": st.lists(st.integers(1, 10**12), min_size=1, max_size=4),
        "key": st.text(min_size=1, max_size=20),
        "ref": st.text(min_size=1, max_size=20),
        "mode": st.sampled_from(["plan", "apply"]),
    },
).filter(lambda fields: set(fields) - {"mode"})


@given(_CHOICES)
def test_canonical_is_json_that_means_the_same_request(fields: dict[str, Any]) -> None:
    """What the CLI writes to the ledger must match what the flow makes of Prefect's JSON."""
    request = clear(**fields)
    sent = json.loads(json.dumps(request.canonical()))
    again = ClearCachesRequest.model_validate(sent)
    assert again == request
    assert again.canonical() == sent
