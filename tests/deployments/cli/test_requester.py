"""Who is named as the requester of a run that somebody starts."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

import sandbox
from deployments.starting import requester_login
from runbook.installation import Installation
from runbook.policy import load_policy
from runbook.settings import Settings
from tests.deployments.cli.story import POLICY


@pytest.mark.parametrize(("whose", "named"), [("alice", "alice"), ("runbook-bot", None), (None, None)])
def test_only_a_persons_own_token_names_a_requester(
    box: sandbox.Box, monkeypatch: pytest.MonkeyPatch, whose: str | None, named: str | None
) -> None:
    """The product's token names nobody: whoever used it could approve what they asked for."""
    monkeypatch.setenv("PATH", "")  # no gh
    token = (box.token if whose == "runbook-bot" else box.token_of(whose)) if whose else None
    settings = replace(
        Settings.from_environment({"GITHUB_API_URL": box.url}),
        github_token=SecretStr(box.token),
        approver_token=SecretStr(token) if token else None,
    )
    policy = load_policy(POLICY).model_copy(update={"product_login": None})
    here = replace(Installation.open(settings=replace(settings, policy_file=POLICY)), policy=policy)
    assert requester_login(here) == named
    here.github.close()
