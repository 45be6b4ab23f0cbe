"""Reads of a repository's webhook: which deliveries never arrived."""

from datetime import timedelta

from runbook.decisions.reconcile import deliveries_to_resend
from runbook.effects.hook_deliveries import MOST_LOOKED_AT, Redeliver
from runbook.installation import installation
from tasks.retrying import system_task


@system_task("read failed deliveries", run_name="read the failed deliveries of {repository}'s webhook")
def read_failed_deliveries(repository: str) -> tuple[Redeliver, ...]:
    """Find the deliveries to the policy's webhook that GitHub recorded as failed (R10).

    Args:
        repository: owner/name.

    Returns:
        What would bring them, oldest first; empty where the policy names no webhook, or the repository has none
        of that address.

    Raises:
        Denied, NotFound: The credential may not see webhooks.
    """
    here = installation()
    rules = here.policy.reconcile
    if rules.webhook_url is None:
        return ()
    now = here.clock.now()
    since = now - timedelta(minutes=rules.look_back_minutes)
    found: list[Redeliver] = []
    for hook in here.github.list_hooks(repository):
        if hook.url != rules.webhook_url or not hook.active:
            continue
        listed = here.github.list_deliveries(repository, hook.id, since=since, limit=MOST_LOOKED_AT)
        found += [
            Redeliver(
                repository=repository,
                hook_id=hook.id,
                delivery_id=delivery.id,
                guid=delivery.guid,
                event=delivery.event,
                delivered_at=delivery.delivered_at,
            )
            for delivery in deliveries_to_resend(listed, rules=rules, now=now)
        ]
    return tuple(found)
