"""Secrets of the webhook: from variable or file, several while they change, never shown."""

import logging
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.gateway.policy_in_force import PolicyInForce
from deployments.gateway.signatures import WebhookSecrets, is_genuine
from runbook.errors import PolicyError, UsageError
from runbook.scrub import scrub

# The example of GitHub's own documentation on validating deliveries.
SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def values(secrets: WebhookSecrets) -> list[str]:
    return [secret.get_secret_value() for secret in secrets.current()]


def change(file: Path, text: str) -> None:
    """Write a file so that its change shows, however coarse the file system's time is."""
    before = file.stat().st_mtime_ns
    file.write_text(text)
    os.utime(file, ns=(before + 10**9, before + 10**9))


def test_signature_of_github_s_own_example_is_genuine() -> None:
    assert is_genuine(BODY, SIGNATURE, [SecretStr(SECRET)])
    assert is_genuine(BODY, SIGNATURE, [SecretStr("new"), SecretStr(SECRET)])


@pytest.mark.parametrize(
    ("body", "signature", "secrets"),
    [
        (BODY, SIGNATURE, []),
        (BODY, SIGNATURE, ["another"]),
        (BODY, SIGNATURE.upper(), [SECRET]),
        (BODY, SIGNATURE.replace("sha256", "sha1"), [SECRET]),
        (BODY, "", [SECRET]),
        (BODY, "sha256=\udcff", [SECRET]),
        (BODY + b"\n", SIGNATURE, [SECRET]),
    ],
)
def test_anything_else_is_forged(body: bytes, signature: str, secrets: list[str]) -> None:
    assert not is_genuine(body, signature, [SecretStr(secret) for secret in secrets])


def test_several_secrets_stand_one_a_line() -> None:
    secrets = WebhookSecrets.from_environment({"RUNBOOK_WEBHOOK_SECRET": "\n the new one \n\nthe old one\n"})
    assert values(secrets) == ["the new one", "the old one"]
    assert "the new one" not in repr(secrets.current())
    assert scrub("got the old one") == "got ***"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "Neither"),
        ({"RUNBOOK_WEBHOOK_SECRET": "a", "RUNBOOK_WEBHOOK_SECRET_FILE": "b"}, "Both"),
        ({"RUNBOOK_WEBHOOK_SECRET": " \n "}, "holds no secret"),
        ({"RUNBOOK_WEBHOOK_SECRET_FILE": "/nowhere/at/all"}, "cannot be read"),
    ],
)
def test_gateway_without_a_usable_secret_does_not_start(environment: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        WebhookSecrets.from_environment(environment)


def test_changed_file_counts_at_once_and_a_vanished_or_empty_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first-secret\n")
    secrets = WebhookSecrets.from_environment({"RUNBOOK_WEBHOOK_SECRET_FILE": str(file)})
    change(file, "second-secret\nfirst-secret\n")
    assert values(secrets) == ["second-secret", "first-secret"]
    change(file, "")
    assert values(secrets) == ["second-secret", "first-secret"]
    file.unlink()
    assert values(secrets) == ["second-secret", "first-secret"]


POLICY = '[[repositories]]\nname = "acme/{}"\n[approvals]\napprovers = ["alice"]\n'


def test_changed_policy_counts_at_once_and_the_last_readable_one_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "runbook.toml"
    with pytest.raises(PolicyError):
        PolicyInForce(file)
    file.write_text(POLICY.format("one"))
    policy = PolicyInForce(file)
    first = policy()
    assert policy() is first
    change(file, POLICY.format("other"))
    assert policy().repositories[0].name == "acme/other"
    with caplog.at_level(logging.WARNING):
        change(file, "what?")
        assert policy().repositories[0].name == "acme/other"
        file.unlink()
        assert policy().repositories[0].name == "acme/other"
    assert "holds on" in caplog.text
