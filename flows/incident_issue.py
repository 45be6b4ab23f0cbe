"""An incident's issue, which several may be at work on: opened once, closed when every run of it is resolved."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from flows.run import IssuePlace, Run
from runbook import report
from runbook.effects.incident_issues import CloseIssue, OpenIssue, PostComment
from runbook.engine.effects import Effect
from runbook.engine.entries import JournalEntry
from runbook.engine.executions import Execution
from runbook.engine.incidents import Incident
from runbook.engine.states import IncidentState, RequesterKind
from runbook.installation import Installation
from runbook.policy import Severity
from runbook.scrub import scrub
from runbook.triage.classes import FailureClass
from tasks.journal import write_record

UNTRIAGED = Severity.P1
"""How urgent an attempt is of which nobody knows how urgent it is."""


@contextmanager
def alone_with(here: Installation, execution_id: str, incident: Incident) -> Iterator[None]:
    """Hold an incident's issue while it is closed or opened again: else the one could overtake the other.

    Args:
        here: The installation.
        execution_id: Who writes.
        incident: The incident.
    """
    lease = here.engine.leases.acquire((f"incident:{incident.id}",), execution_id=execution_id)
    try:
        yield
    finally:
        here.engine.leases.release(lease)


def open_issue(here: Installation, execution_id: str, incident: Incident, body: str) -> Incident:
    """Open an incident's issue; once, also where several executions join the incident in the same moment.

    Args:
        here: The installation.
        execution_id: Who opens it.
        incident: The incident.
        body: What the issue says.
    """
    labels = here.policy.repository(incident.repository).labels
    # With its time, for a ledger that was lost starts counting anew, and old issues stay.
    key = _key(incident)
    issue = OpenIssue(
        repository=incident.issues_repository,
        key=key,
        title=incident.title,
        body=body,
        labels=(labels.incident, labels.for_severity(Severity(incident.severity))),
    )
    result = _write(execution_id, "issue", issue, within=key).result or {}
    return here.engine.incidents.issue_opened(
        incident.id, number=int(result["number"]), url=str(result["url"])
    )


def place_to_tell(here: Installation, execution_id: str, reason: str) -> IssuePlace | None:
    """Return where people hear how an execution ended: its incident's issue, opened where it has none yet (R10).

    An attempt whose triage ends before it has an incident would else be heard of by nobody.

    Args:
        here: The installation.
        execution_id: The execution.
        reason: Why it ended.

    Returns:
        The place; None where it has no incident, and neither a failed attempt nor an event of GitHub's asked for it:
        who asked in person sees it end.
    """
    incidents = here.engine.incidents
    execution = here.engine.executions.get(execution_id)
    runs = sorted(incidents.cared_for(execution_id))
    if execution is None:
        return None
    if execution.incident_id is not None:
        incident = incidents.get(execution.incident_id)
    elif not runs and not _asked_by_event(execution):
        return None
    else:
        incident = incidents.open_or_join(
            execution_id,
            repository=execution.repository,
            issues_repository=here.policy.repository(execution.repository).incidents_repository,
            fingerprint=f"untriaged:{runs or execution.subject}",
            failure_class=FailureClass.UNKNOWN,
            severity=UNTRIAGED,
            title=scrub(
                f"{UNTRIAGED}: {execution.subject} could not be {'triaged' if runs else 'looked at'}"
            ),
            detail={},
        )
    if incident.issue_number is None:
        body = (
            report.untriaged_markdown(runs, reason, on_call=here.policy.on_call)
            if runs
            else f"{execution.procedure} could not go on: {report.words(reason)}"
        )
        incident = open_issue(here, execution_id, incident, body)
    return place_of_incident(incident)


def close_incident(
    here: Installation,
    execution_id: str,
    incident: Incident,
    resolution: str,
    *,
    runs: Collection[int] | None = None,
) -> None:
    """Close an incident with its timeline and the audit's head, the witness outside (R12).

    One of which another run still needs care stays open, and says so; who resolves the last of them closes it.
    The ledger says last that it is closed: a process that dies before goes on with what was not yet written.

    Args:
        here: The installation.
        execution_id: The execution that resolved its part.
        incident: The incident.
        resolution: How it was resolved.
        runs: What is resolved; by default the runs that this execution cared for.
    """
    incidents = here.engine.incidents
    with alone_with(here, execution_id, incident):
        incident = incidents.get(incident.id)
        if incident.state is IncidentState.CLOSED:
            return
        place = place_of_incident(incident)
        resolved = incidents.cared_for(execution_id) if runs is None else runs
        if incidents.resolve(incident.id, runs=resolved):
            others = "Another run of it is not resolved yet, so the incident stays open."
            _comment(
                execution_id,
                place,
                f"resolved-in-part-{_numbers(resolved)}",
                f"{report.words(resolution)}\n\n{others}",
            )
            return
        # Whoever comes to this point says it once for all: the next closing of it, if there is one, is another.
        within = f"{_key(incident)}-closing-{incident.closings}"
        timeline = here.engine.timeline(incident.id)
        said = report.closing_markdown(resolution, timeline, here.engine.audit_head())
        _comment(execution_id, place, "closing", said, within=within)
        close = CloseIssue(repository=place.repository, issue=place.number)
        _write(execution_id, "close-issue", close, within=within)
        incidents.close(incident.id, resolution=resolution)


def _asked_by_event(execution: Execution) -> bool:
    """Tell whether nobody but the incident would tell people that an execution ended: a failed deployment asked."""
    return execution.procedure == "rollback-image" and execution.requester_kind is RequesterKind.PRODUCT


def incident_of(run: Run) -> Incident | None:
    """Return the incident by now: it may have been opened since this process entered the procedure."""
    if not run.applying:
        return None
    execution = run.here.engine.executions.get(run.execution.id)
    if execution is None or execution.incident_id is None:
        return None
    return run.here.engine.incidents.get(execution.incident_id)


def place_of_incident(incident: Incident) -> IssuePlace:
    """Return an incident's issue; it was opened before anything else was said of it."""
    if incident.issue_number is None:
        raise AssertionError(f"incident {incident.id} has no issue yet")
    return IssuePlace(incident.issues_repository, incident.issue_number, incident.issue_url)


def _key(incident: Incident) -> str:
    return f"incident-{incident.id}-{incident.opened_at:%Y%m%dT%H%M%S}"


def _numbers(runs: Collection[int]) -> str:
    return "-".join(map(str, sorted(runs)))


def _comment(
    execution_id: str, place: IssuePlace, name: str, body: str, *, within: str | None = None
) -> None:
    key = f"{within or execution_id}/{name}"
    comment = PostComment(repository=place.repository, issue=place.number, key=key, body=body)
    _write(execution_id, name, comment, within=within)


def _write(execution_id: str, name: str, effect: Effect, *, within: str | None = None) -> JournalEntry:
    return write_record(execution_id, name, what=scrub(effect.describe()), effect=effect, within=within)
