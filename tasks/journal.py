"""Effects and record writes as tasks, each named after what it touches."""

from runbook.engine.effects import Effect
from runbook.engine.entries import JournalEntry
from runbook.engine.leases import Lease
from runbook.installation import installation
from runbook.scrub import scrub
from tasks.retrying import system_task


def apply_entry(entry: JournalEntry, lease: Lease) -> JournalEntry:
    """Bring one journaled effect to *confirmed* as a task; what stands beside its plan's purpose is tried once.

    Args:
        entry: The effect.
        lease: The lease on its target.
    """
    apply = apply_effect
    if entry.effect.may_be_refused():
        apply = apply_effect.with_options(retries=0)  # type: ignore[attr-defined] # a task, typed as its function
    return apply(entry.id, what=scrub(entry.effect.describe()), lease=lease)


@system_task("apply effect", run_name="{what}")
def apply_effect(entry_id: int, *, what: str, lease: Lease) -> JournalEntry:
    """Bring one journaled effect to *confirmed*; retried without being sent twice (R3).

    Args:
        entry_id: Its number in the journal.
        what: What it does, for the task run's name.
        lease: The lease on its target.
    """
    return installation().engine.journal.apply(entry_id, lease=lease)


@system_task("write record", run_name="{what}")
def write_record(
    execution_id: str, name: str, *, what: str, effect: Effect, within: str | None = None
) -> JournalEntry:
    """Write to the product's own issue, once per name within an execution.

    Args:
        execution_id: The execution that writes.
        name: Names the text within it.
        what: What is written, for the task run's name.
        effect: The write.
        within: What the name is unique within instead, where several executions may write the same.
    """
    return installation().engine.record(execution_id, name, effect, within=within)
