"""What a rollback leaves: bars on the images that were left, syncs to let go on again, a revert still to be merged."""

from collections.abc import Sequence
from datetime import timedelta

from flows.incident_issue import close_incident, incident_of
from flows.rollback_proposal import Before
from flows.rollback_sync import hold_on
from flows.run import Run, place_of
from runbook import report
from runbook.decisions.image_reference import same_repository
from runbook.effects.gitops import PauseGitOpsSync
from runbook.effects.pull_requests import OpenPullRequest
from runbook.engine.engine import Ended, Outcome
from runbook.engine.entries import JournalEntry
from runbook.engine.plans import StoredPlan
from runbook.engine.states import EffectState
from runbook.policy.estate import Service


def note_what_is_left(run: Run, services: Sequence[Service], plan: StoredPlan) -> None:
    """Write down what an applied plan leaves abnormal; once, and before it is watched.

    A process that dies from here on leaves nothing that nobody knows of; what is undone takes its exceptions along.

    Args:
        run: The procedure.
        services: The set.
        plan: The plan, with every effect applied.
    """
    incident = incident_of(run)
    incident_id = incident.id if incident is not None else None
    hold_on(run, [held.exception_id for held in Before.of(plan).held])
    for image, subject in Before.of(plan).left.items():
        _bar(run, services, image, subject, incident_id)
    for entry in run.here.engine.entries.of_plan(plan.id):
        match entry.effect:
            case PauseGitOpsSync():
                _resume_later(run, entry, incident_id)
            case OpenPullRequest():
                _owe_merge(run, entry, incident_id)
            case _:
                continue


def conclude_rollback(run: Run, plan: StoredPlan, outcome: Outcome) -> None:
    """Say what a rollback leaves abnormal, and close its incident; re-entrant.

    Args:
        run: The procedure.
        plan: The plan.
        outcome: How applying it ended.
    """
    incident = incident_of(run)
    if outcome.ended is not Ended.DONE or incident is None:
        return
    left = run.here.engine.exceptions.of_execution(run.execution.id)
    run.comment(place_of(plan), "left", report.exceptions_markdown(left, now=run.here.clock.now()))
    close_incident(run.here, run.execution.id, incident, outcome.reason)


def _bar(run: Run, services: Sequence[Service], image: str, subject: str, incident_id: int | None) -> None:
    here = run.here
    service = next((one for one in services if same_repository(image, one.image)), services[0])
    here.engine.exceptions.add_bar(
        run.execution.id,
        repository=service.repository,
        subject=subject,
        service=service.name,
        owner=_owner(run),
        reason="it was rolled back",
        deadline=here.clock.now() + timedelta(days=here.policy.image_rollback.bar_days),
        incident_id=incident_id,
    )


def _resume_later(run: Run, entry: JournalEntry, incident_id: int | None) -> None:
    here = run.here
    here.engine.exceptions.add_restore(
        run.execution.id,
        effect_id=entry.id,
        repository=run.repository.name,
        owner=_owner(run),
        reason="a sync would bring the version back that was rolled back",
        deadline=here.clock.now() + timedelta(minutes=here.policy.image_rollback.gitops_pause_minutes),
        incident_id=incident_id,
    )


def _owe_merge(run: Run, entry: JournalEntry, incident_id: int | None) -> None:
    """Owe the source's revert: until it is on the default branch, the next deploy brings the bad version back."""
    here = run.here
    opened = entry.state is EffectState.CONFIRMED and entry.result is not None
    where = f"pull request {(entry.result or {}).get('url', '')}" if opened else "a revert of its source"
    here.engine.exceptions.add_obligation(
        run.execution.id,
        repository=run.repository.name,
        subject=f"merge {where}",
        owner=_owner(run),
        reason="until then the next deploy brings the version back that was rolled back",
        deadline=here.clock.now() + timedelta(minutes=here.policy.image_rollback.revert_within_minutes),
        incident_id=incident_id,
    )


def _owner(run: Run) -> str:
    return run.here.engine.exceptions.owner(run.execution.id, on_call=run.here.policy.on_call)
