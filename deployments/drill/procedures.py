"""Which procedures can be rehearsed, and the words for those that cannot."""

from collections.abc import Callable
from datetime import datetime

from deployments.drill import clear_caches, rollback_image
from deployments.drill.rehearsal import Rehearsal
from runbook.errors import UsageError
from runbook.policy import Policy
from runbook.policy.model import known_procedure

Prepare = Callable[[Policy, str | None, datetime], Rehearsal]
"""Makes a rehearsal of a policy, of what the user chose (a repository, a service; None for any), and of the time."""

REHEARSED: dict[str, Prepare] = {
    clear_caches.PROCEDURE: clear_caches.rehearsal,
    rollback_image.PROCEDURE: rollback_image.rehearsal,
}


def prepare(procedure: str, policy: Policy, *, about: str | None, now: datetime) -> Rehearsal:
    """Prepare a rehearsal; nothing is started.

    Args:
        procedure: The procedure's name.
        policy: The policy.
        about: What it is to be about; the policy's first where None.
        now: The time.

    Raises:
        UsageError: There is no such procedure, it cannot be rehearsed, or not under this policy.
    """
    if known_procedure(procedure) not in REHEARSED:
        raise UsageError(
            f"{procedure} cannot be rehearsed yet.",
            unchanged="Nothing was started.",
            next_step=f"these can: {', '.join(sorted(REHEARSED))}",
        )
    return REHEARSED[procedure](policy, about, now)
