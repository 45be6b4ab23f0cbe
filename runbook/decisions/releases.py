"""What a Helm release's history says: where the release stands, what was in service, what was rolled back (RB-07)."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from runbook.decisions.last_known_good import Candidate
from runbook.decisions.time_served import TimeServed
from runbook.models import Frozen
from runbook.workloads import ContainerImage, HelmRevision, ReleaseManifest, Revision, Template

# Helm's own sentence, the same in 3 and 4 (pkg/action/rollback.go).
_ROLLBACK = re.compile(r"Rollback to (?P<revision>\d+)")
# A later rollback marks a failed revision as superseded; its sentence still says that it failed.
_FAILED = re.compile(r"\bfailed: ")
_WAS_IN_SERVICE = ("deployed", "superseded")


class NoRollback(StrEnum):
    """Why a release is left alone."""

    NO_HISTORY = "no_history"
    PENDING = "pending"
    UNINSTALLED = "uninstalled"


class ReleaseLeft(Frozen):
    """A release that is not rolled back, whatever was asked for.

    Args:
        why: Why not.
        reason: As a sentence, with what was seen.
        next_step: What a person can do about it.
    """

    why: NoRollback
    reason: str
    next_step: str


class ReleaseStanding(Frozen):
    """A release that can be rolled back.

    Args:
        current: The newest line of its history, of whatever status: the one that a rollback starts from.
    """

    current: HelmRevision


def standing_of(history: Sequence[HelmRevision]) -> ReleaseStanding | ReleaseLeft:
    """Judge a release by the last line of its history.

    A pending one may be an operation that goes on or one whose process was killed: nothing in the cluster tells
    them apart, and Helm's maintainers leave it to a person (helm/helm#7653). Older operations that never ended stay
    pending for good, and keep nobody from anything.

    Args:
        history: Its revisions, in any order.
    """
    if not history:
        return ReleaseLeft(
            why=NoRollback.NO_HISTORY,
            reason="the release has no revision",
            next_step="check the release's name and namespace in the policy",
        )
    last = max(history, key=lambda one: one.revision)
    if last.pending:
        since = f"{last.updated_at:%Y-%m-%d %H:%M} UTC"
        return ReleaseLeft(
            why=NoRollback.PENDING,
            reason=f"revision {last.revision} is {last.status} since {since}: an operation that goes on, or one whose "
            "process was killed",
            next_step="find out whether a deployment is running; if none is, roll back by hand with helm rollback and "
            "an explicit revision, which gets the release out",
        )
    if last.status.startswith("uninstall"):
        return ReleaseLeft(
            why=NoRollback.UNINSTALLED,
            reason=f"revision {last.revision} is {last.status}: somebody removed the release",
            next_step="install it anew, or find out who removed it and why",
        )
    return ReleaseStanding(current=last)


def release_candidates(
    history: Sequence[HelmRevision],
    manifests: Mapping[int, ReleaseManifest],
    *,
    now: datetime,
    disproved: Mapping[str, datetime] | None = None,
) -> tuple[Candidate, ...]:
    """List what a release can go back to, newest first, for ``last_known_good.target_of``.

    What was never in service (pending, failed, a rollback that failed) is no candidate. The signs that the policy
    asks for are not looked at here.

    Args:
        history: The release's revisions, in any order.
        manifests: What is known of each revision's manifest; a revision without an entry is left out.
        now: The current time, UTC-aware.
        disproved: By a manifest's digest: when the journal has it that going back to it did not help.
    """
    ordered = sorted(history, key=lambda one: one.revision)
    rolled_back = {**_rolled_back(ordered, manifests), **(disproved or {})}
    candidates = []
    for place, one in enumerate(ordered):
        if not _was_in_service(one) or one.revision not in manifests:
            continue
        until = ordered[place + 1].updated_at if place + 1 < len(ordered) else now
        ended = f"until revision {ordered[place + 1].revision}" if place + 1 < len(ordered) else "until now"
        candidates.append(
            Candidate(
                revision=as_revision(one, manifests[one.revision]),
                served=TimeServed(seconds=max(0.0, (until - one.updated_at).total_seconds()), detail=ended),
                rolled_back_at=rolled_back.get(manifests[one.revision].digest),
            )
        )
    return tuple(reversed(candidates))


def as_revision(one: HelmRevision, manifest: ReleaseManifest) -> Revision:
    """Put a line of a release's history in the form of a revision; its digest is that of the whole manifest."""
    return Revision(
        number=one.revision,
        name=f"v{one.revision}",
        created_at=one.updated_at,
        change_cause=one.description,
        template=Template(
            digest=manifest.digest,
            images=tuple(
                ContainerImage(container=f"image {place}", image=image)
                for place, image in enumerate(sorted(manifest.images), start=1)
            ),
        ),
    )


def _was_in_service(one: HelmRevision) -> bool:
    return one.status in _WAS_IN_SERVICE and not _FAILED.search(one.description)


def _rolled_back(
    ordered: Sequence[HelmRevision], manifests: Mapping[int, ReleaseManifest]
) -> dict[str, datetime]:
    """Tell which manifests somebody rolled back, and when last.

    A rollback to N passes by everything between N and itself; what it puts back was chosen anew. A rollback that it
    passes by does not count: Helm notes the undo of one so, whatever that was for, and what it had put back was
    judged when it was deployed.
    """
    passed_by: dict[str, datetime] = {}
    for rollback in ordered:
        named = _ROLLBACK.fullmatch(rollback.description)
        if named is None or not _was_in_service(rollback):
            continue
        target = int(named["revision"])
        for one in ordered:
            passed = target < one.revision < rollback.revision and not _ROLLBACK.fullmatch(one.description)
            if passed and one.revision in manifests:
                passed_by[manifests[one.revision].digest] = rollback.updated_at
        if rollback.revision in manifests:
            passed_by.pop(manifests[rollback.revision].digest, None)
    return passed_by
