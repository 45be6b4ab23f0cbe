"""How a flow sleeps and learns that it was woken; what woke it carries no authority (R2)."""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run

from runbook.engine.plans import StoredPlan
from runbook.errors import UsageError
from runbook.installation import installation


def flow_run_id() -> str:
    """Return the id of the flow run that this code runs in; the execution's id.

    Raises:
        UsageError: It does not run in a flow run of a deployment.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        raise UsageError(
            "A procedure runs only as a flow run of its deployment: it must be able to wait for people.",
            next_step="start it with `runbook run`, the Prefect UI or the REST API",
        )
    return str(context.flow_run.id)


def idempotency_key() -> str | None:
    """Return the key that the flow run was created with."""
    context = FlowRunContext.get()
    return context.flow_run.idempotency_key if context and context.flow_run else None


def scheduled_by_prefect() -> bool:
    """Whether a deployment's schedule made this run; nobody can say so of a run created by hand or by REST."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.auto_scheduled)


def was_resumed(plan: StoredPlan) -> bool:
    """Whether somebody or something resumed this run since it was asked about a plan (see ``prefect_resume``).

    Args:
        plan: The plan that a resume would approve.
    """
    run_id = flow_run_id()
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(UUID(run_id))
    return resumed_since_asked(
        asks_of_plan=plan.asks,
        asks=installation().engine.plans.asks_of(run_id),
        pauses=sum(state.type == StateType.PAUSED for state in states),
    )


def resumed_since_asked(*, asks_of_plan: int, asks: int, pauses: int) -> bool:
    """Whether a run that is awake was resumed since it was asked about its plan.

    A run that crashed between asking and suspending has fewer pauses than asks, and was not resumed; what
    resumed it while an earlier plan waited says nothing about this one.

    Args:
        asks_of_plan: How often it was asked about this plan.
        asks: How often it was asked about any plan.
        pauses: How often it was suspended.
    """
    return asks_of_plan > 0 and asks <= pauses


def suspend(plan: StoredPlan) -> None:
    """Suspend this flow run until it is woken, under a key never used before; the call does not return.

    Args:
        plan: What it waits for.
    """
    here = installation()
    ask = here.engine.plans.ask(plan.id)
    here.engine.executions.wait(plan.execution_id)
    suspend_flow_run(timeout=int(here.policy.timings.suspend_timeout_seconds), key=f"{plan.id}-{ask}")
