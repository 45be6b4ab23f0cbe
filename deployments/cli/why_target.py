"""What ``runbook why`` was pointed at: a run on GitHub or a log; pure functions of the text."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from runbook.errors import UsageError
from runbook.settings import github_site, is_loopback

_RUN_PATH = re.compile(
    r"/(?P<repository>[^/]+/[^/]+)/actions/runs/(?P<run>\d+)"
    r"(?:/attempts/(?P<attempt>\d+))?(?:/jobs?/(?P<job>\d+))?/?"
)
_RUN_ID = re.compile(r"\d{1,19}")


@dataclass(frozen=True)
class RunTarget:
    """One run; its newest attempt and all its failed jobs, unless the address says which."""

    repository: str
    run_id: int
    attempt: int | None = None
    job_id: int | None = None


@dataclass(frozen=True)
class LogTarget:
    """A file, or ``-`` for standard input."""

    path: str


def parse_target(text: str, *, repository: str | None, is_file: bool, api_url: str) -> RunTarget | LogTarget:
    """Tell what is meant.

    Args:
        text: An address of a run, a run's number, a path, or ``-``.
        repository: What ``--repo`` was given.
        is_file: Whether there is a file of that name; a number with ``--repo`` is a run all the same.
        api_url: The API that would be asked: an address on another host would be looked for in vain.

    Raises:
        UsageError: It is none of these, or a run's number alone.
    """
    if text.startswith(("http://", "https://")):
        return _from_address(text, repository=repository, api_url=api_url)
    if _RUN_ID.fullmatch(text) and (repository is not None or not is_file):
        if repository is None:
            raise UsageError(
                f"{text} may be a run's number, but of which repository?",
                unchanged="Nothing was read.",
                next_step="add --repo owner/name, or give the run's whole address.",
            )
        return RunTarget(repository=repository, run_id=int(text))
    return LogTarget(path=text)


def _from_address(address: str, *, repository: str | None, api_url: str) -> RunTarget:
    parts = urlsplit(address)
    found = _RUN_PATH.fullmatch(parts.path)
    if found is None:
        raise UsageError(
            "That address is not a workflow run's.",
            unchanged="Nothing was read.",
            next_step="it looks like https://github.com/acme/voice-agent/actions/runs/123; "
            "an attempt (/attempts/2) or a job (/job/456) may follow.",
        )
    asked = urlsplit(api_url).hostname or ""
    # A stand-in on this machine may give out addresses of the host that it stands in for.
    if parts.hostname != github_site(api_url) and not is_loopback(asked):
        raise UsageError(
            f"The address is on {parts.hostname}, but the API that would be asked is {asked}.",
            unchanged="Nothing was read.",
            next_step="set GITHUB_API_URL to that host's API (https://HOST/api/v3).",
        )
    named = found["repository"]
    if repository is not None and repository.casefold() != named.casefold():
        raise UsageError(
            f"The address is of {named}, but --repo says {repository}.", next_step="drop --repo."
        )
    return RunTarget(
        repository=named,
        run_id=int(found["run"]),
        attempt=int(found["attempt"]) if found["attempt"] else None,
        job_id=int(found["job"]) if found["job"] else None,
    )
