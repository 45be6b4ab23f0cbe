"""A webhook with a delivery that never arrived, for whoever tries the effect that asks for it again."""

import sandbox
from runbook.effects.hook_deliveries import Redeliver
from sandbox.github.records import Delivery, Hook

NOWHERE = "http://127.0.0.1:9/webhooks/github"


def failed_delivery(box: sandbox.Box) -> Redeliver:
    """Add a webhook to the main repository, and let the product administer it.

    Returns:
        The effect that brings its one delivery.
    """
    at = box.clock.now().replace(microsecond=0)
    delivery = Delivery(
        id=box.state.new_id("delivery", 12_000_000_001),
        guid="00000000-0000-4000-8000-000000000001",
        event="workflow_run",
        action="completed",
        body=b"{}",
        headers={},
        at=at,
        redelivery=False,
        status="failed to connect to host",
        status_code=502,
    )
    hook = Hook(
        id=box.state.new_id("hook", 500_000_001),
        url=NOWHERE,
        secret="s",
        events=["workflow_run"],
        active=True,
        created_at=at,
        updated_at=at,
        deliveries=[delivery],
    )
    box.repository.hooks[hook.id] = hook
    box.repository.roles[box.bot] = "admin"
    return Redeliver(
        repository=box.repository.full_name,
        hook_id=hook.id,
        delivery_id=delivery.id,
        guid=delivery.guid,
        event=delivery.event,
        delivered_at=at,
    )
