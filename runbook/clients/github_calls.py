"""What the groups of GitHub calls share: quoting, pages, parsing."""

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

from runbook.clients.github_answers import MAYBE_CHANGED, PROBE_FIRST
from runbook.clients.github_facts import Fact, Json, parse
from runbook.clients.github_transport import GitHubTransport
from runbook.errors import Ambiguous, Permanent, UsageError
from runbook.repository_name import is_repository_name

PAGE_SIZE = 100


def repository_path(repository: str) -> str:
    """Return the API path of ``owner/name``.

    Raises:
        UsageError: It is not of that form.
    """
    if not is_repository_name(repository):
        raise UsageError(
            f"{repository!r} is not a repository's name.",
            next_step="write it as owner/name: acme/voice-agent.",
        )
    return f"/repos/{repository}"


def quoted(part: str | int) -> str:
    """Return one part of a path, its slashes quoted too.

    Raises:
        UsageError: The part is empty or would climb in the path.
    """
    text = str(part)
    if text in ("", ".", ".."):
        raise UsageError(f"{text!r} is no name.", next_step="give the full name.")
    return quote(text, safe="")


class Calls:
    """Base of the groups; all calls go through ``transport``."""

    def __init__(self, transport: GitHubTransport) -> None:
        self._transport = transport

    def _get(self, path: str, *, purpose: str, query: Mapping[str, str | int] | None = None) -> object:
        return self._transport.call("GET", path, purpose=purpose, query=query).decoded(purpose)

    def _write(
        self,
        method: str,
        path: str,
        *,
        purpose: str,
        kind: str,
        build: Callable[[Json], Fact],
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str | int] | None = None,
        expect: tuple[int, ...] = (200,),
    ) -> Fact:
        """Send a write once and return what GitHub says it did.

        Args:
            method: As for the transport, like all that is not named here.
            path: The path.
            purpose: What it is to do.
            kind: What the answer should be, for errors.
            build: What makes it a fact.
            body: The JSON body.
            query: The query.
            expect: The statuses of success.

        Raises:
            Ambiguous: It was answered with success that cannot be read, so whose effect nobody can name.
        """
        answer = self._transport.call(method, path, purpose=purpose, body=body, query=query, expect=expect)
        try:
            return parse(kind, build, answer.decoded(purpose))
        except Permanent as error:
            raise Ambiguous(error.message, unchanged=MAYBE_CHANGED, next_step=PROBE_FIRST) from error

    def _order(self, method: str, path: str, *, purpose: str, expect: tuple[int, ...]) -> None:
        """Send a write once that is answered by its status alone."""
        self._transport.call(method, path, purpose=purpose, expect=expect)

    def _pages(
        self,
        path: str,
        *,
        purpose: str,
        field: str | None,
        query: Mapping[str, str | int | None] | None = None,
        page_size: int = PAGE_SIZE,
        remember: bool = False,
    ) -> Iterator[Json]:
        """Yield the entries of all pages.

        GitHub's Link header says whether there is another: pages may be short because of filters.

        Args:
            path: The listing's path.
            purpose: As for the transport.
            field: The answer's field that holds the list; None where the answer is the list.
            query: The filters; those that are None are left out.
            page_size: Entries asked for at once.
            remember: As for the transport.
        """
        filters = {name: value for name, value in (query or {}).items() if value is not None}
        page = 1
        while True:
            asked: dict[str, str | int] = {**filters, "per_page": page_size, "page": page}
            answer = self._transport.call("GET", path, purpose=purpose, query=asked, remember=remember)
            data = answer.decoded(purpose)
            entries = data if field is None else data.get(field) if isinstance(data, dict) else None
            if not isinstance(entries, list):
                raise Permanent(
                    f"Could not {purpose}: GitHub's answer is not a list.",
                    next_step="check that GITHUB_API_URL is GitHub's API.",
                )
            yield from entries
            if 'rel="next"' not in answer.headers.get("link", ""):
                return
            page += 1
