"""Requests to the sandbox, which neither a proxy nor a stored password of the user's has to do with."""

from typing import Any

import requests

ANSWER_SECONDS = 30.0


def answer_of(method: str, url: str, *, body: Any = None, token: str | None = None) -> requests.Response:
    """Send a request, and return the answer whatever it is.

    Args:
        method: The HTTP method.
        url: The address.
        body: Sent as JSON; nothing where None.
        token: Whose the request is.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else None
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, json=body, headers=headers, timeout=ANSWER_SECONDS)
