"""One execution of a procedure as its flow sees it: who asked, what it may write, and where people read it."""

from dataclasses import dataclass

from prefect.logging import get_run_logger

from flows.waking import flow_run_id, idempotency_key, scheduled_by_prefect
from runbook.effects.incident_issues import CloseIssue, PostComment
from runbook.engine.effects import Effect
from runbook.engine.entries import JournalEntry
from runbook.engine.executions import Execution, Requester
from runbook.engine.plans import StoredPlan
from runbook.engine.states import ExecutionState, RequesterKind
from runbook.errors import UsageError
from runbook.installation import Installation, installation
from runbook.policy import RepositoryPolicy
from runbook.requests import Mode, ProcedureRequest
from runbook.scrub import scrub
from tasks.journal import write_record


@dataclass(frozen=True)
class IssuePlace:
    """The issue on which a procedure shows its plan and its record."""

    repository: str
    number: int
    url: str


class Run:
    """One execution of a procedure, as its flow sees it.

    Args:
        here: The installation.
        execution: The execution in the ledger; None in plan mode, which writes nothing.
        request: What was asked.
        procedure: The procedure's name.
    """

    def __init__(
        self, here: Installation, execution: Execution | None, *, request: ProcedureRequest, procedure: str
    ) -> None:
        self.here = here
        self.request = request
        self.procedure = procedure
        self._execution = execution
        self.log = get_run_logger()

    @property
    def applying(self) -> bool:
        """Whether it may write, records first of all."""
        return self.request.mode is Mode.APPLY

    @property
    def execution(self) -> Execution:
        """The execution.

        Raises:
            UsageError: In plan mode there is none.
        """
        if self._execution is None:
            raise UsageError("Plan mode keeps no execution.")
        return self._execution

    @property
    def repository(self) -> RepositoryPolicy:
        """What the policy says about the request's repository."""
        return self.here.policy.repository(self.request.repository)

    def write(self, name: str, effect: Effect, *, within: str | None = None) -> JournalEntry:
        """Make a record write, once per name within the execution, or within what others write to as well."""
        what = scrub(effect.describe())
        return write_record(self.execution.id, name, what=what, effect=effect, within=within)

    def comment(self, place: IssuePlace, name: str, body: str) -> JournalEntry:
        """Post a comment on the procedure's issue, once per name."""
        key = f"{self.execution.id}/{name}"
        return self.write(
            name, PostComment(repository=place.repository, issue=place.number, key=key, body=body)
        )

    def close_issue(self, place: IssuePlace) -> None:
        """Close the procedure's issue."""
        self.write("close-issue", CloseIssue(repository=place.repository, issue=place.number))

    def end(self, state: ExecutionState, reason: str) -> None:
        """End the execution in the ledger."""
        self.here.engine.executions.end(self.execution.id, state, reason=reason)


def begin(procedure: str, request: ProcedureRequest, *, requester: Requester | None = None) -> Run:
    """Enter a procedure, for the first time or again.

    Args:
        procedure: Its name.
        request: What was asked.
        requester: Who asked, where the caller knows; else the ledger is asked.

    Raises:
        UsageError: The policy does not name the repository.
    """
    here = installation()
    here.policy.repository(request.repository)
    if request.mode is Mode.PLAN:
        return Run(here, None, request=request, procedure=procedure)
    schedule = here.scheduled(procedure, request.canonical())
    # Whoever sends a schedule's request by hand is not the schedule: its quorum is not for them.
    if requester is None and schedule is not None and scheduled_by_prefect():
        requester = Requester(
            RequesterKind.SCHEDULE, schedule.name, at_most_every_seconds=schedule.at_most_every_seconds
        )
    execution = here.engine.executions.begin(
        flow_run_id(),
        procedure=procedure,
        repository=here.policy.repository(request.repository).name,
        subject=request.subject,
        request=request.canonical(),
        idempotency_key=idempotency_key(),
        requester=requester,
    )
    return Run(here, execution, request=request, procedure=procedure)


def place_of(plan: StoredPlan) -> IssuePlace:
    """Return the issue that a plan is shown on.

    Raises:
        UsageError: It has none yet.
    """
    if plan.issues_repository is None or plan.issue_number is None:
        raise UsageError(f"Plan {plan.short_digest} has no issue.")
    return IssuePlace(plan.issues_repository, plan.issue_number, plan.issue_url)
