"""Which versions were rolled back before, as our own journal has it: they are not good."""

from datetime import datetime

from runbook.effects.releases import RollBackRelease
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.entries import Entries
from runbook.engine.states import EffectState
from runbook.workloads import WorkloadRef


def rolled_back_at(entries: Entries, ref: WorkloadRef) -> dict[str, datetime]:
    """Return by a pod template's digest when it was rolled back last.

    A rollback that stands took its ``from_digest`` away, and where it went was chosen anew. One that was taken back
    after it had failed its verification took away what it had gone to. One that was taken back for another's sake, or
    because a person stopped it, says nothing of either.

    Args:
        entries: The journal.
        ref: The workload.
    """
    params = {"namespace": ref.namespace, "workload_kind": ref.kind.value, "name": ref.name}
    found: dict[str, datetime] = {}
    for settled in entries.settled(RollBackWorkload.kind, params=params):
        effect = RollBackWorkload.model_validate(settled.params)
        if settled.disproved:
            found[effect.to_digest] = settled.at
        elif settled.state is not EffectState.UNDONE:
            found[effect.from_digest] = settled.at
            found.pop(effect.to_digest, None)
    return found


def disproved_at(entries: Entries, namespace: str, release: str) -> dict[str, datetime]:
    """Return by a manifest's digest when a Helm release that had gone back to it failed its verification.

    What else was rolled back the release's own history tells; of a rollback that was taken back it does not say why.

    Args:
        entries: The journal.
        namespace: Where the release is.
        release: Its name.
    """
    params = {"namespace": namespace, "release": release}
    found: dict[str, datetime] = {}
    for settled in entries.settled(RollBackRelease.kind, params=params):
        effect = RollBackRelease.model_validate(settled.params)
        if settled.disproved:
            found[effect.to_digest] = settled.at
        elif settled.state is not EffectState.UNDONE:
            found.pop(effect.to_digest, None)
    return found
