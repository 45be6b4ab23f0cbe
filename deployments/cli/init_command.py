"""``runbook init``: a first policy, guessed by looking at a repository; reads there, and writes one file here."""

import os
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption
from runbook.errors import Denied, UsageError

if TYPE_CHECKING:
    from runbook.clients.github_client import GitHubClient
    from runbook.policy.proposing import Proposal, RepositoryFindings

app = typer.Typer()

_GIT_TIMEOUT_SECONDS = 10.0
# Where git looks for the checkout and for its configuration, which may rewrite a remote's address.
_GIT_READS = (
    *("PATH", "HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_CEILING_DIRECTORIES"),
)
# scp's form (git@github.com:acme/app.git) and URLs.
_SCP = re.compile(r"(?:[^@/\s]+@)?(?P<host>[^:/\s]+):(?P<path>[^\s]+)")
_HEADER_LINES = 4
"""Lines at the top of a proposed policy, which explain the mark."""


@app.command("init")
def init(
    repositories: Annotated[
        list[str] | None,
        typer.Option(
            "--repo",
            metavar="OWNER/NAME",
            help="A repository to serve; may be repeated. Else this folder's origin.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="The policy to write.")] = Path(
        "runbook.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a policy that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a first policy by looking at a repository: workflows, required checks, caches, secrets' names, owners."""
    from runbook.clients.github_client import GitHubClient
    from runbook.policy import parse_policy
    from runbook.policy.proposing import policy_text, propose
    from runbook.policy.proposing.reading import read_repository
    from runbook.scrub import install_log_scrubber
    from runbook.settings import Settings

    install_log_scrubber()
    _refuse_to_replace(out, force=force)
    settings = Settings.from_environment()
    named = tuple(repositories or ()) or (origin_of(Path.cwd(), api_url=settings.github_api_url),)
    with GitHubClient.from_settings(settings, purpose="look at the repository") as github:
        found = {
            one.name.casefold(): one
            for one in (read_repository(github, name, report=_reading) for name in named)
        }
        proposal = propose(tuple(found.values()), login=_login(github))
    text = policy_text(proposal)
    # Written only if it loads: whatever the names in it were.
    parse_policy(tomllib.loads(text), source=out)
    _write(out, text, force=force)
    if as_json:
        terminal.print_json(_as_json(out, text, proposal, tuple(found.values())))
    else:
        _show(out, text, proposal, tuple(found.values()))


def origin_of(folder: Path, *, api_url: str) -> str:
    """Return the repository that a checkout's ``origin`` names.

    Args:
        folder: Anywhere in the checkout.
        api_url: The API that would be asked about it.

    Raises:
        UsageError: There is no such remote, or it is on another server.
    """
    try:
        answer = subprocess.run(
            ["git", "remote", "get-url", "origin"],  # noqa: S607 - the user's own git, wherever it is
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_SECONDS,
            check=False,
            env={name: os.environ[name] for name in _GIT_READS if name in os.environ},
        )
        address = answer.stdout.strip() if answer.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        address = ""  # no git, or one that hangs: the caller can name the repository
    return repository_in(address, api_url=api_url)


def repository_in(address: str, *, api_url: str) -> str:
    """Return owner/name of a git remote's address.

    Args:
        address: As git prints it; empty where there is none.
        api_url: The API that would be asked about it.

    Raises:
        UsageError: It is no repository on the server that the API belongs to.
    """
    from runbook.repository_name import is_repository_name
    from runbook.settings import github_site

    advice = "name the repository: runbook init --repo owner/name."
    if "://" in address:
        parts = urlsplit(address)
        host, path = parts.hostname or "", parts.path
    elif scp := _SCP.fullmatch(address):
        host, path = scp["host"], scp["path"]
    else:
        raise UsageError(
            "Which repository? This folder has no git remote `origin` on a server.",
            unchanged="Nothing was read or written.",
            next_step=advice,
        )
    name = path.strip("/").removesuffix(".git")
    site = github_site(api_url)
    if not is_repository_name(name) or host.casefold() not in (site, f"ssh.{site}"):
        raise UsageError(
            f"The git remote `origin` is no repository on {site}, which GITHUB_API_URL would ask.",
            unchanged="Nothing was read or written.",
            next_step=f"{advice[:-1]}, or set GITHUB_API_URL to that server's API.",
        )
    return name


def _login(github: "GitHubClient") -> str | None:
    try:
        return github.whoami()
    except Denied:
        return None  # an App's token is nobody's


def _reading(what: str) -> None:
    terminal.note(f"Reading {what}")


def _refuse_to_replace(out: Path, *, force: bool) -> None:
    if force or not (out.exists() or out.is_symlink()):
        return
    raise UsageError(
        f"{out} is there already.",
        unchanged="Nothing was read or written.",
        next_step="write another file with --out, or replace it with --force.",
    )


def _write(out: Path, text: str, *, force: bool) -> None:
    try:
        if not force:
            with out.open("x", encoding="utf-8") as file:  # also where somebody made it meanwhile
                file.write(text)
            return
        handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(out)
    except FileExistsError:
        _refuse_to_replace(out, force=False)
        raise
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written: {error.strerror or error}.",
            unchanged="Nothing was changed.",
            next_step="name another file with --out.",
        ) from error


def _changes(text: str) -> list[tuple[int, str]]:
    """Return the lines that a person must look at, with their numbers."""
    lines = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if "CHANGE" in line and number > _HEADER_LINES]


def _as_json(
    out: Path, text: str, proposal: "Proposal", found: "tuple[RepositoryFindings, ...]"
) -> dict[str, object]:
    return {
        "policy": str(out),
        "repositories": [
            {
                "name": repository.name,
                "default_branch": repository.default_branch,
                "workflows": [
                    {"file": one.file, "kind": str(one.kind), "required": one.required}
                    for one in repository.workflows
                ],
                "not_read": list(read.notes),
            }
            for repository, read in zip(proposal.policy.repositories, found, strict=True)
        ],
        "change": [{"line": number, "text": line} for number, line in _changes(text)],
        "next": list(_next(out)),
    }


def _show(out: Path, text: str, proposal: "Proposal", found: "tuple[RepositoryFindings, ...]") -> None:
    for repository in proposal.policy.repositories:
        terminal.print_table(
            ("Workflow", "Kind", "Required"),
            [(one.file, one.kind, "yes" if one.required else "no") for one in repository.workflows],
            title=f"{repository.name}, default branch {repository.default_branch}",
        )
    for remark in (note for read in found for note in read.notes):
        terminal.note(f"Note: {remark}")
    terminal.print_table(
        ("Line", "To decide"), [(number, terminal.one_line(line)) for number, line in _changes(text)]
    )
    terminal.say(f"{out} is written.")
    for step in _next(out):
        terminal.say(f"Next: {step}")


def _next(out: Path) -> tuple[str, ...]:
    named = "" if out == Path("runbook.toml") else f"--policy {out} "
    return (
        f"decide what {out} marks with CHANGE",
        f"runbook {named}doctor",
        f"runbook {named}up",
    )
