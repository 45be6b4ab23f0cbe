"""``POST /webhooks/github``: a delivery is checked, stored, and only then acknowledged (R10)."""

import logging
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.concurrency import run_in_threadpool

from deployments.gateway.bodies import BodyReader, BodyRefused, Refusal
from deployments.gateway.committing import Committer
from deployments.gateway.metrics import Metrics
from deployments.gateway.signatures import is_genuine
from runbook.decisions.deliveries import Ignore, Malformed, read_delivery
from runbook.engine.deliveries import Incoming, Receipt, pack
from runbook.errors import LedgerError, Transient
from runbook.policy import Policy

PATH = "/webhooks/github"
_LOG = logging.getLogger("runbook.gateway")
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_FORM = "application/x-www-form-urlencoded"
_RETRY_AFTER_SECONDS = 30
_STATUS = {Refusal.TOO_LARGE: 413, Refusal.TOO_SLOW: 408, Refusal.BUSY: 503, Refusal.CUT_OFF: 400}


class Acknowledgement(BaseModel):
    """The answer to a delivery that is safe with us."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    delivery: str
    """GitHub's id of it."""
    status: Receipt
    """stored: it will be acted on. repeated: it was here before. ignored: nothing follows, and why."""
    reason: str
    """What will happen, or why nothing will."""


class Problem(BaseModel):
    """The answer to what was not taken."""

    detail: str


class Refused(Exception):
    """A delivery that is not taken: nothing of it is stored."""

    def __init__(self, status: int, outcome: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.outcome = outcome
        self.detail = detail


@dataclass(frozen=True)
class Receiver:
    """Takes deliveries.

    Args:
        committer: Stores them.
        secrets: The secrets that are valid now.
        policy: The policy in force.
        reader: Reads bodies within bounds.
        metrics: Counts.
    """

    committer: Committer
    secrets: Callable[[], Sequence[SecretStr]]
    policy: Callable[[], Policy]
    reader: BodyReader
    metrics: Metrics

    async def receive(self, request: Request) -> Acknowledgement:
        """Check and store one delivery.

        Raises:
            Refused: It is not taken.
        """
        try:
            async with self.reader.body_of(request) as body:
                incoming, reason = await run_in_threadpool(self._examine, request.headers, body)
        except BodyRefused as error:
            raise Refused(_STATUS[error.why], error.why.name.lower(), f"{error}.") from error
        try:
            receipt = await self.committer.store(incoming)
        except (LedgerError, Transient) as error:
            _LOG.warning("A delivery was not taken: %s", error)
            raise Refused(503, "not_stored", "The ledger is away; nothing was stored.") from error
        if receipt is Receipt.REPEATED:
            reason = "it was here before"
        return Acknowledgement(delivery=incoming.id, status=receipt, reason=reason)

    def _examine(self, headers: Mapping[str, str], body: bytes) -> tuple[Incoming, str]:
        # The signature first: strangers are told nothing else.
        if not is_genuine(body, headers.get("x-hub-signature-256", ""), self.secrets()):
            raise Refused(401, "forged", "The signature is missing, or no secret of ours made it.")
        delivery, event = headers.get("x-github-delivery", ""), headers.get("x-github-event", "")
        if not _DELIVERY.fullmatch(delivery):
            raise Refused(400, "malformed", "X-GitHub-Delivery is missing, or no id.")
        if not _EVENT.fullmatch(event):
            raise Refused(400, "malformed", "X-GitHub-Event is missing, or no name of an event.")
        payload = _payload(headers.get("content-type", ""), body)
        try:
            reading = read_delivery(event, payload, policy=self.policy())
        except Malformed as error:
            raise Refused(400, "malformed", error.message) from error
        told = {"id": delivery, "event": event, "action": reading.action, "repository": reading.repository}
        decision = reading.decision
        if isinstance(decision, Ignore):
            return Incoming(**told, key="", body=b"", ignored=decision.reason), decision.reason
        incoming = Incoming(**told, key=decision.key, body=pack(payload), ignored="")
        return incoming, f"{decision.key} will be looked at"


def webhook_router(receiver: Receiver) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post(
        PATH,
        status_code=202,
        response_model=Acknowledgement,
        responses={status: {"model": Problem} for status in (400, 401, 408, 413, 415, 503)},
        openapi_extra={"requestBody": _REQUEST_BODY},
        tags=["webhooks"],
        summary="Take a webhook delivery of GitHub",
    )
    async def take_delivery(
        request: Request,
        x_github_delivery: Annotated[str, Header(description="GitHub's id of the delivery.")] = "",
        x_github_event: Annotated[str, Header(description="The kind of event.")] = "",
        x_hub_signature_256: Annotated[
            str, Header(description="sha256= and the HMAC-SHA256 of the body, hexadecimal.")
        ] = "",
    ) -> Acknowledgement | JSONResponse:
        """Store the delivery, then acknowledge it; the same one is stored once, however often it comes."""
        started = time.perf_counter()
        try:
            taken = await receiver.receive(request)
            answer: Acknowledgement | JSONResponse = taken
            outcome = str(taken.status)
        except Refused as refused:
            later = {"retry-after": str(_RETRY_AFTER_SECONDS)} if refused.status == 503 else None
            answer = JSONResponse({"detail": refused.detail}, status_code=refused.status, headers=later)
            outcome = refused.outcome
        receiver.metrics.answered(x_github_event, outcome, seconds=time.perf_counter() - started)
        return answer

    return router


def _payload(content_type: str, body: bytes) -> bytes:
    """Return the JSON in a body, which GitHub sends as it is, or as a form if the webhook was set up so."""
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind == "application/json":
        return body
    if kind != _FORM:
        raise Refused(415, "malformed", f"The content type is neither application/json nor {_FORM}.")
    try:
        fields = urllib.parse.parse_qs(body.decode("ascii"), max_num_fields=8)
        return fields["payload"][0].encode()
    except (ValueError, KeyError) as error:
        raise Refused(400, "malformed", "The form has no field named payload.") from error


_OBJECT: dict[str, Any] = {"type": "object", "description": "The event's payload."}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": _OBJECT},
        _FORM: {"schema": {"type": "object", "properties": {"payload": {"type": "string"}}}},
    },
}
