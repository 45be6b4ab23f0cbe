"""Effects on webhooks: a delivery that did not arrive is asked for again (R10)."""

from datetime import datetime
from typing import Any

from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult, register
from runbook.world import World

MOST_LOOKED_AT = 1_000
"""Deliveries since the failed one that a probe looks at."""


@register("redeliver")
class Redeliver(Effect):
    """Have GitHub send a failed delivery once more.

    Sent twice it arrives twice, under one id that the gateway acknowledges once: so it may be sent again.
    """

    effect_class = EffectClass.IDEMPOTENT
    no_undo = "what was delivered cannot be called back"
    repository: str
    hook_id: int
    delivery_id: int
    guid: str
    event: str
    delivered_at: datetime

    @property
    def target(self) -> str:
        """The webhook; no lease guards it."""
        return f"hook:{self.repository}:{self.hook_id}"

    def describe(self) -> str:
        """Name the delivery."""
        return f"redeliver {self.event} {self.guid} of {self.repository}"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line for the same call."""
        path = f"repos/{self.repository}/hooks/{self.hook_id}/deliveries/{self.delivery_id}/attempts"
        return ("gh", "api", "--method", "POST", path)

    def precondition(self, world: World) -> Precondition:
        """Hold always."""
        return Precondition(holds=True, detail="a delivery that arrives twice is acknowledged once")

    def probe(self, world: World) -> ProbeResult:
        """Look for a later attempt of the same delivery."""
        since = world.github.list_deliveries(
            self.repository, self.hook_id, since=self.delivered_at, limit=MOST_LOOKED_AT
        )
        for delivery in since:
            if delivery.guid == self.guid and delivery.id > self.delivery_id:
                return ProbeResult(found=Found.DONE, detail=f"attempt {delivery.id} followed")
        return ProbeResult(found=Found.NOT_DONE, detail="no later attempt is listed")

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Ask for it."""
        world.github.redeliver(self.repository, self.hook_id, self.delivery_id)
        return {}
