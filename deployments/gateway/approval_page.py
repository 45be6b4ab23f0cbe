"""The approval page: a plan and a form for the day GitHub is down. No script, no session, no authority in a cookie."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from deployments.gateway.approval_forms import (
    MAX_FORM_BYTES,
    DecisionForm,
    FormTokens,
    from_this_page,
    parse_form,
)
from deployments.gateway.approval_view import (
    HEADERS,
    Notice,
    ShownForm,
    message_page,
    plan_page,
    shown_plan,
)
from deployments.gateway.bodies import MEBIBYTE, BodyReader, BodyRefused
from runbook.clock import Clock
from runbook.engine.page_decisions import MAX_REASON_CHARACTERS, Answer, Given, Outcome, PageDecisions
from runbook.engine.plans import Plans, StoredPlan
from runbook.errors import RunbookError, UsageError
from runbook.installation import Installation
from runbook.one_time_codes import SEEDS_VARIABLE, Seeds, read_seeds, seeds_file
from runbook.policy import load_policy
from runbook.policy.approvals import ApprovalRule
from runbook.report.text import utc_time

_LOG = logging.getLogger("runbook.gateway")
_FORM_DEADLINE_SECONDS = 8.0
_MOST_FORM_BYTES_AT_ONCE = MEBIBYTE
_FORM_FIELDS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["token", "decision", "login", "code"],
                    "properties": {
                        "token": {"type": "string"},
                        "decision": {"type": "string", "enum": ["approve", "reject"]},
                        "reason": {"type": "string", "maxLength": MAX_REASON_CHARACTERS},
                        "login": {"type": "string"},
                        "code": {"type": "string"},
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True)
class ApprovalDesk:
    """What the page works with.

    Args:
        plans: The plans in the ledger.
        decisions: Takes decisions.
        rule: Gives the approval rule in force now for a plan, without asking GitHub.
        product_logins: Gives the accounts the product acts as, lower case, without asking GitHub.
        seeds: Reads who is enrolled; None where no file is named, so that nobody can decide here.
        wake: Wakes the flow run of that id (an execution's).
        clock: Time.
    """

    plans: Plans
    decisions: PageDecisions
    rule: Callable[[StoredPlan], ApprovalRule]
    product_logins: Callable[[], frozenset[str]]
    seeds: Callable[[], Seeds] | None
    wake: Callable[[str], object]
    clock: Clock
    tokens: FormTokens = field(default_factory=FormTokens)


def desk_of(here: Installation, *, wake: Callable[[str], object]) -> ApprovalDesk:
    """Return the desk of an installation.

    Args:
        here: The installation; its policy file is read anew for each decision, as approvers may have changed.
        wake: Wakes a flow run: :func:`tasks.waking.resume`.
    """
    path = seeds_file()

    def rule(plan: StoredPlan) -> ApprovalRule:
        return here.approval_rule(plan, policy=load_policy(here.settings.policy_file))

    return ApprovalDesk(
        plans=Plans(here.ledger, clock=here.clock),
        decisions=PageDecisions(here.ledger, clock=here.clock),
        rule=rule,
        product_logins=lambda: here.known_product_logins,
        seeds=None if path is None else lambda: read_seeds(path),
        wake=wake,
        clock=here.clock,
    )


def approval_router(desk: ApprovalDesk) -> APIRouter:
    """Return the page's routes, ``GET`` and ``POST /approve/{digest}``.

    Args:
        desk: What the page works with.
    """
    router = APIRouter(default_response_class=HTMLResponse)
    reader = BodyReader(
        largest_bytes=MAX_FORM_BYTES,
        deadline_seconds=_FORM_DEADLINE_SECONDS,
        most_bytes_at_once=_MOST_FORM_BYTES_AT_ONCE,
    )

    @router.get("/approve/{digest}", summary="A plan that waits, and a form to decide about it")
    def show(digest: str) -> HTMLResponse:
        return _guarded(lambda: _show(desk, digest))

    @router.post(
        "/approve/{digest}",
        summary="Approve or reject a plan with a one-time code",
        openapi_extra=_FORM_FIELDS,
    )
    async def decide(digest: str, request: Request) -> HTMLResponse:
        if not from_this_page(request):
            return _answer(403, message_page("This form came from elsewhere", "Nothing was decided."))
        try:
            async with reader.body_of(request) as body:
                form = parse_form(request.headers.get("content-type", ""), body)
        except BodyRefused:
            form = None
        if form is None:
            return _answer(400, message_page("This is not the form of the page", "Nothing was decided."))
        return await run_in_threadpool(_guarded, lambda: _decide(desk, digest, form))

    return router


def _guarded(respond: Callable[[], HTMLResponse]) -> HTMLResponse:
    try:
        return respond()
    except RunbookError as error:
        _LOG.error("The approval page cannot be used: %s", error)
    return _answer(
        503,
        message_page("The page cannot be used now", "Nothing was decided. The gateway's log says why."),
    )


def _show(desk: ApprovalDesk, digest: str) -> HTMLResponse:
    plan = _waiting(desk, digest)
    return _unknown() if plan is None else _page(desk, plan, 200)


def _decide(desk: ApprovalDesk, digest: str, form: DecisionForm) -> HTMLResponse:
    plan = _waiting(desk, digest)
    if plan is None:
        return _unknown()
    if not desk.tokens.valid(form.token, plan.id, now=desk.clock.now()):
        old = Notice(
            "The form was too old", ("Nothing was decided. Send it again; your code may still be good.",)
        )
        return _page(desk, plan, 403, old, form)
    problem = _problem(form)
    if problem:
        return _page(desk, plan, 422, Notice(problem, ("Nothing was decided, and no code was spent.",)), form)
    if desk.seeds is None:
        _LOG.error("The approval page can check no code: %s is not set.", SEEDS_VARIABLE)
        return _page(desk, plan, 503)
    outcome = desk.decisions.decide(
        plan,
        Given(form.login, form.code, approve=form.decision == "approve", reason=form.reason),
        seeds=desk.seeds(),
        rule=desk.rule(plan),
        product_logins=desk.product_logins(),
    )
    return _respond(desk, plan, form, outcome)


def _problem(form: DecisionForm) -> str:
    if form.decision not in ("approve", "reject"):
        return "Choose to approve or to reject"
    if form.decision == "reject" and not form.reason.strip():
        return "A rejection needs a reason"
    if len(form.reason) > MAX_REASON_CHARACTERS:
        return f"The reason is longer than {MAX_REASON_CHARACTERS} characters"
    return ""


def _respond(desk: ApprovalDesk, plan: StoredPlan, form: DecisionForm, outcome: Outcome) -> HTMLResponse:
    match outcome.answer:
        case Answer.RECORDED:
            return _recorded(desk, plan, form)
        case Answer.REFUSED:
            lines = (
                "The name and the code do not fit, or the code was used. A code counts once: wait for the next one.",
                "If you sent the form twice, the first one may have been recorded.",
            )
            return _page(desk, plan, 403, Notice("Not accepted", lines), form)
        case Answer.LOCKED:
            assert outcome.locked_until is not None  # noqa: S101 - what LOCKED means
            left = (outcome.locked_until - desk.clock.now()).total_seconds()
            until = f"Try again after {utc_time(outcome.locked_until)} UTC. Nothing was checked."
            response = _page(desk, plan, 429, Notice("Too many refusals", (until,)), form)
            response.headers["Retry-After"] = str(max(1, round(left)))
            return response
        case Answer.NOT_COUNTED:
            lines = (f"The code was right, but this does not count: {outcome.why}.", "The code is spent.")
            return _page(desk, plan, 403, Notice("Recorded, but it does not count", lines), form)
        case Answer.CLOSED:
            return _unknown()


def _recorded(desk: ApprovalDesk, plan: StoredPlan, form: DecisionForm) -> HTMLResponse:
    verb = "approval" if form.decision == "approve" else "rejection"
    page = message_page(
        f"Your {verb} was recorded",
        f"Plan {plan.short_digest}: its run was woken. It reads the decisions, checks once more that everything is "
        "as it was planned, and then acts or ends.",
        "Where GitHub answers, your permission on the repository is checked too. You can close this page.",
    )
    response = _answer(200, page)
    # After the answer: a Prefect server that hangs must not make a person send it twice.
    response.background = BackgroundTask(_wake, desk, plan)
    return response


def _wake(desk: ApprovalDesk, plan: StoredPlan) -> None:
    try:
        desk.wake(plan.execution_id)
    except RunbookError as error:
        # The decision stands in the ledger; the dispatcher finds it there.
        _LOG.warning("Plan %s: its run could not be woken from the page: %s", plan.short_digest, error)


def _waiting(desk: ApprovalDesk, digest: str) -> StoredPlan | None:
    try:
        plan = desk.plans.by_digits(digest)
    except UsageError:
        return None
    return plan if desk.clock.now() < plan.expires_at else None


def _page(
    desk: ApprovalDesk,
    plan: StoredPlan,
    status: int,
    notice: Notice | None = None,
    typed: DecisionForm | None = None,
) -> HTMLResponse:
    form: ShownForm | None = None
    if desk.seeds is not None:
        form = ShownForm(
            action=f"/approve/{plan.digest}",
            token=desk.tokens.make(plan.id, now=desk.clock.now()),
            max_reason=MAX_REASON_CHARACTERS,
            decision=typed.decision if typed else "",
            reason=typed.reason if typed else "",
            login=typed.login if typed else "",
        )
    elif notice is None:
        notice = Notice("Nobody can decide on this page", ("No approver is enrolled for it here.",))
    return _answer(status, plan_page(shown_plan(plan, desk.rule(plan)), form=form, notice=notice))


def _unknown() -> HTMLResponse:
    return _answer(404, message_page("There is no such plan"))


def _answer(status: int, page: str) -> HTMLResponse:
    return HTMLResponse(page, status_code=status, headers=HEADERS)
