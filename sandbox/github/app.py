"""GitHub as a stand-in: who asks, may they, is there budget left, what changed.

The order is GitHub's: credentials, rate limits, what the token and the account may do, then the operation.
"""

import base64
import hashlib
import secrets
import threading
from datetime import datetime

from sandbox import faults
from sandbox.clock import Clock
from sandbox.github import (
    caches,
    deployments,
    downloads,
    git_data,
    hooks,
    issues,
    packages,
    pages,
    pulls,
    repositories,
    runs,
    shapes,
)
from sandbox.github.records import ROLES, Attempt, Repository, Run, Token, User
from sandbox.github.routing import DOCS, Call, Operation, routes
from sandbox.github.scenario import add_runs
from sandbox.github.scenario_values import ScenarioError
from sandbox.github.state import State
from sandbox.github.webhooks import Webhooks
from sandbox.limits import Limits, LimitSettings, Refusal
from sandbox.wire import Json, Refused, Reply, Request, Route

# Importing them fills ``routes``.
OPERATIONS = (caches, deployments, downloads, git_data, hooks, issues, packages, pulls, repositories, runs)
LEVELS = {"read": 0, "write": 1, "admin": 2}
LOOK_SECONDS = 0.05
"""How often (in real time) runs that ended are looked for, to tell the webhooks."""
LIMIT_DOCS = f"{DOCS}/overview/rate-limits-for-the-rest-api"


class GitHub:
    """The stand-in.

    Args:
        state: Accounts and repositories.
        limits: Rate limits to enforce.
    """

    def __init__(self, state: State, limits: LimitSettings) -> None:
        self.data = state
        self.clock: Clock = state.clock
        self._limits = Limits(limits)
        self._lock = threading.RLock()
        self._by_token = {one.value: (user, one) for user in state.users.values() for one in user.tokens}
        self.faults = faults.Faults()
        self._webhooks = Webhooks(state, self.faults)
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._site = ""

    def start(self, url: str) -> None:
        """Begin to tell webhooks what happens.

        Args:
            url: The stand-in's own address, for the links in what is told.
        """
        self._site = url
        self._webhooks.start()
        self._watcher.start()

    def stop(self) -> None:
        """Tell nobody any more."""
        self._ended.set()
        self._watcher.join()
        self._webhooks.stop()

    def steer(self, what: str, data: Json) -> Json | None:
        """Do what a ``/_sandbox`` page of this stand-in asks: add runs, or announce one that has ended.

        Returns:
            The answer; None where there is no such page.

        Raises:
            Refused: It cannot be done.
        """
        with self._lock:
            owner, _, name = str(data.get("repository", "")).partition("/")
            repository = self.data.repository(owner, name)
            if what not in ("runs", "announce"):
                return None
            if repository is None:
                raise Refused(404, f"there is no repository {data.get('repository')!r}")
            if what == "runs":
                try:
                    return {
                        "ids": add_runs(
                            self.data,
                            repository,
                            data.get("runs") or [],
                            workflows=data.get("workflows") or [],
                        )
                    }
                except ScenarioError as error:
                    raise Refused(422, str(error)) from error
            run_id = data.get("run_id")
            run = repository.runs.get(run_id) if isinstance(run_id, int) else None
            if run is None:
                raise Refused(404, f"there is no run {data.get('run_id')!r}")
            self._announce(repository, run, run.latest)
            return {"announced": run.id}

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with self._lock:
                # Without hooks the state is brought up to date by requests alone.
                if any(one.hooks for one in self.data.repositories.values()):
                    self.data.settle()
                    for repository, run, attempt in self.data.take_completed():
                        self._announce(repository, run, attempt)

    def _announce(self, repository: Repository, run: Run, attempt: Attempt) -> None:
        now = self.clock.now()
        asked = Request("GET", "/", {}, {}, b"")
        call = Call(self.data, asked, {}, None, None, now, self._site, self._site, self._webhooks)
        payload = shapes.run_event(call, repository, run, attempt)
        self._webhooks.tell(repository, "workflow_run", "completed", payload)

    def actor(self, request: Request) -> str | None:
        """Return the login behind the request's token."""
        account = self._account(request)
        return account[0].login if account else None

    def state(self) -> Json:
        """Return what ``GET /_sandbox/state`` shows."""
        with self._lock:
            self.data.settle()
            return self.data.as_json()

    def failure(self, request: Request, status: int, message: str | None, retry_after: int | None) -> Reply:
        """Word a fault: a server error, or (403, 429) the secondary limit unless ``message`` is given."""
        with self._lock:
            now = self.clock.now()
            if status >= 500:
                refused = Refused(status, "Server Error")
            elif message is not None:
                refused = Refused(status, message)
            else:
                refused = _secondary(status, retry_after)
            return self._finish(request, _error(refused), now)

    def handle(self, request: Request) -> tuple[Reply, bool]:
        """Answer one request; the second value says whether it changed anything."""
        with self._lock:
            now = self.clock.now()
            self.data.settle()
            before = self.data.revision
            if request.path.startswith(downloads.STORE):
                reply = self._store(request, now)
            elif pages.is_registry(request):
                reply = pages.registry(self.data, request, self._account(request))
            else:
                reply = self._finish(request, self._api(request, now), now)
            return reply, self.data.revision != before

    def _store(self, request: Request, now: datetime) -> Reply:
        try:
            return downloads.serve(self.data, request, now)
        except Refused as refused:
            return Reply(refused.status, {"message": refused.message})

    def _account(self, request: Request) -> tuple[User, Token] | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value).decode().partition(":")[2]
            except ValueError:
                return None
        elif scheme.lower() not in ("token", "bearer"):
            return None
        return self._by_token.get(value.strip())

    def _api(self, request: Request, now: datetime) -> Reply:
        account = self._account(request)
        login = account[0].login if account else None
        if "authorization" in request.headers and account is None:
            return _error(Refused(401, "Bad credentials"))
        if request.path == "/rate_limit":
            return Reply(200, self._rate_limit(login, now))
        found = routes.find("GET" if request.method == "HEAD" else request.method, request.path)
        creates = bool(found and found[0].tags.get("content"))
        points = 1 if request.method in ("GET", "HEAD") else 5
        refusal = self._limits.admit(login, now, points=points, creates_content=creates)
        if refusal is not None:
            return _error(_limit_refusal(refusal, account[0] if account else None))
        reply = self._operate(request, found, account, now)
        reply.sent = lambda: self._release(login)
        return self._conditional(request, reply, login, now)

    def _release(self, login: str | None) -> None:
        with self._lock:
            self._limits.release(login, self.clock.now())

    def _operate(
        self,
        request: Request,
        found: tuple[Route[Operation], dict[str, str]] | None,
        account: tuple[User, Token] | None,
        now: datetime,
    ) -> Reply:
        if found is None:
            return pages.page(self.data, request) or _error(Refused(404, "Not Found"))
        route, params = found
        site = f"http://{request.headers.get('host', 'localhost')}"
        api = site + request.headers.get("x-sandbox-prefix", "")
        user, token = account or (None, None)
        call = Call(self.data, request, params, user, token, now, site, api, self._webhooks)
        try:
            _check_access(call, route)
            reply = route.handler(call)
        except Refused as refused:
            reply = _error(refused)
        if token is not None and token.permissions is not None and "permission" in route.tags:
            reply.headers["X-Accepted-GitHub-Permissions"] = route.tags["permission"].replace(":", "=")
        elif token is not None and token.permissions is None:
            reply.headers["X-OAuth-Scopes"] = "repo, workflow"
        return reply

    def _conditional(self, request: Request, reply: Reply, login: str | None, now: datetime) -> Reply:
        """Add an ETag to what was read; 304 for what the client has already, which costs nothing."""
        if request.method not in ("GET", "HEAD") or reply.status != 200:
            return reply
        content = "".join([*reply.headers.values()]).encode() + b"".join(reply.payload().chunks())
        tag = f'W/"{hashlib.sha256(content).hexdigest()}"'
        reply.headers["ETag"] = tag
        reply.headers["Cache-Control"] = "private, max-age=60, s-maxage=60"
        known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
        if known & {tag, tag.removeprefix("W/")}:
            self._limits.refund(login, now)
            return Reply(304, None, reply.headers, sent=reply.sent)
        return reply

    def _rate_limit(self, login: str | None, now: datetime) -> Json:
        core = self._limits.overview(login, now)
        idle = {"limit": 30, "used": 0, "remaining": 30, "reset": core["reset"]}
        graphql = {"limit": 5000, "used": 0, "remaining": 5000, "reset": core["reset"]}
        return {"resources": {"core": core, "search": idle, "graphql": graphql}, "rate": core}

    def _finish(self, request: Request, reply: Reply, now: datetime) -> Reply:
        """Add the headers that every answer of the API carries."""
        overview = self._limits.overview(self.actor(request), now)
        for name, value in overview.items():
            reply.headers[f"X-RateLimit-{name.title()}"] = str(value)
        reply.headers["X-RateLimit-Resource"] = "core"
        reply.headers["X-GitHub-Request-Id"] = ":".join(secrets.token_hex(2).upper() for _ in range(5))
        reply.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
        return reply


def _check_access(call: Call, route: Route[Operation]) -> None:
    """Refuse what the account or its token may not do."""
    if call.actor is None and route.method != "GET":
        raise Refused(401, "Requires authentication")
    if "repo" in call.params:
        repo = call.repo  # 404 for a private repository that the account may not see
        permissions = call.token.permissions if call.token else None
        if permissions is not None and not _allows(
            permissions, route.tags.get("permission", "metadata:read")
        ):
            raise Refused(403, "Resource not accessible by personal access token")
        role = route.tags.get("role", "none")
        if ROLES.index(call.role_in(repo)) < ROLES.index(role):
            if route.tags.get("hidden"):
                raise Refused(404, "Not Found")
            raise Refused(403, "Must have admin rights to Repository.")
        if repo.archived and route.method != "GET":
            raise Refused(403, "Repository was archived so is read-only.")


def _allows(permissions: dict[str, str], wanted: str) -> bool:
    name, level = wanted.split(":")
    held = {"metadata": "read", **permissions}.get(name)
    return held is not None and LEVELS.get(held, -1) >= LEVELS[level]


def _error(refused: Refused) -> Reply:
    body = {
        "message": refused.message,
        **refused.extra,
        "documentation_url": refused.extra.get("documentation_url", DOCS),
        "status": str(refused.status),
    }
    return Reply(refused.status, body, dict(refused.headers))


def _limit_refusal(refusal: Refusal, user: User | None) -> Refused:
    if not refusal.primary:
        return _secondary(refusal.status, refusal.retry_after_seconds)
    whom = f"user ID {user.id}" if user else "127.0.0.1"
    return Refused(403, f"API rate limit exceeded for {whom}.", extra={"documentation_url": LIMIT_DOCS})


def _secondary(status: int, retry_after: int | None) -> Refused:
    return Refused(
        status,
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        extra={"documentation_url": f"{LIMIT_DOCS}#about-secondary-rate-limits"},
        headers={} if retry_after is None else {"Retry-After": str(retry_after)},
    )
