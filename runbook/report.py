"""What people read: plans, incidents and their ends as Markdown for GitHub and for Prefect's artifacts.

Every word from outside passes ``neutralise_markdown`` or a code block here, and nowhere else (R8). A text that
would be too long for a comment is rendered again with fewer rows and shorter words, and says what it leaves out.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from runbook.assessment import Assessment
from runbook.decisions.approval import GateDecision
from runbook.engine.audit import AuditHead
from runbook.engine.effects import Effect
from runbook.engine.engine import Ended, Outcome
from runbook.engine.entries import JournalEntry
from runbook.engine.plan import Plan, PlanView, Table
from runbook.engine.plans import StoredPlan
from runbook.engine.states import RequesterKind
from runbook.models import Job, WorkflowRun
from runbook.scrub import markdown_code_block, neutralise_markdown, neutralise_terminal, scrub, shell_quote

MAX_ROWS = 50
"""Rows of a table that a comment shows where they fit."""

MOST_CHARACTERS = 65_000
"""Of one text: a GitHub comment holds 65,536 characters, and a record write adds its marker."""

_MOST_READ = 20_000
"""Characters of one outside text that are looked at; what is shown is far shorter."""

_URL = re.compile(r"https?://[^\s()<>\[\]\\\"'`]+")


@dataclass(frozen=True)
class Size:
    """How much of everything is shown: rows of a table or list, and characters of one outside text."""

    rows: int
    characters: int


_USUAL = Size(MAX_ROWS, 1_000)
_WHOLE = Size(10_000, 1_000)
_SIZES = (_USUAL, Size(MAX_ROWS, 240), Size(20, 160), Size(8, 120), Size(3, 60))


def plan_markdown(plan: Plan, view: PlanView, *, ask: str = "") -> str:
    """Render a plan as people review it.

    Args:
        plan: What would be done.
        view: What is shown beside it.
        ask: How to decide, from :func:`how_to_decide`; empty in plan mode.
    """
    # Without an ask it is plan mode: nothing is posted, and no ledger could list what is left out.
    return _fitting(lambda size: _plan(plan, view, ask, size)) if ask else _plan(plan, view, ask, _WHOLE)


def how_to_decide(plan: StoredPlan, *, needed: int, approvers: Iterable[str]) -> str:
    """Say who may decide, how, and until when."""
    who = ", ".join(words(approver) for approver in approvers)
    people = f"{needed} of" if needed else "nobody need approve; these may reject:"
    unnamed = (
        " Nobody can tell who asked for it, so one approver more than usual is needed."
        if plan.requester_kind is RequesterKind.UNNAMED
        else ""
    )
    return (
        f"**Decision needed:** {people} {who}.{unnamed} Comment, as the first line:\n\n"
        f"```\n/approve {plan.short_digest}\n```\n\nor `/reject {plan.short_digest} reason`. "
        f"An edited comment does not count. The plan expires at {_time(plan.expires_at)}."
    )


def incident_title(assessment: Assessment) -> str:
    """Return the incident's title: severity, workflow, what it is."""
    run = assessment.run
    kind = assessment.classification.failure_class.replace("_", " ")
    # Each part by itself: a control code that was never ended hides what follows it.
    parts = (f"{assessment.level}:", run.workflow_file, "on", run.head_branch or run.head_sha[:12])
    return " ".join(" ".join(_clean(part).split()) for part in parts) + f": {kind}"


def incident_markdown(assessment: Assessment, *, on_call: str | None) -> str:
    """Render the incident as it is opened.

    Args:
        assessment: What triage knows.
        on_call: Whom the policy wants mentioned (``@alice``); ours, so it takes effect.
    """
    return _fitting(lambda size: _incident(assessment, on_call, size))


def outcome_markdown(outcome: Outcome) -> str:
    """Render how applying a plan ended, effect by effect."""
    return _fitting(lambda size: _outcome(outcome, size))


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

    return _fitting(render)


def closing_markdown(lines: Sequence[tuple[datetime, str]], head: AuditHead) -> str:
    """Render the timeline and the audit's head, the witness outside (R12); a long one keeps both its ends."""

    def render(size: Size) -> str:
        left_out = max(0, len(lines) - size.rows)
        first = size.rows // 2 if left_out else len(lines)
        rows = [(_time(at), words(what, size)) for at, what in (*lines[:first], *lines[first + left_out :])]
        if left_out:
            rows.insert(first, ("…", f"{left_out} more: `runbook audit show` lists them"))
        return (
            f"### Timeline\n\n{markdown_table(('When (UTC)', 'What'), rows)}\n\n"
            f"Audit head: line {head.seq}, `{head.hash}`. `runbook audit verify --head {head.hash}` "
            "checks that the log still holds everything up to here."
        )

    return _fitting(render)


def sentences(*texts: str) -> str:
    """Join texts so that each ends as a sentence does."""
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in texts if text)


def words(text: str, size: Size = _USUAL) -> str:
    """Make text from anywhere harmless and secret-free as plain words on one line, cut to the size."""
    plain = " ".join(_clean(text).split())
    if len(plain) > size.characters:
        plain = f"{plain[: size.characters - 1]}…"
    return neutralise_markdown(plain)


def markdown_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, left_out: int = 0, whole: str = ""
) -> str:
    """Render a table of cells that are Markdown already.

    Args:
        columns: The heads.
        rows: The rows that are shown.
        left_out: How many more there are.
        whole: The command that lists them all.
    """
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    if left_out > 0:
        lines.append(f"\n… and {left_out} more{f' (`{whole}` lists them all)' if whole else ''}.")
    return "\n".join(lines)


# --- what it is made of ---


def _fitting(render: Callable[[Size], str]) -> str:
    text = ""
    for size in _SIZES:
        text = render(size)
        if len(text) <= MOST_CHARACTERS:
            break
    return text


def _clean(text: str) -> str:
    # Control codes go first: a secret of which a tool coloured a part would not be found among them.
    return scrub(neutralise_terminal(text[:_MOST_READ]))


def _code(text: str, size: Size) -> str:
    lines = _clean(text).split("\n")[: size.rows]
    cut = (line if len(line) <= size.characters else f"{line[: size.characters - 1]}…" for line in lines)
    return markdown_code_block("\n".join(cut))


def _link(text: str, url: str, size: Size) -> str:
    return f"[{words(text, size)}]({url})" if _URL.fullmatch(url) else words(text, size)


def _more(left_out: int) -> str:
    return f" … and {left_out} more" if left_out > 0 else ""


def _plan(plan: Plan, view: PlanView, ask: str, size: Size) -> str:
    effects = [effect.load() for effect in plan.effects]
    whole = f"runbook journal --plan {plan.digest[:16]}"
    rows = [
        (str(number), words(effect.describe(), size), words(effect.no_undo or "yes", size))
        for number, effect in enumerate(effects[: size.rows], start=1)
    ]
    columns = ("#", "What will be done", "Can it be undone?")
    parts = [
        f"### Plan `{plan.digest[:16]}`: {words(view.title, size)}",
        words(view.why, size),
        markdown_table(columns, rows, left_out=len(effects) - len(rows), whole=whole),
        *(f"**{words(t.title, size)}**\n\n{_view_table(t, size)}" for t in view.tables),
        f"- **Blast radius:** {words(view.blast_radius, size)}",
        f"- **If nobody acts:** {words(view.if_nobody_acts, size)}",
        f"- **This remedy before:** {words(view.history, size)}" if view.history else "",
        "<details><summary>The same by hand</summary>\n\n"
        + markdown_code_block(_commands(effects, whole, size), language="console")
        + "\n</details>",
        f"Digest: `{plan.digest}`",
        ask,
    ]
    return "\n\n".join(part for part in parts if part)


def _commands(effects: Sequence[Effect], whole: str, size: Size) -> str:
    """Return the equivalent lines that fit, each of them whole: half a command is a wrong one."""
    most = size.rows * size.characters // 2
    lines: list[str] = []
    for effect in effects[: size.rows]:
        line = scrub(" ".join(map(shell_quote, effect.command_line())))
        most -= len(line)
        if most < 0:
            break
        lines.append(line)
    if len(lines) < len(effects):
        lines.append(f"# … and {len(effects) - len(lines)} more: {whole}")
    return "\n".join(lines)


def _view_table(table: Table, size: Size) -> str:
    rows = [[words(cell, size) for cell in row] for row in table.rows[: size.rows]]
    columns = [words(column, size) for column in table.columns]
    return markdown_table(columns, rows, left_out=len(table.rows) - len(rows))


def _incident(assessment: Assessment, on_call: str | None, size: Size) -> str:
    found = assessment.classification
    cause = found.first_cause
    parts = [
        f"{on_call}: please look." if on_call else "",
        _severity(assessment, size),
        f"**{words(found.failure_class.replace('_', ' '))}** (confidence {found.confidence:.0%}): "
        f"{words(found.summary, size)}",
        f"First cause, {words(cause.file, size)} line {cause.line}:\n\n{_code(cause.text, size)}"
        if cause
        else "",
        _evidence(assessment, size),
        _run_facts(assessment.run, assessment.jobs, assessment.failed_jobs, size),
        "**Triage checklist**\n\n" + _checklist(assessment, size),
        _recent(assessment.recent_runs, size),
        _surroundings(assessment, size),
        _timeliness(assessment),
    ]
    return "\n\n".join(part for part in parts if part)


def _severity(assessment: Assessment, size: Size) -> str:
    decided = assessment.severity
    reason = words(decided.explanation.removeprefix(f"{assessment.level}: "), size)
    also = ", ".join(rule.replace("_", " ") for rule in decided.also)
    return f"**{assessment.level}**: {reason}{f' Also: {also}.' if also else ''}"


def _timeliness(assessment: Assessment) -> str:
    wanted = assessment.wanted_within_minutes
    limit = "" if wanted is None else f" The policy wants it within {wanted:g}."
    return f"Assessed {assessment.seconds_to_assessment / 60:.1f} minutes after the failure.{limit}"


def _evidence(assessment: Assessment, size: Size) -> str:
    evidence = assessment.classification.evidence
    if not evidence:
        return ""
    text = "\n".join(
        f"{line.file}:{line.line}: {' '.join(line.text[:_MOST_READ].splitlines())}"
        for line in evidence[: size.rows]
    )
    more = _more(len(evidence) - size.rows)
    return f"<details><summary>Evidence</summary>\n\n{_code(text, size)}{more}\n</details>"


def _run_facts(run: WorkflowRun, jobs: tuple[Job, ...], failed: tuple[Job, ...], size: Size) -> str:
    steps = "; ".join(f"{words(job.name, size)} ({_failed_steps(job, size)})" for job in failed[: size.rows])
    more = _more(len(failed) - size.rows)
    return "\n".join(
        [
            f"- Run: {_link(f'{run.workflow_file} run {run.id}', run.html_url, size)}, attempt {run.run_attempt}, "
            f"{words(run.conclusion or run.status, size)}, by {words(run.event, size)}",
            f"- Commit: {words(run.head_sha, size)} on {words(run.head_branch or 'no branch', size)}, "
            f"started by {words(run.triggering_actor, size)}",
            f"- Failed jobs (steps), {len(failed)} of {len(jobs)}: {steps or 'none'}{more}",
        ]
    )


def _failed_steps(job: Job, size: Size) -> str:
    failed = [step.name for step in job.steps if step.conclusion == "failure"]
    return words(", ".join(failed), size) if failed else "no step failed"


def _checklist(assessment: Assessment, size: Size) -> str:
    rows = []
    for answer in assessment.checklist:
        shown = [_link(e.text, e.url, size) for e in answer.evidence[: size.rows]]
        more = _more(len(answer.evidence) - size.rows)
        rows.append(
            (
                words(answer.question.text, size),
                answer.answer.replace("_", " "),
                "<br>".join([words(answer.conclusion, size), *shown]) + more,
            )
        )
    return markdown_table(("Question", "Answer", "Why"), rows)


def _recent(runs: tuple[WorkflowRun, ...], size: Size) -> str:
    if not runs:
        return ""
    rows = [
        (
            _link(str(run.id), run.html_url, size),
            words(run.head_branch or "-", size),
            words(run.head_sha[:12], size),
            words(run.conclusion or run.status, size),
            _time(run.updated_at),
        )
        for run in runs[: size.rows]
    ]
    columns = ("Run", "Branch", "Commit", "Conclusion", "Ended")
    table = markdown_table(columns, rows, left_out=len(runs) - len(rows))
    return f"**Recent runs of this workflow**\n\n{table}"


def _surroundings(assessment: Assessment, size: Size) -> str:
    reset_at = assessment.classification.rate_limit_reset_at
    lines = [f"- The limit that it ran into ends at {_time(reset_at)}"] if reset_at else []
    lines += [
        f"- GitHub {words(limit.resource, size)} budget: {limit.remaining} of {limit.limit} left, "
        f"resets at {_time(limit.reset_at)}"
        for limit in assessment.rate_limits[: size.rows]
    ]
    if assessment.registry is not None:
        probe = assessment.registry
        state, reason = words(probe.state, size), words(probe.reason, size)
        lines.append(f"- Registry {words(probe.registry, size)}: {state}; {reason}")
    lines += [f"- {words(note, size)}" for note in assessment.notes[: size.rows]]
    return "\n".join(lines) + _more(len(assessment.notes) - size.rows)


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


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
