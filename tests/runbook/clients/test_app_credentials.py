"""Rules of a GitHub App's credentials: signed anew, cached, renewed in time and once, errors that say what to do."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from runbook.clients.app_credentials import AppCredential
from runbook.clients.github_client import GitHubClient
from runbook.clients.sessions import Timeouts
from runbook.clock import VirtualClock
from runbook.errors import Denied, NotFound, Permanent, RunbookError, Transient
from runbook.installation import Installation
from runbook.policy import Policy
from runbook.scrub import scrub
from runbook.settings import AppSettings, Settings
from tests.runbook.clients.scripted import Said, Seen, scripted

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REPOSITORY = "acme/voice-agent"


def new_key() -> rsa.RSAPrivateKey:
    """Return a key as GitHub generates for an App."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


KEY = new_key()


def pem(key: rsa.RSAPrivateKey) -> SecretStr:
    """Return a key as GitHub writes it."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return SecretStr(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    )


@dataclass
class Hub:
    """GitHub's side of Apps: checks the signature, gives tokens of an hour, takes only the valid ones.

    Args:
        clock: GitHub's time.
        refuses: What the exchange is answered with instead, if anything.
    """

    clock: VirtualClock
    refuses: Said | None = None
    given: list[str] = field(default_factory=list)
    valid_until: dict[str, datetime] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, seen: Seen) -> Said:
        """Answer a request."""
        with self.lock:
            said = self._answer(seen)
        said.headers.setdefault("Date", format_datetime(self.clock.now(), usegmt=True))
        return said

    def _answer(self, seen: Seen) -> Said:
        bearer = seen.headers["authorization"].split()[1]
        if seen.path == "/app" or seen.path.startswith("/app/"):
            return self._as_app(seen, bearer)
        self.used.append(bearer)
        until = self.valid_until.get(bearer)
        if until is None or until <= self.clock.now():
            return Said(401, {"message": "Bad credentials"})
        return Said(200, {"id": 1, "labels": []})

    def _as_app(self, seen: Seen, signed: str) -> Said:
        if self.refuses is not None:
            return self.refuses
        try:
            claims = jwt.decode(
                signed, KEY.public_key(), ["RS256"], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.InvalidSignatureError:
            return Said(401, {"message": "A JSON web token could not be decoded"})
        now = self.clock.now().timestamp()
        if claims["exp"] > now + 600 or claims["exp"] <= now:
            return Said(401, {"message": "'Expiration time' claim ('exp') is too far in the future"})
        if claims["iat"] > now:
            return Said(401, {"message": "'Issued at' claim ('iat') must not be in the future"})
        assert claims["iss"] == "12345"
        if seen.method == "GET":
            return Said(200, {"id": 12345, "slug": "runbook-app", "owner": None})
        if seen.path != "/app/installations/67/access_tokens":
            return Said(404, {"message": "Not Found"})
        token = f"ghs_{'x' * 40}{len(self.given)}"
        self.given.append(token)
        self.valid_until[token] = self.clock.now() + timedelta(hours=1)
        expires_at = self.valid_until[token].isoformat().replace("+00:00", "Z")
        return Said(201, {"token": token, "expires_at": expires_at, "permissions": {"actions": "write"}})


@dataclass
class Stage:
    """The hub, an App's credential and a client that uses it, in virtual time."""

    hub: Hub
    clock: VirtualClock
    credential: AppCredential
    github: GitHubClient


@contextmanager
def staged(
    *, key: rsa.RSAPrivateKey = KEY, installation: int = 67, ahead: timedelta = timedelta()
) -> Iterator[Stage]:
    """Open a stage; our clock is ``ahead`` of GitHub's."""
    theirs, ours = VirtualClock(START), VirtualClock(START + ahead)
    hub = Hub(theirs)
    with scripted(hub.answer) as server:
        app = AppSettings(app_id="12345", installation_id=installation, key=pem(key))
        timeouts = Timeouts(connect_seconds=5, read_seconds=5)
        credential = AppCredential(app, api_url=server.url, clock=ours, timeouts=timeouts)
        with GitHubClient(token=credential, api_url=server.url, clock=ours, timeouts=timeouts) as github:
            yield Stage(hub, ours, credential, github)


def call(stage: Stage, method: str = "GET") -> None:
    """Make one call as the App's installation."""
    if method == "GET":
        stage.github._get("/repos/a/b", purpose="read a/b")
    else:
        stage.github._order(method, "/repos/a/b/actions/runs/1/cancel", purpose="cancel it", expect=(200,))


def pass_time(stage: Stage, seconds: float) -> None:
    """Let time pass here and at GitHub."""
    stage.clock.sleep(seconds)
    stage.hub.clock.sleep(seconds)


def test_calls_carry_the_installations_token_which_is_fetched_once() -> None:
    with staged() as stage:
        for _ in range(3):
            call(stage)
        assert stage.hub.given == stage.hub.used[:1]
        assert len(set(stage.hub.used)) == 1


@pytest.mark.parametrize(("minutes", "fetched"), [(54, 1), (56, 2), (200, 2)])
def test_a_token_is_replaced_five_minutes_before_its_end(minutes: int, fetched: int) -> None:
    with staged() as stage:
        call(stage)
        pass_time(stage, minutes * 60)
        call(stage)
        assert len(stage.hub.given) == fetched


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_that_is_refused_before_its_end_is_replaced_once(method: str) -> None:
    with staged() as stage:
        call(stage)
        stage.hub.valid_until.clear()  # revoked
        call(stage, method)
        assert stage.hub.used == [stage.hub.given[0]] * 2 + [stage.hub.given[1]]


def test_a_credential_that_stays_refused_is_not_tried_for_ever() -> None:
    with staged() as stage:
        stage.hub.valid_until = _Never()
        with pytest.raises(Denied, match="Bad credentials"):
            call(stage)
        assert len(stage.hub.used) == 2


class _Never(dict[str, datetime]):
    def get(self, key: str, default: Any = None) -> Any:
        return None


def test_many_threads_share_one_renewal_and_each_takes_up_the_new_token() -> None:
    with staged() as stage:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: call(stage), range(16)))
            assert len(stage.hub.given) == 1
            stage.hub.valid_until.clear()
            list(pool.map(lambda _: call(stage), range(16)))
            assert len(stage.hub.given) == 2
            pass_time(stage, 3500)
            stage.hub.used.clear()
            list(pool.map(lambda _: call(stage), range(16)))
        assert set(stage.hub.used) == {stage.hub.given[2]}


@pytest.mark.parametrize("minutes", [-600, -5, -0.9, 0, 0.9, 5, 600])
def test_a_clock_that_is_wrong_is_corrected_by_githubs(minutes: float) -> None:
    with staged(ahead=timedelta(minutes=minutes)) as stage:
        call(stage)
        pass_time(stage, 56 * 60)
        call(stage)
        assert len(stage.hub.given) == 2


def test_the_app_acts_as_its_bot() -> None:
    with staged() as stage:
        facts = stage.github.token_facts()
        assert (facts.login, facts.user_type, facts.expires_at) == ("runbook-app[bot]", "Bot", None)
        assert stage.github.whoami() == "runbook-app[bot]"


def test_an_installation_of_the_product_acts_as_the_app_that_its_environment_names(tmp_path: Path) -> None:
    key = tmp_path / "app.pem"
    key.touch(mode=0o600)
    key.write_text(pem(KEY).get_secret_value())
    clock = VirtualClock(START)
    with scripted(Hub(clock).answer) as server:
        environment = {
            "GITHUB_API_URL": server.url,
            "GITHUB_APP_ID": "12345",
            "GITHUB_APP_INSTALLATION_ID": "67",
            "GITHUB_APP_PRIVATE_KEY_FILE": str(key),
        }
        settings = Settings.from_environment(environment)
        policy = Policy.model_validate(
            {"repositories": [{"name": "a/b"}], "approvals": {"approvers": ["alice"]}}
        )
        here = Installation(settings=settings, policy=policy, clock=clock)
        with here.github:
            assert here.product_login == "runbook-app[bot]"
            assert here.github.token().get_secret_value().startswith("ghs_")


def test_a_key_of_another_app_is_named() -> None:
    with staged(key=new_key()) as stage, pytest.raises(Denied, match="could not be decoded") as caught:
        call(stage)
    assert "GITHUB_APP_ID 12345 is the App whose private key" in str(caught.value)


def test_an_app_that_is_not_installed_there_is_named() -> None:
    with staged(installation=68) as stage, pytest.raises(NotFound, match="install App 12345") as caught:
        call(stage)
    assert "68 is none of that App's" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (Said(403, {"message": "This installation has been suspended"}), Denied, "unsuspend installation 67"),
        (Said(403, {"message": "Resource not accessible"}), Denied, "accept the App's permissions"),
        (
            Said(401, {"message": "'Expiration time' claim ('exp') is too far"}),
            Denied,
            "set this machine's clock",
        ),
        (Said(500), Transient, "githubstatus.com"),
        (Said(drop="reset"), Transient, "check the network"),
        (Said(429, {"message": "rate limit"}, {"Retry-After": "30"}), Transient, "try again later"),
        (Said(201, {"token": "canary-0123456789", "expires_at": "soon"}), Permanent, "cannot be read"),
        (Said(201, b"<html>"), Permanent, "no proxy's page"),
        (Said(302, headers={"Location": "http://127.0.0.1:1/"}), Permanent, "check GITHUB_API_URL"),
    ],
)
def test_each_refusal_says_what_to_do(said: Said, error: type[RunbookError], words: str) -> None:
    with staged() as stage:
        stage.hub.refuses = said
        with pytest.raises(error) as caught:
            stage.credential.token()
        assert words in str(caught.value)
        shown, chained = repr(caught.value), caught.value.__cause__
        assert "canary" not in shown
        assert chained is None or getattr(chained, "request", None) is None


def test_a_key_that_is_none_is_named_and_not_shown() -> None:
    key = SecretStr("-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----\n")
    app = AppSettings(app_id="1", installation_id=2, key=key)
    credential = AppCredential(app, api_url="http://127.0.0.1:1", clock=VirtualClock(START))
    with pytest.raises(Denied, match=r"\.pem file") as caught:
        credential.token()
    assert caught.value.__cause__ is None
    assert "canary" not in repr(caught.value) + repr(credential) + repr(app)


def test_the_tokens_are_known_to_the_scrubber() -> None:
    with staged() as stage:
        token = stage.credential.token().get_secret_value()
        assert token not in scrub(json.dumps({"x": token}))
