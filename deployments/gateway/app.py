"""The gateway's application, made from what is handed in."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, SecretStr

from deployments.gateway.bodies import MEBIBYTE, BodyReader
from deployments.gateway.committing import Committer
from deployments.gateway.headers import SecurityHeaders
from deployments.gateway.metrics import CONTENT_TYPE, Metrics
from deployments.gateway.webhooks import Problem, Receiver, webhook_router
from runbook.clock import Clock
from runbook.engine.deliveries import Deliveries
from runbook.errors import LedgerError
from runbook.policy import Policy

_LOG = logging.getLogger("runbook.gateway")


@dataclass(frozen=True)
class Limits:
    """What one gateway takes.

    Args:
        largest_body_bytes: GitHub sends up to 25 MiB; the events that are handled stay far below a tenth of that.
        body_deadline_seconds: How long a body may take; GitHub waits ten seconds for the whole answer.
        most_body_bytes_at_once: How much memory all bodies together may take.
    """

    largest_body_bytes: int = 5 * MEBIBYTE
    body_deadline_seconds: float = 8.0
    most_body_bytes_at_once: int = 64 * MEBIBYTE


class Health(BaseModel):
    """The answer to a probe."""

    status: Literal["ok"] = "ok"


def create_app(
    *,
    deliveries: Deliveries,
    policy: Callable[[], Policy],
    webhook_secrets: Callable[[], Sequence[SecretStr]],
    clock: Clock,
    limits: Limits | None = None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """Return the application.

    Args:
        deliveries: The ledger's deliveries. Its ledger should wait less than ten seconds for other writers.
        policy: Gives the policy in force.
        webhook_secrets: Gives the secrets that are valid now.
        clock: Time.
        limits: What it takes.
        routers: Further parts of the gateway: the approval page.
    """
    limits = limits or Limits()
    committer = Committer(deliveries)
    metrics = Metrics(deliveries, clock=clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        committer.close()

    # No pages for the API's description: they load their scripts from elsewhere.
    app = FastAPI(
        title="Runbook gateway",
        description="Takes GitHub's webhooks, and answers probes and monitoring.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(LedgerError, _ledger_is_away)
    app.include_router(
        webhook_router(
            Receiver(
                committer=committer,
                secrets=webhook_secrets,
                policy=policy,
                reader=BodyReader(
                    largest_bytes=limits.largest_body_bytes,
                    deadline_seconds=limits.body_deadline_seconds,
                    most_bytes_at_once=limits.most_body_bytes_at_once,
                ),
                metrics=metrics,
            )
        )
    )
    app.include_router(_probes(deliveries, metrics))
    for router in routers:
        app.include_router(router)
    return app


async def _ledger_is_away(request: Request, error: Exception) -> JSONResponse:
    # What exactly is wrong with it stands in the log, not in an answer to strangers.
    _LOG.warning("%s", error)
    return JSONResponse({"detail": "The ledger is away."}, status_code=503, headers={"retry-after": "30"})


def _probes(deliveries: Deliveries, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["monitoring"])

    @router.get("/healthz", summary="Whether the process is alive")
    async def healthz() -> Health:
        return Health()

    @router.get("/readyz", summary="Whether the ledger answers", responses={503: {"model": Problem}})
    def readyz() -> Health:
        deliveries.require_ledger()
        return Health()

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    def show_metrics() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return router
