"""Waking a suspended flow run. It only wakes: whether anything may happen, the gate decides by the ledger (R2)."""

from enum import StrEnum
from uuid import UUID

from runbook.errors import Conflict, Denied, Transient


class Woken(StrEnum):
    """What became of an attempt to wake a run."""

    RESUMED = "resumed"
    NOT_PAUSED = "not_paused"
    """It is awake already, or has ended."""
    MISSING = "missing"
    """Prefect knows no such run; the sweeper settles what it left."""


def resume(flow_run_id: str) -> Woken:
    """Resume a suspended flow run.

    Args:
        flow_run_id: The run's id, which is the execution's.

    Raises:
        Transient: No Prefect server is named, or it does not answer.
        Denied: It refuses the credential.
        Conflict: It refuses to resume this run.
    """
    try:
        run_id = UUID(flow_run_id)
    except ValueError:
        return Woken.MISSING
    # Imported here: it takes longer than most commands do.
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    api_url = PREFECT_API_URL.value()
    if not api_url:  # without an address the client would start a server of its own
        raise Transient(
            "No Prefect server is named.", unchanged="The run sleeps on.", next_step="set PREFECT_API_URL."
        )
    try:
        # Whoever calls this tries again by its own rule, and must not hang meanwhile.
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as client:
            # A look first: for a run that was deleted, resuming is answered by 500 and not by 404.
            run = client.read_flow_run(run_id)
            if run.state is None or not run.state.is_paused():
                return Woken.NOT_PAUSED
            answer = client.resume_flow_run(run_id)
    except ObjectNotFound:
        return Woken.MISSING
    except httpx.HTTPStatusError as error:
        raise _refusal(api_url, error) from error
    except httpx.TransportError as error:
        raise Transient(
            f"The Prefect server at {api_url} does not answer ({type(error).__name__}).",
            unchanged="The run sleeps on.",
            next_step="start it, or check PREFECT_API_URL.",
        ) from error
    match answer.status.value:
        case "ACCEPT":
            return Woken.RESUMED
        case "ABORT":  # somebody else was quicker
            return Woken.NOT_PAUSED
    reason = getattr(answer.details, "reason", None) or answer.status.value
    raise Conflict(
        f"Prefect does not resume run {flow_run_id}: {reason}",
        unchanged="The run sleeps on.",
        next_step="look at the run in the Prefect UI.",
    )


def _refusal(api_url: str, error: Exception) -> Transient | Denied:
    status: int = error.response.status_code  # type: ignore[attr-defined] # httpx.HTTPStatusError, imported late
    if status in (401, 403):
        return Denied(
            f"The Prefect server at {api_url} refuses our credential ({status}).",
            unchanged="The run sleeps on.",
            next_step="set PREFECT_API_AUTH_STRING to the server's user:password.",
        )
    return Transient(
        f"The Prefect server at {api_url} answered {status}.",
        unchanged="The run sleeps on.",
        next_step="read its log; try again.",
    )
