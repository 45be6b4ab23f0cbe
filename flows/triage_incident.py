"""The incident of a failed attempt: opened, or joined where it is open already, one for a whole outage (R10, IR-12)."""

from flows.incident_issue import alone_with, open_issue, place_of_incident
from flows.run import IssuePlace, Run
from runbook import report
from runbook.assessment import Assessment
from runbook.decisions.outage import OutsideReason, Together, alone, outage_fingerprint, outside_reason
from runbook.effects.incident_issues import RaiseSeverity, ReopenIssue
from runbook.engine.incidents import Incident
from runbook.failed_run import incident_fingerprint, incident_scope
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
        scope=incident_scope(failed, repository),
        outside=_outside(assessment),
        outage_window_minutes=run.here.policy.triage.outage_window_minutes,
    )
    body = report.incident_markdown(assessment, on_call=run.here.policy.on_call)
    if incident.issue_number is None:
        incident = open_issue(run.here, run.execution.id, incident, body)
    if (incident.detail["run_id"], incident.detail["run_attempt"]) != (failed.id, failed.run_attempt):
        _join_issue(run, incident, assessment, body)
    return place_of_incident(incident)


def _join_issue(run: Run, incident: Incident, assessment: Assessment, body: str) -> None:
    """Say on an incident's issue what else failed; it is open from then on, and as urgent as the worst of it."""
    place = place_of_incident(incident)
    failed = assessment.run
    # A closing that was under way is waited for; none begins from now on, as an attempt of ours is unresolved.
    with alone_with(run.here, run.execution.id, incident):
        pass
    # Also where somebody closed it by hand: what it is about has just happened again.
    run.write("reopen-issue", ReopenIssue(repository=place.repository, issue=place.number))
    run.comment(place, f"assessment-{failed.id}-{failed.run_attempt}", _outage_line(run, incident) + body)
    if incident.raised_by == run.execution.id:
        _raise_severity(run, incident, assessment)


def _raise_severity(run: Run, incident: Incident, assessment: Assessment) -> None:
    """Name the issue after the most urgent failure; one at a time, for somebody may have raised it further."""
    place = place_of_incident(incident)
    with alone_with(run.here, run.execution.id, incident):
        incident = run.here.engine.incidents.get(incident.id)
        if incident.raised_by == run.execution.id:
            labels = run.repository.labels
            run.write(
                "raise-severity",
                RaiseSeverity(
                    repository=place.repository,
                    issue=place.number,
                    title=incident.title,
                    label=labels.for_severity(assessment.level),
                    other_labels=tuple(
                        labels.for_severity(other) for other in Severity if other is not assessment.level
                    ),
                ),
            )


def _outside(assessment: Assessment) -> Together | None:
    """Return a failure's outside reason, by which others may belong to the same outage (IR-12)."""
    reason = reason_outside(assessment.classification, assessment.registry)
    failed = assessment.run
    # What a stranger's log says of the outside joins nobody's incident.
    if reason is None or failed.from_fork:
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
