"""Starting a procedure as a known person, and following it to its end.

Only Prefect and the ledger are needed here: the runs act on GitHub, and a person's terminal need not be able to.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deployments.prefect_runs import FlowRunState, PrefectRuns
from runbook.clients.github_client import GitHubClient
from runbook.clock import Clock
from runbook.engine.entries import Entries
from runbook.engine.executions import Executions
from runbook.engine.leases import Leases
from runbook.engine.plans import Plans, StoredPlan
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
        key = Executions(here.ledger, clock=here.clock).ask(
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
    plans, journal = Plans(here.ledger, clock=here.clock), _journal(here)
    last: tuple[object, ...] | None = None
    while True:
        state = prefect.read(run_id)
        plan = plans.latest(run_id)
        entries = journal.of_plan(plan.id) if plan is not None else ()
        done = sum(entry.state in SETTLED for entry in entries)
        seen = Progress(state=state, plan=plan, done=done, total=len(entries))
        mark = (state.type, state.state, plan.state if plan else None, done)
        if mark != last:
            last = mark
            yield seen
        if state.ended or until(seen):
            return
        clock.sleep(LOOK_SECONDS)


def _journal(here: Installation) -> Entries:
    timings = here.policy.timings
    leases = Leases(
        here.ledger,
        clock=here.clock,
        lease_seconds=timings.lease_seconds,
        poll_seconds=timings.probe_interval_seconds,
    )
    return Entries(here.ledger, clock=here.clock, leases=leases)
