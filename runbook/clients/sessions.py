"""HTTP sessions that keep credentials to themselves, for every client that speaks by requests."""

from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests

from runbook.settings import is_loopback


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for GitHub.

    Args:
        connect_seconds: For the connection to stand.
        read_seconds: Between two pieces of an answer.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 30.0

    def pair(self) -> tuple[float, float]:
        """Return both as requests takes them."""
        return self.connect_seconds, self.read_seconds


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Session(requests.Session):
    """A session that stays as careful when it is redirected."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        # requests would look up a login of ~/.netrc for the new host, whatever the session's own auth says.
        prepared_request.headers.pop("Authorization", None)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # A redirect that leaves TLS is not followed: its answer is returned as it is.
        target = super().get_redirect_target(resp)
        if target is None or urlsplit(urljoin(resp.url, target)).scheme in (
            "https",
            urlsplit(resp.url).scheme,
        ):
            return target
        return None


def new_session(url: str) -> requests.Session:
    """Return a session for ``url`` that sends no login but those it is told to.

    Args:
        url: A proxy of the environment is used for it, unless it is on loopback.
    """
    session = _Session()
    # Anything but None here keeps requests from putting a login of ~/.netrc in place of the token.
    session.auth = _no_auth
    session.trust_env = not is_loopback(urlsplit(url).hostname or "")
    return session


def without_headers(error: requests.RequestException) -> requests.RequestException:
    """Drop the request from a cause that is chained, for it holds the Authorization header."""
    with suppress(AttributeError):
        error.request = None
    return error
