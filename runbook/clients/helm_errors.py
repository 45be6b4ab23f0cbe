"""What helm's words on stderr mean (its exit code is 1 for everything).

The wordings are those of Helm 3.19 and 4, as seen on a real cluster by ``tests/contracts/helm``.
"""

import re

from runbook.clients.helm_process import Ran
from runbook.errors import Ambiguous, Conflict, Denied, NotFound, Permanent, RunbookError, Transient
from runbook.scrub import neutralise_terminal, scrub

MAX_SAID_CHARACTERS = 500
_UNCHANGED = "Nothing was changed."
_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[\w./-]+)" in API group "(?P<group>[\w.-]*)"'
    r'(?: in the namespace "(?P<namespace>[\w.-]+)")?'
)
# Before a rollback has noted its new revision, Helm only reads and creates its own records.
_OWN_RECORDS = re.compile(r"Error: (?:query|get|create|list): failed to |Error: create: ")
_UNREACHABLE = re.compile("kubernetes cluster unreachable", re.IGNORECASE)  # 4 begins it in lower case
_LOGIN_REFUSED = re.compile(
    r"asked for the client to provide credentials|Unauthorized|certificate has expired"
)
_MISSING = re.compile(r"release: not found|has no -?\d+ version|no revision for release|has no revision")
_AT_WORK = re.compile(
    r"another operation \(install/upgrade/rollback\) is in progress|sh\.helm\.release\.\S+ already exists"
)
_PASSING = re.compile(
    r"connection refused|connection reset|i/o timeout|deadline exceeded|request timed out|TLS handshake timeout"
    r"|unexpected EOF|: EOF|server is currently unable|too many requests|Too Many Requests|Internal error"
    r"|InternalError|unable to return a response|no route to host|no such host|broken pipe",
)


def said(text: str) -> str:
    """Return what helm wrote as one bounded line, scrubbed and without control codes."""
    lines = (line.strip() for line in scrub(neutralise_terminal(text)).split("\n"))
    words = " ".join(line for line in lines if line and not line.startswith("WARNING:"))
    return words if len(words) <= MAX_SAID_CHARACTERS else words[: MAX_SAID_CHARACTERS - 1] + "…"


def of_read(ran: Ran, what: str) -> RunbookError:
    """Say why a read failed.

    Args:
        ran: How helm ended.
        what: What was asked, for the text: ``history of release tts in voice``.
    """
    if ran.cut_short:
        return Transient(f"Helm was ended while reading the {what}: {ran.cut_short}.", unchanged=_UNCHANGED)
    if ran.code < 0:
        return Transient(f"Helm was ended by signal {-ran.code} while reading the {what}.")
    if (known := _known(ran.errors, f"read the {what}")) is not None:
        return known
    if _PASSING.search(ran.errors):
        return Transient(f"Helm cannot read the {what}: {said(ran.errors)}", unchanged=_UNCHANGED)
    return Permanent(f"Helm cannot read the {what}: {said(ran.errors)}", unchanged=_UNCHANGED)


def of_rollback(ran: Ran, what: str) -> RunbookError:
    """Say why a rollback failed; what may have been sent is Ambiguous.

    Args:
        ran: How helm ended.
        what: What was asked, for the text: ``release tts in voice to revision 4``.
    """
    probe = "look at the release's history: the new revision's status tells"
    if ran.cut_short:
        return Ambiguous(f"Helm was ended while rolling back {what}: {ran.cut_short}.", next_step=probe)
    if ran.code < 0:
        return Ambiguous(f"Helm was ended by signal {-ran.code} while rolling back {what}.", next_step=probe)
    denial = _FORBIDDEN.search(ran.errors)
    if denial is not None and not _OWN_RECORDS.search(ran.errors):
        # The new revision is noted before the first object is touched, and stays in the history as failed.
        return Ambiguous(
            f"Helm began to roll back {what} and may not {_refused(denial)}: {said(ran.errors)}",
            next_step=f"allow the account to {_refused(denial)}, then roll back again by hand",
        )
    known = _known(ran.errors, f"roll back {what}")
    return known or Ambiguous(f"Helm failed to roll back {what}: {said(ran.errors)}", next_step=probe)


def _known(errors: str, attempt: str) -> RunbookError | None:
    """Recognise what failed before anything was sent."""
    text = f"Helm cannot {attempt}: {said(errors)}"
    if (denial := _FORBIDDEN.search(errors)) is not None:
        return Denied(
            f"Helm cannot {attempt}: the account may not {_refused(denial)}.",
            unchanged=_UNCHANGED,
            next_step=f"allow it to {_refused(denial)}",
        )
    if _MISSING.search(errors):
        return NotFound(text, unchanged=_UNCHANGED, next_step="see which there are: helm history")
    if _AT_WORK.search(errors):
        return Conflict(
            text, unchanged=_UNCHANGED, next_step="wait until the other operation on this release has ended"
        )
    if _UNREACHABLE.search(errors) and _LOGIN_REFUSED.search(errors):
        return Denied(
            f"Helm cannot {attempt}: the cluster refused the login: {said(errors)}",
            unchanged=_UNCHANGED,
            next_step="renew the token or client certificate that KUBECONFIG names",
        )
    if _UNREACHABLE.search(errors):
        return Transient(
            text, unchanged=_UNCHANGED, next_step="check that the API server KUBECONFIG names is reachable"
        )
    return None


def _refused(denial: re.Match[str]) -> str:
    """Name verb and resource as everywhere: ``patch deployments.apps in voice-agent``."""
    group, namespace = denial["group"], denial["namespace"]
    resource = f"{denial['resource']}.{group}" if group else denial["resource"]
    return f"{denial['verb']} {resource}" + (f" in {namespace}" if namespace else "")
