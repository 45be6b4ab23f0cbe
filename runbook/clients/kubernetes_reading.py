"""Facts out of the API server's answers, whole lists too, and what an answer that nobody understands means."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from runbook.clients.kubernetes_answers import MAYBE_CHANGED, NOTHING_CHANGED, PROBE_FIRST, error_for
from runbook.clients.kubernetes_calls import Call
from runbook.clients.kubernetes_transport import KubernetesTransport
from runbook.errors import Ambiguous, Gone, Permanent, RunbookError, Transient

Json = dict[str, Any]
Fact = TypeVar("Fact")

PAGE_SIZE = 500


def fetch_object(transport: KubernetesTransport, call: Call, *, body: Any = None) -> Json:
    """Send a call and return the object that it answers with.

    Raises:
        RunbookError: What ``error_for`` makes of any other answer.
    """
    answer = transport.send(call, body=body)
    if answer.status not in (200, 201):
        raise error_for(call, answer)
    try:
        found = json.loads(answer.data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _not_understood(call, "it is no JSON object")
    return found


def fetch(
    transport: KubernetesTransport, call: Call, fact: Callable[[Json], Fact], *, body: Any = None
) -> Fact:
    """Send a call and return a fact of the object that it answers with."""
    return understood(call, fact, fetch_object(transport, call, body=body))


def fetch_list(transport: KubernetesTransport, call: Call, fact: Callable[[Json], Fact]) -> Iterator[Fact]:
    """Yield a fact of each object of a list, page by page.

    Raises:
        Transient: The list grew too old between two pages.
    """
    token = ""
    while True:
        page: dict[str, str | int] = {"limit": PAGE_SIZE}
        page |= {"continue": token} if token else {}
        try:
            found = fetch_object(transport, replace(call, query={**call.query, **page}))
        except Gone as error:
            raise Transient(
                f"The list grew too old while it was read page by page, for {call}.",
                unchanged=NOTHING_CHANGED,
            ) from error
        for body in understood(call, _items, found):
            yield understood(call, fact, body)
        token = understood(call, _continue, found)
        if not token:
            return


def understood(call: Call, read: Callable[[Json], Fact], found: Json) -> Fact:
    """Read something out of an answer.

    Raises:
        Permanent: It is not what the API promises.
        Ambiguous: It is not, and the call was a write.
    """
    try:
        return read(found)
    except ValidationError as error:
        places = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise _not_understood(call, "; ".join(places)) from None  # the cause would quote the object (R8)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_understood(call, f"{type(error).__name__} {error}") from None


def _items(found: Json) -> list[Json]:
    return list(found["items"])


def _continue(found: Json) -> str:
    return str((found.get("metadata") or {}).get("continue") or "")


def _not_understood(call: Call, why: str) -> RunbookError:
    text = f"Kubernetes' answer to {call} is not what its API promises: {why}."
    if call.writes:
        return Ambiguous(text, unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST)
    return Permanent(
        text,
        unchanged=NOTHING_CHANGED,
        next_step="see what `kubectl get -o json` shows of it, and report this",
    )
