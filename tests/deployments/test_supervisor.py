"""What is started ends: whatever happens to the supervisor, its children or theirs, at whatever moment."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.children import ChildDied
from deployments.environment import FLOW_SETTINGS, flow_settings
from deployments.ports import free_port, require_free
from deployments.supervisor import Supervisor
from runbook.errors import Transient, UsageError
from runbook.scrub import register_secret
from tests.deployments.processes import await_true, processes_of

PYTHON = sys.executable
SLEEPER = [PYTHON, "-S", "-c", "import time; time.sleep(120)"]
STUBBORN = [
    *(PYTHON, "-S", "-c"),
    "import signal, time\n"
    "for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\n"
    "time.sleep(120)",
]
# A worker whose flow run sits in a session of its own, as a stock worker's does.
PARENT = [
    *(PYTHON, "-S", "-c"),
    "import os, subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(120)'], start_new_session=True)\n"
    "print('started', flush=True)\n"
    "time.sleep(120)",
]


@contextlib.contextmanager
def running(state: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A supervisor in a process of its own, which says that it is ready."""
    process = subprocess.Popen(
        [PYTHON, "-m", "tests.deployments.supervised", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        await_true(lambda: not processes_of(state), deadline_seconds=10, what="the guardians to end all")


def nothing_left(state: Path) -> bool:
    return not processes_of(state)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 128 + 15), (signal.SIGHUP, 128 + 1)],
)
@pytest.mark.parametrize("command", [SLEEPER, STUBBORN, PARENT], ids=["sleeper", "stubborn", "parent"])
def test_a_stop_signal_ends_children_and_grandchildren(
    tmp_path: Path, number: signal.Signals, status: int, command: list[str]
) -> None:
    with running(tmp_path, str(tmp_path), *command) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "ready\n"
        supervisor.send_signal(number)
        assert supervisor.wait(timeout=20) == status
        assert processes_of(tmp_path) == {}
        assert list(tmp_path.glob("*.pid")) == []


def test_a_second_ctrl_c_kills_at_once_and_still_leaves_nothing(tmp_path: Path) -> None:
    with Supervisor(tmp_path, grace_seconds=60) as up:
        child = up.start("stubborn", STUBBORN)
        child.await_line(lambda line: line == "deaf", deadline_seconds=10)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # asks for the end of all at once
        os.kill(os.getpid(), signal.SIGINT)  # and once more: no exception, no waiting
    assert time.monotonic() - started < 20
    assert processes_of(tmp_path) == {}


@pytest.mark.parametrize("command", [SLEEPER, PARENT], ids=["sleeper", "parent"])
def test_a_killed_supervisor_takes_its_children_along(tmp_path: Path, command: list[str]) -> None:
    with running(tmp_path, str(tmp_path), *command) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "ready\n"
        supervisor.kill()
        await_true(lambda: nothing_left(tmp_path), deadline_seconds=10, what="the children to end")


@pytest.mark.parametrize("delay_seconds", [0.0, 0.004, 0.011, 0.023, 0.037, 0.051])
def test_a_signal_in_the_middle_of_starting_children_leaves_none(
    tmp_path: Path, delay_seconds: float
) -> None:
    with running(tmp_path, "--in-start", str(tmp_path), *SLEEPER) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "ready\n"
        time.sleep(delay_seconds)  # the moment is the point: it falls before, in and after a fork
        supervisor.send_signal(signal.SIGINT)
        supervisor.wait(timeout=60)
        assert processes_of(tmp_path) == {}


def test_a_killed_guardian_takes_its_command_along(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as up:
        up.start("child", SLEEPER)
        await_true(lambda: len(processes_of(tmp_path)) == 2, deadline_seconds=10, what="guardian and command")
        os.kill(min(processes_of(tmp_path)), signal.SIGKILL)
        await_true(lambda: nothing_left(tmp_path), deadline_seconds=10, what="the command to end")


def test_orphans_of_a_killed_child_end_and_the_death_is_told(tmp_path: Path) -> None:
    with Supervisor(tmp_path, grace_seconds=5) as up:
        child = up.start("worker", PARENT)
        child.await_line(lambda line: line == "started", deadline_seconds=10)
        assert child.pid is not None
        started = time.monotonic()
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(ChildDied, match="worker was ended by signal 9") as caught:
            up.wait()
        assert caught.value.status == 128 + 9
        assert time.monotonic() - started < 60  # the orphan would have lived for 120
        assert processes_of(tmp_path) == {}


def test_a_death_is_told_with_the_scrubbed_end_of_the_log(tmp_path: Path) -> None:
    register_secret("canary-of-this-test")
    script = "import sys; print('first'); print('token canary-of-this-test \\x1b[31mred'); sys.exit(3)"
    with Supervisor(tmp_path) as up:
        up.start("sandbox", [PYTHON, "-c", script])
        with pytest.raises(ChildDied) as caught:
            up.wait()
    text = str(caught.value)
    assert "The sandbox ended with status 3" in text
    assert "first" in text
    assert str(tmp_path / "sandbox.log") in text
    assert "canary-of-this-test" not in text
    assert "\x1b" not in text


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as up:
        up.start("sandbox", ["no-such-program"])
        with pytest.raises(ChildDied, match="no-such-program cannot be started: No such file"):
            up.wait()


def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    script = (
        "import signal, sys, time\n"
        "def end(*_):\n    open('order', 'a').write(sys.argv[1] + ' '); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(120)"
    )
    with Supervisor(tmp_path) as up:
        for name in ("server", "worker", "dispatcher"):
            child = up.start(name, [PYTHON, "-c", script, name])
            child.await_line(lambda line: line == "up", deadline_seconds=10)
    assert (tmp_path / "order").read_text() == "dispatcher worker server "


def test_a_child_may_ignore_nothing_that_its_starter_ignored(tmp_path: Path) -> None:
    script = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)"
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Supervisor(tmp_path) as up:
            child = up.start("worker", [PYTHON, "-c", script])
            assert child.await_line(lambda line: True, deadline_seconds=10) == "True"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_waiting_for_a_line_ends_with_the_child(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as up:
        said = up.start("said", [PYTHON, "-c", "print('other'); print('{\"ready\": 1}')"])
        line = said.await_line(lambda text: text.startswith("{"), deadline_seconds=10)
        assert line == '{"ready": 1}'
        silent = up.start("silent", [PYTHON, "-c", "print('other')"])
        with pytest.raises(ChildDied, match="silent ended with status 0"):
            silent.await_line(lambda text: text.startswith("{"), deadline_seconds=10)
        slow = up.start("slow", SLEEPER)
        with pytest.raises(Transient, match="slow was not ready within 0 s"):
            slow.await_line(lambda text: True, deadline_seconds=0.1)


def test_a_state_directory_has_one_supervisor_until_its_last_process_ended(tmp_path: Path) -> None:
    with running(tmp_path, str(tmp_path), *STUBBORN) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "ready\n"
        for _ in ("while it runs", "while its child outlives it for a moment"):
            with (
                pytest.raises(UsageError, match="Another process runs an installation"),
                Supervisor(tmp_path),
            ):
                pass
            supervisor.kill()
        await_true(lambda: nothing_left(tmp_path), deadline_seconds=10, what="the child to end")
        with Supervisor(tmp_path):
            pass


def test_a_temporary_state_directory_goes_with_the_last_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Supervisor(None) as up:
        up.start("child", SLEEPER)
        assert up.state_directory.stat().st_mode & 0o777 == 0o700
        assert [up.state_directory] == list(tmp_path.iterdir())
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_names_are_unique(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as up:
        up.start("sandbox", SLEEPER)
        with pytest.raises(UsageError, match="a child named sandbox already"):
            up.start("sandbox", SLEEPER)


def test_logs_and_state_are_for_the_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Supervisor(state) as up:
        up.start("sandbox", SLEEPER)
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "sandbox.log").stat().st_mode & 0o777 == 0o600


# ---- What children get to know ----


def environment_of_a_child(state: Path, **options: object) -> dict[str, str]:
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    with Supervisor(state) as up:
        child = up.start("child", [PYTHON, "-S", "-c", script], **options)  # type: ignore[arg-type]
        return dict(json.loads(child.await_line(lambda line: True, deadline_seconds=10)))


def test_a_child_knows_nothing_that_it_was_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "canary")
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("PREFECT_PROFILE", "mine")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary@proxy")
    environment = environment_of_a_child(tmp_path)
    assert not [name for name in environment if name.startswith("PREFECT") or "PROXY" in name]
    assert "canary" not in str(environment)
    assert environment["PATH"].startswith(str(Path(PYTHON).parent))


def test_a_child_with_a_proxy_reaches_loopback_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("NO_PROXY", "internal.example")
    environment = environment_of_a_child(tmp_path, reaches_network=True)
    assert environment["HTTPS_PROXY"] == "http://proxy"
    assert environment["no_proxy"] == environment["NO_PROXY"] == "internal.example,127.0.0.1,localhost"


def test_only_known_settings_reach_flow_runs(tmp_path: Path) -> None:
    given = {
        "GITHUB_TOKEN": "t",
        "RUNBOOK_APPROVER_TOKEN": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
        "VAULT_ADDR": "",
    }
    assert flow_settings(given) == {"GITHUB_TOKEN": "t"}
    assert "RUNBOOK_APPROVER_TOKEN" not in FLOW_SETTINGS
    with (
        Supervisor(tmp_path) as up,
        pytest.raises(UsageError, match="RUNBOOK_APPROVER_TOKEN may not be passed"),
    ):
        up.start_worker(settings={"RUNBOOK_APPROVER_TOKEN": "a"})


# ---- Where a server may listen ----


def test_a_taken_port_is_a_usage_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {port} on 127.0.0.1, .* Address already in use"):
            require_free(port, purpose="the Prefect server")
        with pytest.raises(UsageError, match="or choose another port with --gateway-port"):
            require_free(port, purpose="the gateway", option="--gateway-port")
    require_free(port, purpose="the Prefect server")


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_port_out_of_range_is_a_usage_error(port: int) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        require_free(port, purpose="the Prefect server")


def test_a_server_off_loopback_without_a_password_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as up, pytest.raises(UsageError, match="would ask for no password"):
        up.start_prefect_server(host="192.0.2.1", port=free_port())
    assert not (tmp_path / "prefect-server.log").exists()


def test_what_needs_a_server_says_so_where_there_is_none(tmp_path: Path) -> None:
    with Supervisor(tmp_path, auth_string=SecretStr("user:password")) as up:
        for call in (up.deploy_all, lambda: up.start_worker(settings={}), lambda: up.api_url):
            with pytest.raises(UsageError, match="no Prefect server yet"):
                call()
