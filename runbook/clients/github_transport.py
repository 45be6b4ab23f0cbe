"""The one door to GitHub's REST API, and the only module that imports PyGithub.

PyGithub brings authentication, the base URL's rules and request headers; sending is ours, because what it
does by itself would break R3: by default it sends a failed write up to eleven times, loops for ever on a
read that is answered 202, follows 301 without the query, and keeps verb, URL and body of a call on a
connection that threads share (PyGithub#2052). So each thread has its own requester, and each call its own
connection object, handed over by the public ``cnx`` argument of ``requestJson``: it sends once and keeps the
answer from PyGithub. No private name of PyGithub's is used.
"""

import logging
import threading
import weakref
from collections.abc import Collection, Iterator, Mapping
from ssl import SSLCertVerificationError
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import github
import requests
from github.Requester import HTTPRequestsConnectionClass, Requester
from pydantic import SecretStr
from urllib3.exceptions import NewConnectionError, SSLError

from runbook.clients.app_credentials import Credential
from runbook.clients.budget import Budget, Refusal, read_refusal
from runbook.clients.github_answers import (
    MAYBE_CHANGED,
    NOTHING_CHANGED,
    PROBE_FIRST,
    Answer,
    error_for,
    is_read,
)
from runbook.clients.sessions import Timeouts, new_session, without_headers
from runbook.clock import Clock
from runbook.errors import Ambiguous, Gone, Permanent, RunbookError, Transient

_LOG = logging.getLogger(__name__)
_READ_ATTEMPTS = 4
_FIRST_BACKOFF_SECONDS = 1.0
_CHUNK_BYTES = 65_536
_MOST_KNOWN = 64
_LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
_LARGEST_STREAM_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _SentOnce:
    """The connection PyGithub is given for one call: sends its prepared request once, and keeps the answer.

    PyGithub is shown an empty 200 in its place, so that it neither repeats, follows, waits nor logs anything.
    """

    def __init__(self, session: requests.Session, base: str, timeouts: Timeouts) -> None:
        self._session, self._base, self._timeouts = session, base, timeouts
        self._prepared: tuple[str, str, str | None, dict[str, str]] | None = None
        self.answer: Answer | None = None

    def request(
        self, verb: str, url: str, input: str | None, headers: dict[str, str], stream: bool = False
    ) -> None:
        self._prepared = (verb, url, input, headers)

    def getresponse(self) -> "_SentOnce":
        assert self._prepared is not None  # noqa: S101 - PyGithub's order of calls
        verb, url, body, headers = self._prepared
        with self._session.request(
            verb,
            self._base + url,
            data=body,
            headers=headers,
            timeout=self._timeouts.pair(),
            allow_redirects=False,
            stream=True,
        ) as response:
            text = b"".join(_limited(response, _LARGEST_ANSWER_BYTES)).decode("utf-8", "replace")
            lower = {name.lower(): value for name, value in response.headers.items()}
            self.answer = Answer(status=response.status_code, headers=lower, text=text)
        return self

    status = 200

    def getheaders(self) -> Collection[tuple[str, str]]:
        return ()

    def read(self) -> str:
        return ""


class TooLarge(Permanent):
    """What GitHub sends is larger than the caller allows."""


def _limited(response: requests.Response, largest_bytes: int | None) -> Iterator[bytes]:
    """Yield the body, decoded; after ``largest_bytes`` of it raise ``TooLarge``."""
    left = largest_bytes
    for chunk in response.iter_content(_CHUNK_BYTES):
        if left is not None and len(chunk) > left:
            yield chunk[:left]
            raise TooLarge(
                f"GitHub sends more than the {largest_bytes} bytes that are read of it.",
                unchanged=NOTHING_CHANGED,
                next_step="go on with the part that was read, or raise the limit.",
            )
        left = None if left is None else left - len(chunk)
        yield chunk


class _PerThread(threading.local):
    requester: Requester | None = None
    token: SecretStr | None = None
    api: requests.Session | None = None
    elsewhere: requests.Session | None = None


class GitHubTransport:
    """Sends calls under the budget; writes exactly once, reads again where that helps. Thread-safe.

    Args:
        credential: What gives the token of each call.
        api_url: The API's base URL, without a trailing slash.
        clock: What waits between the attempts of a read.
        budget: The process' one budget.
        timeouts: How long to wait for GitHub.
    """

    def __init__(
        self,
        *,
        credential: Credential,
        api_url: str,
        clock: Clock,
        budget: Budget,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._credential = credential
        self._api_url = api_url.rstrip("/")
        parts = urlsplit(self._api_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._clock = clock
        self._budget = budget
        self._timeouts = timeouts or Timeouts()
        self._mine = _PerThread()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        self._known: dict[tuple[str, tuple[tuple[str, str | int], ...]], Answer] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._api_url})"

    def close(self) -> None:
        """Close the connections of every thread."""
        for session in list(self._sessions):
            session.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        purpose: str,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, object] | None = None,
        expect: Collection[int] = (200,),
        remember: bool = False,
        etag: str | None = None,
    ) -> Answer:
        """Send one call and return its answer.

        Args:
            method: GET, POST, PATCH, PUT or DELETE.
            path: From the base URL on, starting with a slash, its parts quoted.
            purpose: What it is to do, as it continues "could not": "read run 7 of acme/voice-agent".
            query: The URL's query.
            body: The JSON body.
            expect: The statuses that mean success.
            remember: Keep a read's answer, and ask next time only whether it has changed, which costs nothing
                of the hourly budget: for what is read again and again.
            etag: Of an answer that the caller has kept; a read that would give the same again is answered 304.

        Raises:
            Transient: Nothing was changed, and later it may work.
            Ambiguous: A write was sent, and what became of it is unknown.
            Denied, NotFound, Gone, Conflict, Permanent: As GitHub answered.
        """
        attempts = _READ_ATTEMPTS if is_read(method) else 1
        for attempt in range(1, attempts + 1):
            try:
                if remember:
                    return self._once_unless_known(path, purpose, query)
                if etag is not None:
                    known = {"If-None-Match": etag}
                    return self._once(method, path, purpose, query, body, (*expect, 304), headers=known)
                return self._once(method, path, purpose, query, body, expect)
            except Transient as error:
                if attempt == attempts:
                    raise
                self._back_off(error, attempt, purpose)
        raise AssertionError("unreachable")  # the last attempt returned or raised

    def _back_off(self, error: Transient, attempt: int, purpose: str) -> None:
        if error.retry_after_seconds is not None:
            return  # the budget holds the next attempt back, or has already said that the wait is too long
        wait = _FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1)
        _LOG.info("Trying again in %.0f s to %s: %s", wait, purpose, error.message)
        self._clock.sleep(wait)

    def _once_unless_known(self, path: str, purpose: str, query: Mapping[str, str | int] | None) -> Answer:
        key = (path, tuple(sorted((query or {}).items())))
        known = self._known.get(key)
        etag = {"If-None-Match": known.headers["etag"]} if known is not None else None
        answer = self._once("GET", path, purpose, query, None, (200, 304), headers=etag)
        if answer.status == 304 and known is not None:
            return known
        if "etag" in answer.headers:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()  # rare, and costs one full read each
            self._known[key] = answer
        return answer

    def _once(
        self,
        method: str,
        path: str,
        purpose: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, object] | None,
        expect: Collection[int],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        # A call that GitHub let nobody in with did nothing, a write as well: with another token it is sent anew, once.
        for renewed in (False, True):
            token = self._credential.token()
            with self._budget.spend(method):
                answer = self._send(token, method, path, purpose, query, body, headers)
                refusal = read_refusal(answer.status, answer.headers, answer.message(), now=self._clock.now())
                if refusal is not None:
                    raise self._limited(refusal, answer, purpose)
                self._budget.learn(answer.headers)
            if renewed or answer.status != 401 or not self._credential.another(token):
                break
        _LOG.debug("%s %s: %d", method, path, answer.status)
        if answer.status not in expect:
            raise error_for(answer, method=method, purpose=purpose)
        return answer

    def _limited(self, refusal: Refusal, answer: Answer, purpose: str) -> Transient:
        wait = self._budget.refused(refusal, answer.headers)
        said = answer.message() or "no reason given"
        return Transient(
            f"Could not {purpose}: GitHub's rate limit, {answer.status} ({said}).",
            unchanged=NOTHING_CHANGED,
            next_step=f"try again in {wait:.0f} s; calls made before then wait by themselves.",
            retry_after_seconds=wait,
        )

    def _send(
        self,
        token: SecretStr,
        method: str,
        path: str,
        purpose: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, object] | None,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        requester, session = self._for_this_thread(token)
        connection = _SentOnce(session, self._origin, self._timeouts)
        try:
            requester.requestJson(
                method,
                path,
                parameters=dict(query or {}),
                headers=dict(headers or {}),
                input=body,
                cnx=cast(HTTPRequestsConnectionClass, connection),
            )
        except requests.RequestException as error:
            raise _unanswered(error, method=method, purpose=purpose) from without_headers(error)
        except TooLarge as error:
            if is_read(method):
                raise
            raise Ambiguous(error.message, unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST) from error
        assert connection.answer is not None  # noqa: S101 - requestJson returned, so it asked for the response
        return connection.answer

    def _for_this_thread(self, token: SecretStr) -> tuple[Requester, requests.Session]:
        if self._mine.api is None:
            self._mine.api = self._session()
        if self._mine.requester is None or self._mine.token != token:
            client = github.Github(
                auth=github.Auth.Token(token.get_secret_value()),
                base_url=self._api_url,
                user_agent="runbook",
                retry=None,
                seconds_between_requests=None,
                seconds_between_writes=None,
                api_version="2022-11-28",
            )
            self._mine.requester, self._mine.token = client.requester, token
        return self._mine.requester, self._mine.api

    def _session(self) -> requests.Session:
        session = new_session(self._api_url)
        self._sessions.add(session)
        return session

    # --- Logs and artifacts, which lie elsewhere ---

    def stream(self, path: str, *, purpose: str, largest_bytes: int | None = None) -> Iterator[bytes]:
        """Return the body that GitHub redirects to, piece by piece; it is opened before this returns.

        The link lasts a minute and needs no credential: the token is not sent to its host.

        Args:
            path: The API path that answers 302.
            purpose: What it is to do, as it continues "could not".
            largest_bytes: After as many bytes ``TooLarge`` is raised; no limit where None.

        Raises:
            Gone: It was removed or has expired.
            Transient: The other host failed, at the start or (raised by the iterator) on the way.
        """
        for attempt in range(1, _READ_ATTEMPTS + 1):
            # A link that was refused may just be too old: each attempt asks for a new one.
            answer = self.call("GET", path, purpose=purpose, expect=(302,))
            try:
                response = self._open(self._location(answer, purpose), purpose)
            except Transient as error:
                if attempt == _READ_ATTEMPTS:
                    raise
                self._back_off(error, attempt, purpose)
            else:
                return _body(response, largest_bytes, purpose)
        raise AssertionError("unreachable")  # the last attempt returned or raised

    def _location(self, answer: Answer, purpose: str) -> str:
        location = urljoin(f"{self._origin}/", answer.headers.get("location", ""))
        # Never weaker than the API itself: a log over plain http could be read and changed on the way.
        if urlsplit(location).scheme not in ("https", urlsplit(self._origin).scheme):
            raise Permanent(
                f"Could not {purpose}: GitHub named an address that is not https.", unchanged=NOTHING_CHANGED
            )
        return location

    def _open(self, location: str, purpose: str) -> requests.Response:
        if self._mine.elsewhere is None:
            self._mine.elsewhere = self._session()
            self._mine.elsewhere.max_redirects = _LARGEST_STREAM_REDIRECTS
        try:
            response = self._mine.elsewhere.get(location, timeout=self._timeouts.pair(), stream=True)
        except requests.RequestException as error:
            raise _unanswered(error, method="GET", purpose=purpose) from without_headers(error)
        if response.status_code == 200:
            return response
        response.close()
        status = response.status_code
        host = urlsplit(location).hostname
        what = f"Could not {purpose}: {host}, where GitHub keeps it, answered {status}."
        if status in (404, 410):
            raise Gone(
                what, unchanged=NOTHING_CHANGED, next_step="it was removed or has expired: go on without."
            )
        raise Transient(what, unchanged=NOTHING_CHANGED, next_step="try again.")


def _body(response: requests.Response, largest_bytes: int | None, purpose: str) -> Iterator[bytes]:
    with response:
        try:
            yield from _limited(response, largest_bytes)
        except requests.RequestException as error:
            raise Transient(
                f"Could not {purpose} to its end: the connection broke ({type(error).__name__}).",
                unchanged=NOTHING_CHANGED,
                next_step="read it again from the start.",
            ) from without_headers(error)


def _unanswered(error: requests.RequestException, *, method: str, purpose: str) -> RunbookError:
    """Return the error for a call that no complete answer came back to."""
    why = "it took too long" if isinstance(error, requests.Timeout) else "the connection failed"
    what = f"Could not {purpose}: {why} ({type(error).__name__})."
    if is_read(method) or _never_sent(error):
        return Transient(
            what, unchanged=NOTHING_CHANGED, next_step="check the network and GitHub's status; try again."
        )
    return Ambiguous(what, unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST)


def _never_sent(error: requests.RequestException) -> bool:
    """Return whether the connection never stood, so that not even a write can have left."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    reason: Any = getattr(error.args[0], "reason", None) if error.args else None
    # Any other error of TLS may be about the answer's bytes, when the write has long been received.
    untrusted = bool(
        isinstance(reason, SSLError) and reason.args and isinstance(reason.args[0], SSLCertVerificationError)
    )
    return untrusted or isinstance(reason, NewConnectionError)
