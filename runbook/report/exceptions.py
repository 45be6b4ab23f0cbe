"""Exceptions (R6) as people read them: a table of them, and what is said of one on its issue."""

import re
from collections.abc import Sequence
from datetime import datetime

from runbook.decisions.exceptions import standing_of
from runbook.engine.exception_rows import StandingException, Telling
from runbook.report.text import Size, fitting, markdown_table, utc_time, words

_HANDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9._-]+)?")


def exceptions_markdown(exceptions: Sequence[StandingException], *, now: datetime) -> str:
    """Render exceptions as a table.

    Args:
        exceptions: They.
        now: The time, UTC-aware.
    """
    if not exceptions:
        return "Nothing is left abnormal on purpose."

    def render(size: Size) -> str:
        rows = [
            (
                str(one.id),
                words(one.kind),
                words(one.subject, size),
                words(standing_of(one.facts, now=now)),
                words(one.owner or "nobody", size),
                utc_time(one.deadline),
                words(one.reason, size),
            )
            for one in exceptions[: size.rows]
        ]
        columns = ("No.", "Kind", "What", "Stands", "Owner", "Until (UTC)", "Why")
        left_out = len(exceptions) - len(rows)
        return markdown_table(columns, rows, left_out=left_out, whole="runbook exceptions")

    return fitting(render)


def exception_told_markdown(exception: StandingException, what: Telling, *, on_call: str | None) -> str:
    """Say on its issue what became of an exception.

    Args:
        exception: The exception.
        what: What there is to say.
        on_call: Whom the policy wants mentioned where the exception has no owner; ours, so it takes effect.
    """
    subject, note, until = words(exception.subject), words(exception.note), utc_time(exception.deadline)
    end = f"`runbook exceptions end {exception.id} --reason …`"
    look = f"{_mention(exception.owner, on_call)}please look. "
    match what:
        case Telling.RESTORED:
            said = f"**Put back as it was:** {subject} ({note})."
        case Telling.ENDED:
            said = f"**Ended before its time:** the {exception.kind} of {subject}, by {note}."
        case Telling.NEEDS_PERSON:
            said = (
                f"{look}**It could not be put back:** {subject}. {note}. It is not tried again: put it back by hand "
                f"(`runbook journal {exception.execution_id}` has what was done), then {end}."
            )
        case Telling.OVERDUE:
            said = f"{look}**Still owed since {until}:** {subject}. When it is done, {end}."
        case Telling.SEEN_AGAIN:
            at = utc_time(exception.seen_at) if exception.seen_at else ""
            said = (
                f"{look}**It is back:** {subject} is barred until {until} and was seen at {at} "
                f"in {words(exception.seen_where)}. If that is meant, {end}."
            )
    since = utc_time(exception.created_at)
    return f"{said}\n\nLeft so on {since} (exception {exception.id}): {words(exception.reason)}"


def _mention(owner: str, on_call: str | None) -> str:
    """Mention who answers for it; a name that GitHub would not give is only written."""
    if not owner:
        return f"{on_call}: " if on_call else ""
    return f"@{owner}: " if _HANDLE.fullmatch(owner) else f"{words(owner)}: "
