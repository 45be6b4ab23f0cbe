"""What stored deliveries lead to: runs that are started and announced, plans that are woken."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from deployments.prefect_runs import PrefectRuns
from runbook.decisions.deliveries import WakePlans
from runbook.engine.plans import Plans, StoredPlan
from runbook.policy import Policy
from runbook.requests import ProcedureRequest
from tasks.waking import Woken, resume


class Starter(Protocol):
    """Starts flow runs."""

    def start(self, procedure: str, request: ProcedureRequest, *, idempotency_key: str) -> str:
        """Start a run, or find the one that this key started.

        Args:
            procedure: The flow's name.
            request: Its parameter.
            idempotency_key: One run for each.

        Returns:
            The run's name.

        Raises:
            Transient: Prefect is away.
            Denied: It wants another password.
            UsageError: The procedure is not deployed there.
            Permanent: It refuses this run.
        """
        ...

    def announce(self, event: str, *, about: str, payload: Mapping[str, object], at: datetime) -> None:
        """Tell the users' own automations.

        Args:
            event: Its kind.
            about: What it is about: the resource.
            payload: What an automation may want to know.
            at: When it happened.

        Raises:
            RunbookError: It was not taken.
        """
        ...


class PrefectStarter(PrefectRuns):
    """Starts runs over Prefect's REST API."""

    def start(self, procedure: str, request: ProcedureRequest, *, idempotency_key: str) -> str:
        """Start a run of a procedure's hand-started deployment (see :class:`Starter`)."""
        return self.create(procedure, request, idempotency_key=idempotency_key).name

    def announce(self, event: str, *, about: str, payload: Mapping[str, object], at: datetime) -> None:
        """Emit a Prefect event (see :class:`Starter`)."""
        resource = {"prefect.resource.id": f"runbook.{about}", "prefect.resource.name": about}
        # One of each kind for each thing: a repeated one carries the same id.
        event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event}:{about}"))
        body = {
            "id": event_id,
            "occurred": at.isoformat(),
            "event": event,
            "resource": resource,
            "payload": payload,
        }
        self._request("POST", "/events", json=[body], accept=(204,))


class PlanWaker:
    """Wakes the runs of plans that somebody entitled just decided about.

    It reads no comment and decides nothing (R2): a run that is woken in vain asks again and sleeps on. That only
    an approver's words wake one keeps passers-by from making runs wake up all day.

    Args:
        plans: The ledger's plans.
        wake: Resumes a run.
    """

    def __init__(self, plans: Plans, *, wake: Callable[[str], Woken] = resume) -> None:
        self._plans = plans
        self._wake = wake

    def __call__(self, wanted: WakePlans, policy: Policy) -> str:
        """Wake those runs; return what was done.

        Raises:
            RunbookError: Prefect is away, or refuses.
        """
        woken = [
            plan.short_digest
            for plan in self._plans.waiting_on(
                wanted.issues_repository, wanted.issue_number, digits=wanted.digits
            )
            if _may_decide(wanted.login, plan, policy) and self._wake(plan.execution_id) is Woken.RESUMED
        ]
        return f"plans woken: {', '.join(woken)}" if woken else "no waiting plan of an approver's"


def _may_decide(login: str, plan: StoredPlan, policy: Policy) -> bool:
    return policy.approval_rule(plan.plan.procedure, plan.plan.repository).names(login)
