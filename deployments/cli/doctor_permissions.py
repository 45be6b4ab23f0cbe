"""How ``runbook doctor`` finds out whether a credential may do something.

Whether a write is allowed is asked by a write that can change nothing: on a number that no cache and no issue has.
GitHub refuses a missing permission before it looks for the thing, and says which permission it was.
"""

from collections.abc import Callable
from dataclasses import dataclass

from deployments.cli.doctor_findings import Finding, attempt, failed, good
from runbook.clients.github_client import GitHubClient
from runbook.errors import Denied, Gone, NotFound, RunbookError
from runbook.models import Permission

NOBODYS_NUMBER = 0
"""GitHub numbers caches and issues from 1."""


@dataclass(frozen=True)
class Need:
    """Something that procedures do, the fine-grained permission it takes, and a call that takes the same.

    Args:
        what: What it is for.
        repository: Where.
        permission: As GitHub writes it: ``issues=write``.
        call: The call; a write must be one that can change nothing.
    """

    what: str
    repository: str
    permission: str
    call: Callable[[], object]

    @property
    def writes(self) -> bool:
        """Whether it takes a permission to write."""
        return self.permission.endswith("=write")


def allowed(github: GitHubClient, check: str, need: Need) -> Finding:
    """Check one permission.

    Args:
        github: The product's own client.
        check: What the check is called.
        need: What is needed.
    """
    fix = (
        f"give the token the permission {need.permission} on {need.repository} (a classic token: the scope repo)"
        f"{', and its account a role that may write' if need.writes else ''}."
    )
    try:
        need.call()
    except Denied as error:
        # GitHub's own word on the permission is exact where it gives one.
        return failed(check, error.message, fix=error.next_step if "=" in error.next_step else fix)
    except Gone as error:
        return failed(
            check, error.message, fix="switch the repository's issues on, or name another one for incidents."
        )
    except NotFound as error:
        if not need.writes:
            return failed(check, error.message, fix=fix)
    except RunbookError as error:
        return failed(check, error.message, fix=error.next_step)
    return attempt(check, lambda: _role(github, check, need))


def _role(github: GitHubClient, check: str, need: Need) -> Finding:
    if need.writes:
        # A classic token is refused by its owner's role, and that may hide behind "not found".
        held = github.repository_facts(need.repository).permission
        if held.rank < Permission.WRITE.rank:
            return failed(
                check,
                f"the account has only {held} on {need.repository}",
                fix="make the account a collaborator who may write.",
            )
    return good(check, f"may ({need.permission})")
