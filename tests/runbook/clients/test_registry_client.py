"""Rules of the registry probe: every answer is an outcome with a reason, and the login goes nowhere else."""

import socket

import pytest
from pydantic import SecretStr

import sandbox
from runbook.clients.registry_client import RegistryClient
from runbook.clients.sessions import Timeouts
from runbook.models import RegistryState
from tests.runbook.clients.scripted import Said, scripted

CANARY = "canary-registry-token"
LOOK = {"/token": Said(200, {"token": "bearer-for-one-image"})}


def client(url: str, token: str = CANARY, *, read_seconds: float = 10) -> RegistryClient:
    return RegistryClient(
        url=url, login="runbook-bot", token=SecretStr(token), timeouts=Timeouts(5, read_seconds)
    )


@pytest.mark.parametrize(
    ("token_answer", "manifest_answer", "state", "reason"),
    [
        (LOOK["/token"], Said(200), RegistryState.READABLE, "may be read"),
        (LOOK["/token"], Said(404), RegistryState.IMAGE_MISSING, "does not exist"),
        (LOOK["/token"], Said(403), RegistryState.ACCESS_DENIED, "may not be read"),
        (LOOK["/token"], Said(429, None, {"Retry-After": "30"}), RegistryState.RATE_LIMITED, "too many"),
        (LOOK["/token"], Said(503), RegistryState.UNREACHABLE, "answered 503"),
        (Said(200, ["no object"]), None, RegistryState.UNREACHABLE, "ValueError"),
        (LOOK["/token"], Said(drop="reset"), RegistryState.UNREACHABLE, "ConnectionError"),
        (Said(401), None, RegistryState.LOGIN_REFUSED, "refuses the login of runbook-bot"),
        (Said(429), None, RegistryState.RATE_LIMITED, "too many"),
        (Said(200, b"<html>"), None, RegistryState.UNREACHABLE, "did not answer as a registry does"),
        (Said(307, None, {"Location": "http://127.0.0.1:1/"}), None, RegistryState.UNREACHABLE, "307"),
        (Said(drop="hang"), None, RegistryState.UNREACHABLE, "ReadTimeout"),
    ],
)
def test_each_answer_is_an_outcome_with_its_reason(
    token_answer: Said, manifest_answer: Said | None, state: RegistryState, reason: str
) -> None:
    with scripted(
        lambda seen: token_answer if seen.path == "/token" else manifest_answer or Said(500)
    ) as server:
        patience = 0.5 if token_answer.drop == "hang" else 10
        probe = client(server.url, read_seconds=patience).probe("ghcr.io/acme/tts", tag="latest")
    assert (probe.state, probe.image) == (state, "acme/tts")
    assert reason in probe.reason
    assert CANARY not in str(probe)
    assert probe.retry_after_seconds == (30 if "30" in str(manifest_answer) else None)


def test_the_login_asks_for_one_image_and_the_manifest_is_read_with_what_it_gave() -> None:
    answers = {"/token": LOOK["/token"], "/v2/acme/tts/manifests/v1": Said(200)}
    with scripted(lambda seen: answers[seen.path]) as server:
        assert client(server.url).probe("acme/tts", tag="v1").state is RegistryState.READABLE
        asked, read = server.seen
    assert asked.query["scope"] == "repository:acme/tts:pull"
    assert asked.headers["authorization"].startswith("Basic ")
    assert (read.method, read.headers["authorization"]) == ("HEAD", "Bearer bearer-for-one-image")


@pytest.mark.parametrize(
    ("said", "digest"),
    [
        ("sha256:" + 64 * "a", "sha256:" + 64 * "a"),
        ("sha256:short", None),
        ("md5:" + 32 * "a", None),
        ("", None),
    ],
)
def test_the_digest_is_what_the_registry_says_if_it_is_one(said: str, digest: str | None) -> None:
    manifest = Said(200, None, {"Docker-Content-Digest": said} if said else {})
    with scripted(lambda seen: LOOK["/token"] if seen.path == "/token" else manifest) as server:
        assert client(server.url).probe("acme/tts", tag="v1").digest == digest


def test_an_image_is_still_there_by_its_digest_or_is_missing() -> None:
    scenario = {
        "users": {"bot": {}},
        "repositories": {"acme/tts": {"roles": {"bot": "read"}, "images": ["acme/tts:v1"]}},
    }
    with sandbox.running(scenario) as box:
        registry = client(box.url, box.token)
        digest = registry.probe("acme/tts", tag="v1").digest
        assert digest is not None
        there = registry.probe("acme/tts", tag=digest)
        assert (there.state, there.digest) == (RegistryState.READABLE, digest)
        assert f"acme/tts@{digest}" in there.reason
        box.repository.images.clear()
        gone = registry.probe("acme/tts", tag=digest)
        assert (gone.state, gone.digest) == (RegistryState.IMAGE_MISSING, None)


def test_a_registry_that_is_away_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert client(f"http://127.0.0.1:{port}").probe("acme/tts", tag="v1").state is RegistryState.UNREACHABLE


def test_the_sandbox_registry_knows_its_image_and_its_logins() -> None:
    with sandbox.running() as box:
        good = client(box.url, box.token)
        assert good.probe("acme/vibevoice-tts", tag="latest").state is RegistryState.READABLE
        assert good.probe("acme/vibevoice-tts", tag="v0").state is RegistryState.IMAGE_MISSING
        assert client(box.url).probe("acme/vibevoice-tts", tag="latest").state is RegistryState.LOGIN_REFUSED
