"""The ``runbook`` command: one module per group of commands, and what they share.

Modules import at their top only what is quick; what takes time (Prefect, PyGithub, SQLAlchemy) is imported by the
command that needs it, so that ``runbook --help`` answers at once.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli import (
    approval_commands,
    audit_commands,
    backtest_command,
    demo_command,
    doctor,
    drill_command,
    enrol_command,
    exception_commands,
    incident_commands,
    information_commands,
    init_command,
    journal_commands,
    ledger_commands,
    run_commands,
    terminal,
    up,
    why_command,
)
from deployments.cli.options import use_policy
from runbook.errors import RunbookError
from runbook.scrub import scrub

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it."""

app = typer.Typer(
    name="runbook",
    help="The executable CI/CD runbook: triage, plan, approve, apply, verify, record.",
    epilog="Exit status: 0 done, 1 failed, 2 usage or policy, 3 waits for approval, 4 needs a person, 5 denied.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show the values of variables
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def common(
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy", metavar="PATH", help="The policy file; else RUNBOOK_POLICY, else ./runbook.toml."
        ),
    ] = None,
) -> None:
    """Take the options that all commands share."""
    use_policy(policy)


for _group in (
    demo_command,
    drill_command,
    init_command,
    why_command,
    backtest_command,
    enrol_command,
    approval_commands,
    journal_commands,
    information_commands,
    doctor,
    up,
):
    app.add_typer(_group.app)  # without a name: its commands stand beside each other
app.add_typer(run_commands.app, name="run")
app.add_typer(incident_commands.app, name="incidents")
app.add_typer(exception_commands.app, name="exceptions")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(ledger_commands.app, name="ledger")
app.add_typer(information_commands.policy_app, name="policy")


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status.

    Args:
        arguments: The words after ``runbook``.
    """
    terminal.show_waiting()
    try:
        app(list(arguments), prog_name="runbook")
    except RunbookError as error:
        terminal.print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as ended:  # how typer ends, and how a stop signal arrives
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character shows another one; it is no reason to fail.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # both are text streams here
    try:
        status = run(sys.argv[1:])
    finally:
        sys.excepthook = _print_unexpected  # last, because typer sets a hook of its own when it is called
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # `runbook journal | head`: nobody wants the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _print_unexpected(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Print a defect's traceback without secrets."""
    lines = traceback.format_exception(error)
    sys.stderr.write(scrub("".join(lines)))
    sys.stderr.write("This is a defect of the program. Next: report it with the text above.\n")
