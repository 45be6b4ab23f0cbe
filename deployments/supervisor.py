"""Start and stop the processes of one installation: Prefect server, worker, dispatcher, sandbox.

    with Supervisor(state_directory=Path("state"), report=print) as up:
        up.start_prefect_server()
        up.start_worker(settings=flow_settings())
        up.deploy_all()
        up.wait()

Whatever ends the block (its end, an error, Ctrl-C, SIGTERM, SIGKILL of this process) ends every child and
every grandchild; `guardian` is how.
"""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from deployments import prefect_database
from deployments.children import POLL_SECONDS, Child, ChildDied
from deployments.entry_points import PREFECT_FILE
from deployments.environment import (
    base_environment,
    client_environment,
    network_environment,
    require_flow_settings,
    server_environment,
)
from deployments.interrupts import Interrupts
from deployments.ports import LOOPBACK, free_port, require_free
from deployments.prefect_api import PrefectApi
from deployments.worker import FORKING
from runbook.errors import Transient, UsageError
from runbook.settings import is_loopback

_SERVER = "prefect-server"
_SERVER_DEADLINE_SECONDS = 120.0
_DEPLOY_DEADLINE_SECONDS = 180.0
_WORKER_DEADLINE_SECONDS = 180.0
# A free port can be lost to another process between choosing and binding it.
_PORT_ATTEMPTS = 3


class Supervisor:
    """A set of child processes that lives exactly as long as the ``with`` block.

    Use it in the main thread: stop signals come there, as an exception in the block (see `Interrupts`).

    Args:
        state_directory: Where databases, logs and process ids stand (mode 0700); one supervisor at a time.
            None for a new temporary one, which goes with the last process, whatever signals come.
        report: Called with one line of progress at a time.
        grace_seconds: From TERM to KILL, for each child.
        cache_directory: Where a migrated empty Prefect database is kept between installations; None for not.
        import_path: Folders with modules that children shall find though they are not installed.
        auth_string: ``user:password`` of the Prefect API; needed off loopback (rule 13).
    """

    def __init__(
        self,
        state_directory: Path | None,
        *,
        report: Callable[[str], None] = lambda line: None,
        grace_seconds: float = 10.0,
        cache_directory: Path | None = None,
        import_path: Sequence[Path] = (),
        auth_string: SecretStr | None = None,
    ) -> None:
        self._wanted_state = state_directory
        self._state = Path()
        self._report = report
        self._grace_seconds = grace_seconds
        self._cache_directory = cache_directory
        self._import_path = tuple(path.absolute() for path in import_path)
        self._auth_string = auth_string
        self._children: list[Child] = []
        self._api: PrefectApi | None = None
        self._own_host: str | None = None
        self._lock = -1
        self._stack = contextlib.ExitStack()
        self._interrupts = Interrupts(on_repeat=self._hurry)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._interrupts.install()
            stack.callback(self._interrupts.restore)
            with self._interrupts.held():
                self._state = self._make_state_directory(stack)
                self._lock = stack.enter_context(_locked(self._state))
                # What runs that were killed left behind.
                shutil.rmtree(self._temporary_directory, ignore_errors=True)
                self._temporary_directory.mkdir()
                self._prefect_home.mkdir(exist_ok=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Should a signal come before this line after all, the guardians still notice the end of this process.
        self._interrupts.close()
        self._stack.close()

    @property
    def state_directory(self) -> Path:
        """Where databases, logs and process ids stand."""
        return self._state

    @property
    def api_url(self) -> str:
        """The Prefect API's base URL, with ``/api``."""
        return self._require_api().url

    @property
    def ui_url(self) -> str:
        """The Prefect UI's base URL."""
        return self.api_url.removesuffix("/api")

    @property
    def children(self) -> tuple[Child, ...]:
        """What runs, in the order of its start."""
        return tuple(self._children)

    def start_prefect_server(self, *, host: str = LOOPBACK, port: int | None = None) -> None:
        """Start a Prefect server with SQLite in the state directory; return when it answers.

        Args:
            host: The one address to listen on, as clients and browsers write it.
            port: Where to listen; a free one where None.

        Raises:
            UsageError: The port is taken, or ``host`` is off loopback and there is no ``auth_string``.
            ChildDied: The server ended.
            Transient: It did not answer in time.
        """
        if not is_loopback(host) and self._auth_string is None:
            raise UsageError(
                f"A Prefect server on {host} is open to other machines, and would ask for no password.",
                unchanged="Nothing was started.",
                next_step="set PREFECT_SERVER_API_AUTH_STRING to user:password, or stay on 127.0.0.1.",
            )
        if port is not None:
            require_free(port, host=host, purpose="the Prefect server")
            self._start_server_on(host, port)
            return
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._start_server_on(host, free_port(host))
                return
            except ChildDied as error:
                lost_port = error.name == _SERVER and "in use" in str(error)
                if attempt == _PORT_ATTEMPTS or not lost_port:
                    raise

    def use_prefect_server(self, api_url: str) -> None:
        """Use a server that somebody else runs.

        Raises:
            UsageError: Another version, no Prefect server, or open to anybody though off loopback.
            Transient: It does not answer.
        """
        api = PrefectApi(api_url, auth_string=self._auth_string)
        self._stack.callback(api.close)
        api.require_matching_version()
        api.require_protection()
        api.ensure_work_pool()
        self._api = api
        self._report(f"Using the Prefect server at {api.url}")

    def deploy_all(self, prefect_file: Path = PREFECT_FILE) -> None:
        """Run ``prefect deploy --all``.

        Args:
            prefect_file: What to deploy.

        Raises:
            ChildDied: It failed; the message carries what Prefect said.
            Transient: It took too long.
        """
        started = time.monotonic()
        command = ("deploy", "--all", "--prefect-file", str(prefect_file.absolute()))
        child = self.start("deploy", prefect_command("--no-prompt", *command), reaches_prefect=True)
        try:
            child.await_end(deadline_seconds=_DEPLOY_DEADLINE_SECONDS)
        finally:
            self.end(child)  # its end is this call's matter, not the installation's
        self._report(f"Deployments are up to date ({time.monotonic() - started:.1f} s)")

    def start_worker(self, *, settings: Mapping[str, str], poll_seconds: float = 0.5) -> Child:
        """Start our worker on the pool ``runbook``; return at once (see `await_worker`).

        Args:
            settings: All that flow runs get to know beside the Prefect API; see `flow_settings`.
            poll_seconds: How often it asks for runs.

        Raises:
            UsageError: A setting that flow runs may not have.
        """
        require_flow_settings(settings)
        return self.start(
            "worker",
            (sys.executable, "-m", "deployments.worker", self.worker_name),
            settings={**settings, "PREFECT_WORKER_QUERY_SECONDS": str(poll_seconds)},
            reaches_prefect=True,
            reaches_network=True,
        )

    def await_worker(self) -> None:
        """Wait until the Prefect server has heard of the worker.

        Raises:
            ChildDied: A child ended.
            Transient: The server did not hear of it in time.
        """
        names = {self.worker_name, f"{FORKING}{self.worker_name}"}
        self._await(
            lambda: not names.isdisjoint(self._require_api().online_workers()),
            "the worker",
            deadline_seconds=_WORKER_DEADLINE_SECONDS,
        )
        self._report("The worker takes runs")

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        settings: Mapping[str, str] | None = None,
        reaches_prefect: bool = False,
        reaches_network: bool = False,
    ) -> Child:
        """Start any other child.

        Args:
            name: What people call it; its log is ``NAME.log`` in the state directory.
            command: Program and arguments; never a credential.
            settings: What it gets to know beside the machine's bare facts.
            reaches_prefect: Whether it gets the Prefect API's address and password; for a server off loopback
                also the machine's proxies and certificates.
            reaches_network: Whether it gets the machine's proxies and certificates.

        Raises:
            UsageError: There is a child of that name.
        """
        if any(child.name == name for child in self._children):
            raise UsageError(f"There is a child named {name} already.", next_step="choose another name.")
        environment = base_environment(self._temporary_directory, import_path=self._import_path)
        if reaches_network or (reaches_prefect and not is_loopback(urlsplit(self.api_url).hostname or "")):
            environment |= network_environment(own_host=self._own_host)
        if reaches_prefect:
            environment |= client_environment(self._prefect_home, self.api_url, self._auth_string)
        return self._spawn(name, command, environment | dict(settings or {}))

    def end(self, child: Child) -> None:
        """Stop a child before the block ends."""
        self._children.remove(child)
        child.stop()

    def check(self) -> None:
        """Raise where a child has ended by itself; call it in loops that wait for something.

        Raises:
            ChildDied: One did.
        """
        for child in self._children:
            child.check()

    def wait(self) -> None:
        """Wait until a child ends by itself or a stop signal comes.

        Raises:
            ChildDied: A child ended.
            KeyboardInterrupt: Ctrl-C.
            Terminated: SIGTERM or SIGHUP.
        """
        while True:
            self.check()
            time.sleep(POLL_SECONDS)

    @property
    def worker_name(self) -> str:
        """What Prefect calls our worker."""
        # Another start on the same database finds the earlier worker still listed as online.
        return f"runbook-{os.getpid()}"

    @property
    def _temporary_directory(self) -> Path:
        return self._state / "tmp"

    @property
    def _prefect_home(self) -> Path:
        return self._state / "prefect"

    def _make_state_directory(self, stack: contextlib.ExitStack) -> Path:
        if self._wanted_state is None:
            temporary = Path(tempfile.mkdtemp(prefix="runbook-"))  # mode 0700 from its first moment
            stack.callback(shutil.rmtree, temporary)
            return temporary
        state = self._wanted_state.absolute()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
        return state

    def _start_server_on(self, host: str, port: int) -> None:
        started = time.monotonic()
        database = self._state / "prefect.db"
        is_new = not database.exists()
        seed = prefect_database.seed_file(self._cache_directory) if self._cache_directory else None
        planted = is_new and seed is not None and prefect_database.plant(seed, database)

        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        environment = base_environment(self._temporary_directory)
        environment |= server_environment(self._prefect_home, database, url, self._auth_string)
        command = prefect_command("server", "start", "--host", host, "--port", str(port))
        server = self._spawn(_SERVER, command, environment)
        api = PrefectApi(f"{url}/api", auth_string=self._auth_string)
        self._stack.callback(api.close)
        try:
            self._await(api.is_healthy, "the Prefect server", deadline_seconds=_SERVER_DEADLINE_SECONDS)
        except ChildDied:
            if server.status() is not None:
                self._children.remove(server)
            raise
        # Our server or, had it lost its port a moment ago, somebody else's.
        api.require_matching_version()
        if is_new and seed is not None and not planted:
            prefect_database.harvest(database, seed)
        api.ensure_work_pool()
        self._api = api
        self._own_host = None if is_loopback(host) else host
        self._report(f"Prefect is up at {self.ui_url} ({time.monotonic() - started:.1f} s)")

    def _spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        # No signal gets between the fork and the child's entry in the list of what must be stopped.
        with self._interrupts.held():
            child = Child(
                name,
                command,
                environment=environment,
                directory=self._state,
                grace_seconds=self._grace_seconds,
                # Whoever still runs holds the directory, also when this process was killed.
                keep_open=(self._lock,),
            )
            self._children.append(child)
            self._stack.callback(child.stop)
        return child

    def _hurry(self) -> None:
        """Stop all children at once; those that were already asked are killed."""
        for child in self._children:
            child.signal_stop()

    def _await(self, condition: Callable[[], bool], what: str, *, deadline_seconds: float) -> None:
        deadline = time.monotonic() + deadline_seconds
        while not _holds(condition):
            self.check()
            if time.monotonic() > deadline:
                raise Transient(
                    f"Waited {deadline_seconds:.0f} s for {what}, in vain.",
                    next_step=f"read the logs in {self._state}; on a slow or busy machine, try again.",
                )
            time.sleep(POLL_SECONDS)
        self.check()

    def _require_api(self) -> PrefectApi:
        if self._api is None:
            raise UsageError("There is no Prefect server yet.", next_step="start one, or name one to use.")
        return self._api


def _holds(condition: Callable[[], bool]) -> bool:
    """Ask; a server that does not answer just now (SQLite may stall it for a minute) is asked again."""
    try:
        return condition()
    except Transient:
        return False


def prefect_command(*arguments: str) -> list[str]:
    """Return the command line of this installation's own ``prefect``."""
    return [sys.executable, "-m", "prefect", *arguments]


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[int]:
    # On the directory itself: there is no lock file that could stay behind, and the kernel frees it.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError as error:
        raise UsageError(
            f"Another process runs an installation in {directory}.",
            unchanged="Nothing was started.",
            next_step="stop that one (was it just killed, wait a little), or choose another directory.",
        ) from error
    finally:
        os.close(descriptor)
