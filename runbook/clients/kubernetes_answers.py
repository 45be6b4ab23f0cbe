"""What the API server's answers mean: statuses and its ``Status`` objects, as the product's own errors.

A ``Status`` (Kubernetes API conventions, "Response Status Kind") is the API server's own word. What a service
answers through the API server's proxy is not, whatever its code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook.clients.kubernetes_calls import Call
from runbook.errors import (
    Ambiguous,
    Conflict,
    Denied,
    Gone,
    NotFound,
    Permanent,
    RunbookError,
    Transient,
)
from runbook.scrub import neutralise_terminal, scrub

NOTHING_CHANGED = "Nothing was changed."
MAYBE_CHANGED = "Whether it took effect is not known."
PROBE_FIRST = "look at the workload before this is sent again (a probe does)."
MAX_SAID_CHARACTERS = 500
# How the API server's service proxy words what is the service's own trouble (k8s.io/apimachinery, util/proxy, and
# pkg/registry/core/service/storage).
_SERVICE_TROUBLE = ("error trying to reach service", "no endpoints available for service", "no service port ")


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        status: HTTP status code.
        headers: By lower-case name.
        data: The body, decompressed.
        cut: There was more of it.
        credential: What was shown to get it, for an error that asks to renew it.
    """

    status: int
    headers: Mapping[str, str]
    data: bytes
    cut: bool = False
    credential: str = ""

    def own_status(self) -> dict[str, Any] | None:
        """Return the API server's ``Status`` object; None where the answer is something else."""
        if self.status < 300 or not self.data.startswith(b"{"):
            return None
        try:
            found = json.loads(self.data)
        except ValueError:
            return None
        is_one = isinstance(found, dict) and (found.get("kind"), found.get("apiVersion")) == ("Status", "v1")
        return found if is_one and found.get("status") == "Failure" else None


class Modified(Conflict):
    """The object was written since it was read (HTTP 409): this write was refused as a whole."""


def said(text: str) -> str:
    """Return somebody's words as one bounded line, scrubbed and without control codes."""
    words = " ".join(scrub(neutralise_terminal(text)).split())
    return words if len(words) <= MAX_SAID_CHARACTERS else words[: MAX_SAID_CHARACTERS - 1] + "…"


def error_for(call: Call, answer: Answer) -> RunbookError:
    """Say what an answer that is no success means for a call."""
    status, found = answer.status, answer.own_status()
    words = said(str(found["message"])).rstrip(".") if found and found.get("message") else f"status {status}"
    what = f"Kubernetes refused {call} ({status}): {words}."
    if status == 401:
        return Denied(
            f"Kubernetes does not know the account, for {call} (401): {words}.",
            unchanged=NOTHING_CHANGED,
            next_step=f"renew {answer.credential or 'the credential that KUBECONFIG names'}",
        )
    if status == 403:
        return Denied(
            f"The product's account may not {call.access}: {words}.",
            unchanged=NOTHING_CHANGED,
            next_step=f"allow it to {call.access} (deployments/kubernetes/rollback-image-rbac.yaml)",
        )
    if status in (404, 410):
        return _absent(call, answer, words)
    if status == 429:
        return Transient(
            f"The API server is too busy for {call} (429): {words}.",
            unchanged=NOTHING_CHANGED,
            retry_after_seconds=retry_after_seconds(answer),
        )
    if status in (409, 412, 422):
        kind = Modified if status == 409 else Conflict
        return kind(
            what,
            unchanged=NOTHING_CHANGED,
            next_step="read it as it stands now, and plan again from there",
        )
    if status >= 500:
        return _server_error(call, answer, words)
    return Permanent(what, unchanged=NOTHING_CHANGED)


def service_trouble(call: Call, answer: Answer) -> RunbookError | None:
    """Say what the API server tells about a service that it cannot ask; None where it is not about that."""
    found = answer.own_status()
    words = said(str(found.get("message", ""))).rstrip(".") if found else ""
    if not words.startswith(_SERVICE_TROUBLE):
        return None
    return Conflict(
        f"Service {call.name} in {call.namespace} gives no answer: {words}.",
        unchanged=NOTHING_CHANGED,
        next_step="see its endpoints and its pods: kubectl get endpointslices,pods",
    )


def retry_after_seconds(answer: Answer) -> float | None:
    """Return how long the API server asks to wait; None where it does not say."""
    value = answer.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdecimal() and len(value) < 7 else None


def _absent(call: Call, answer: Answer, words: str) -> RunbookError:
    if answer.status == 410:
        return Gone(
            f"Kubernetes no longer has what {call} asks for (410): {words}.",
            unchanged=NOTHING_CHANGED,
            next_step="read it anew from the start",
        )
    if answer.own_status() is None:
        return NotFound(
            f"The API server has no {call.resource} at all (404).",
            unchanged=NOTHING_CHANGED,
            next_step="see whether it is installed in this version: kubectl api-resources",
        )
    return NotFound(
        f"Kubernetes has nothing for {call} (404): {words}.",
        unchanged=NOTHING_CHANGED,
        next_step="check namespace and name in the policy, and which cluster KUBECONFIG names",
    )


def _server_error(call: Call, answer: Answer, words: str) -> RunbookError:
    what = f"The API server failed at {call} ({answer.status}): {words}."
    if call.writes:
        return Ambiguous(what, unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST)
    return Transient(what, unchanged=NOTHING_CHANGED, retry_after_seconds=retry_after_seconds(answer))
