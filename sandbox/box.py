"""One running sandbox, in this process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox import faults
from sandbox.clock import Clock, SystemClock
from sandbox.github.app import GitHub
from sandbox.github.records import Repository
from sandbox.github.scenario import build, load
from sandbox.github.scenario_values import ScenarioError
from sandbox.github.state import State
from sandbox.server import Server
from sandbox.wire import Json

DEMO = Path(__file__).parent / "scenarios" / "demo.yaml"


class Box:
    """A GitHub stand-in with its scenario.

    Args:
        scenario: YAML file or data; the demo's if None.
        clock: Time of the stand-in; the machine's if None.
        port: TCP port; 0 takes a free one.
        socket_path: Also listen on this unix socket.

    Raises:
        ScenarioError: The scenario cannot be used.
        OSError: The port or the socket is taken.
    """

    def __init__(
        self,
        scenario: Path | str | Mapping[str, Any] | None = None,
        *,
        clock: Clock | None = None,
        port: int = 0,
        socket_path: Path | None = None,
    ) -> None:
        data = load(DEMO if scenario is None else scenario)
        self.clock = clock or SystemClock()
        self.state: State
        self.state, limits = build(data, self.clock)
        self.bot = str(data.get("bot") or next(iter(self.state.users.values())).login)
        first = next(iter(self.state.repositories.values())).full_name
        self.owner, _, self.repo = str(data.get("repository") or first).partition("/")
        self.webhook_secret = self.state.webhook_secret
        if self.state.user(self.bot) is None:
            raise ScenarioError(f"bot: there is no user {self.bot!r}. Nothing was started.")
        self.server = Server(GitHub(self.state, limits), port=port, socket_path=socket_path)

    @property
    def url(self) -> str:
        """Base address of the API."""
        return self.server.url

    @property
    def token(self) -> str:
        """Token of the product's account."""
        return self.token_of(self.bot)

    @property
    def requests(self) -> list[Json]:
        """The request log, as ``GET /_sandbox/requests`` gives it."""
        return list(self.server.requests)

    @property
    def repository(self) -> Repository:
        """State of the main repository."""
        found = self.state.repository(self.owner, self.repo)
        assert found is not None, "checked when the scenario was read"  # noqa: S101
        return found

    def token_of(self, login: str, *, app: str | None = None) -> str:
        """Return a token of an account; with ``app`` the one by which that app acts for it."""
        user = self.state.users[login.lower()]
        return next(one.value for one in user.tokens if one.app == app)

    def fail(self, fault: str, *, method: str = "*", path_regex: str = ".*", **more: Any) -> None:
        """Set a fault, as ``POST /_sandbox/faults`` does."""
        self.server.faults.add(
            faults.parse({"fault": fault, "method": method, "path_regex": path_regex, **more})
        )

    def ready(self) -> Json:
        """Return what ``--json`` prints when the sandbox is ready."""
        people = [user for user in self.state.users.values() if user.login != self.bot]
        return {
            "github": {
                "url": self.url,
                "token": self.token,
                "approver_tokens": {user.login: user.tokens[0].value for user in people},
                "socket": str(self.server.socket_path) if self.server.socket_path else None,
                "owner": self.owner,
                "repo": self.repo,
                "webhook_secret": self.webhook_secret,
            }
        }


@contextmanager
def running(
    scenario: Path | str | Mapping[str, Any] | None = None,
    *,
    clock: Clock | None = None,
    socket_path: Path | None = None,
) -> Iterator[Box]:
    """Run a sandbox for the length of a ``with`` block.

    Args:
        scenario: YAML file or data; the demo's if None.
        clock: Time of the stand-in, possibly virtual and shared with the client; the machine's if None.
        socket_path: Also listen on this unix socket.
    """
    box = Box(scenario, clock=clock, socket_path=socket_path)
    box.server.start()
    try:
        yield box
    finally:
        box.server.stop()
