"""What the product shows GitHub to be let in: one token, or those that a GitHub App is given for an hour each.

An App signs a short-lived JSON Web Token with its private key and exchanges it for an installation's token
(GitHub, "Authenticating as a GitHub App installation"). Neither is written anywhere; both are hidden by the scrubber.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Protocol, TypeVar

import jwt
import requests
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from runbook.clients.budget import read_refusal
from runbook.clients.github_answers import NOTHING_CHANGED, Answer
from runbook.clients.sessions import Timeouts, new_session, without_headers
from runbook.clock import Clock
from runbook.errors import Denied, NotFound, Permanent, RunbookError, Transient
from runbook.scrub import register_secret
from runbook.settings import AppSettings

_LOG = logging.getLogger(__name__)

Fact = TypeVar("Fact", bound=BaseModel)

RENEWED_BEFORE = timedelta(minutes=5)
"""An installation's token is replaced so long before its end: no call may begin with it and end without."""

_BACKDATED = timedelta(seconds=60)
_LIVES = timedelta(minutes=9)
"""GitHub takes a JSON Web Token of at most ten minutes, and advises to date it a minute back."""

_CLOCKS_AGREE = timedelta(seconds=30)
_CHUNK_BYTES = 65_536
_MOST_CHUNKS = 16


class Credential(Protocol):
    """What gives the token of a call; safe for several threads."""

    def token(self) -> SecretStr:
        """Return the token that is valid now."""
        ...

    def another(self, refused: SecretStr) -> bool:
        """Say whether :meth:`token` gives another one than that which GitHub has just refused (401)."""
        ...


class FixedToken:
    """A token that its owner renews: a person's or a bot account's."""

    def __init__(self, token: SecretStr) -> None:
        register_secret(token.get_secret_value())
        self._token = token

    def token(self) -> SecretStr:
        """Return it."""
        return self._token

    def another(self, refused: SecretStr) -> bool:
        """Say that there is no other."""
        return False


class _InstallationToken(BaseModel):
    model_config = ConfigDict(extra="ignore")

    token: SecretStr
    expires_at: datetime


class _App(BaseModel):
    model_config = ConfigDict(extra="ignore")

    slug: str


@dataclass(frozen=True)
class _Held:
    token: SecretStr
    expires_at: datetime


class AppCredential:
    """The tokens of one installation of a GitHub App: fetched when first needed, renewed before they end.

    Args:
        app: The App, its installation and its private key.
        api_url: The API's base URL.
        clock: Time; where GitHub's differs, GitHub's counts.
        timeouts: How long to wait for GitHub.
    """

    def __init__(
        self, app: AppSettings, *, api_url: str, clock: Clock, timeouts: Timeouts | None = None
    ) -> None:
        self._app = app
        self._api_url = api_url.rstrip("/")
        self._clock = clock
        self._timeouts = timeouts or Timeouts()
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._ahead = timedelta()
        self._login: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(app {self._app.app_id}, installation {self._app.installation_id})"

    def token(self) -> SecretStr:
        """Return the installation's token; whoever comes while it is renewed waits for the new one.

        Raises:
            Denied: The key, the App's id or the clock is wrong, or the installation is suspended.
            NotFound: The App is not installed there.
            Transient: GitHub does not answer, or asks to wait.
        """
        with self._lock:
            if self._held is None or self._now() >= self._held.expires_at - RENEWED_BEFORE:
                self._held = self._fetched()
            return self._held.token

    def another(self, refused: SecretStr) -> bool:
        """Fetch another token, unless another thread already has.

        Raises:
            As :meth:`token`.
        """
        with self._lock:
            if self._held is None or self._held.token == refused:
                _LOG.info("GitHub refuses the installation's token before its end; asking for another.")
                self._held = self._fetched()
            return self._held.token != refused

    def login(self) -> str:
        """Return the account that the App acts as: ``<slug>[bot]`` (GET /app).

        Raises:
            As :meth:`token`.
        """
        with self._lock:
            if self._login is None:
                answer = self._ask("GET", "/app", "ask GitHub for the App's name")
                self._login = f"{_parsed(_App, answer, 'App').slug}[bot]"
            return self._login

    def _fetched(self) -> _Held:
        path = f"/app/installations/{self._app.installation_id}/access_tokens"
        answer = self._ask("POST", path, "get a token for the App's installation")
        given = _parsed(_InstallationToken, answer, "installation token")
        register_secret(given.token.get_secret_value())
        expires_at = given.expires_at if given.expires_at.tzinfo else given.expires_at.replace(tzinfo=UTC)
        return _Held(token=given.token, expires_at=expires_at)

    def _ask(self, method: str, path: str, purpose: str) -> Answer:
        answer = self._sent(method, path, purpose)
        corrected = self._set_by(answer)
        if answer.status == 401 and corrected:
            # The signature may be right and only its time wrong: a machine's clock is, more often than its key.
            answer = self._sent(method, path, purpose)
        if answer.status in (200, 201):
            return answer
        raise self._refused(answer, purpose)

    def _sent(self, method: str, path: str, purpose: str) -> Answer:
        # Asking twice for a token does no harm: the first one just ends by itself.
        headers = {
            "Authorization": f"Bearer {self._signed()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "runbook",
        }
        try:
            with (
                new_session(self._api_url) as session,
                session.request(
                    method,
                    f"{self._api_url}{path}",
                    headers=headers,
                    timeout=self._timeouts.pair(),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                body = b"".join(islice(response.iter_content(_CHUNK_BYTES), _MOST_CHUNKS))
                lower = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, lower, body.decode("utf-8", "replace"))
        except requests.RequestException as error:
            raise Transient(
                f"Could not {purpose}: the connection failed ({type(error).__name__}).",
                unchanged=NOTHING_CHANGED,
                next_step="check the network and GitHub's status; try again.",
            ) from without_headers(error)

    def _signed(self) -> str:
        now = self._now()
        claims = {"iat": now - _BACKDATED, "exp": now + _LIVES, "iss": self._app.app_id}
        try:
            signed = jwt.encode(claims, self._app.key.get_secret_value(), algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            # Its text may quote the key: it is neither shown nor chained.
            raise Denied(
                f"The App's private key cannot sign ({type(error).__name__}): it is no RSA key in PEM form.",
                unchanged=NOTHING_CHANGED,
                next_step="set GITHUB_APP_PRIVATE_KEY_FILE to the .pem file that GitHub generated for the App.",
            ) from None
        return signed

    def _now(self) -> datetime:
        return self._clock.now() + self._ahead

    def _set_by(self, answer: Answer) -> bool:
        """Go by GitHub's clock from now on, if ours differs from it."""
        theirs = _date(answer.headers)
        if theirs is None or abs(theirs - self._now()) <= _CLOCKS_AGREE:
            return False
        self._ahead = theirs - self._clock.now()
        _LOG.warning("This machine's clock differs from GitHub's by %.0f s.", self._ahead.total_seconds())
        return True

    def _refused(self, answer: Answer, purpose: str) -> RunbookError:
        said = answer.message()
        what = f"Could not {purpose}: GitHub answered {answer.status}{f' ({said})' if said else ''}."
        limit = read_refusal(answer.status, answer.headers, said, now=self._clock.now())
        if limit is not None:
            return Transient(
                what,
                unchanged=NOTHING_CHANGED,
                next_step="try again later.",
                retry_after_seconds=limit.wait_seconds,
            )
        app, installation = self._app.app_id, self._app.installation_id
        if answer.status == 401:
            return Denied(what, unchanged=NOTHING_CHANGED, next_step=self._advice(said))
        if answer.status == 404:
            return NotFound(
                what,
                unchanged=NOTHING_CHANGED,
                next_step=f"install App {app} where the repositories are, and set GITHUB_APP_INSTALLATION_ID to the "
                f"number in the installation's address; {installation} is none of that App's.",
            )
        if answer.status == 403:
            suspended = "suspend" in said.casefold()
            return Denied(
                what,
                unchanged=NOTHING_CHANGED,
                next_step=f"let the owner unsuspend installation {installation} of the App."
                if suspended
                else f"let the owner of installation {installation} accept the App's permissions.",
            )
        if answer.status >= 500:
            return Transient(
                what, unchanged=NOTHING_CHANGED, next_step="try again; see githubstatus.com if it lasts."
            )
        return Permanent(what, unchanged=NOTHING_CHANGED, next_step="check GITHUB_API_URL; else report this.")

    def _advice(self, said: str) -> str:
        if "issued at" in said.casefold() or "expiration" in said.casefold():
            return "set this machine's clock: GitHub takes a signature of the last ten minutes only."
        return (
            f"check that GITHUB_APP_ID {self._app.app_id} is the App whose private key is in "
            "GITHUB_APP_PRIVATE_KEY_FILE, and that the key was not deleted on GitHub."
        )


def _parsed(kind: type[Fact], answer: Answer, what: str) -> Fact:
    try:
        return kind.model_validate(answer.json())
    except (ValueError, ValidationError):
        # Neither shown nor chained: the answer holds the token.
        raise Permanent(
            f"GitHub's description of an {what} cannot be read.",
            unchanged=NOTHING_CHANGED,
            next_step="check that GITHUB_API_URL is GitHub's API and no proxy's page; else report this.",
        ) from None


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        return parsedate_to_datetime(headers.get("date", "")).astimezone(UTC)
    except ValueError:
        return None
