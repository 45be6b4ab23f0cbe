"""The incident of a rollback: opened before the plan is shown, closed when the services are well again."""

from collections.abc import Sequence

from flows.incident_issue import alone_with, open_issue, place_of_incident
from flows.run import IssuePlace, Run
from runbook import report
from runbook.canonical import digest
from runbook.effects.incident_issues import ReopenIssue
from runbook.engine.incidents import Incident
from runbook.scrub import scrub
from runbook.standing import Standing

FAILURE_CLASS = "deployment"
"""What the ledger calls it; none of triage's classes, which are about runs."""


def open_rollback_incident(run: Run, standings: Sequence[Standing], *, why: str) -> IssuePlace:
    """Open the incident of services at an image, or say on the open one that a rollback is asked for again.

    Args:
        run: The procedure.
        standings: The services as they stand.
        why: Who or what asks.
    """
    severity = run.here.policy.severities.release_broken
    images = sorted(image.image for one in standings for image in one.workload.template.images)
    incident = run.here.engine.incidents.open_or_join(
        run.execution.id,
        repository=run.repository.name,
        issues_repository=run.repository.incidents_repository,
        fingerprint=digest({"services": sorted(one.service for one in standings), "images": images}),
        failure_class=FAILURE_CLASS,
        severity=severity,
        title=scrub(report.rollback_incident_title(severity, standings)),
        detail={"services": [one.service for one in standings], "images": images, "by": run.execution.id},
    )
    body = report.rollback_incident_markdown(standings, why=why, on_call=run.here.policy.on_call)
    if incident.issue_number is None:
        incident = open_issue(run.here, run.execution.id, incident, body)
    place = place_of_incident(incident)
    if incident.detail["by"] != run.execution.id:
        _join(run, incident, place, body)
    return place


def _join(run: Run, incident: Incident, place: IssuePlace, body: str) -> None:
    # A closing that was under way is waited for; none begins while this execution is open.
    with alone_with(run.here, run.execution.id, incident):
        pass
    run.write("reopen-issue", ReopenIssue(repository=place.repository, issue=place.number))
    run.comment(place, "asked-again", body)
