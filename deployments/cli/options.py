"""Options that several commands take, worded once."""

import os
from pathlib import Path
from typing import Annotated

import typer


def use_policy(path: Path | None) -> Path | None:
    """Make ``path`` the policy of this process and of those it starts."""
    if path is not None:
        os.environ["RUNBOOK_POLICY"] = str(path.absolute())
    return path


PolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        callback=use_policy,
        metavar="PATH",
        help="The policy file; else RUNBOOK_POLICY, else ./runbook.toml.",
        show_default=False,
    ),
]
"""Where the policy is; taken before or after the command's name. Giving it takes effect by itself."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, and nothing else there.")
]
"""Whether the answer is for a program."""
