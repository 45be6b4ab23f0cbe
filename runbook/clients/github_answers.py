"""What GitHub's answers mean: HTTP status and headers to the product's own errors, without network."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook.clients.budget import READ_METHODS
from runbook.errors import Ambiguous, Conflict, Denied, Gone, NotFound, Permanent, RunbookError, Transient
from runbook.scrub import neutralise_terminal, scrub

NOTHING_CHANGED = "Nothing was changed."
MAYBE_CHANGED = "It may or may not have taken effect."
PROBE_FIRST = "look whether it took effect before it is sent again (a resumed run does so by itself)."
_MESSAGE_LENGTH = 300

# GitHub answers 403 also where the credential is fine and the run is not: no permission would help.
_REFUSED_BY_STATE = re.compile(
    r"already running|month ago|cannot be (re-?run|retried)|unable to retry", re.IGNORECASE
)


@dataclass(frozen=True)
class Answer:
    """One answer of GitHub's.

    Args:
        status: The HTTP status.
        headers: Names in lower case.
        text: The body.
    """

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """Return the decoded body; None if it is empty.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.text) if self.text.strip() else None

    def decoded(self, purpose: str) -> Any:
        """Return the decoded body; None if it is empty.

        Args:
            purpose: What the call was to do, as it continues "could not".

        Raises:
            Permanent: The body is not JSON: a proxy's page, say.
        """
        try:
            return self.json()
        except ValueError as error:
            raise Permanent(
                f"Could not {purpose} to the end: the answer is not JSON.",
                next_step="check that GITHUB_API_URL is GitHub's API and no proxy's page.",
            ) from error

    def message(self) -> str:
        """Return what the body says went wrong, made safe to show; empty if it says nothing."""
        try:
            body = self.json()
        except ValueError:
            return ""
        if not isinstance(body, dict):
            return ""
        said = [body.get("message"), *(_said(error) for error in body.get("errors") or [])]
        joined = "; ".join(str(part) for part in said if part)
        return scrub(neutralise_terminal(joined)).replace("\n", " ")[:_MESSAGE_LENGTH]


def _said(error: object) -> str:
    if isinstance(error, dict):
        return error.get("message") or " ".join(str(error.get(k, "")) for k in ("resource", "field", "code"))
    return str(error)


def is_read(method: str) -> bool:
    """Return whether a call of this method changes nothing and may be sent again."""
    return method in READ_METHODS


def error_for(answer: Answer, *, method: str, purpose: str) -> RunbookError:
    """Return the error that an unexpected answer means.

    Args:
        answer: An answer whose status was not expected, and which is no rate-limit refusal.
        method: The HTTP method that was sent.
        purpose: What the call was to do, as it continues "could not": "read run 7 of acme/voice-agent".
    """
    said = answer.message()
    what = f"Could not {purpose}: GitHub answered {answer.status}{f' ({said})' if said else ''}."
    status = answer.status
    if status == 401:
        return Denied(
            what, unchanged=NOTHING_CHANGED, next_step="give a token that is valid and has not expired."
        )
    if status == 403 and not _REFUSED_BY_STATE.search(said):
        return Denied(what, unchanged=NOTHING_CHANGED, next_step=_permission_advice(answer))
    if status in (404, 410):
        kind, why = _absent(status)
        return kind(what, unchanged=NOTHING_CHANGED, next_step=why)
    if status in (403, 409, 412, 422):
        return Conflict(
            what, unchanged=NOTHING_CHANGED, next_step="read the present state and plan again from it."
        )
    if 300 <= status < 400:
        return Conflict(
            what,
            unchanged=NOTHING_CHANGED,
            next_step="the repository was renamed or moved: write its new name into the policy.",
        )
    if not is_read(method) and (status >= 500 or status < 300):
        return Ambiguous(what, unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST)
    if status >= 500 or status == 202:
        return Transient(
            what, unchanged=NOTHING_CHANGED, next_step="try again; see githubstatus.com if it lasts."
        )
    return Permanent(what, unchanged=NOTHING_CHANGED, next_step="report this: the call and GitHub disagree.")


def _absent(status: int) -> tuple[type[NotFound], str]:
    if status == 410:
        return Gone, "it was removed or has expired: go on without it."
    return NotFound, "check the name, and that the token may see it (GitHub hides what it may not)."


def _permission_advice(answer: Answer) -> str:
    if "x-github-sso" in answer.headers:
        return "authorise the token for the organisation's single sign-on."
    wanted = answer.headers.get("x-accepted-github-permissions")
    if wanted:
        # "issues=write; pull_requests=write": any one of the alternatives would do.
        return (
            f"give the token one of these permissions on the repository: {scrub(wanted)[:_MESSAGE_LENGTH]}."
        )
    scopes = answer.headers.get("x-accepted-oauth-scopes")
    if scopes:
        return f"give the token one of these scopes: {scrub(scopes)[:_MESSAGE_LENGTH]}."
    return "give the token's account or App the permission that this needs (`runbook doctor` lists them)."
