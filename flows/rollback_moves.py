"""Where each part of a set would go back to: workloads by themselves, Helm releases as a whole (RB-01 to RB-05)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows.run import Run
from runbook import report
from runbook.decisions.image_reference import is_digest
from runbook.decisions.last_known_good import Candidate, GoodChoice, Sign, current_of
from runbook.decisions.releases import ReleaseLeft, as_revision, release_candidates, standing_of
from runbook.decisions.revision_evidence import Evidence, barred_by, image_in
from runbook.decisions.rollback_set import Move, asked_for
from runbook.decisions.rollback_target import NoTarget, TargetRefused, target_of
from runbook.decisions.time_served import served
from runbook.engine.plan import Table
from runbook.errors import Conflict
from runbook.policy.estate import Service
from runbook.rolled_back import disproved_at, rolled_back_at
from runbook.source_facts import ContainerVersion
from runbook.standing import ReleaseReading, Standing
from runbook.workloads import Revision, WorkloadRef
from tasks.revision_evidence import read_evidence, read_versions
from tasks.workloads import read_release

LIKELY = 3
"""So many of the newest other revisions are looked up at once: mostly one of them is good."""
MOST_REVISIONS = 10
"""Revisions of one move of which GitHub and the registry are asked at most."""


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
        along: Other workloads of the Helm release: they go back too, and nothing of the policy says how to watch them.
    """

    move: Move
    current: Revision
    candidates: tuple[Candidate, ...]
    evidence: Mapping[str, Mapping[str, Evidence]]
    target: GoodChoice | TargetRefused
    beside: tuple[Table, ...]
    along: tuple[WorkloadRef, ...] = ()

    @property
    def to(self) -> Revision:
        """The revision that it goes back to; only of a set that moves."""
        if isinstance(self.target, TargetRefused):
            raise AssertionError(f"{self.move} goes nowhere, so its set does not move")
        return self.target.revision

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
        raise conflict(asked.reason, asked.next_step)
    beside: list[Table] = []
    along: tuple[WorkloadRef, ...] = ()
    if move.release:
        release = read_release(move.release, move.namespace)
        current, candidates = _of_release(run, release)
        beside.append(report.history_table(move.release, release.history))
        along = _others_of(release, services)
    else:
        current, candidates = _of_workload(run, standings[move.services[0]])
    versions = {service.name: read_versions(service, what=service.name) for service in services}
    beside += [report.versions_table(service.image, versions[service.name]) for service in services]
    looking = _Looking(run, services, versions)
    # What a tag's digest is, only the registry tells: any revision may be the one whose digest is asked for.
    first = MOST_REVISIONS if is_digest(asked) else LIKELY
    looking.at([current, *(one.revision for one in candidates[:first])])
    target = looking.choose(asked, current, candidates)
    if isinstance(target, GoodChoice):
        looking.at([target.revision])
    elif target.why is NoTarget.NONE_GOOD:
        looking.at([one.revision for one in candidates[LIKELY:MOST_REVISIONS]])
    return Way(
        move=move,
        current=current,
        candidates=looking.completed(candidates),
        evidence=looking.evidence,
        # Chosen again, now that more is known: an image that was asked for may be gone.
        target=looking.choose(asked, current, candidates),
        beside=tuple(beside),
        along=along,
    )


class _Looking:
    """What GitHub and the registry say of a move's revisions: each is asked about once, and only where it matters."""

    def __init__(
        self,
        run: Run,
        services: Sequence[Service],
        versions: Mapping[str, Sequence[ContainerVersion]],
    ) -> None:
        self._rules = run.here.policy.image_rollback
        self._services = services
        self._versions = versions
        exceptions = run.here.engine.exceptions
        self._barred = {service.name: exceptions.barred(service.repository) for service in services}
        self.evidence: dict[str, dict[str, Evidence]] = {service.name: {} for service in services}

    def at(self, revisions: Sequence[Revision]) -> None:
        """Look up revisions that were not looked up yet."""
        for service in self._services:
            known = self.evidence[service.name]
            new = [one for one in revisions if one.name not in known]
            if new:
                known |= read_evidence(service, new, self._versions[service.name], what=service.name)

    def completed(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Add to candidates what is known of their origin."""
        return tuple(self._with(candidate) for candidate in candidates)

    def choose(
        self, asked: str, current: Revision, candidates: Sequence[Candidate]
    ) -> GoodChoice | TargetRefused:
        """Choose by what is known by now."""
        images = [service.image for service in self._services]
        return target_of(
            asked,
            self.completed(candidates),
            self._rules,
            current=current,
            images=images,
            current_digests=self._digests_of(current),
        )

    def _digests_of(self, revision: Revision) -> tuple[str, ...]:
        """Return the digests that the services' images of a revision are known by."""
        known = (self.evidence[service.name].get(revision.name, Evidence()) for service in self._services)
        return tuple(one.digest for one in known if one.digest)

    def _with(self, candidate: Candidate) -> Candidate:
        """Complete one: of several services the one that speaks least for it counts."""
        revision = candidate.revision
        known = [
            (service, self.evidence[service.name].get(revision.name, Evidence()))
            for service in self._services
        ]
        bars = (
            barred_by(image_in(revision.template, service.image), one.digest, self._barred[service.name])
            for service, one in known
        )
        return candidate.model_copy(
            update={
                "green_run": _least(one.green_run for _, one in known),
                "deployed": _least(one.deployed for _, one in known),
                "in_registry": _least(one.in_registry for _, one in known),
                "digests": self._digests_of(revision),
                "barred": next((f"{bar} must not come back" for bar in bars if bar), ""),
            }
        )


def _of_workload(run: Run, standing: Standing) -> tuple[Revision, tuple[Candidate, ...]]:
    current = current_of(standing.workload, standing.revisions)
    if current is None:
        raise conflict(
            f"the controller of {standing.workload.ref} has not noted its newest revision yet",
            "look again in a moment; if it stays so, the cluster's controller manager does not work",
        )
    if standing.workload.paused:
        ref = standing.workload.ref
        raise conflict(
            f"the rollouts of {ref} are paused, so nothing put into it would come to run",
            f"kubectl rollout resume {ref.command_name} -n {ref.namespace}, then ask again",
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


def _others_of(release: ReleaseReading, services: Sequence[Service]) -> tuple[WorkloadRef, ...]:
    """Return a release's workloads that are no service of the policy, as its newest revision has them."""
    ours = {(service.namespace, service.name) for service in services}
    newest = release.manifests[release.history[-1].revision] if release.history else None
    found = newest.workloads if newest is not None else ()
    return tuple(ref for ref in found if (ref.namespace, ref.name) not in ours)


def _of_release(run: Run, release: ReleaseReading) -> tuple[Revision, tuple[Candidate, ...]]:
    standing = standing_of(release.history)
    if isinstance(standing, ReleaseLeft):
        raise conflict(f"Helm release {release.release}: {standing.reason}", standing.next_step)
    current = as_revision(standing.current, release.manifests[standing.current.revision])
    candidates = release_candidates(
        release.history,
        release.manifests,
        now=run.here.clock.now(),
        disproved=disproved_at(run.here.engine.entries, release.namespace, release.release),
    )
    return current, tuple(one for one in candidates if one.revision.name != current.name)


def _least(signs: Iterable[Sign]) -> Sign:
    order = {False: 0, None: 1, True: 2}
    return min(signs, key=lambda sign: order[sign.holds])


def conflict(reason: str, next_step: str) -> Conflict:
    """Return the refusal of a rollback of which nothing was done yet."""
    return Conflict(report.sentence(reason), unchanged="Nothing was changed.", next_step=next_step)
