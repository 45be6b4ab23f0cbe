"""One call to GitHub's API: who asks, for what, and what operations share (roles, pages, JSON bodies)."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sandbox.github.records import ROLES, Repository, Token, User
from sandbox.github.state import State
from sandbox.wire import Json, Refused, Reply, Request, Router

if TYPE_CHECKING:
    from sandbox.github.webhooks import Webhooks

REPOSITORY = "/repos/{owner}/{repo}"
DOCS = "https://docs.github.com/rest"


@dataclass
class Call:
    """A request that was let in, with everything a handler needs to answer it."""

    state: State
    request: Request
    params: dict[str, str]
    actor: User | None
    token: Token | None
    now: datetime
    site: str  # scheme and host that the client used
    api: str  # the same with the API's prefix
    webhooks: "Webhooks"

    @property
    def repo(self) -> Repository:
        """The repository that the path names and that the actor may see."""
        found = self.state.repository(self.params["owner"], self.params["repo"])
        if found is None or (found.private and self.role_in(found) == "none"):
            raise Refused(404, "Not Found")
        return found

    @property
    def login(self) -> str:
        """Login of the actor; operations that need one are refused to strangers before."""
        if self.actor is None:
            raise Refused(401, "Requires authentication")
        return self.actor.login

    def role_in(self, repository: Repository, login: str | None = None) -> str:
        """Return the role that an account (the actor by default) has in a repository."""
        if login is None:
            login = self.actor.login if self.actor else ""
        floor = "none" if repository.private or not login else "read"
        return repository.roles.get(login.lower(), floor)

    def has_role(self, role: str, login: str | None = None) -> bool:
        """Return whether the account has at least ``role`` in the call's repository."""
        return ROLES.index(self.role_in(self.repo, login)) >= ROLES.index(role)

    def number(self, name: str) -> int:
        """Return a numeric path parameter; anything else names nothing that exists."""
        if not self.params[name].isdecimal():
            raise Refused(404, "Not Found")
        return int(self.params[name])

    def data(self) -> Json:
        """Return the JSON object of the body, {} when it is empty."""
        try:
            data = json.loads(self.request.body or b"{}")
        except ValueError as error:
            raise Refused(400, "Problems parsing JSON") from error
        if not isinstance(data, dict):
            raise Refused(422, "Invalid request.\n\nFor 'links/0/schema', the body is not an object.")
        return data

    def created(self, body: Any, *, status: int = 201, location: str | None = None) -> Reply:
        """Note a change and return its answer."""
        self.state.touch()
        return Reply(status, body, {"Location": location} if location else {})

    def page(self, rows: list[Any], render: Callable[[Any], Any], wrap: str | None = None) -> Reply:
        """Answer with one page of ``rows``, with a Link header to the others.

        Args:
            rows: All rows, in order.
            render: Makes JSON of one row; called for the page's rows only.
            wrap: Key of the rows in an object with ``total_count``; None answers with a plain array.
        """
        query = self.request.query
        size = min(100, max(1, _whole(query.get("per_page"), 30)))
        page = max(1, _whole(query.get("page"), 1))
        body: Any = [render(row) for row in rows[(page - 1) * size : page * size]]
        last = max(1, -(-len(rows) // size))
        targets: dict[str, int] = {}
        if page > 1:
            targets.update(prev=min(page - 1, last), first=1)
        if page < last:
            targets.update(next=page + 1, last=last)
        links = [
            f'<{self.api}{self.request.path}?{urlencode({**query, "page": number})}>; rel="{rel}"'
            for rel, number in targets.items()
        ]
        if wrap:
            body = {"total_count": len(rows), wrap: body}
        return Reply(200, body, {"Link": ", ".join(links)} if links else {})


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default


def invalid(resource: str, field: str, code: str = "missing_field", message: str | None = None) -> Refused:
    """Return GitHub's 422 for a field that is missing or unusable."""
    error: Json = {"resource": resource, "field": field, "code": code}
    if message:
        error["message"] = message
    return Refused(422, "Validation Failed", extra={"errors": [error]})


Operation = Callable[[Call], Reply]

# Tags of a route: ``permission`` ("actions:write") is what a fine-grained token needs; ``role`` is what the
# account needs in the repository; ``content`` marks requests that create content (a secondary limit counts
# those); ``hidden`` ones answer 404 rather than 403 to whoever lacks the role.
routes: Router[Operation] = Router()
