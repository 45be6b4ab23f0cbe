"""The GitHub client: every call the product makes, as methods that return facts and raise its errors.

Writes are sent exactly once; reads are repeated where that helps; all share one budget. The sending is in
``github_transport``, the calls are in ``github_actions``, ``github_commits``, ``github_deployments``,
``github_hooks``, ``github_issues``, ``github_packages``, ``github_pull_requests`` and ``github_repository``.
"""

from typing import Self

from pydantic import SecretStr

from runbook.clients.app_credentials import AppCredential, Credential, FixedToken
from runbook.clients.budget import Budget
from runbook.clients.github_actions import ActionsCalls
from runbook.clients.github_commits import CommitCalls
from runbook.clients.github_deployments import DeploymentCalls
from runbook.clients.github_hooks import HookCalls
from runbook.clients.github_issues import IssueCalls
from runbook.clients.github_packages import PackageCalls
from runbook.clients.github_pull_requests import PullRequestCalls
from runbook.clients.github_repository import RepositoryCalls
from runbook.clients.github_transport import GitHubTransport, TooLarge
from runbook.clients.sessions import Timeouts
from runbook.clock import Clock, SystemClock
from runbook.models import TokenFacts
from runbook.settings import Settings

__all__ = ["GitHubClient", "Timeouts", "TooLarge"]


class GitHubClient(
    ActionsCalls,
    CommitCalls,
    DeploymentCalls,
    HookCalls,
    IssueCalls,
    PackageCalls,
    PullRequestCalls,
    RepositoryCalls,
):
    """GitHub through one credential; may be used by several threads at once.

    Every method may raise ``Transient`` (nothing changed, later it may work), ``Denied`` (naming the
    permission that is missing), ``NotFound``, ``Conflict``; a write also ``Ambiguous`` (sent, fate unknown).

    Args:
        token: The credential: a token, or what gives one whenever it is needed.
        api_url: The API's base URL.
        clock: What waits.
        budget: The process' one budget for this credential.
        timeouts: How long to wait for GitHub.
    """

    def __init__(
        self,
        *,
        token: SecretStr | Credential,
        api_url: str,
        clock: Clock | None = None,
        budget: Budget | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.budget = budget or Budget(clock)
        self._credential = FixedToken(token) if isinstance(token, SecretStr) else token
        super().__init__(
            GitHubTransport(
                credential=self._credential,
                api_url=api_url,
                clock=clock,
                budget=self.budget,
                timeouts=timeouts,
            )
        )

    @classmethod
    def from_settings(cls, settings: Settings, *, purpose: str, clock: Clock | None = None) -> Self:
        """Return a client for the product's own credential.

        Args:
            settings: Where the credential and the base URL come from.
            purpose: What it is needed for, as it continues "is needed to".
            clock: What waits.

        Raises:
            UsageError: No credential was given.
        """
        given = settings.require_github_credential(purpose)
        clock = clock or SystemClock()
        api_url = settings.github_api_url
        token = given if isinstance(given, SecretStr) else AppCredential(given, api_url=api_url, clock=clock)
        return cls(token=token, api_url=api_url, clock=clock)

    def token(self) -> SecretStr:
        """Return the token that is valid now, for the registry that knows the same credential.

        Raises:
            Denied, NotFound, Transient: A GitHub App is given none.
        """
        return self._credential.token()

    def token_facts(self) -> TokenFacts:
        """Return whose credential this is: an App is its bot, which no installation's token may ask for."""
        if isinstance(self._credential, AppCredential):
            login = self._credential.login()
            return TokenFacts(login=login, user_type="Bot", scopes=None, expires_at=None)
        return super().token_facts()

    def close(self) -> None:
        """Close the connections of every thread."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
