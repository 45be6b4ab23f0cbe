"""``runbook doctor`` on exceptions (R6): what is overdue, back although it is barred, or waits for a person."""

from datetime import datetime

from deployments.cli import terminal
from deployments.cli.doctor_findings import Finding, Findings, good, warning
from deployments.cli.opening import require_ledger
from runbook.clock import SystemClock
from runbook.decisions.exceptions import ExceptionKind, ExceptionStanding, standing_of
from runbook.engine.exception_rows import StandingException
from runbook.engine.exceptions import Exceptions
from runbook.engine.ledger import Ledger
from runbook.errors import LedgerError
from runbook.settings import Settings

CHECK = "exceptions"


def check_exceptions(settings: Settings, *, now: datetime) -> Findings:
    """Look at what is left abnormal on purpose; a ledger that is not there yet has nothing.

    Args:
        settings: Where the ledger is.
        now: The time, UTC-aware.
    """
    try:
        require_ledger(settings)
    except LedgerError:
        return
    ledger = Ledger(settings.ledger_url.get_secret_value())
    try:
        standing = Exceptions(ledger, clock=SystemClock()).open()
    finally:
        ledger.close()
    findings = [found for one in standing if (found := _finding(one, now)) is not None]
    yield from findings
    if standing and not findings:
        yield good(CHECK, f"{len(standing)} as agreed; `runbook exceptions` lists them")


def _finding(exception: StandingException, now: datetime) -> Finding | None:
    what = f"no. {exception.id}, {exception.kind} of {terminal.one_line(exception.subject)}"
    owner = f", owner {exception.owner or 'nobody'}"
    end = f"`runbook exceptions end {exception.id} --reason …`"
    match standing_of(exception.facts, now=now):
        case ExceptionStanding.NEEDS_PERSON:
            said = f"{what} could not be put back{owner}: {terminal.one_line(exception.note)}"
            return warning(CHECK, said, fix=f"put it back by hand, then {end}.")
        case ExceptionStanding.SEEN_AGAIN:
            where = f"{terminal.when(exception.seen_at)} in {terminal.one_line(exception.seen_where)}"
            said = f"{what} is back{owner}: seen {where}"
            return warning(CHECK, said, fix=f"roll it back again, or {end} if it is meant.")
        case ExceptionStanding.OVERDUE:
            said = f"{what} is overdue since {terminal.when(exception.deadline)}{owner}"
            return warning(CHECK, said, fix=_fix_overdue(exception, end))
        case _:
            return None


def _fix_overdue(exception: StandingException, end: str) -> str:
    if exception.kind is ExceptionKind.OBLIGATION:
        return f"do it, then {end}."
    return "look whether the sweeper runs (deployment sweep/default): it ends this by itself."
