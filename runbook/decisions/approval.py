"""Who has approved a plan: a pure function of comments, page decisions, permissions and the rule in force (R2)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from runbook.models import Frozen, IssueComment, Permission
from runbook.policy.approvals import ApprovalRule

MINIMUM_DIGEST_DIGITS = 16
"""Fewer digits of a digest could be forged by trying plans until one collides."""

# The first line that is not blank, and nothing but the command: a quotation or a code block never counts, nor
# does an indented line (four spaces or a tab make a code block). Anybody may comment, so each repeat excludes
# what follows it: a hostile text costs linear time.
_COMMAND = re.compile(
    r"(?:[ \t\r]*\n)* {0,3}/(approve|reject)[ \t]+"
    rf"([0-9a-fA-F]{{{MINIMUM_DIGEST_DIGITS},64}})(?![^ \t\r\n])([^\n]*)"
)


class Verdict(StrEnum):
    """What the gate decides."""

    APPROVED = "approved"
    WAITING = "waiting"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"
    """The world has moved on, or what was shown was changed: a new plan must ask anew."""


class Ignored(StrEnum):
    """Why a comment that reads like a decision does not count."""

    OTHER_PLAN = "it names another digest"
    AMBIGUOUS = "its digits fit more than one waiting plan"
    OLDER = "it is older than the plan"
    EDITED = "it was edited"
    BY_APP = "an app made it"
    BY_PRODUCT = "the product's own account never counts"
    BY_REQUESTER = "whoever asked for the plan cannot approve it"
    NOT_AN_APPROVER = "the policy does not name its author as an approver"
    NO_PERMISSION = "its author's permission on the repository is too low"
    LATE = "it came after the plan had expired"
    USED = "it was used for another plan"


class Command(Frozen):
    """A decision as it was written."""

    approve: bool
    digits: str
    reason: str


class PageDecision(Frozen):
    """A decision that a person gave on the approval page, with a one-time code that was right and unused.

    ``code_step`` is the 30-second step of that code: with the login it is the decision's proof.
    """

    login: str
    approve: bool
    reason: str
    code_step: int
    decided_at: datetime


class Source(StrEnum):
    """Where a decision was given."""

    COMMENT = "github-comment"
    PAGE = "approval-page"
    RESUME = "prefect-resume"


class Decision(Frozen):
    """A decision that counts: a comment has its id, one of the approval page the step of its code.

    ``login`` is None for an unnamed resume, which a policy may let count.
    """

    login: str | None
    comment_id: int | None
    reason: str = ""
    url: str = ""
    code_step: int | None = None

    @property
    def source(self) -> Source:
        """Where it was given."""
        if self.comment_id is not None:
            return Source.COMMENT
        return Source.RESUME if self.code_step is None else Source.PAGE


class IgnoredComment(Frozen):
    """A decision that does not count, and why; ``comment_id`` is None for one given on the approval page."""

    login: str
    comment_id: int | None
    why: Ignored

    @property
    def place(self) -> str:
        """Where it stands, as a log names it."""
        return "decision on the approval page" if self.comment_id is None else f"comment {self.comment_id}"


class PlanFacts(Frozen):
    """What the gate knows of the plan.

    Args:
        digest: Its digest.
        other_digests: The digests of every other waiting plan.
        comment_id: The product's comment that showed the plan; decisions must come after it.
        pages_above: The product's comments before it that show what one comment could not hold.
        expires_at: When it stops being approvable.
        requester: Who asked for it; None where nobody can tell.
        unnamed: Nobody can name the requester: one approver more is needed.
        resumed: A person (or program) resumed the run in Prefect since it was last asked about.
    """

    digest: str
    other_digests: tuple[str, ...]
    comment_id: int
    expires_at: datetime
    requester: str | None
    unnamed: bool
    resumed: bool
    pages_above: tuple[int, ...] = ()


class GateDecision(Frozen):
    """The verdict, with everything it rests on.

    ``github_asked`` is false where GitHub was away and the approval page's decisions alone decided.
    """

    verdict: Verdict
    reason: str
    needed: int
    counted: tuple[Decision, ...] = ()
    rejected_by: Decision | None = None
    ignored: tuple[IgnoredComment, ...] = ()
    github_asked: bool = True


def parse_command(body: str) -> Command | None:
    """Return the decision that a comment makes, if its first written line is one."""
    match = _COMMAND.match(body)
    if match is None:
        return None
    verb, digits, reason = match.groups()
    return Command(approve=verb == "approve", digits=digits.lower(), reason=reason.strip())


def approvals_needed(rule: ApprovalRule, *, unnamed: bool) -> int:
    """Return how many people must approve: one more than the quorum where nobody can name the requester."""
    return rule.quorum + (1 if unnamed and rule.quorum else 0)


def decide_approval(
    plan: PlanFacts,
    *,
    rule: ApprovalRule,
    comments: Sequence[IssueComment],
    permissions: Mapping[str, Permission],
    used: frozenset[int],
    product_logins: frozenset[str],
    now: datetime,
    page: Sequence[PageDecision] = (),
) -> GateDecision:
    """Decide whether a plan may be applied.

    Args:
        plan: The plan's facts.
        rule: The rule in force now, not when the plan was made.
        comments: Every comment of its issue, in order, the plan's own among them.
        permissions: What each author of a decision may do on the repository now, by lower-case login.
        used: Comments that already counted for other plans.
        product_logins: The accounts the product acts as, lower case.
        now: The time.
        page: The decisions about it that were given on the approval page, in order.
    """
    needed = approvals_needed(rule, unnamed=plan.unnamed)
    if _shown_plan_was_edited(plan, comments):
        return GateDecision(
            verdict=Verdict.VOID, reason="the comment that shows the plan was edited", needed=needed
        )
    tally = _Tally()
    for comment in comments:
        command = parse_command(comment.body)
        if command is None:
            continue
        why = _why_ignored(plan, command, comment, rule, permissions, used, product_logins)
        tally.add(_of_comment(comment, command), approve=command.approve, why=why)
    _count_page(tally, plan, page, rule=rule, permissions=permissions, product_logins=product_logins)
    approvals = tally.approvals
    # Beside a person's approval it is no second one: `runbook approve` resumes the run as well as it comments.
    if plan.resumed and rule.prefect_resume_counts and not approvals:
        approvals = (Decision(login=None, comment_id=None, reason="unnamed resume in Prefect"),)
    decision = _decided(plan, needed, approvals, tally, now)
    if decision.verdict is Verdict.APPROVED and approvals and not _plan_is_shown(plan, comments):
        deleted = {"verdict": Verdict.VOID, "reason": "the comment that shows the plan was deleted"}
        return decision.model_copy(update=deleted)
    return decision


def decide_without_github(
    plan: PlanFacts,
    *,
    rule: ApprovalRule,
    page: Sequence[PageDecision],
    product_logins: frozenset[str],
    now: datetime,
) -> GateDecision | None:
    """Decide by the approval page alone, on the day GitHub is away.

    No permission can be read then: enrolment, which the operator keeps, and the policy's approvers stand for it.

    Args:
        plan: The plan's facts.
        rule: The rule in force now.
        page: The decisions about it that were given on the approval page, in order.
        product_logins: The accounts the product acts as, lower case.
        now: The time.

    Returns:
        An approval or a rejection; None where these decisions do not suffice for either, so that GitHub must be asked.
    """
    tally = _Tally()
    _count_page(tally, plan, page, rule=rule, permissions=None, product_logins=product_logins)
    needed = approvals_needed(rule, unnamed=plan.unnamed)
    decision = _decided(plan, needed, tally.approvals, tally, now)
    approved = decision.verdict is Verdict.APPROVED and bool(decision.counted)
    if not approved and decision.verdict is not Verdict.REJECTED:
        return None
    reason = f"{decision.reason} (on the approval page; GitHub was away and was not asked)"
    return decision.model_copy(update={"reason": reason, "github_asked": False})


def why_page_ignored(
    given: PageDecision,
    *,
    rule: ApprovalRule,
    requester: str | None,
    expires_at: datetime,
    product_logins: frozenset[str],
    permission: Permission | None,
) -> Ignored | None:
    """Say why a decision of the approval page does not count; None where it does.

    Args:
        given: The decision.
        rule: The rule in force now.
        requester: The person who asked for the plan; None where it was none, or nobody can tell.
        expires_at: When the plan stops being approvable.
        product_logins: The accounts the product acts as, lower case.
        permission: What its author may do on the repository; None where GitHub cannot be asked.
    """
    login = given.login.casefold()
    tests: tuple[tuple[bool, Ignored], ...] = (
        (login in product_logins, Ignored.BY_PRODUCT),
        (not rule.names(login), Ignored.NOT_AN_APPROVER),
        (permission is not None and permission.rank < rule.minimum_permission.rank, Ignored.NO_PERMISSION),
        (given.decided_at >= expires_at, Ignored.LATE),
        (
            given.approve and requester is not None and login == requester.casefold(),
            Ignored.BY_REQUESTER,
        ),
    )
    return next((why for applies, why in tests if applies), None)


@dataclass
class _Tally:
    """Decisions as they are counted: each person's first approval, and the first rejection."""

    counted: dict[str, Decision] = field(default_factory=dict)
    rejection: Decision | None = None
    ignored: list[IgnoredComment] = field(default_factory=list)

    @property
    def approvals(self) -> tuple[Decision, ...]:
        return tuple(self.counted.values())

    def add(self, decision: Decision, *, approve: bool, why: Ignored | None) -> None:
        login = decision.login or ""
        if why is not None:
            self.ignored.append(IgnoredComment(login=login, comment_id=decision.comment_id, why=why))
        elif approve:
            self.counted.setdefault(login.casefold(), decision)
        elif self.rejection is None:
            self.rejection = decision


def _count_page(
    tally: _Tally,
    plan: PlanFacts,
    page: Sequence[PageDecision],
    *,
    rule: ApprovalRule,
    permissions: Mapping[str, Permission] | None,
    product_logins: frozenset[str],
) -> None:
    """Count the approval page's decisions; ``permissions`` is None where GitHub was not asked for any."""
    for given in page:
        login = given.login.casefold()
        why = why_page_ignored(
            given,
            rule=rule,
            requester=plan.requester,
            expires_at=plan.expires_at,
            product_logins=product_logins,
            permission=None if permissions is None else permissions.get(login, Permission.NONE),
        )
        tally.add(_of_page(given), approve=given.approve, why=why)


def _of_comment(comment: IssueComment, command: Command) -> Decision:
    return Decision(login=comment.login, comment_id=comment.id, reason=command.reason, url=comment.html_url)


def _of_page(given: PageDecision) -> Decision:
    return Decision(login=given.login, comment_id=None, reason=given.reason, code_step=given.code_step)


def _decided(
    plan: PlanFacts, needed: int, approvals: tuple[Decision, ...], tally: _Tally, now: datetime
) -> GateDecision:
    verdict, reason = _verdict(plan, needed, approvals, tally.rejection, now)
    return GateDecision(
        verdict=verdict,
        reason=reason,
        needed=needed,
        counted=approvals,
        rejected_by=tally.rejection,
        ignored=tuple(tally.ignored),
    )


def _verdict(
    plan: PlanFacts, needed: int, approvals: tuple[Decision, ...], rejection: Decision | None, now: datetime
) -> tuple[Verdict, str]:
    if rejection is not None:
        return Verdict.REJECTED, f"rejected by {rejection.login}: {rejection.reason or 'no reason given'}"
    if now >= plan.expires_at:
        return Verdict.EXPIRED, f"not approved before {plan.expires_at.isoformat(timespec='seconds')}"
    if len(approvals) >= needed:
        names = ", ".join(decision.login or "unnamed" for decision in approvals)
        return Verdict.APPROVED, f"approved by {names}" if names else "the policy asks for nobody"
    return Verdict.WAITING, f"{len(approvals)} of {needed} approvals"


def _shown_plan_was_edited(plan: PlanFacts, comments: Sequence[IssueComment]) -> bool:
    shown = {plan.comment_id, *plan.pages_above}
    return any(comment.id in shown and comment.edited for comment in comments)


def _plan_is_shown(plan: PlanFacts, comments: Sequence[IssueComment]) -> bool:
    # Asked only of an approved plan: a comment that was just posted may be listed a moment late.
    return {plan.comment_id, *plan.pages_above} <= {comment.id for comment in comments}


def _why_ignored(
    plan: PlanFacts,
    command: Command,
    comment: IssueComment,
    rule: ApprovalRule,
    permissions: Mapping[str, Permission],
    used: frozenset[int],
    product_logins: frozenset[str],
) -> Ignored | None:
    login = comment.login.casefold()
    tests: tuple[tuple[bool, Ignored], ...] = (
        (not plan.digest.startswith(command.digits), Ignored.OTHER_PLAN),
        (any(other.startswith(command.digits) for other in plan.other_digests), Ignored.AMBIGUOUS),
        (comment.id <= plan.comment_id, Ignored.OLDER),
        (comment.edited, Ignored.EDITED),
        (comment.via_app or comment.user_type != "User", Ignored.BY_APP),
        (login in product_logins, Ignored.BY_PRODUCT),
        (not rule.names(login), Ignored.NOT_AN_APPROVER),
        (permissions.get(login, Permission.NONE).rank < rule.minimum_permission.rank, Ignored.NO_PERMISSION),
        (comment.id in used, Ignored.USED),
        (comment.created_at >= plan.expires_at, Ignored.LATE),
        # A requester may reject, never approve.
        (
            command.approve and plan.requester is not None and login == plan.requester.casefold(),
            Ignored.BY_REQUESTER,
        ),
    )
    return next((why for applies, why in tests if applies), None)
