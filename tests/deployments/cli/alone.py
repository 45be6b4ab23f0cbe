"""Runs one command's own application as ``runbook`` runs it among the others."""

from collections.abc import Sequence

import pytest
import typer

from deployments.cli import INTERRUPTED, terminal
from runbook.errors import RunbookError
from tests.deployments.cli.conftest import Ended


def run_alone(app: typer.Typer, capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> Ended:
    """Run it and return how it ended.

    Args:
        app: The application with that one command.
        capsys: What takes its output.
        words: Its options.
    """
    capsys.readouterr()
    status = 0
    try:
        app(list(words), prog_name="runbook")
    except RunbookError as error:
        terminal.print_error(error)
        status = error.exit_code
    except KeyboardInterrupt:
        status = INTERRUPTED
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    printed = capsys.readouterr()
    return Ended(status=status, out=printed.out, err=printed.err)
