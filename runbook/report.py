"""What people read: plans, incidents and their ends as Markdown for GitHub and for Prefect's artifacts.

Every word from outside passes ``neutralise_markdown`` or a code block here, and nowhere else (R8).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from runbook.assessment import Assessment
from runbook.decisions.approval import GateDecision
from runbook.engine.audit import AuditHead
from runbook.engine.engine import Ended, Outcome
from runbook.engine.executions import RequesterKind
from runbook.engine.journal import JournalEntry
from runbook.engine.plan import Plan, PlanView, Table
from runbook.engine.plans import StoredPlan
from runbook.models import Job, WorkflowRun
from runbook.scrub import markdown_code_block, neutralise_markdown, scrub, shell_quote

MAX_ROWS = 50
"""Rows of a table that a comment shows; a GitHub comment holds 65,536 characters."""


def plan_markdown(plan: Plan, view: PlanView, *, ask: str = "") -> str:
    """Render a plan as people review it.

    Args:
        plan: What would be done.
        view: What is shown beside it.
        ask: How to decide, from :func:`how_to_decide`; empty in plan mode.
    """
    effects = [effect.load() for effect in plan.effects]
    rows = [
        (str(number), words(effect.describe()), words(effect.no_undo or "yes"))
        for number, effect in enumerate(effects, start=1)
    ]
    commands = "\n".join(" ".join(map(shell_quote, effect.command_line())) for effect in effects[:MAX_ROWS])
    parts = [
        f"### Plan `{plan.digest[:16]}`: {words(view.title)}",
        words(view.why),
        markdown_table(("#", "What will be done", "Can it be undone?"), rows),
        *(f"**{words(t.title)}**\n\n{_view_table(t)}" for t in view.tables),
        f"- **Blast radius:** {words(view.blast_radius)}",
        f"- **If nobody acts:** {words(view.if_nobody_acts)}",
        f"- **This remedy before:** {words(view.history)}" if view.history else "",
        "<details><summary>The same by hand</summary>\n\n"
        + markdown_code_block(scrub(commands), language="console")
        + "\n</details>",
        f"Digest: `{plan.digest}`",
        ask,
    ]
    return "\n\n".join(part for part in parts if part)


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
    return scrub(f"{assessment.level}: {run.workflow_file} on {run.head_branch or run.head_sha[:12]}: {kind}")


def incident_markdown(assessment: Assessment, *, on_call: str | None) -> str:
    """Render the incident as it is opened.

    Args:
        assessment: What triage knows.
        on_call: Whom the policy wants mentioned (``@alice``); ours, so it takes effect.
    """
    found = assessment.classification
    run = assessment.run
    cause = found.first_cause
    parts = [
        f"{on_call}: please look." if on_call else "",
        _severity(assessment),
        f"**{words(found.failure_class.replace('_', ' '))}** (confidence {found.confidence:.0%}): "
        f"{words(found.summary)}",
        f"First cause, {words(cause.file)} line {cause.line}:\n\n{markdown_code_block(scrub(cause.text))}"
        if cause
        else "",
        _evidence(assessment),
        _run_facts(run, assessment.jobs, assessment.failed_jobs),
        "**Triage checklist**\n\n" + _checklist(assessment),
        _recent(assessment.recent_runs),
        _surroundings(assessment),
        _timeliness(assessment),
    ]
    return "\n\n".join(part for part in parts if part)


def outcome_markdown(outcome: Outcome) -> str:
    """Render how applying a plan ended, effect by effect."""
    heads = {
        Ended.DONE: "### Done and verified",
        Ended.UNDONE: "### Not verified: undone",
        Ended.NEEDS_PERSON: "### A person is needed",
    }
    rows = [
        (
            str(entry.position + 1),
            words(entry.effect.describe()),
            entry.state.value.replace("_", " "),
            words(entry.note),
        )
        for entry in outcome.entries
    ]
    parts = [
        heads[outcome.ended],
        words(outcome.reason),
        markdown_table(("#", "Effect", "State", "Note"), rows),
        _not_undone(outcome.not_undone),
    ]
    return "\n\n".join(part for part in parts if part)


def decision_markdown(decision: GateDecision) -> str:
    """Say that a plan was approved, rejected or expired, by whom, and what did not count."""
    ignored = [
        f"- {words(comment.login)}'s comment {comment.comment_id} did not count: {comment.why}."
        for comment in decision.ignored
    ]
    return "\n".join([f"The plan is **{decision.verdict}**: {words(decision.reason)}.", *ignored])


def closing_markdown(lines: Sequence[tuple[datetime, str]], head: AuditHead) -> str:
    """Render the timeline and the audit's head, the witness outside (R12)."""
    rows = [(_time(at), words(what)) for at, what in lines]
    return (
        f"### Timeline\n\n{markdown_table(('When (UTC)', 'What'), rows)}\n\n"
        f"Audit head: line {head.seq}, `{head.hash}`. `runbook audit verify --head {head.hash}` "
        "checks that the log still holds everything up to here."
    )


def sentences(*texts: str) -> str:
    """Join texts so that each ends as a sentence does."""
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in texts if text)


def words(text: str) -> str:
    """Make text from anywhere harmless and secret-free as plain words on one line."""
    return neutralise_markdown(scrub(" ".join(text.split())))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a table of cells that are Markdown already; says how many rows it leaves out."""
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        lines.append(f"\n… and {len(rows) - MAX_ROWS} more.")
    return "\n".join(lines)


def _view_table(table: Table) -> str:
    return markdown_table([words(c) for c in table.columns], [[words(c) for c in row] for row in table.rows])


def _evidence(assessment: Assessment) -> str:
    evidence = assessment.classification.evidence
    if not evidence:
        return ""
    text = "\n".join(f"{line.file}:{line.line}: {line.text}" for line in evidence)
    return f"<details><summary>Evidence</summary>\n\n{markdown_code_block(scrub(text))}\n</details>"


def _severity(assessment: Assessment) -> str:
    decided = assessment.severity
    reason = words(decided.explanation.removeprefix(f"{assessment.level}: "))
    also = ", ".join(rule.replace("_", " ") for rule in decided.also)
    return f"**{assessment.level}**: {reason}{f' Also: {also}.' if also else ''}"


def _timeliness(assessment: Assessment) -> str:
    wanted = assessment.wanted_within_minutes
    limit = "" if wanted is None else f" The policy wants it within {wanted:g}."
    return f"Assessed {assessment.seconds_to_assessment / 60:.1f} minutes after the failure.{limit}"


def _run_facts(run: WorkflowRun, jobs: tuple[Job, ...], failed: tuple[Job, ...]) -> str:
    steps = "; ".join(f"{words(job.name)} ({_failed_steps(job)})" for job in failed)
    return "\n".join(
        [
            f"- Run: [{words(run.workflow_file)} run {run.id}]({run.html_url}), attempt {run.run_attempt}, "
            f"{words(run.conclusion or run.status)}, by {words(run.event)}",
            f"- Commit: {run.head_sha} on {words(run.head_branch or 'no branch')}, "
            f"started by {words(run.triggering_actor)}",
            f"- Failed jobs (steps), {len(failed)} of {len(jobs)}: {steps or 'none'}",
        ]
    )


def _failed_steps(job: Job) -> str:
    failed = [step.name for step in job.steps if step.conclusion == "failure"]
    return words(", ".join(failed)) if failed else "no step failed"


def _checklist(assessment: Assessment) -> str:
    rows = []
    for answer in assessment.checklist:
        shown = [
            f"[{words(e.text)}]({e.url})" if e.url else words(e.text) for e in answer.evidence[:MAX_ROWS]
        ]
        rows.append(
            (
                words(answer.question.text),
                answer.answer.replace("_", " "),
                "<br>".join([words(answer.conclusion), *shown]),
            )
        )
    return markdown_table(("Question", "Answer", "Why"), rows)


def _recent(runs: tuple[WorkflowRun, ...]) -> str:
    if not runs:
        return ""
    rows = [
        (
            f"[{run.id}]({run.html_url})",
            words(run.head_branch or "-"),
            run.head_sha[:12],
            words(run.conclusion or run.status),
            _time(run.updated_at),
        )
        for run in runs
    ]
    return "**Recent runs of this workflow**\n\n" + markdown_table(
        ("Run", "Branch", "Commit", "Conclusion", "Ended"), rows
    )


def _surroundings(assessment: Assessment) -> str:
    reset_at = assessment.classification.rate_limit_reset_at
    lines = [f"- The limit that it ran into ends at {_time(reset_at)}"] if reset_at else []
    lines += [
        f"- GitHub {words(limit.resource)} budget: {limit.remaining} of {limit.limit} left, "
        f"resets at {_time(limit.reset_at)}"
        for limit in assessment.rate_limits
    ]
    if assessment.registry is not None:
        probe = assessment.registry
        lines.append(f"- Registry {words(probe.registry)}: {words(probe.state)}; {words(probe.reason)}")
    lines += [f"- {words(note)}" for note in assessment.notes]
    return "\n".join(lines)


def _not_undone(entries: tuple[JournalEntry, ...]) -> str:
    if not entries:
        return ""
    lines = [f"- {words(entry.effect.describe())}: {words(entry.note)}" for entry in entries]
    return "**What stays as it is now:**\n\n" + "\n".join(lines)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
