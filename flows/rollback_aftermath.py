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
from runbook.effects.releases import RollBackRelease
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.engine import Ended, Outcome
from runbook.engine.entries import JournalEntry
from runbook.engine.plans import StoredPlan
from runbook.engine.states import EffectState


def note_what_it_leaves(run: Run, plan: StoredPlan, entry: JournalEntry) -> None:
    """Write down what an effect leaves abnormal, as soon as it was applied; once, however often it is called.

    A process that dies from here on, or a plan that a person has to end, leaves nothing that nobody knows of; what
    is undone takes its exceptions along.

    Args:
        run: The procedure.
        plan: The plan.
        entry: The effect, as it stands now.
    """
    incident = incident_of(run)
    incident_id = incident.id if incident is not None else None
    before = Before.of(plan)
    match entry.effect:
        case PauseGitOpsSync():
            _resume_later(run, entry, incident_id)
        case OpenPullRequest():
            _owe_merge(run, entry, incident_id)
        case RollBackWorkload(from_images=images) | RollBackRelease(from_images=images):
            hold_on(run, [held.exception_id for held in before.held])
            for image in images:
                if image in before.left:
                    _bar(run, list(before.samples), entry, image, before.left[image], incident_id)
        case _:
            pass


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


def _bar(
    run: Run, names: Sequence[str], entry: JournalEntry, image: str, subject: str, incident_id: int | None
) -> None:
    here = run.here
    # The policy may have changed since it was planned: a bar whose service has gone is its repository's.
    known = [one for one in here.policy.services if one.name in names and same_repository(image, one.image)]
    service = min(known, key=lambda one: one.repository != run.repository.name, default=None)
    here.engine.exceptions.add_bar(
        run.execution.id,
        repository=service.repository if service is not None else run.repository.name,
        subject=subject,
        service=service.name if service is not None else names[0],
        owner=_owner(run),
        reason="it was rolled back",
        deadline=here.clock.now() + timedelta(days=here.policy.image_rollback.bar_days),
        incident_id=incident_id,
        effect_id=entry.id,
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
        effect_id=entry.id,
    )


def _owner(run: Run) -> str:
    return run.here.engine.exceptions.owner(run.execution.id, on_call=run.here.policy.on_call)
