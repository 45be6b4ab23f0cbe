"""Which process this is, in a form that another process can later prove dead.

A dead holder's lease may be taken over at once; where death cannot be proved (another host, another pid
namespace, no /proc), the lease's expiry decides.
"""

import os
import socket
import uuid
from pathlib import Path

_PROC = Path("/proc")
_UNPROVABLE = uuid.uuid4().hex


def process_identity() -> str:
    """Return ``host/boot/pid namespace/pid/start time`` of the calling process."""
    pid = os.getpid()
    started = _start_time(pid)
    if started is None:
        return f"{socket.gethostname()}/{_UNPROVABLE}/-/{pid}/-"
    return f"{_machine()}/{pid}/{started}"


def is_provably_dead(identity: str) -> bool:
    """Whether the process of that identity ran here and is gone; False where nobody can tell."""
    machine, _, tail = identity.rpartition("/")
    machine, _, pid = machine.rpartition("/")
    if not pid.isdigit() or tail == "-" or machine != _machine():
        return False
    return _start_time(int(pid)) != tail


def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return f"{socket.gethostname()}/{_UNPROVABLE}/-"
    return f"{socket.gethostname()}/{boot}/{namespace}"


def _start_time(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name may hold spaces and brackets
    state, started = fields[0], fields[19]
    return None if state in {"Z", "X"} else started
