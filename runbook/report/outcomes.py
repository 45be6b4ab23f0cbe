"""How a plan was decided, how applying it ended, and what closes an incident."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from runbook.decisions.approval import GateDecision
from runbook.engine.audit import AuditHead
from runbook.engine.engine import Ended, Outcome
from runbook.engine.entries import JournalEntry
from runbook.report.text import Size, fitting, markdown_table, utc_time, words


def decision_markdown(decision: GateDecision) -> str:
    """Say that a plan was approved, rejected or expired, by whom, and what did not count."""

    def render(size: Size) -> str:
        lines = [f"The plan is **{decision.verdict}**: {words(decision.reason, size)}."]
        lines += [
            f"- {words(comment.login, size)}'s comment {comment.comment_id} did not count: {comment.why}."
            for comment in decision.ignored[: size.rows]
        ]
        left_out = len(decision.ignored) - size.rows
        return "\n".join([*lines, *([f"- … and {left_out} more."] if left_out > 0 else [])])

    return fitting(render)


def outcome_markdown(outcome: Outcome) -> str:
    """Render how applying a plan ended, effect by effect."""
    return fitting(lambda size: _outcome(outcome, size))


def closing_markdown(resolution: str, lines: Sequence[tuple[datetime, str]], head: AuditHead) -> str:
    """Render how it was resolved, the timeline and the audit's head, the witness outside (R12).

    A long timeline keeps both its ends.
    """

    def render(size: Size) -> str:
        left_out = max(0, len(lines) - size.rows)
        first = size.rows // 2 if left_out else len(lines)
        rows = [
            (utc_time(at), words(what, size)) for at, what in (*lines[:first], *lines[first + left_out :])
        ]
        if left_out:
            rows.insert(first, ("…", f"{left_out} more: `runbook audit show` lists them"))
        return (
            f"{words(resolution, size)}\n\n### Timeline\n\n{markdown_table(('When (UTC)', 'What'), rows)}\n\n"
            f"Audit head: line {head.seq}, `{head.hash}`. `runbook audit verify --head {head.hash}` "
            "checks that the log still holds everything up to here."
        )

    return fitting(render)


def _outcome(outcome: Outcome, size: Size) -> str:
    heads = {
        Ended.DONE: "### Done and verified",
        Ended.UNDONE: "### Not verified: undone",
        Ended.NEEDS_PERSON: "### A person is needed",
    }
    rows = [
        (
            str(entry.position + 1),
            words(entry.effect.describe(), size),
            _state(entry),
            words(entry.note, size),
        )
        for entry in outcome.entries[: size.rows]
    ]
    left_out = len(outcome.entries) - len(rows)
    counts = Counter(_state(entry) for entry in outcome.entries)
    parts = [
        heads[outcome.ended],
        words(outcome.reason, size),
        f"In all: {', '.join(f'{count} {state}' for state, count in counts.items())}." if left_out else "",
        markdown_table(("#", "Effect", "State", "Note"), rows, left_out=left_out, whole="runbook journal"),
        _not_undone(outcome.not_undone, size),
    ]
    return "\n\n".join(part for part in parts if part)


def _state(entry: JournalEntry) -> str:
    return entry.state.value.replace("_", " ")


def _not_undone(entries: tuple[JournalEntry, ...], size: Size) -> str:
    if not entries:
        return ""
    lines = [
        f"- {words(entry.effect.describe(), size)}: {words(entry.note, size)}"
        for entry in entries[: size.rows]
    ]
    left_out = len(entries) - len(lines)
    if left_out:
        lines.append(f"- … and {left_out} more (`runbook journal` lists them all).")
    return "**What stays as it is now:**\n\n" + "\n".join(lines)
