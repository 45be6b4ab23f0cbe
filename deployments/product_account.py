"""Whether the product's token is of the account that the policy says the product acts as."""

from runbook.errors import UsageError
from runbook.policy import Policy


def require_named_account(policy: Policy, login: str) -> None:
    """Check that the policy names the token's account, or none: that account never counts as an approver.

    Args:
        policy: The policy.
        login: Whose token it is, as GitHub says.

    Raises:
        UsageError: The policy names another account.
    """
    named = policy.product_login
    if named is None or named.casefold() == login.casefold():
        return
    raise UsageError(
        f"GITHUB_TOKEN is {login}'s, but the policy says that the product acts as {named}.",
        unchanged="Nothing was started.",
        next_step=f'use a token of {named}, or set product_login = "{login}" in the policy, '
        "if that is no approver's account: the product's own never counts.",
    )
