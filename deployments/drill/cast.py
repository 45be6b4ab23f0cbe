"""Who plays in a drill: the people whom the policy names, one who asks, the product's own account."""

from collections.abc import Collection
from dataclasses import dataclass

from runbook.errors import UsageError
from runbook.models import Permission
from runbook.policy import Policy

REQUESTER = "drill-requester"
BOT = "drill-bot"


@dataclass(frozen=True)
class Cast:
    """The accounts of a drill.

    Args:
        bot: As which the product acts.
        requester: Who asks; nobody who may approve.
        approvers: Who may approve, as the policy spells them.
        needed: How many of them must.
        permission: What each may do on the repository: no more than the policy wants.
    """

    bot: str
    requester: str
    approvers: tuple[str, ...]
    needed: int
    permission: Permission

    @property
    def approving(self) -> tuple[str, ...]:
        """Those who approve: the first ones, no more than must."""
        return self.approvers[: self.needed]


def cast_for(policy: Policy, *, procedure: str, repository: str) -> Cast:
    """Give the parts for a procedure in a repository.

    Args:
        policy: The policy.
        procedure: The procedure.
        repository: The repository, as the policy spells it.

    Raises:
        UsageError: Fewer people may approve than must.
    """
    rule = policy.approval_rule(procedure, repository)
    named = {login.casefold() for login in rule.approvers}
    bot = policy.product_login or _unused(BOT, named)
    approvers = tuple(login for login in rule.approvers if login.casefold() != bot.casefold())
    if len(approvers) < rule.quorum:
        raise UsageError(
            f"{procedure} in {repository} wants {rule.quorum} approvals, and the policy names {len(approvers)} "
            "who may give one.",
            unchanged="Nothing was started.",
            next_step="name more people in approvals.approvers, or lower the quorum",
        )
    return Cast(
        bot=bot,
        requester=_unused(REQUESTER, {*named, bot.casefold()}),
        approvers=approvers,
        needed=rule.quorum,
        # Whoever may not even read the repository could not comment on its issues.
        permission=max(rule.minimum_permission, Permission.READ, key=lambda one: one.rank),
    )


def _unused(login: str, taken: Collection[str]) -> str:
    number = 1
    name = login
    while name in taken:
        number += 1
        name = f"{login}-{number}"
    return name
