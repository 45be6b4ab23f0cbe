"""Which processes there are, as the kernel tells it: for tests that ask whether anything was left behind."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

_POLL_SECONDS = 0.02
_LISTENING = "0A"


def await_true(condition: Callable[[], object], *, deadline_seconds: float, what: str) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + deadline_seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {deadline_seconds} s for {what}"
        time.sleep(_POLL_SECONDS)


def processes_of(state: Path) -> dict[int, str]:
    """Return the processes whose environment names ``state``, as every supervised child's does."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            if os.fsencode(f"TMPDIR={state / 'tmp'}") in variables:
                found[int(entry.name)] = _command_line(entry)
    return found


def descendants(root: int) -> dict[int, str]:
    """Return the processes below ``root``, without those that ended and wait to be collected."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: dict[int, str] = {}
    unseen = [root]
    while unseen:
        for pid in children.get(unseen.pop(), []):
            found[pid] = _command_line(Path("/proc") / str(pid))
            unseen.append(pid)
    return found


def listening_ports() -> dict[str, int]:
    """Return every TCP port that is listened on here, by the inode of its socket."""
    ports = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING:
                ports[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return ports


def ports_of(pids: set[int]) -> set[int]:
    """Return the TCP ports that these processes listen on."""
    ports = listening_ports()
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in (Path("/proc") / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    inode = str(descriptor.readlink()).removeprefix("socket:[").rstrip("]")
                    if inode in ports:
                        found.add(ports[inode])
    return found


def _command_line(entry: Path) -> str:
    with contextlib.suppress(OSError):
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "?"
