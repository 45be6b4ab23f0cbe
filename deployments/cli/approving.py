"""Posting a person's decision on a waiting plan, as that person.

The decision is the comment that GitHub keeps, and the gate alone judges it. Before it is posted, the gate's own
rule is asked about it as if it stood there already: nothing is refused here that would have counted.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import SecretStr

from runbook.clients.github_client import GitHubClient
from runbook.decisions.approval import GateDecision, Ignored, PlanFacts, Verdict, decide_approval
from runbook.engine.gate import GateContext
from runbook.engine.plans import Plans, StoredPlan
from runbook.engine.states import RequesterKind
from runbook.errors import Conflict, Denied, UsageError
from runbook.installation import Installation
from runbook.models import IssueComment, Permission, TokenFacts
from runbook.scrub import scrub


class Choice(StrEnum):
    """What a person decides."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True)
class Decided:
    """What became of a person's decision.

    Args:
        plan: The plan.
        login: Who decided.
        comment_url: The comment that was posted; None where an earlier one already counts.
        gate: What the gate sees now.
    """

    plan: StoredPlan
    login: str
    comment_url: str | None
    gate: GateDecision


def decide(here: Installation, digits: str, *, choice: Choice, reason: str) -> Decided:
    """Post a decision on a waiting plan and look what the gate makes of it.

    Args:
        here: The installation; its approver's token decides who it is that approves.
        digits: 16 or more digits of the plan's digest.
        choice: Approve or reject.
        reason: Why, in a few words.

    Raises:
        UsageError: No such plan, or no token.
        Denied: The decision could not count, with the reason.
        Conflict: The plan can no longer be decided.
        Transient: GitHub does not answer; nothing was posted.
        Ambiguous: Whether the comment stands there is unknown.
    """
    plan = Plans(here.ledger, clock=here.clock).by_digits(digits)
    token = here.settings.require_approver_token()
    here = with_a_reader(here, token)
    if plan.issues_repository is None or plan.issue_number is None or plan.comment_id is None:
        raise Conflict(
            f"Plan {plan.short_digest} is not shown on GitHub yet.",
            unchanged="Nothing was posted.",
            next_step="wait a moment; `runbook approvals` shows its link once it is there.",
        )
    with GitHubClient(token=token, api_url=here.settings.github_api_url, clock=here.clock) as approver:
        person = approver.token_facts()
        context = here.gate_context(plan)
        before = here.engine.gate.look(plan, context)
        _require_open(plan, before)
        if choice is Choice.APPROVE and _counts(before, person.login):
            return Decided(plan=plan, login=person.login, comment_url=None, gate=before)
        body = _body(plan, choice, reason)
        _require_countable(here, plan, context, person, body)
        posted = approver.create_comment(plan.issues_repository, plan.issue_number, body=body)
    return Decided(
        plan=plan,
        login=person.login,
        comment_url=posted.html_url,
        gate=here.engine.gate.look(plan, context),
    )


def plan_facts(here: Installation, plan: StoredPlan) -> PlanFacts:
    """Return what the gate knows of a plan that is shown on GitHub."""
    return PlanFacts(
        digest=plan.digest,
        other_digests=here.engine.plans.waiting_digests(other_than=plan.id),
        comment_id=plan.comment_id or 0,
        expires_at=plan.expires_at,
        requester=plan.requester if plan.requester_kind is RequesterKind.PERSON else None,
        unnamed=plan.requester_kind is RequesterKind.UNNAMED,
        resumed=False,
    )


def with_a_reader(here: Installation, token: SecretStr) -> Installation:
    """Return an installation that can read GitHub: an approver's own machine may lack the product's token."""
    if here.settings.has_github_credential:
        return here
    if here.policy.product_login is None:
        raise UsageError(
            "Nobody can tell which account the product acts as, whose comments never count.",
            unchanged="Nothing was posted.",
            next_step="set product_login in the policy, or GITHUB_TOKEN to the product's token.",
        )
    return replace(here, settings=replace(here.settings, github_token=token), borrowed_token=True)


def _counts(decision: GateDecision, login: str) -> bool:
    return any((one.login or "").casefold() == login.casefold() for one in decision.counted)


def _require_open(plan: StoredPlan, seen: GateDecision) -> None:
    if seen.verdict in {Verdict.APPROVED, Verdict.WAITING}:
        return
    raise Conflict(
        f"Plan {plan.short_digest} can no longer be decided: {seen.verdict} ({seen.reason}).",
        unchanged="Nothing was posted.",
        next_step="start the procedure again if it is still wanted.",
    )


def _body(plan: StoredPlan, choice: Choice, reason: str) -> str:
    words = " ".join(scrub(reason).split())
    return f"/{choice} {plan.digest} {words}".rstrip()


def _require_countable(
    here: Installation, plan: StoredPlan, context: GateContext, person: TokenFacts, body: str
) -> None:
    now = here.clock.now()
    comment = IssueComment(
        id=(plan.comment_id or 0) + 1,
        login=person.login,
        user_type=person.user_type,
        via_app=False,
        body=body,
        html_url="",
        created_at=now,
        updated_at=now,
    )
    permission = here.github.permission_of(plan.plan.repository, person.login)
    judged = decide_approval(
        plan_facts(here, plan),
        rule=context.rule,
        comments=(comment,),
        permissions={person.login.casefold(): permission},
        used=frozenset(),
        product_logins=context.product_logins,
        now=now,
    )
    if judged.ignored:
        raise Denied(
            f"{person.login}'s decision on plan {plan.short_digest} would not count: {judged.ignored[0].why}.",
            unchanged="Nothing was posted.",
            next_step=_advice(judged.ignored[0].why, context, permission, person.login, plan),
        )


def _advice(why: Ignored, context: GateContext, permission: Permission, login: str, plan: StoredPlan) -> str:
    others = ", ".join(name for name in context.rule.approvers if name.casefold() != login.casefold())
    ask = f"ask {others or 'for another approver in the policy'} to decide."
    match why:
        case Ignored.NO_PERMISSION:
            return (
                f"{login} has {permission} on {plan.plan.repository} and needs {context.rule.minimum_permission}; "
                f"or {ask}"
            )
        case Ignored.BY_PRODUCT:
            return "set RUNBOOK_APPROVER_TOKEN to your own token, not the product's."
        case Ignored.BY_APP:
            return "set RUNBOOK_APPROVER_TOKEN to a person's own token, not an app's."
        case Ignored.LATE:
            return "start the procedure again if it is still wanted."
        case _:
            return ask
