"""Starting a procedure as a known person, and following it to its end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deployments.prefect_runs import FlowRunState, PrefectRuns
from runbook.clients.github_client import GitHubClient
from runbook.clock import Clock
from runbook.engine.plans import StoredPlan
from runbook.engine.states import SETTLED, PlanState
from runbook.errors import UsageError
from runbook.installation import Installation
from runbook.requests import Mode, ProcedureRequest

LOOK_SECONDS = 0.5
"""How often a run that is followed is looked at."""


@dataclass(frozen=True)
class Progress:
    """What is to be seen of a run now.

    ``plan`` is the newest plan it made, if any; ``done`` of its ``total`` effects are settled.
    """

    state: FlowRunState
    plan: StoredPlan | None
    done: int
    total: int

    @property
    def waits_for_approval(self) -> bool:
        """Whether it sleeps until people decide."""
        return self.state.type == "PAUSED" and self.plan is not None and self.plan.state is PlanState.WAITING


def requester_login(here: Installation) -> str | None:
    """Return who starts: whoever the person's own token belongs to, asked of GitHub (R2).

    None without a token, and with the product's own: it names nobody, and whoever used it could approve.
    """
    try:
        token = here.settings.require_approver_token()
    except UsageError:
        return None
    with GitHubClient(token=token, api_url=here.settings.github_api_url, clock=here.clock) as github:
        login = github.whoami()
    known = here.policy.product_login is not None or here.settings.has_github_credential
    return None if known and login.casefold() == here.product_login.casefold() else login


def start(
    here: Installation,
    prefect: PrefectRuns,
    procedure: str,
    request: ProcedureRequest,
    *,
    requester: str | None,
) -> FlowRunState:
    """Note who asks, then create the run.

    Args:
        here: The installation.
        prefect: The Prefect server.
        procedure: The procedure's name.
        request: What is asked.
        requester: Who asks; None makes the run unnamed, which costs one approver more.
    """
    key = None
    if request.mode is Mode.APPLY and requester is not None:
        key = here.engine.executions.ask(
            procedure=procedure, request=request.canonical(), requester=requester
        )
    return prefect.create(procedure, request, idempotency_key=key)


def follow(
    here: Installation, prefect: PrefectRuns, run_id: str, *, clock: Clock, until: Callable[[Progress], bool]
) -> Iterator[Progress]:
    """Yield what is to be seen of a run, each time it changes, until it ends or ``until`` says so.

    Args:
        here: The installation.
        prefect: The Prefect server.
        run_id: The run.
        clock: What waits between two looks.
        until: Ends the following early.
    """
    last: tuple[object, ...] | None = None
    while True:
        state = prefect.read(run_id)
        plan = here.engine.plans.latest(run_id)
        entries = here.engine.entries.of_plan(plan.id) if plan is not None else ()
        done = sum(entry.state in SETTLED for entry in entries)
        seen = Progress(state=state, plan=plan, done=done, total=len(entries))
        mark = (state.type, state.state, plan.state if plan else None, done)
        if mark != last:
            last = mark
            yield seen
        if state.ended or until(seen):
            return
        clock.sleep(LOOK_SECONDS)
