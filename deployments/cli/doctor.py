"""``runbook doctor``: every permission and connection checked, and what to fix."""

from typing import TYPE_CHECKING

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from deployments.cli.doctor_findings import Findings

app = typer.Typer()

_STYLES = {"good": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


@app.command("doctor")
def doctor(policy: PolicyOption = None, as_json: JsonOption = False) -> None:
    """Check policy, ledger, Prefect, GitHub permissions, cluster, approvers, registry; exit 1 where something fails."""
    from deployments.cli.doctor_findings import Health

    findings = []
    for finding in _look_at_everything():
        findings.append(finding)
        if not as_json:
            terminal.say(
                f"{finding.health:<8} {finding.check}: {finding.detail}", style=_STYLES[finding.health]
            )
            if finding.fix:
                terminal.say(f"         Fix: {finding.fix}")
    failures = sum(finding.health is Health.FAILED for finding in findings)
    warnings = sum(finding.health is Health.WARNING for finding in findings)
    if as_json:
        terminal.print_json(
            {"ok": not failures, "findings": [one.model_dump(mode="json") for one in findings]}
        )
    else:
        terminal.say()
        terminal.say(f"{len(findings)} checks: {failures} failed, {warnings} to look at.", style="bold")
    if failures:
        raise typer.Exit(1)


def _look_at_everything() -> "Findings":
    from deployments.cli import doctor_cluster, doctor_exceptions, doctor_github, doctor_local
    from deployments.cli.doctor_findings import Health, failed, skipped
    from runbook.clients.github_client import GitHubClient
    from runbook.clock import SystemClock
    from runbook.errors import UsageError
    from runbook.scrub import install_log_scrubber
    from runbook.settings import Settings

    install_log_scrubber()
    settings = Settings.from_environment()
    finding, policy = doctor_local.check_policy()
    yield finding
    ledger = doctor_local.check_ledger(settings)
    yield ledger
    if ledger.health is Health.GOOD:
        yield from doctor_exceptions.check_exceptions(settings, now=SystemClock().now())
    yield from doctor_local.check_prefect(settings)
    if policy is None:
        yield skipped("GitHub", "the policy comes first: it names the repositories")
        return
    yield from doctor_cluster.check_cluster(settings, policy)
    try:
        github = GitHubClient.from_settings(settings, purpose="read and act on GitHub")
    except UsageError as error:
        yield failed("GitHub token", error.message, fix=error.next_step)
        return
    with github:
        yield from doctor_github.check_github(github, policy, now=SystemClock().now())
        yield doctor_local.check_approver(settings, policy)
        yield from doctor_local.check_registry(github, settings, policy)
