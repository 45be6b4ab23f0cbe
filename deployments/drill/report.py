"""A drill's report: dated, complete also where the drill went wrong, and never written over another one."""

from datetime import datetime
from pathlib import Path
from typing import Any

from deployments.drill.record import Record
from runbook.errors import UsageError
from runbook.report import markdown_table, words


def report_markdown(record: Record) -> str:
    """Render the report for people.

    Args:
        record: What is known of the drill.
    """
    outcome = "verified" if record.verified else "**not as it should**"
    parts = [
        f"# Drill: {record.procedure} in {words(record.repository)}\n\n"
        f"{_utc(record.started_at)}: {outcome}. It was played in a sandbox: nothing outside this machine was asked "
        "or changed.",
        markdown_table(("What", "Value"), _facts(record)),
    ]
    if record.wrong:
        parts.append(
            "## What did not go as it should\n\n" + "\n".join(f"- {words(one)}" for one in record.wrong)
        )
    if record.checks:
        looked = [(words(what), "yes" if holds else "**no**") for what, holds in record.checks.items()]
        parts.append("## Verification\n\n" + markdown_table(("Looked at", "So"), looked))
    if record.effects:
        effects = [(words(one.what), one.state, words(one.note) or "-") for one in record.effects]
        parts.append("## Effects\n\n" + markdown_table(("Effect", "State", "Note"), effects))
    if record.stages:
        stages = [(words(one["name"]), f"{one['seconds']:.1f}") for one in record.stages]
        parts.append("## Stages\n\n" + markdown_table(("Stage", "Seconds"), stages))
    if record.plan_markdown:
        parts.append(f"## The plan as it was shown\n\n{record.plan_markdown}")
    return "\n\n".join(parts) + "\n"


def report_json(record: Record, file: Path) -> dict[str, Any]:
    """Return the report for programs.

    Args:
        record: What is known of the drill.
        file: Where the report for people was written.
    """
    return {
        "ok": record.verified,
        "procedure": record.procedure,
        "repository": record.repository,
        "started_at": record.started_at.isoformat(),
        "version": record.product_version,
        "policy": {"file": record.policy_file, "digest": record.policy_digest},
        "broken": record.broken,
        "wait": record.wait,
        "requester": record.requester,
        "approvers": list(record.approvers),
        "needed": record.needed,
        "approvals": [
            {"login": one.login, "after_seconds": round(one.after_seconds, 2)} for one in record.approvals
        ],
        "stages": record.stages,
        "plan": {"digest": record.plan_digest, "issue": record.issue_url},
        "effects": [{"what": one.what, "state": one.state, "note": one.note} for one in record.effects],
        "state": record.state,
        "reason": record.reason,
        "checks": record.checks,
        "planned_seconds": _rounded(record.asked_to_planned_seconds),
        "verified_seconds": _rounded(record.verified_seconds),
        "wrong": record.wrong,
        "report": str(file),
    }


def report_file(given: Path | None, *, procedure: str, now: datetime) -> Path:
    """Return where the report goes, and see at once that it can.

    Args:
        given: What the user named; a dated name in the current directory where None.
        procedure: What is rehearsed.
        now: The time.

    Raises:
        UsageError: There is such a file, or no such folder.
    """
    file = (given or Path(f"drill-{procedure}-{now:%Y%m%dT%H%M%SZ}.md")).absolute()
    if file.exists():
        raise _taken(file, unchanged="Nothing was started.")
    if not file.parent.is_dir():
        raise UsageError(
            f"There is no folder {file.parent} for the report.",
            unchanged="Nothing was started.",
            next_step="make it, or name another file with --report",
        )
    return file


def write_report(record: Record, file: Path) -> None:
    """Write the report for people.

    Raises:
        UsageError: Somebody made such a file meanwhile, or it cannot be written.
    """
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(report_markdown(record))
    except FileExistsError as error:
        raise _taken(file, unchanged="The report was not written.") from error
    except OSError as error:
        raise UsageError(
            f"The report cannot be written to {file}: {error.strerror or error}.",
            next_step="name another file with --report",
        ) from error


def _taken(file: Path, *, unchanged: str) -> UsageError:
    return UsageError(
        f"There is a file {file} already; a report never replaces another.",
        unchanged=unchanged,
        next_step="name another file with --report",
    )


def _facts(record: Record) -> list[tuple[str, str]]:
    given = ", ".join(f"{one.login} (after {one.after_seconds:.1f} s)" for one in record.approvals)
    facts = {
        "Product": f"runbook {record.product_version}",
        "Policy": f"digest {record.policy_digest[:16]} of {record.policy_file}",
        "What was wrong": record.broken,
        "Asked by": record.requester,
        "Who must approve": f"{record.needed} of {', '.join(record.approvers)}",
        "Who approved": given or "nobody",
        "The policy's waits": record.wait,
        "Plan": record.plan_digest[:16] or "none was made",
        "How the run ended": f"{record.state}: {record.reason}" if record.state else "it did not end",
        "From failure to plan": _seconds(record.asked_to_planned_seconds),
        "From failure to verified": _seconds(record.verified_seconds),
    }
    if record.verified_seconds is not None:
        facts["Of that, people"] = (
            "nearly none: in a drill they approve at once. How long yours take comes on top."
        )
    return [(name, words(value)) for name, value in facts.items()]


def _seconds(value: float | None) -> str:
    return "it was not reached" if value is None else f"{value:.1f} s"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
