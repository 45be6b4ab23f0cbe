"""The GitHub client: every call the product makes, as methods that return facts and raise its errors.

Writes are sent exactly once; reads are repeated where that helps; all share one budget. The sending is in
``github_transport``, the calls are in ``github_actions``, ``github_hooks``, ``github_issues`` and
``github_repository``.
"""

from typing import Self

from pydantic import SecretStr

from runbook.clients.budget import Budget
from runbook.clients.github_actions import ActionsCalls
from runbook.clients.github_hooks import HookCalls
from runbook.clients.github_issues import IssueCalls
from runbook.clients.github_repository import RepositoryCalls
from runbook.clients.github_transport import GitHubTransport, TooLarge
from runbook.clients.sessions import Timeouts
from runbook.clock import Clock, SystemClock
from runbook.settings import Settings

__all__ = ["GitHubClient", "Timeouts", "TooLarge"]


class GitHubClient(ActionsCalls, HookCalls, IssueCalls, RepositoryCalls):
    """GitHub through one credential; may be used by several threads at once.

    Every method may raise ``Transient`` (nothing changed, later it may work), ``Denied`` (naming the
    permission that is missing), ``NotFound``, ``Conflict``; a write also ``Ambiguous`` (sent, fate unknown).

    Args:
        token: The credential.
        api_url: The API's base URL.
        clock: What waits.
        budget: The process' one budget for this credential.
        timeouts: How long to wait for GitHub.
    """

    def __init__(
        self,
        *,
        token: SecretStr,
        api_url: str,
        clock: Clock | None = None,
        budget: Budget | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.budget = budget or Budget(clock)
        super().__init__(
            GitHubTransport(token=token, api_url=api_url, clock=clock, budget=self.budget, timeouts=timeouts)
        )

    @classmethod
    def from_settings(
        cls, settings: Settings, *, purpose: str, clock: Clock | None = None, budget: Budget | None = None
    ) -> Self:
        """Return a client for the product's own credential.

        Args:
            settings: Where the credential and the base URL come from.
            purpose: What it is needed for, as it continues "is needed to".
            clock: What waits.
            budget: The process' one budget.

        Raises:
            UsageError: No credential was given.
        """
        token = settings.require_github_token(purpose)
        return cls(token=token, api_url=settings.github_api_url, clock=clock, budget=budget)

    def close(self) -> None:
        """Close the connections of every thread."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
