"""An incident as it is opened: what triage knows of a failed run."""

from collections.abc import Sequence

from runbook.assessment import Assessment
from runbook.decisions.outage import Together
from runbook.models import Job, WorkflowRun
from runbook.report.findings import findings_markdown
from runbook.report.text import (
    MOST_READ,
    Size,
    and_more,
    clean,
    code_block,
    fitting,
    link,
    markdown_table,
    utc_time,
    words,
)

MOST_NAMED = 20
"""So many workflows of an outage are named."""


def incident_title(assessment: Assessment) -> str:
    """Return the incident's title: severity, workflow, what it is."""
    run = assessment.run
    kind = assessment.classification.failure_class.replace("_", " ")
    # Each part by itself: a control code that was never ended hides what follows it.
    parts = (f"{assessment.level}:", run.workflow_file, "on", run.head_branch or run.head_sha[:12])
    return " ".join(" ".join(clean(part).split()) for part in parts) + f": {kind}"


def outage_markdown(together: Together) -> str:
    """Say that an incident is an outage: which workflows fail for which outside reason."""
    names = ", ".join(words(name) for name in together.workflows[:MOST_NAMED])
    more = and_more(len(together.workflows) - MOST_NAMED)
    return (
        f"**One outage, one incident:** {len(together.workflows)} workflows fail together, and "
        f"{together.reason.text}: {names}{more}. What fails for the same reason meanwhile joins this incident."
    )


def incident_markdown(assessment: Assessment, *, on_call: str | None) -> str:
    """Render the incident as it is opened.

    Args:
        assessment: What triage knows.
        on_call: Whom the policy wants mentioned (``@alice``); ours, so it takes effect.
    """
    return fitting(lambda size: _incident(assessment, on_call, size))


def untriaged_markdown(runs: Sequence[int], reason: str, *, on_call: str | None) -> str:
    """Ask people to look at runs that failed and that nobody could triage.

    Args:
        runs: The runs' ids.
        reason: Why not.
        on_call: Whom the policy wants mentioned; ours, so it takes effect.
    """
    which = ", ".join(f"run {run}" for run in runs)
    return (
        f"{f'{on_call}: please look. ' if on_call else ''}A failure was found and could not be triaged: {which}. "
        f"Nothing is known of its cause, nothing was changed.\n\n{words(reason)}"
    )


def _incident(assessment: Assessment, on_call: str | None, size: Size) -> str:
    found = assessment.classification
    cause = found.first_cause
    parts = [
        f"{on_call}: please look." if on_call else "",
        _severity(assessment, size),
        f"**{words(found.failure_class.replace('_', ' '))}** (confidence {found.confidence:.0%}): "
        f"{words(found.summary, size)}",
        f"First cause, {words(cause.file, size)} line {cause.line}:\n\n{code_block(cause.text, size)}"
        if cause
        else "",
        _evidence(assessment, size),
        findings_markdown(assessment.findings, size),
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
        f"{line.file}:{line.line}: {' '.join(line.text[:MOST_READ].splitlines())}"
        for line in evidence[: size.rows]
    )
    more = and_more(len(evidence) - size.rows)
    return f"<details><summary>Evidence</summary>\n\n{code_block(text, size)}{more}\n</details>"


def _run_facts(run: WorkflowRun, jobs: tuple[Job, ...], failed: tuple[Job, ...], size: Size) -> str:
    steps = "; ".join(f"{words(job.name, size)} ({_failed_steps(job, size)})" for job in failed[: size.rows])
    more = and_more(len(failed) - size.rows)
    return "\n".join(
        [
            f"- Run: {link(f'{run.workflow_file} run {run.id}', run.html_url, size)}, attempt {run.run_attempt}, "
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
        shown = [link(e.text, e.url, size) for e in answer.evidence[: size.rows]]
        more = and_more(len(answer.evidence) - size.rows)
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
            link(str(run.id), run.html_url, size),
            words(run.head_branch or "-", size),
            words(run.head_sha[:12], size),
            words(run.conclusion or run.status, size),
            utc_time(run.updated_at),
        )
        for run in runs[: size.rows]
    ]
    columns = ("Run", "Branch", "Commit", "Conclusion", "Ended")
    table = markdown_table(columns, rows, left_out=len(runs) - len(rows))
    return f"**Recent runs of this workflow**\n\n{table}"


def _surroundings(assessment: Assessment, size: Size) -> str:
    reset_at = assessment.classification.rate_limit_reset_at
    lines = [f"- The limit that it ran into ends at {utc_time(reset_at)}"] if reset_at else []
    lines += [
        f"- GitHub {words(limit.resource, size)} budget: {limit.remaining} of {limit.limit} left, "
        f"resets at {utc_time(limit.reset_at)}"
        for limit in assessment.rate_limits[: size.rows]
    ]
    if assessment.registry is not None:
        probe = assessment.registry
        state, reason = words(probe.state, size), words(probe.reason, size)
        lines.append(f"- Registry {words(probe.registry, size)}: {state}; {reason}")
    lines += [f"- {words(note, size)}" for note in assessment.notes[: size.rows]]
    return "\n".join(lines) + and_more(len(assessment.notes) - size.rows)
