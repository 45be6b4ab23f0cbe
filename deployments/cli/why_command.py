"""``runbook why``: read-only triage of a run or a log; no server, no ledger."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption, PolicyOption
from runbook.errors import PolicyError

if TYPE_CHECKING:
    from deployments.cli.why_answer import Answer
    from deployments.cli.why_target import RunTarget
    from runbook.policy import Policy
    from runbook.settings import Settings
    from runbook.triage.catalogue import Catalogue

app = typer.Typer()

_SHOWN_EVIDENCE = 12


@app.command("why")
def why(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN_URL|RUN_ID|FILE|-", help="A run's address or number, a log (plain, .gz, zip), or -."
        ),
    ],
    repository: Annotated[
        str | None, typer.Option("--repo", metavar="OWNER/NAME", help="The repository of a run's number.")
    ] = None,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a run failed: class, first cause, evidence, severity, what to do. Reads only."""
    from deployments.cli.why_target import LogTarget, parse_target
    from runbook.scrub import install_log_scrubber
    from runbook.settings import Settings
    from runbook.triage.catalogue import catalogue_with

    install_log_scrubber()
    settings = Settings.from_environment()
    found = parse_target(
        target, repository=repository, is_file=Path(target).is_file(), api_url=settings.github_api_url
    )
    rules = _policy()
    catalogue = catalogue_with(rules.known_issues if rules else ())
    if isinstance(found, LogTarget):
        answer = _triage_log(found.path, catalogue)
    else:
        answer = _triage_run(found, settings, rules, catalogue)
    if as_json:
        for remark in answer.notes:
            terminal.note(remark)
        terminal.print_json(answer.as_json())
        return
    _show(answer)


def _triage_log(path: str, catalogue: "Catalogue") -> "Answer":
    from deployments.cli.why_answer import Answer
    from runbook.triage.classify import classify_scans
    from runbook.triage.logs import NotText, open_logs
    from runbook.triage.scan import scan

    sources = open_logs(path)
    scans, notes = [], []
    for source in sources:
        try:
            scans.append(scan(source, catalogue))
        except NotText as error:
            if len(sources) == 1:
                raise
            notes.append(error.message)  # a picture among the logs of a zip
    if not scans:
        raise NotText(f"{path} holds no text.", next_step="name a log, a .gz of one, or a zip of job logs.")
    return Answer.of(classify_scans(scans)).model_copy(
        update={"severity_reason": "a log alone does not tell what it blocks", "notes": tuple(notes)}
    )


def _triage_run(
    target: "RunTarget", settings: "Settings", policy: "Policy | None", catalogue: "Catalogue"
) -> "Answer":
    from deployments.cli.why_run import triage_run
    from runbook.clients.github_client import GitHubClient

    with GitHubClient.from_settings(settings, purpose="read the run and its logs") as github:
        return triage_run(github, target, policy=policy, catalogue=catalogue, report=terminal.note)


def _policy() -> "Policy | None":
    """Return the policy; None where none was asked for and there is none, or none that can be used."""
    from runbook.policy import find_policy, load_policy

    try:
        return load_policy(find_policy())
    except PolicyError as error:
        if os.environ.get("RUNBOOK_POLICY"):
            raise
        # What is read at night must not depend on a file that somebody left half edited.
        if Path("runbook.toml").exists():
            terminal.note(f"Without severity: {error.message}")
        return None


def _show(answer: "Answer") -> None:
    terminal.say(answer.failure_class.replace("_", " "), style="bold")
    cause = answer.first_cause
    terminal.print_fields(
        {
            "Confidence": f"{answer.confidence:.0%}",
            "Severity": " ".join(
                part for part in (answer.severity or "not known:", _without_prefix(answer)) if part
            ),
            "Summary": answer.summary,
            "First cause": f"{cause.file}:{cause.line}: {terminal.one_line(cause.text)}" if cause else "",
            "Proposal": answer.proposal,
        }
    )
    if answer.evidence:
        rows = [
            (f"{one.file}:{one.line}", terminal.one_line(one.text))
            for one in answer.evidence[:_SHOWN_EVIDENCE]
        ]
        terminal.print_table(("Where", "Evidence"), rows)
    for remark in answer.notes:
        terminal.note(f"Note: {remark}")
    for line in answer.look_further:
        terminal.say(f"Look further: {line}")


def _without_prefix(answer: "Answer") -> str:
    """Return the severity's reason without the severity that it begins with."""
    return answer.severity_reason.removeprefix(f"{answer.severity}: ")
