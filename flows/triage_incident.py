"""The incident of a failed attempt: opened, or joined where it is open already, one for a whole outage (R10, IR-12)."""

from flows.closing import place_of_incident
from flows.run import IssuePlace, Run
from runbook import report
from runbook.assessment import Assessment
from runbook.decisions.outage import OutsideReason, Together, alone, outage_fingerprint, outside_reason
from runbook.effects.incident_issues import OpenIssue, ReopenIssue
from runbook.engine.incidents import Incident
from runbook.failed_run import incident_fingerprint
from runbook.models import RegistryProbe, WorkflowRun
from runbook.policy import Severity
from runbook.triage.classify import Classification


def open_incident(run: Run, assessment: Assessment) -> IssuePlace:
    """Open the incident's issue, or say on an open one that the same failure happened again."""
    incidents = run.here.engine.incidents
    repository = run.repository
    failed = assessment.run
    incident = incidents.open_or_join(
        run.execution.id,
        repository=repository.name,
        issues_repository=repository.incidents_repository,
        fingerprint=fingerprint_of(failed, assessment.classification, assessment.registry),
        failure_class=assessment.classification.failure_class,
        severity=assessment.level,
        title=report.incident_title(assessment),
        detail={
            "run_id": failed.id,
            "run_attempt": failed.run_attempt,
            "failed_at": failed.updated_at.isoformat(),
        },
        outside=_outside(assessment),
        outage_window_minutes=run.here.policy.triage.outage_window_minutes,
    )
    body = report.incident_markdown(assessment, on_call=run.here.policy.on_call)
    if incident.issue_number is None:
        incident = _open_issue(run, incident, body)
    place = place_of_incident(incident)
    if (incident.detail["run_id"], incident.detail["run_attempt"]) != (failed.id, failed.run_attempt):
        if incident.reopened:
            run.write("reopen-issue", ReopenIssue(repository=place.repository, issue=place.number))
        run.comment(place, f"assessment-{failed.id}-{failed.run_attempt}", _outage_line(run, incident) + body)
    return place


def _outside(assessment: Assessment) -> Together | None:
    """Return a failure's outside reason, by which others may belong to the same outage (IR-12)."""
    reason = reason_outside(assessment.classification, assessment.registry)
    failed = assessment.run
    if reason is None:
        return None
    return alone(reason, workflow_file=failed.workflow_file, failed_at=failed.updated_at)


def fingerprint_of(failed: WorkflowRun, found: Classification, registry: RegistryProbe | None) -> str:
    """Return what a failure is known by again: its own traits, or the outage that it is part of."""
    own = incident_fingerprint(failed, found)
    reason = reason_outside(found, registry)
    return own if reason is None else outage_fingerprint(reason, own)


def reason_outside(found: Classification, registry: RegistryProbe | None) -> OutsideReason | None:
    """Return the reason outside the repository that a failure names, if it names one."""
    return outside_reason(found.failure_class, registry=registry.state if registry is not None else None)


def _outage_line(run: Run, incident: Incident) -> str:
    """Say on an incident that several workflows fail for its outside reason."""
    together = incident.together
    if together is None or not together.is_outage(workflows=run.here.policy.triage.outage_workflows):
        return ""
    return report.outage_markdown(together) + "\n\n"


def _open_issue(run: Run, incident: Incident, body: str) -> Incident:
    """Open an incident's issue; once, also where several executions join the incident in the same moment."""
    labels = run.repository.labels
    # With its time, for a ledger that was lost starts counting anew, and old issues stay.
    key = f"incident-{incident.id}-{incident.opened_at:%Y%m%dT%H%M%S}"
    issue = OpenIssue(
        repository=incident.issues_repository,
        key=key,
        title=incident.title,
        body=body,
        labels=(labels.incident, labels.for_severity(Severity(incident.severity))),
    )
    entry = run.write("issue", issue, within=key)
    result = entry.result or {}
    return run.here.engine.incidents.issue_opened(
        incident.id, number=int(result["number"]), url=str(result["url"])
    )
