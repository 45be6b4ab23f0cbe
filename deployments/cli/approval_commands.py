"""``runbook approvals``, ``approve`` and ``reject``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption, PolicyOption
from runbook.errors import RunbookError

if TYPE_CHECKING:
    from deployments.cli.approving import Choice, Decided
    from runbook.decisions.approval import GateDecision
    from runbook.engine.plans import StoredPlan
    from runbook.installation import Installation

app = typer.Typer()

Digest = Annotated[str, typer.Argument(help="16 or more digits of the plan's digest.", metavar="DIGEST")]


@app.command("approvals")
def list_approvals(policy: PolicyOption = None, as_json: JsonOption = False) -> None:
    """List the plans that wait for approval, with what counts so far and what does not."""
    from deployments.cli.opening import opened_installation, require_ledger
    from runbook.engine.plans import Plans

    with opened_installation() as here:
        require_ledger(here.settings)
        waiting = [_approval(here, plan) for plan in Plans(here.ledger, clock=here.clock).waiting()]
    if as_json:
        terminal.print_json(waiting)
        return
    if not waiting:
        terminal.say("No plan waits for approval.")
        return
    terminal.print_table(
        (
            "Digest",
            "Procedure",
            "Repository",
            "Subject",
            "Requested by",
            "Approvals",
            "Age",
            "Expires",
            "Link",
        ),
        [
            (
                one["digest"][:16],
                one["procedure"],
                one["repository"],
                terminal.one_line(one["subject"]),
                one["requester"],
                "?" if one["have"] is None else f"{one['have']} of {one['needed']}",
                terminal.span(one["age_seconds"]),
                terminal.when(one["expires_at"]),
                one["link"] or "not shown yet",
            )
            for one in waiting
        ],
    )
    for one in waiting:
        if one["reason"]:
            terminal.note(f"{one['digest'][:16]}: {one['reason']}")
        for comment in one["ignored"]:
            terminal.note(
                f"{one['digest'][:16]}: {comment['login']}'s "
                f"{'decision on the approval page' if comment['comment_id'] is None else 'comment'} "
                f"does not count: {comment['why']}"
            )
    terminal.note(f"Approve with: runbook approve {waiting[0]['digest'][:16]}")


@app.command("approve")
def approve(
    digest: Digest,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in your comment.")] = "",
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a plan by a comment in your own name, and wake its run if that was enough."""
    from deployments.cli.approving import Choice

    _decide(digest, Choice.APPROVE, reason, as_json=as_json)


@app.command("reject")
def reject(
    digest: Digest,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in your comment.")],
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reject a plan by a comment in your own name, and wake its run so that it ends."""
    from deployments.cli.approving import Choice

    _decide(digest, Choice.REJECT, reason, as_json=as_json)


def _decide(digest: str, choice: "Choice", reason: str, *, as_json: bool) -> None:
    from deployments.cli.approving import decide
    from deployments.cli.opening import opened_installation, require_ledger
    from runbook.decisions.approval import Verdict

    with opened_installation() as here:
        require_ledger(here.settings)
        decided = decide(here, digest, choice=choice, reason=reason)
    if not as_json:
        _say_decided(decided, choice)
    woken, remark = (None, "") if decided.gate.verdict is Verdict.WAITING else _wake(here, decided.plan)
    if as_json:
        terminal.print_json(
            {
                "digest": decided.plan.digest,
                "decision": choice,
                "login": decided.login,
                "comment": decided.comment_url,
                "verdict": decided.gate.verdict,
                "reason": decided.gate.reason,
                "have": len(decided.gate.counted),
                "needed": decided.gate.needed,
                "woken": woken,
            }
        )
    if remark:
        terminal.note(remark)


def _say_decided(decided: "Decided", choice: "Choice") -> None:
    if decided.comment_url is None:
        terminal.say(f"{decided.login} has approved plan {decided.plan.short_digest} already.")
    else:
        terminal.say(
            f"Posted /{choice} {decided.plan.short_digest} as {decided.login}: {decided.comment_url}"
        )
    terminal.say(f"The plan is {decided.gate.verdict}: {decided.gate.reason}.")


def _wake(here: "Installation", plan: "StoredPlan") -> tuple[str | None, str]:
    """Wake the plan's run; return what became of that, and what to tell the person."""
    from tasks.waking import Woken, resume

    try:
        here.settings.require_private_prefect()
        woken = resume(plan.execution_id)
    except RunbookError as error:
        # The decision stands on GitHub; waking is only the faster way to it.
        return None, f"Its run could not be woken from here ({error.message}) The dispatcher will wake it."
    match woken:
        case Woken.RESUMED:
            return woken, "Its run was woken."
        case Woken.NOT_PAUSED:
            return woken, "Its run is awake already."
        case Woken.MISSING:
            return woken, "Prefect does not know its run any more; the sweeper settles it."


def _approval(here: "Installation", plan: "StoredPlan") -> dict[str, Any]:
    from deployments.cli.ledger_views import comment_link, requester_name
    from runbook.engine.executions import Executions

    execution = Executions(here.ledger, clock=here.clock).get(plan.execution_id)
    seen, problem = _look(here, plan)
    return {
        "digest": plan.digest,
        "procedure": plan.plan.procedure,
        "repository": plan.plan.repository,
        "subject": execution.subject if execution else "",
        "title": plan.view.title,
        "requester": requester_name(plan.requester, plan.requester_kind),
        "needed": seen.needed if seen else None,
        "have": len(seen.counted) if seen else None,
        "approved_by": [one.login for one in seen.counted] if seen else [],
        "verdict": seen.verdict if seen else None,
        "reason": problem or (seen.reason if seen else ""),
        "ignored": [
            {"login": one.login, "comment_id": one.comment_id, "why": one.why}
            for one in (seen.ignored if seen else ())
        ],
        "age_seconds": round((here.clock.now() - plan.created_at).total_seconds()),
        "expires_at": plan.expires_at,
        "link": comment_link(here.ledger, plan.execution_id, plan.comment_id) or plan.issue_url,
        "execution": plan.execution_id,
    }


def _look(here: "Installation", plan: "StoredPlan") -> tuple["GateDecision | None", str]:
    """Return what the gate sees, or why that cannot be told: a list with gaps beats no list."""
    if plan.comment_id is None:
        return None, "it is not shown on GitHub yet"
    try:
        return here.engine.gate.look(plan, here.gate_context(plan)), ""
    except RunbookError as error:
        return None, f"its comments could not be read: {error.message}"
