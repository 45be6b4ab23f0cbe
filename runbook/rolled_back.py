"""Which versions of a workload were rolled back before, as our own journal has it: they are not good."""

from datetime import datetime

from runbook.effects.workloads import RollBackWorkload
from runbook.engine.entries import Entries
from runbook.engine.states import EffectState
from runbook.workloads import WorkloadRef


def rolled_back_at(entries: Entries, ref: WorkloadRef) -> dict[str, datetime]:
    """Return by a pod template's digest when it was rolled back last.

    A rollback that stands took its ``from_digest`` away. One that was taken back had failed its verification, and
    so took away what it had gone to.

    Args:
        entries: The journal.
        ref: The workload.
    """
    params = {"namespace": ref.namespace, "workload_kind": ref.kind.value, "name": ref.name}
    found: dict[str, datetime] = {}
    for settled in entries.settled(RollBackWorkload.kind, params=params):
        effect = RollBackWorkload.model_validate(settled.params)
        undone = settled.state is EffectState.UNDONE
        found[effect.to_digest if undone else effect.from_digest] = settled.at
    return found
