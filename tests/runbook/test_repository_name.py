"""A repository's name is the same to the policy, a request, a call of GitHub and ``runbook init``."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deployments.cli.init_command import repository_in
from runbook.clients.github_calls import repository_path
from runbook.errors import UsageError
from runbook.policy import KillSwitch
from runbook.repository_name import RepositoryName, is_repository_name
from runbook.requests import TriageRequest

_FIELD: TypeAdapter[str] = TypeAdapter(RepositoryName)


def _takes(validate: Callable[[Any], object], value: object) -> bool:
    try:
        validate(value)
    except ValidationError:
        return False
    return True


def _can_be_asked_about(text: str) -> bool:
    try:
        return repository_path(text) == f"/repos/{text}"
    except UsageError:
        return False


def _is_found_by_init(text: str) -> bool:
    try:
        return repository_in(f"https://github.com/{text}.git", api_url="https://api.github.com") == text
    except UsageError:
        return False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme/voice-agent", True),
        ("alice_acme/app", True),  # an enterprise-managed account
        ("acme/.github", True),
        ("acme/..x", True),
        ("acme/_.", True),
        (f"{'a' * 39}/{'b' * 100}", True),
        (f"{'a' * 39}/{'b' * 101}", False),
        ("acme/.", False),
        ("acme/..", False),
        ("-acme/app", False),
        ("_acme/app", False),
        (".acme/app", False),
        ("acme", False),
        ("acme/", False),
        ("/app", False),
        ("acme/app/x", False),
        ("acme/app\n", False),
        ("acmé/app", False),
        ("a.b/app", False),
    ],
)
def test_a_name_is_one_everywhere_or_nowhere(text: str, expected: bool) -> None:
    assert is_repository_name(text) is expected
    assert _takes(KillSwitch.model_validate, {"repository": text, "issue": 1}) is expected
    assert _takes(TriageRequest.model_validate, {"repository": text, "run_id": 1}) is expected
    assert _can_be_asked_about(text) is expected
    if "\n" not in text and not text.startswith("/"):
        assert _is_found_by_init(text) is expected


@given(st.text(st.sampled_from("aZ0_-./ \n"), max_size=12))
def test_the_field_and_the_question_agree(text: str) -> None:
    assert _takes(_FIELD.validate_python, text) is is_repository_name(text)
