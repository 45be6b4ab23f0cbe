"""Repositories, people, pull requests, commits, files, rules, limits."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Literal
from urllib.parse import quote

from runbook.clients.github_calls import Calls, quoted, repository_path
from runbook.clients.github_facts import (
    Json,
    commit,
    parse,
    permission,
    pull_request,
    rate_limits,
    repository_facts,
)
from runbook.errors import Denied, NotFound, Permanent, UsageError
from runbook.models import (
    Commit,
    Permission,
    PullRequest,
    RateLimit,
    RepositoryFacts,
    RequiredChecks,
    TokenFacts,
)


class RepositoryCalls(Calls):
    """Reads of what surrounds a run."""

    def token_facts(self) -> TokenFacts:
        """Return whose credential this is, and what GitHub tells about its scopes and expiry."""
        purpose = "ask GitHub whose token this is"
        answer = self._transport.call("GET", "/user", purpose=purpose)
        scopes = answer.headers.get("x-oauth-scopes")
        expires = answer.headers.get("github-authentication-token-expiration")

        def build(user: Json) -> TokenFacts:
            return TokenFacts(
                login=user["login"],
                user_type=user["type"],
                scopes=None if scopes is None else tuple(re.findall(r"[^,\s]+", scopes)),
                expires_at=_expiry(expires),
            )

        return parse("user", build, answer.decoded(purpose))

    def whoami(self) -> str:
        """Return the login that this credential acts as."""
        return self.token_facts().login

    def repository_facts(self, repository: str) -> RepositoryFacts:
        """Return what matters of a repository, with this credential's permission in it.

        Raises:
            NotFound: There is none of that name, or the credential may not see it.
        """
        data = self._get(repository_path(repository), purpose=f"read the repository {repository}")
        return parse("repository", repository_facts, data)

    def permission_of(self, repository: str, login: str) -> Permission:
        """Return a person's permission in a repository; none for somebody unknown to it.

        Raises:
            Denied: This credential may not ask.
        """
        try:
            data = self._get(
                f"{repository_path(repository)}/collaborators/{quoted(login)}/permission",
                purpose=f"read what {login} may do in {repository}",
            )
        except NotFound:
            return Permission.NONE
        return parse("permission", permission, data)

    def list_pull_requests(
        self, repository: str, *, head_sha: str | None = None, state: str = "open"
    ) -> tuple[PullRequest, ...]:
        """Return pull requests.

        Args:
            repository: ``owner/name``.
            head_sha: Only those that contain this commit.
            state: ``open``, ``closed`` or ``all``.
        """
        path = repository_path(repository)
        if head_sha is not None:
            entries = self._pages(
                f"{path}/commits/{quoted(head_sha)}/pulls",
                purpose=f"list the pull requests with commit {head_sha} of {repository}",
                field=None,
            )
            entries = (entry for entry in entries if state in ("all", entry.get("state")))
        else:
            entries = self._pages(
                f"{path}/pulls",
                purpose=f"list the pull requests of {repository}",
                field=None,
                query={"state": state},
            )
        return tuple(parse("pull request", pull_request, entry) for entry in entries)

    def list_commits(
        self,
        repository: str,
        *,
        branch: str,
        since_sha: str | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> tuple[Commit, ...]:
        """Return a branch's commits, newest first.

        Args:
            repository: ``owner/name``.
            branch: A branch, tag or commit to start from.
            since_sha: Stop before this commit.
            until: Only those committed up to this time.
            limit: The most to return.
        """
        entries = self._pages(
            f"{repository_path(repository)}/commits",
            purpose=f"list the commits of {branch} of {repository}",
            field=None,
            query={
                "sha": branch,
                "until": until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if until else None,
            },
        )
        commits = (parse("commit", commit, entry) for entry in entries)
        return tuple(islice(takewhile(lambda found: found.sha != since_sha, commits), limit))

    def list_ref_names(
        self, repository: str, kind: Literal["branches", "tags"], *, limit: int
    ) -> tuple[str, ...]:
        """Return the names of branches or tags, as GitHub orders them.

        Args:
            repository: ``owner/name``.
            kind: Which of both.
            limit: The most to return.
        """
        entries = self._pages(
            f"{repository_path(repository)}/{kind}", purpose=f"list the {kind} of {repository}", field=None
        )
        return tuple(
            parse("ref", lambda found: str(found["name"]), entry) for entry in islice(entries, limit)
        )

    def commit_files(self, repository: str, sha: str) -> tuple[str, ...]:
        """Return the paths that a commit changed; of a very large one GitHub names the first 300.

        Args:
            repository: ``owner/name``.
            sha: The commit.
        """
        data = self._get(
            f"{repository_path(repository)}/commits/{quoted(sha)}",
            purpose=f"read what commit {sha} of {repository} changed",
        )
        return parse("commit", lambda found: tuple(one["filename"] for one in found["files"]), data)

    def pull_request_files(self, repository: str, number: int, *, limit: int = 1_000) -> tuple[str, ...]:
        """Return the paths that a pull request changes.

        Args:
            repository: ``owner/name``.
            number: The pull request.
            limit: The most to return.
        """
        entries = self._pages(
            f"{repository_path(repository)}/pulls/{number}/files",
            purpose=f"read what pull request {number} of {repository} changes",
            field=None,
        )
        return tuple(parse("file", lambda found: found["filename"], one) for one in islice(entries, limit))

    def get_file(self, repository: str, path: str) -> bytes:
        """Return a file's content, as it is on the default branch.

        Args:
            repository: ``owner/name``.
            path: Of the file, from the root.

        Raises:
            NotFound: There is no such file.
            Permanent: It is a folder, or too large for this interface (1 MB).
        """
        if ".." in path.split("/") or not path.strip("/"):
            raise UsageError(f"{path!r} is no path in a repository.", next_step="write it from the root on.")
        purpose = f"read {path} of {repository}"
        data = self._get(f"{repository_path(repository)}/contents/{quote(path.strip('/'))}", purpose=purpose)
        if not isinstance(data, dict) or data.get("encoding") != "base64":
            raise Permanent(
                f"Could not {purpose}: it is a folder, a link, or larger than 1 MB.",
                next_step="name a plain, smaller file.",
            )
        try:
            return base64.b64decode(data["content"])
        except (KeyError, TypeError, binascii.Error) as error:
            raise Permanent(f"Could not {purpose}: its content cannot be decoded.") from error

    def required_checks(self, repository: str, branch: str) -> RequiredChecks:
        """Return the checks that classic protection and rulesets require on a branch, sorted.

        Classic protection is read from the branch itself, whose summary needs no Administration permission.
        What this credential may not read is named rather than taken for "nothing required".

        Raises:
            NotFound: There is no such branch.
        """
        path = repository_path(repository)
        contexts: set[str] = set()
        unreadable: list[str] = []
        sources: tuple[tuple[str, Callable[[str, str, str], Iterator[str]]], ...] = (
            ("branch protection", self._protected),
            ("rulesets", self._ruled),
        )
        for name, read in sources:
            try:
                contexts.update(read(path, branch, repository))
            except Denied as error:
                unreadable.append(f"{name}: {error.next_step}")
        return RequiredChecks(contexts=tuple(sorted(contexts)), unreadable=tuple(unreadable))

    def _protected(self, path: str, branch: str, repository: str) -> Iterator[str]:
        data = self._get(
            f"{path}/branches/{quoted(branch)}", purpose=f"read the protection of {branch} of {repository}"
        )

        def required(found: Json) -> list[str]:
            checks = found["protection"].get("required_status_checks") or {}
            return list(checks.get("contexts") or ())

        yield from parse("branch", required, data)

    def _ruled(self, path: str, branch: str, repository: str) -> Iterator[str]:
        rules = self._pages(
            f"{path}/rules/branches/{quoted(branch)}",
            purpose=f"read the rules of {branch} of {repository}",
            field=None,
        )

        def required(rule: Json) -> list[str]:
            if rule["type"] != "required_status_checks":
                return []
            return [check["context"] for check in rule["parameters"]["required_status_checks"]]

        for rule in rules:
            yield from parse("rule", required, rule)

    def rate_limits(self) -> tuple[RateLimit, ...]:
        """Return what is left of each hourly budget; asking costs none of it."""
        data = self._get("/rate_limit", purpose="read the rate limits")
        return parse("list of rate limits", rate_limits, data)


def _expiry(text: str | None) -> datetime | None:
    # "2026-05-01 10:00:00 UTC", or with an offset in digits.
    for form in ("%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S %z"):
        try:
            found = datetime.strptime(text or "", form)  # noqa: DTZ007 - the zone is set below
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
