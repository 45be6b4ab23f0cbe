"""``runbook coverage``, ``policy check`` and ``sandbox``: what needs neither network nor ledger."""

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption, PolicyOption
from runbook.errors import UsageError

app = typer.Typer()
policy_app = typer.Typer(help="The policy file.", no_args_is_help=True)


@app.command("coverage")
def show_coverage(
    status: Annotated[
        str | None, typer.Option("--status", help="Only these: done, not_yet or refused.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which steps of the runbook are executed, by what, and which test ran it."""
    from runbook.coverage import StepStatus, coverage, load_steps

    if status is not None and status not in set(StepStatus):
        raise UsageError(f"{status!r} is no status.", next_step=f"choose one of {', '.join(StepStatus)}.")
    wanted = tuple(StepStatus) if status is None else (StepStatus(status),)
    if as_json:
        terminal.print_json(coverage(wanted))
        return
    rows = [
        (step.id, step.status, step.what, step.step, step.test)
        for step in load_steps()
        if step.status in wanted
    ]
    terminal.print_table(("Step", "Status", "What", "Where", "Test"), rows)
    counts = Counter(step.status for step in load_steps())
    terminal.say(", ".join(f"{counts[one]} {one.replace('_', ' ')}" for one in StepStatus))


@policy_app.command("check")
def check_policy(policy: PolicyOption = None, as_json: JsonOption = False) -> None:
    """Read the policy and say what is wrong with it, or what it is about."""
    from runbook.policy import find_policy, load_policy

    path = find_policy()
    found = load_policy(path)
    facts = {
        "file": str(path),
        "digest": found.digest,
        "repositories": [repository.name for repository in found.repositories],
        "approvers": list(found.approvals.approvers),
        "quorum": found.approvals.quorum,
        "schedules": [run.name for run in found.scheduled],
    }
    if as_json:
        terminal.print_json(facts)
        return
    terminal.say(f"{path} can be used.", style="green")
    terminal.print_fields(
        {
            "Repositories": ", ".join(repository.name for repository in found.repositories),
            "Approvers": f"{', '.join(found.approvals.approvers)} (quorum {found.approvals.quorum})",
            "Schedules": ", ".join(run.name for run in found.scheduled) or "none",
            "Digest": found.digest,
        }
    )


@app.command(
    "sandbox",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run_sandbox(context: typer.Context) -> None:
    """Run the stand-ins in the foreground; --help lists its options."""
    from deployments.environment import base_environment

    # It plays GitHub on loopback with tokens of its own: no credential of ours gets there.
    environment = base_environment(
        Path(tempfile.gettempdir()), import_path=(Path(__file__).resolve().parents[2],)
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(  # noqa: S606 - our own module in our own interpreter, as an argument list
        sys.executable, [sys.executable, "-m", "sandbox", *context.args], environment
    )
