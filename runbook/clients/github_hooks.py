"""A repository's webhooks and what became of their deliveries; needs the permission to administer them."""

import re
from datetime import datetime

from runbook.clients.github_calls import PAGE_SIZE, Calls, repository_path
from runbook.clients.github_facts import hook, hook_delivery, parse
from runbook.errors import Permanent
from runbook.models import Hook, HookDelivery

_NEXT_CURSOR = re.compile(r'[?&]cursor=([^&>]+)[^>]*>;\s*rel="next"')


class HookCalls(Calls):
    """Reads and writes under ``/hooks``."""

    def list_hooks(self, repository: str) -> tuple[Hook, ...]:
        """Return the repository's webhooks; those of an organisation or an App are not among them.

        Raises:
            Denied, NotFound: This credential may not see them (GitHub hides them from some).
        """
        entries = self._pages(
            f"{repository_path(repository)}/hooks",
            purpose=f"list the webhooks of {repository}",
            field=None,
        )
        return tuple(parse("webhook", hook, entry) for entry in entries)

    def list_deliveries(
        self, repository: str, hook_id: int, *, since: datetime, limit: int
    ) -> tuple[HookDelivery, ...]:
        """Return a webhook's deliveries, newest first; GitHub keeps them for three days.

        Args:
            repository: ``owner/name``.
            hook_id: The webhook.
            since: The earliest delivery.
            limit: The most to return.
        """
        found: list[HookDelivery] = []
        query: dict[str, str | int] = {"per_page": PAGE_SIZE}
        purpose = f"list the deliveries of webhook {hook_id} of {repository}"
        while True:
            path = f"{repository_path(repository)}/hooks/{hook_id}/deliveries"
            answer = self._transport.call("GET", path, purpose=purpose, query=query)
            data = answer.decoded(purpose)
            if not isinstance(data, list):
                raise Permanent(
                    f"Could not {purpose}: GitHub's answer is not a list.",
                    next_step="check that GITHUB_API_URL is GitHub's API.",
                )
            page = [parse("delivery", hook_delivery, entry) for entry in data]
            found += [delivery for delivery in page if delivery.delivered_at >= since]
            following = _NEXT_CURSOR.search(answer.headers.get("link", ""))
            reached = bool(page) and page[-1].delivered_at < since
            if following is None or len(found) >= limit or reached:
                return tuple(found[:limit])
            query = {"per_page": PAGE_SIZE, "cursor": following[1]}

    def redeliver(self, repository: str, hook_id: int, delivery_id: int) -> None:
        """Have GitHub send a delivery once more, under the same guid.

        Raises:
            NotFound: It keeps no such delivery (any more).
        """
        self._order(
            "POST",
            f"{repository_path(repository)}/hooks/{hook_id}/deliveries/{delivery_id}/attempts",
            purpose=f"redeliver {delivery_id} of webhook {hook_id} of {repository}",
            expect=(202,),
        )
