"""The gate (R2): on every waking the outside world and the ledger decide, never Prefect."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from runbook.decisions.approval import (
    Decision,
    GateDecision,
    PageDecision,
    PlanFacts,
    Source,
    Verdict,
    decide_approval,
    decide_without_github,
    parse_command,
)
from runbook.decisions.automatic import MANUAL, AutomaticDecision
from runbook.engine import audit
from runbook.engine.audit import PRODUCT
from runbook.engine.automatic import DAY, note_without_person, remedied_without_person
from runbook.engine.entries import JournalEntry
from runbook.engine.ledger import Ledger
from runbook.engine.page_decisions import page_decisions
from runbook.engine.plans import Plans, StoredPlan
from runbook.engine.schema import ApprovalRow, EffectRow, PageDecisionRow, PlanRow
from runbook.engine.states import EffectState, PlanState, RequesterKind
from runbook.errors import LedgerError, Transient
from runbook.models import IssueComment, Permission
from runbook.policy.approvals import ApprovalRule
from runbook.scrub import scrub
from runbook.world import World

_LOOKS = 3
"""So often the gate looks again because somebody decided on the page meanwhile."""


@dataclass(frozen=True)
class GateContext:
    """What the gate is told by its caller.

    Args:
        rule: The approval rule in force now.
        policy_digest: The digest of the policy it comes from.
        product_logins: The accounts the product acts as, lower case.
        frozen: Why nothing may be changed now; empty outside every freeze window.
        resumed: The run was resumed in Prefect since the plan was last asked about.
        automatic: Whether the plan needs no person (R11), and why (not).
        people_wanted: How many would have to approve it if it were not automatic.
        away: Why GitHub could not say whose token the product has; no comment counts then, for it may be the
            product's own.
    """

    rule: ApprovalRule
    policy_digest: str
    product_logins: frozenset[str]
    frozen: str = ""
    resumed: bool = False
    automatic: AutomaticDecision = MANUAL
    people_wanted: int = 1
    away: Transient | None = None


class Gate:
    """Decides whether a stored plan may be applied now."""

    def __init__(self, ledger: Ledger, *, world: World, plans: Plans) -> None:
        self._ledger = ledger
        self._world = world
        self._plans = plans

    def pass_or_wait(
        self, plan: StoredPlan, entries: tuple[JournalEntry, ...], context: GateContext
    ) -> GateDecision:
        """Decide, and note the decision where it ends the waiting.

        A plan of which something was already sent is not asked about again: it is finished or undone.

        Raises:
            Transient, Denied, NotFound: The comments or permissions could not be read; nothing was decided.
        """
        if any(entry.state is not EffectState.PLANNED for entry in entries):
            return GateDecision(verdict=Verdict.APPROVED, reason="already being applied", needed=0)
        # What is decided on the approval page while GitHub is being asked is read before anything is approved.
        for _ in range(_LOOKS):
            with self._ledger.read() as session:
                seen = _page_decisions_given(session, plan)
            decision = self._decide(plan, entries, context)
            if decision.verdict is not Verdict.APPROVED or self._approve(plan, decision, context, seen=seen):
                break
        else:
            raise Transient(
                f"Plan {plan.short_digest} is being decided about right now.",
                unchanged="Nothing was applied.",
                next_step="none is needed: the gate looks again",
            )
        match decision.verdict:
            case Verdict.APPROVED:
                pass
            case Verdict.REJECTED:
                self._end(plan, PlanState.REJECTED, decision, context)
            case Verdict.EXPIRED:
                self._end(plan, PlanState.EXPIRED, decision, context)
            case Verdict.VOID:
                self._end(plan, PlanState.VOIDED, decision, context)
            case Verdict.WAITING:
                self._wait(plan)
        return decision

    def look(self, plan: StoredPlan, context: GateContext) -> GateDecision:
        """Decide as :meth:`pass_or_wait` would by what people said alone, and note nothing.

        The dispatcher and ``runbook approvals`` use it: it reads comments and page decisions, not preconditions.

        Raises:
            Transient: GitHub is away, and the approval page's decisions alone do not suffice.
            Denied, NotFound: The comments or permissions could not be read.
        """
        facts = self._facts(plan, context)
        page = page_decisions(self._ledger, plan.id)
        try:
            decision = self._decide_with_github(plan, facts, page, context)
        except Transient as away:
            if away.retry_after_seconds is not None:
                raise  # a rate limit is no outage: comments and permissions can be read when it ends
            alone = decide_without_github(
                facts,
                rule=context.rule,
                page=page,
                product_logins=context.product_logins,
                now=self._world.clock.now(),
            )
            if alone is None:
                raise
            decision = alone
        if decision.verdict is Verdict.APPROVED and context.frozen:
            return decision.model_copy(update={"verdict": Verdict.WAITING, "reason": context.frozen})
        return decision

    def _decide_with_github(
        self, plan: StoredPlan, facts: PlanFacts, page: tuple[PageDecision, ...], context: GateContext
    ) -> GateDecision:
        if context.away is not None:
            raise context.away
        comments = self._comments(plan)
        return decide_approval(
            facts,
            rule=context.rule,
            comments=comments,
            permissions=self._permissions(plan, comments, page, context.rule),
            used=self._used(plan, comments),
            product_logins=context.product_logins,
            now=self._world.clock.now(),
            page=page,
        )

    def _decide(
        self, plan: StoredPlan, entries: tuple[JournalEntry, ...], context: GateContext
    ) -> GateDecision:
        decision = self.look(plan, context)
        if decision.verdict not in {Verdict.APPROVED, Verdict.WAITING}:
            return decision
        for entry in entries:
            precondition = entry.effect.precondition(self._world)
            if not precondition.holds:
                return decision.model_copy(
                    update={"verdict": Verdict.VOID, "reason": f"no longer so: {precondition.detail}"}
                )
        return decision

    def _facts(self, plan: StoredPlan, context: GateContext) -> PlanFacts:
        if plan.comment_id is None:
            raise LedgerError(
                f"Plan {plan.short_digest} was never shown to anybody.",
                unchanged="Nothing was applied.",
                next_step="start the procedure again",
            )
        return PlanFacts(
            digest=plan.digest,
            other_digests=self._plans.waiting_digests(other_than=plan.id),
            comment_id=plan.comment_id,
            pages_above=self._pages_above(plan),
            expires_at=plan.expires_at,
            requester=plan.requester if plan.requester_kind is RequesterKind.PERSON else None,
            unnamed=plan.requester_kind is RequesterKind.UNNAMED,
            resumed=context.resumed,
        )

    def _pages_above(self, plan: StoredPlan) -> tuple[int, ...]:
        """Return the comments that show the rest of a long plan: whoever edits one changes what people approve."""
        query = select(EffectRow.key, EffectRow.result).where(
            EffectRow.execution_id == plan.execution_id, EffectRow.plan_id.is_(None)
        )
        pages = f"{plan.execution_id}/{plan.pages_above}"
        with self._ledger.read() as session:
            rows = session.execute(query).all()
        return tuple(int(row.result["comment"]) for row in rows if row.key.startswith(pages) and row.result)

    def _comments(self, plan: StoredPlan) -> tuple[IssueComment, ...]:
        if plan.issues_repository is None or plan.issue_number is None:
            return ()
        return tuple(self._world.github.list_comments(plan.issues_repository, plan.issue_number))

    def _permissions(
        self,
        plan: StoredPlan,
        comments: tuple[IssueComment, ...],
        page: tuple[PageDecision, ...],
        rule: ApprovalRule,
    ) -> dict[str, Permission]:
        commented = (comment.login for comment in comments if parse_command(comment.body) is not None)
        deciders = {login.casefold() for login in (*commented, *(given.login for given in page))}
        # Only people whom the policy names are asked about: a stranger cannot make us spend requests.
        return {
            login: self._world.github.permission_of(plan.plan.repository, login)
            for login in sorted(deciders)
            if rule.names(login)
        }

    def _used(self, plan: StoredPlan, comments: tuple[IssueComment, ...]) -> frozenset[int]:
        proofs = {
            _proof(plan, comment.id): comment.id
            for comment in comments
            if parse_command(comment.body) is not None
        }
        with self._ledger.read() as session:
            rows = session.scalars(
                select(ApprovalRow.proof).where(ApprovalRow.proof.in_(proofs), ApprovalRow.plan_id != plan.id)
            )
            return frozenset(proofs[proof] for proof in rows)

    def _approve(self, plan: StoredPlan, decision: GateDecision, context: GateContext, *, seen: int) -> bool:
        """Note the approval, unless the page has taken a decision since ``seen`` of them; return whether it stands."""
        now = self._world.clock.now()
        with self._ledger.write() as session:
            if _page_decisions_given(session, plan) != seen:
                return False
            row = session.get_one(PlanRow, plan.id)
            if PlanState(row.state) not in {PlanState.WAITING, PlanState.APPLYING}:
                raise LedgerError(
                    f"Plan {plan.short_digest} ended as {row.state} while it was being approved.",
                    unchanged="Nothing was applied.",
                    next_step="start the procedure again if it is still wanted",
                )
            row.state = PlanState.APPLYING
            row.applied_at = now
            for counted in decision.counted:
                proof = _proof_of(plan, counted, asks=row.asks)
                known = session.scalars(select(ApprovalRow).where(ApprovalRow.proof == proof)).first()
                if known is None:
                    session.add(
                        ApprovalRow(
                            plan_id=plan.id,
                            source=counted.source,
                            proof=proof,
                            login=counted.login,
                            decision="approve",
                            reason=scrub(counted.reason),
                            policy_digest=context.policy_digest,
                            recorded_at=now,
                        )
                    )
            automatic = context.automatic.automatic and len(decision.counted) < context.people_wanted
            if automatic:
                _require_below_cap(session, plan, context.automatic, now=now)
                reason, policy = context.automatic.reason, context.policy_digest
                note_without_person(session, plan.id, reason=reason, policy_digest=policy, now=now)
            audit.append(
                session,
                now=now,
                actor=", ".join(counted.login or "unnamed" for counted in decision.counted) or PRODUCT,
                event="plan.approved",
                subject=f"plan:{plan.id}",
                body={
                    "digest": plan.digest,
                    "needed": decision.needed,
                    "policy": context.policy_digest,
                    "by": [counted.model_dump(mode="json") for counted in decision.counted],
                    "automatic": context.automatic.reason if automatic else "",
                    "github": _asked(decision),
                },
            )
        return True

    def _wait(self, plan: StoredPlan) -> None:
        """Step back to waiting: an approver may have been removed between approval and first effect."""
        with self._ledger.write() as session:
            row = session.get_one(PlanRow, plan.id)
            sent = session.scalars(
                select(EffectRow.id).where(
                    EffectRow.plan_id == plan.id, EffectRow.state != EffectState.PLANNED
                )
            ).first()
            if row.state == PlanState.APPLYING and sent is None:
                row.state = PlanState.WAITING

    def _end(self, plan: StoredPlan, state: PlanState, decision: GateDecision, context: GateContext) -> None:
        if decision.rejected_by is not None and state is PlanState.REJECTED:
            with self._ledger.write() as session:
                audit.append(
                    session,
                    now=self._world.clock.now(),
                    actor=decision.rejected_by.login or "unnamed",
                    event="plan.reject",
                    subject=f"plan:{plan.id}",
                    body={
                        "by": decision.rejected_by.model_dump(mode="json"),
                        "policy": context.policy_digest,
                        "github": _asked(decision),
                    },
                )
        self._plans.end(plan.id, state, reason=decision.reason)


def _proof(plan: StoredPlan, comment_id: int) -> str:
    # GitHub ignores case in names, and a policy may spell one differently from one day to the next.
    return f"github-comment:{(plan.issues_repository or '').casefold()}:{comment_id}"


def _proof_of(plan: StoredPlan, decision: Decision, *, asks: int) -> str:
    match decision.source:
        case Source.COMMENT:
            return _proof(plan, decision.comment_id or 0)
        case Source.PAGE:
            return f"{Source.PAGE}:{(decision.login or '').casefold()}:{decision.code_step}"
        case Source.RESUME:
            return f"{Source.RESUME}:{plan.id}:{asks}"


def _asked(decision: GateDecision) -> str:
    return "asked" if decision.github_asked else "away: neither comments nor permissions were asked for"


def _page_decisions_given(session: Session, plan: StoredPlan) -> int:
    return session.scalar(select(func.count()).where(PageDecisionRow.plan_id == plan.id)) or 0


def _require_below_cap(
    session: Session, plan: StoredPlan, automatic: AutomaticDecision, *, now: datetime
) -> None:
    """Count once more, in the transaction that lets the plan pass: others may have passed since it was decided.

    Raises:
        Transient: The cap is reached by now; the gate is asked again, and waits for a person.
    """
    used = remedied_without_person(session, since=now - DAY, other_than=plan.id)
    if any(used[target] >= automatic.cap for target in automatic.targets):
        raise Transient(
            "As many remedies as the policy allows in 24 hours were applied without a person meanwhile.",
            unchanged="Nothing was applied.",
            next_step="none is needed: asked again, the plan waits for a person",
        )
