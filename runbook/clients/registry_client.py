"""A container registry, asked without docker: is it reachable, does the login work, is the image there, which is it.

Executes "docker login ghcr.io" of the runbook's build-failure page, and the look for an image that may be rolled
back to (RB-01), as two reads of the registry's protocol (OCI distribution, "Pulling manifests"); the credential stays
in memory, no docker configuration is written.
"""

import re
from dataclasses import dataclass

import requests
from pydantic import SecretStr

from runbook.clients.sessions import Timeouts, new_session
from runbook.models import RegistryProbe, RegistryState
from runbook.scrub import neutralise_terminal, register_secret, scrub

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_STATES = {
    200: RegistryState.READABLE,
    401: RegistryState.ACCESS_DENIED,
    403: RegistryState.ACCESS_DENIED,
    404: RegistryState.IMAGE_MISSING,
    429: RegistryState.RATE_LIMITED,
}


class RegistryClient:
    """One registry and one login; every answer is an outcome, none an error.

    Args:
        url: The registry's base URL: ``https://ghcr.io``.
        login: The account's name (GHCR takes any with a token).
        token: Its password or token.
        timeouts: How long to wait for it.
    """

    def __init__(self, *, url: str, login: str, token: SecretStr, timeouts: Timeouts | None = None) -> None:
        register_secret(token.get_secret_value())
        self._url = url.rstrip("/")
        self._login = login
        self._token = token
        self._timeouts = timeouts or Timeouts()

    def probe(self, image: str, *, tag: str) -> RegistryProbe:
        """Return whether this login can read ``image:tag``, and the digest that it names there now.

        Args:
            image: ``owner/name``, with or without the registry's host before it. Name a private image: a
                registry gives tokens for public ones to anybody, and a wrong login would not be noticed.
            tag: A tag or digest.
        """
        host = self._url.split("//", 1)[-1]
        name = image.removeprefix("ghcr.io/").removeprefix(f"{host}/")
        try:
            seen = self._look(host, name, tag)
        except (requests.RequestException, ValueError) as error:
            # ValueError: what answers is no registry (a proxy's page).
            reason = f"{host} did not answer as a registry does ({type(error).__name__})"
            seen = _Seen(RegistryState.UNREACHABLE, reason)
        return RegistryProbe(
            registry=host,
            image=name,
            tag=tag,
            state=seen.state,
            reason=seen.reason,
            retry_after_seconds=seen.retry_after_seconds,
            digest=seen.digest,
        )

    def _look(self, host: str, name: str, tag: str) -> "_Seen":
        with new_session(self._url) as session:
            # Redirects are not followed: they would carry the login elsewhere.
            issued = session.get(
                f"{self._url}/token",
                params={"service": host, "scope": f"repository:{name}:pull"},
                auth=(self._login, self._token.get_secret_value()),
                timeout=self._timeouts.pair(),
                allow_redirects=False,
            )
            if issued.status_code in (401, 403):
                return _Seen(RegistryState.LOGIN_REFUSED, f"{host} refuses the login of {self._login}")
            if issued.status_code != 200:
                return _judged(issued, host, name, tag)
            bearer = _bearer(issued.json())
            register_secret(bearer)
            manifest = session.head(
                f"{self._url}/v2/{name}/manifests/{tag}",
                headers={"Authorization": f"Bearer {bearer}", "Accept": _MANIFESTS},
                timeout=self._timeouts.pair(),
                allow_redirects=False,
            )
        return _judged(manifest, host, name, tag)


@dataclass(frozen=True)
class _Seen:
    state: RegistryState
    reason: str
    retry_after_seconds: float | None = None
    digest: str | None = None


def _bearer(answer: object) -> str:
    if not isinstance(answer, dict):
        raise ValueError("the answer is no object")
    return str(answer.get("token") or "")


def _judged(response: requests.Response, host: str, name: str, tag: str) -> _Seen:
    status = response.status_code
    state = _STATES.get(status, RegistryState.UNREACHABLE)
    said = {
        RegistryState.READABLE: "is there and may be read",
        RegistryState.ACCESS_DENIED: "may not be read with this login",
        RegistryState.IMAGE_MISSING: "does not exist, or this login may not see it",
        RegistryState.RATE_LIMITED: "was refused: too many requests",
        RegistryState.UNREACHABLE: f"was answered {status}",
    }[state]
    seconds = response.headers.get("Retry-After", "")
    reference = f"{name}@{tag}" if tag.startswith("sha256:") else f"{name}:{tag}"
    digest = response.headers.get("Docker-Content-Digest", "")
    return _Seen(
        state,
        scrub(neutralise_terminal(f"{host}/{reference} {said}")),
        float(seconds) if seconds.isdecimal() else None,
        digest if state is RegistryState.READABLE and _DIGEST.fullmatch(digest) else None,
    )
