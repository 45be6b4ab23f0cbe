"""Closing an incident, by the procedure that resolved it or by the sweeper in its place."""

from flows.run import IssuePlace
from runbook import report
from runbook.effects.incident_issues import CloseIssue, PostComment
from runbook.engine.effects import Effect
from runbook.engine.incidents import Incident, IncidentState
from runbook.installation import Installation
from runbook.scrub import scrub
from tasks.journal import write_record


def close_incident(here: Installation, execution_id: str, incident: Incident, resolution: str) -> None:
    """Close an incident with its timeline and the audit's head, the witness outside (R12).

    One that another execution is still at work on stays open, and says so; the last of them closes it.

    Args:
        here: The installation.
        execution_id: The execution that resolved its part.
        incident: The incident.
        resolution: How it was resolved.
    """
    closed = here.engine.incidents.close(incident.id, by_execution=execution_id, resolution=resolution)
    place = place_of_incident(closed)
    if closed.state is IncidentState.OPEN:
        others = "Another run of it is still being looked after, so the incident stays open."
        _comment(execution_id, place, "resolved-in-part", f"{report.words(resolution)}\n\n{others}")
        return
    timeline = here.engine.timeline(execution_id)
    _comment(execution_id, place, "closing", report.closing_markdown(timeline, here.engine.audit_head()))
    _write(execution_id, "close-issue", CloseIssue(repository=place.repository, issue=place.number))


def place_of_incident(incident: Incident) -> IssuePlace:
    """Return an incident's issue; it was opened before anything else was said of it."""
    if incident.issue_number is None:
        raise AssertionError(f"incident {incident.id} has no issue yet")
    return IssuePlace(incident.issues_repository, incident.issue_number, incident.issue_url)


def _comment(execution_id: str, place: IssuePlace, name: str, body: str) -> None:
    key = f"{execution_id}/{name}"
    _write(
        execution_id, name, PostComment(repository=place.repository, issue=place.number, key=key, body=body)
    )


def _write(execution_id: str, name: str, effect: Effect) -> None:
    write_record(execution_id, name, what=scrub(effect.describe()), effect=effect)
