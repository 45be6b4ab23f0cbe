"""Argo CD and Flux, which would bring a bad version back: refused, or paused as an exception, as the policy says."""

from collections.abc import Sequence
from datetime import timedelta

from flows.run import Run
from runbook.decisions.exceptions import ExceptionKind, ExceptionState
from runbook.decisions.gitops import Owner, auto_sync, owner_of
from runbook.effects.gitops import PauseGitOpsSync
from runbook.engine.effects import Effect
from runbook.engine.exception_rows import StandingException
from runbook.errors import Conflict
from runbook.models import Frozen
from runbook.policy.estate import GitOps
from runbook.standing import Standing
from tasks.workloads import read_sync_owner


class HeldSync(Frozen):
    """A sync that an earlier rollback paused and that would go on by itself at that one's deadline.

    Args:
        exception_id: The exception.
        said: Whose sync it is and until when it is paused, for people.
    """

    exception_id: int
    said: str


class Syncs(Frozen):
    """What is done about the syncs that would bring a bad version back.

    Args:
        pauses: The effects that pause those that go on by themselves.
        held: Those that an exception of ours holds paused already.
    """

    pauses: tuple[Effect, ...]
    held: tuple[HeldSync, ...]


def syncs_to_pause(run: Run, standings: Sequence[Standing]) -> Syncs:
    """Return the syncs that are to be paused before anything is rolled back, and those that are already by us.

    Args:
        run: The procedure.
        standings: The services as they stand.

    Raises:
        Conflict: One syncs by itself, and the policy refuses to roll back under it; or nobody can tell which it is.
        NotFound, Denied, Transient: The owner cannot be read.
    """
    rules = run.here.policy.image_rollback
    found_owners = (owner_of(one.workload, argo_namespace=rules.argocd_namespace) for one in standings)
    owners = {owner for owner in found_owners if owner is not None}
    pauses: list[Effect] = []
    held: list[HeldSync] = []
    restores = _open_pauses(run)
    for owner in sorted(owners, key=str):
        if not owner.named:
            raise _refused(
                owner, "its object's name is not told, so nobody can look whether it syncs by itself"
            )
        group, version, plural = owner.resource
        found = read_sync_owner(group, version, plural, namespace=owner.namespace, name=owner.name)
        sync = auto_sync(owner, found)
        if not sync.automatic:
            held += [_held(owner, one) for effect, one in restores if effect.owner == owner]
            continue
        if rules.gitops is not GitOps.PAUSE:
            raise _refused(owner, sync.reason)
        pauses.append(PauseGitOpsSync.of(owner, found))
    return Syncs(pauses=tuple(pauses), held=tuple(held))


def hold_on(run: Run, exception_ids: Sequence[int]) -> None:
    """Keep syncs that are paused already paused for as long as one that this rollback had paused; once.

    One that was let go on, or that a person took over, meanwhile is left so: then the watch tells whether the bad
    version came back.

    Args:
        run: The procedure.
        exception_ids: The exceptions that hold them, as its plan has them.
    """
    here = run.here
    until = here.clock.now() + timedelta(minutes=here.policy.image_rollback.gitops_pause_minutes)
    for exception_id in exception_ids:
        here.engine.exceptions.put_off(
            exception_id,
            until,
            execution_id=run.execution.id,
            reason="a sync would bring the version back that another rollback left, too",
        )


def _open_pauses(run: Run) -> list[tuple[PauseGitOpsSync, StandingException]]:
    engine = run.here.engine
    found = []
    for one in engine.exceptions.open(ExceptionKind.RESTORE):
        if one.state is ExceptionState.OPEN and one.effect_id is not None:
            effect = engine.entries.get(one.effect_id).effect
            if isinstance(effect, PauseGitOpsSync):
                found.append((effect, one))
    return found


def _held(owner: Owner, one: StandingException) -> HeldSync:
    said = f"exception {one.id} holds the sync of {owner} paused until {one.deadline:%Y-%m-%d %H:%M} UTC"
    return HeldSync(exception_id=one.id, said=said)


def _refused(owner: Owner, reason: str) -> Conflict:
    return Conflict(
        f"{owner} would bring the bad version back: {reason}.",
        unchanged="Nothing was changed.",
        next_step="revert the source in git and let it sync; or pause its sync by hand and ask again; or let the "
        'policy pause it (image_rollback.gitops = "pause")',
    )
