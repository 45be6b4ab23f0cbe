"""``runbook backtest``: what the product would have done on a repository's own history; reads only."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption, PolicyOption
from runbook.errors import Transient, UsageError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from runbook.backtest.reading import Report
    from runbook.backtest.report import Assumptions, BacktestReport, ClassRow, RemedyRow
    from runbook.backtest.stopping import StoppableClock
    from runbook.clients.github_client import GitHubClient
    from runbook.policy import Policy

app = typer.Typer()

_SPAN = re.compile(r"(\d{1,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}
_SHOWN_MISTAKES = 20


@app.command("backtest")
def backtest(
    since: Annotated[
        str, typer.Option("--since", metavar="SPAN", help="How far back: 90d, 12w, 48h.")
    ] = "90d",
    repository: Annotated[
        str | None,
        typer.Option("--repo", metavar="OWNER/NAME", help="The repository; else the policy's first one."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Triage only the newest N failed attempts."),
    ] = None,
    minutes_by_hand: Annotated[
        float, typer.Option(min=0, help="Assumed: minutes of a person per triage by hand.")
    ] = 15.0,
    minutes_when_wrong: Annotated[
        float, typer.Option(min=0, help="Assumed: minutes that a wrong class costs.")
    ] = 10.0,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the product would have done on the past of a repository, and what would have been wrong.

    Reads only. What was read is kept (RUNBOOK_CACHE, else the user's cache folder): after Ctrl-C, or a month later,
    the same command goes on from there.
    """
    from runbook.backtest.report import Assumptions
    from runbook.backtest.stopping import StoppableClock
    from runbook.backtest.store import cache_folder
    from runbook.clients.github_client import GitHubClient
    from runbook.scrub import install_log_scrubber
    from runbook.settings import Settings

    install_log_scrubber()
    span = parse_span(since)
    settings = Settings.from_environment()
    given, name = _policy_and_repository(repository)
    clock = StoppableClock()
    with GitHubClient.from_settings(settings, purpose="read a repository's history", clock=clock) as github:
        rules = _covering(given, github, name)
        answer = _answer(
            github,
            rules,
            name,
            clock=clock,
            folder=cache_folder(os.environ, api_url=settings.github_api_url, repository=name),
            span=span,
            limit=limit,
            assumptions=Assumptions(minutes_by_hand=minutes_by_hand, minutes_when_wrong=minutes_when_wrong),
        )
    if as_json:
        terminal.print_json(answer.model_dump(mode="json"))
    else:
        _show(answer)


def parse_span(text: str) -> timedelta:
    """Return a length of time: a number of hours, days or weeks.

    Raises:
        UsageError: It is none.
    """
    found = _SPAN.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise UsageError(
            f"--since {text!r} is no length of time.",
            unchanged="Nothing was read.",
            next_step="write it like 90d (days), 12w (weeks) or 48h (hours).",
        )
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])


def _policy_and_repository(named: str | None) -> tuple["Policy | None", str]:
    """Return the policy, and the repository meant; a person who only wants to look needs no policy."""
    from runbook.policy import find_policy, load_policy

    if named is not None and not os.environ.get("RUNBOOK_POLICY") and not Path("runbook.toml").exists():
        terminal.note("Without a policy: every workflow counts as required, and no remedy is proposed.")
        return None, named
    policy = load_policy(find_policy())
    return policy, named or policy.repositories[0].name


def _covering(policy: "Policy | None", github: "GitHubClient", name: str) -> "Policy":
    """Return a policy that names the repository: the one in force, or one in which all is as by default."""
    from runbook.policy import Approvals, Policy, RepositoryPolicy

    facts = github.repository_facts(name)  # says at once where the name or the permission is wrong
    known = {entry.name.casefold() for entry in policy.repositories} if policy else set()
    if policy is not None and name.casefold() in known:
        return policy
    added = RepositoryPolicy(name=facts.full_name, default_branch=facts.default_branch)
    if policy is None:
        return Policy(repositories=(added,), approvals=Approvals(approvers=()))
    terminal.note(f"The policy does not name {facts.full_name}: its workflows count as required.")
    return policy.model_copy(update={"repositories": (*policy.repositories, added)})


def _answer(
    github: "GitHubClient",
    policy: "Policy",
    name: str,
    *,
    clock: "StoppableClock",
    folder: Path,
    span: timedelta,
    limit: int | None,
    assumptions: "Assumptions",
) -> "BacktestReport":
    from runbook.backtest.reading import HistoryReader
    from runbook.backtest.replay import replay
    from runbook.backtest.report import report_on
    from runbook.backtest.store import Store
    from runbook.triage.catalogue import catalogue_with

    now = clock.now()
    try:
        with _progress() as report:
            history = HistoryReader(
                github,
                Store(folder),
                policy=policy,
                repository=name,
                catalogue=catalogue_with(policy.known_issues),
                report=report,
                stop=clock.stop,
            ).read(since=now - span, until=now, limit=limit)
    except (KeyboardInterrupt, Transient):
        terminal.note(f"What was read is kept in {folder}: the same command goes on from there.")
        raise
    return report_on(history, replay(history, policy=policy), policy=policy, assumptions=assumptions)


@contextmanager
def _progress() -> Iterator["Report"]:
    """Show what is being read, on standard error; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Reading {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield report


def _show(answer: "BacktestReport") -> None:
    terminal.say(f"What runbook would have done in {answer.repository}", style="bold")
    severities = ", ".join(f"{number} {severity}" for severity, number in answer.severities.items() if number)
    terminal.print_fields(
        {
            "Time": f"{answer.since:%Y-%m-%d} to {answer.until:%Y-%m-%d}",
            "Attempts": f"{answer.attempts}, of which {answer.failed_attempts} failed",
            "Triaged": f"{answer.triaged}{_left_out(answer)}",
            "Logs": f"{answer.logs_read} read, {answer.logs_gone} gone",
            "Incidents": f"{answer.incidents}{f' ({severities})' if severities else ''}",
            "Outages": f"{answer.outages} (several workflows at once)" if answer.outages else "",
            "Unknown": f"{answer.unknown} of {answer.triaged}",
            "Would be wrong": _wrong(answer),
            "Hours saved": f"{answer.hours_saved:.1f} (assumed: {answer.assumptions.minutes_by_hand:g} minutes for a "
            f"triage by hand, {answer.assumptions.minutes_when_wrong:g} lost by a wrong one)",
        }
    )
    if answer.classes:
        terminal.print_table(
            ("Class", "Attempts", "Incidents", "Right", "Wrong", "Unproven", "Remedies", "Helped", "Not"),
            [_class_cells(row) for row in answer.classes],
        )
    if answer.remedies:
        terminal.print_table(
            ("Remedy", "Proposed", "Automatic", "Helped", "Not", "Unproven"),
            [(_words(row.name), row.tally.said, row.automatic, *_judged(row)) for row in answer.remedies],
        )
    if answer.mistakes:
        terminal.print_table(
            ("Run", "Attempt", "Workflow", "Said", "Contradicted"),
            [
                (one.run_id, one.run_attempt, one.workflow_file, _words(one.said), one.reason)
                for one in answer.mistakes[-_SHOWN_MISTAKES:]
            ],
            title=f"What would have been wrong{_newest(len(answer.mistakes))}",
        )
        newest = answer.mistakes[-1]
        terminal.say(f"Look further: runbook why {newest.html_url}")
    terminal.note(
        "Judged by what happened later: whether the same commit passed when it was run again, or another one did. "
        "That is a weak witness: see docs/backtest.md."
    )


def _left_out(answer: "BacktestReport") -> str:
    why = {"over the limit": answer.over_limit, "without any log left": answer.without_log}
    said = ", ".join(f"{number} {what}" for what, number in why.items() if number)
    return f" (left out: {said})" if said else ""


def _wrong(answer: "BacktestReport") -> str:
    classes = sum(row.classes.wrong for row in answer.classes)
    remedies = sum(row.tally.wrong for row in answer.remedies)
    proven = classes + sum(row.classes.right for row in answer.classes)
    tried = remedies + sum(row.tally.right for row in answer.remedies)
    return f"{classes} of {proven} classes, {remedies} of {tried} remedies that the past can judge"


def _class_cells(row: "ClassRow") -> tuple[object, ...]:
    judged, remedies = row.classes, row.remedies
    return (
        *(row.failure_class.replace("_", " "), row.attempts, row.incidents),
        *(judged.right, judged.wrong, judged.unproven),
        *(remedies.said, remedies.right, remedies.wrong),
    )


def _judged(row: "RemedyRow") -> tuple[int, int, int]:
    return row.tally.right, row.tally.wrong, row.tally.unproven


def _words(name: str) -> str:
    return name.replace("_", " ").replace("+", " + ")


def _newest(number: int) -> str:
    return f" (the newest {_SHOWN_MISTAKES} of {number})" if number > _SHOWN_MISTAKES else ""
