"""Argo CD and Flux, which would bring a bad version back: refused, or paused as an exception, as the policy says."""

from collections.abc import Sequence

from flows.run import Run
from runbook.decisions.gitops import Owner, auto_sync, owner_of
from runbook.effects.gitops import PauseGitOpsSync
from runbook.engine.effects import Effect
from runbook.errors import Conflict
from runbook.policy.estate import GitOps
from runbook.standing import Standing
from tasks.workloads import read_sync_owner


def syncs_to_pause(run: Run, standings: Sequence[Standing]) -> list[Effect]:
    """Return the syncs that are to be paused, before anything is rolled back.

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
    effects: list[Effect] = []
    for owner in sorted(owners, key=str):
        if not owner.named:
            raise _refused(
                owner, "its object's name is not told, so nobody can look whether it syncs by itself"
            )
        group, version, plural = owner.resource
        found = read_sync_owner(group, version, plural, namespace=owner.namespace, name=owner.name)
        sync = auto_sync(owner, found)
        if not sync.automatic:
            continue
        if rules.gitops is not GitOps.PAUSE:
            raise _refused(owner, sync.reason)
        effects.append(PauseGitOpsSync.of(owner, found))
    return effects


def _refused(owner: Owner, reason: str) -> Conflict:
    return Conflict(
        f"{owner} would bring the bad version back: {reason}.",
        unchanged="Nothing was changed.",
        next_step="revert the source in git and let it sync; or pause its sync by hand and ask again; or let the "
        'policy pause it (image_rollback.gitops = "pause")',
    )
