"""Starting and waking the runs of other procedures, as Prefect's REST API lets anybody do."""

from datetime import datetime

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from runbook.decisions.deliveries import StartTriage
from runbook.errors import Transient, UsageError
from runbook.requests import Mode, TriageRequest
from tasks.retrying import system_task
from tasks.waking import resume

TRIAGE = "triage-failed-run/default"


@system_task("start triage", run_name="start the triage of {triage.key}")
def start_triage(triage: StartTriage, *, now: datetime) -> str:
    """Create the run that triages a failed attempt; the same call again gives the same run (R10).

    A run of the attempt that has ended without claiming it (Prefect or GitHub was away) would be found again for
    ever: it gets a successor, at most one an hour.

    Args:
        triage: The attempt.
        now: The time.

    Returns:
        The flow run's id.

    Raises:
        UsageError: The procedure is not deployed.
        Transient: Prefect does not answer.
    """
    request = TriageRequest(
        repository=triage.repository, run_id=triage.run_id, run_attempt=triage.run_attempt, mode=Mode.APPLY
    )
    try:
        run = _create(request, key=triage.key)
        if run.state is not None and run.state.is_final():
            run = _create(request, key=f"{triage.key}:{now:%Y%m%dT%H}")
    except ObjectNotFound as error:
        raise UsageError(
            f"{TRIAGE} is not deployed.",
            unchanged="Nothing was started.",
            next_step="start the installation with `runbook up`, or run `prefect deploy --all`",
        ) from error
    except httpx.HTTPError as error:
        raise Transient(
            f"The Prefect server did not start the triage of {triage.key} ({type(error).__name__}).",
            unchanged="What it had started stays started: the same key gives the same run.",
            next_step="look whether the server is up; the next pass tries again.",
        ) from error
    return str(run.id)


@system_task("wake run", run_name="wake run {run_id}")
def wake_run(run_id: str) -> None:
    """Wake a suspended run (see :func:`tasks.waking.resume`); a server whose SQLite is busy is asked again.

    Args:
        run_id: The flow run's id.
    """
    resume(run_id)


def _create(request: TriageRequest, *, key: str) -> FlowRun:
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(TRIAGE)
        return client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"request": request.canonical()},
            state=Scheduled(),
            idempotency_key=key,
        )
