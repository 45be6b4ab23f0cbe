"""Where each part of a set would go back to: workloads by themselves, Helm releases as a whole (RB-01 to RB-05)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows.run import Run
from runbook import report
from runbook.decisions.last_known_good import Candidate, GoodChoice, Sign, current_of
from runbook.decisions.releases import ReleaseLeft, as_revision, release_candidates, standing_of
from runbook.decisions.revision_evidence import Evidence, barred_by, image_in
from runbook.decisions.rollback_set import Move, asked_for
from runbook.decisions.rollback_target import TargetRefused, target_of
from runbook.decisions.time_served import served
from runbook.engine.plan import Table
from runbook.errors import Conflict
from runbook.policy.estate import Service
from runbook.rolled_back import rolled_back_at
from runbook.standing import ReleaseReading, Standing
from runbook.workloads import Revision
from tasks.revision_evidence import read_evidence, read_versions
from tasks.workloads import read_release


@dataclass(frozen=True)
class Way:
    """One move, what it was chosen from, and where it goes, or why it cannot go anywhere.

    Args:
        move: What goes back in one write.
        current: What it is at.
        candidates: What was looked at.
        evidence: By service, then by the candidates' names: what is known of their origin.
        target: Where it goes.
        beside: What else there is to go back to, for people.
    """

    move: Move
    current: Revision
    candidates: tuple[Candidate, ...]
    evidence: Mapping[str, Mapping[str, Evidence]]
    target: GoodChoice | TargetRefused
    beside: tuple[Table, ...]

    def tables(self) -> tuple[Table, ...]:
        """Show what it was chosen from."""
        chosen = self.target.revision if isinstance(self.target, GoodChoice) else None
        looked_at = report.candidates_table(
            str(self.move), self.candidates, chosen=chosen, rejected=self.target.rejected
        )
        return (looked_at, *self.beside)


def way_of(
    run: Run,
    move: Move,
    services: Sequence[Service],
    standings: Mapping[str, Standing],
    to: Mapping[str, str],
) -> Way:
    """Find where a move goes.

    Args:
        run: The procedure.
        move: The move.
        services: Its services.
        standings: They as they stand, by name.
        to: What was asked for, by service.

    Raises:
        Conflict: It stands in a way from which nothing goes back: a Helm operation that has not ended, say.
        NotFound, Denied, Transient: The cluster, or Helm, does not tell.
    """
    asked = asked_for(move, to)
    if not isinstance(asked, str):
        raise _refusal(asked.reason, asked.next_step)
    beside: list[Table] = []
    if move.release:
        release = read_release(move.release, move.namespace)
        current, candidates = _of_release(run, release)
        beside.append(report.history_table(move.release, release.history))
    else:
        current, candidates = _of_workload(run, standings[move.services[0]])
    evidence: dict[str, Mapping[str, Evidence]] = {}
    looked_at = [current, *(one.revision for one in candidates)]
    for service in services:
        versions = read_versions(service, what=service.name)
        evidence[service.name] = read_evidence(service, looked_at, versions, what=service.name)
        beside.append(report.versions_table(service.image, versions))
    barred = run.here.engine.exceptions.barred(run.repository.name)
    candidates = tuple(_with(candidate, services, evidence, barred) for candidate in candidates)
    images = [service.image for service in services]
    target = target_of(asked, candidates, run.here.policy.image_rollback, current=current, images=images)
    return Way(
        move=move,
        current=current,
        candidates=candidates,
        evidence=evidence,
        target=target,
        beside=tuple(beside),
    )


def _of_workload(run: Run, standing: Standing) -> tuple[Revision, tuple[Candidate, ...]]:
    current = current_of(standing.workload, standing.revisions)
    if current is None:
        raise _refusal(
            f"the controller of {standing.workload.ref} has not noted its newest revision yet",
            "look again in a moment; if it stays so, the cluster's controller manager does not work",
        )
    times = served(standing.revisions, current=current.name, now=run.here.clock.now())
    before = rolled_back_at(run.here.engine.entries, standing.workload.ref)
    return current, tuple(
        Candidate(
            revision=revision,
            served=times[revision.name],
            rolled_back_at=before.get(revision.template.digest),
        )
        for revision in standing.revisions
        if revision.name != current.name
    )


def _of_release(run: Run, release: ReleaseReading) -> tuple[Revision, tuple[Candidate, ...]]:
    standing = standing_of(release.history)
    if isinstance(standing, ReleaseLeft):
        raise _refusal(f"Helm release {release.release}: {standing.reason}", standing.next_step)
    current = as_revision(standing.current, release.manifests[standing.current.revision])
    candidates = release_candidates(release.history, release.manifests, now=run.here.clock.now())
    return current, tuple(one for one in candidates if one.revision.name != current.name)


def _with(
    candidate: Candidate,
    services: Sequence[Service],
    evidence: Mapping[str, Mapping[str, Evidence]],
    barred: Sequence[str],
) -> Candidate:
    """Add to a candidate what is known of its origin: of several services the one that speaks least for it."""
    known = [
        (service, evidence[service.name].get(candidate.revision.name, Evidence())) for service in services
    ]
    bars = (
        barred_by(image_in(candidate.revision.template, service.image), one.digest, barred)
        for service, one in known
    )
    return candidate.model_copy(
        update={
            "green_run": _least(one.green_run for _, one in known),
            "deployed": _least(one.deployed for _, one in known),
            "in_registry": _least(one.in_registry for _, one in known),
            "barred": next((f"{bar} must not come back" for bar in bars if bar), ""),
        }
    )


def _least(signs: Iterable[Sign]) -> Sign:
    order = {False: 0, None: 1, True: 2}
    return min(signs, key=lambda sign: order[sign.holds])


def _refusal(reason: str, next_step: str) -> Conflict:
    return Conflict(
        f"{reason[:1].upper()}{reason[1:]}.", unchanged="Nothing was changed.", next_step=next_step
    )
