"""What tests run in processes of their own: writers, openers, holders of leases, the dead."""

import os
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier

from sqlalchemy import func, select

from runbook.clock import SystemClock
from runbook.engine import audit
from runbook.engine.executions import Executions
from runbook.engine.leases import Leases
from runbook.engine.ledger import Ledger
from runbook.engine.processes import process_identity
from runbook.engine.schema import AuditRow
from runbook.errors import LedgerError
from tests.runbook.engine.kill_child import forkserver

NOBODY = 65_534
DEADLINE_SECONDS = 30.0


def context() -> ForkServerContext:
    """Return the context of the children."""
    return forkserver()


def run_all(target: Callable[..., None], *arguments: tuple[object, ...]) -> list[int | None]:
    """Run a child for each tuple of arguments, all at once; return their exit codes."""
    children: list[BaseProcess] = [context().Process(target=target, args=each) for each in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=DEADLINE_SECONDS)
        if child.exitcode is None:
            child.kill()
            child.join()
    return [child.exitcode for child in children]


def open_at_once(urls: list[str], barrier: Barrier) -> None:
    """Open one new ledger after the other, each in the same moment as the other processes."""
    for url in urls:
        barrier.wait(timeout=DEADLINE_SECONDS)
        Ledger(url).close()


def write_lines(url: str, name: str, lines: int, barrier: Barrier) -> None:
    """Append to the audit as fast as the ledger lets us; each line says what it saw before it."""
    ledger = Ledger(url)
    barrier.wait(timeout=DEADLINE_SECONDS)
    for _ in range(lines):
        with ledger.write() as session:
            seen = session.scalar(select(func.count()).select_from(AuditRow))
            time.sleep(0)  # lets the other process in, if anything would
            audit.append(
                session,
                now=SystemClock().now(),
                actor=name,
                event="line.written",
                subject="line",
                body={"seen": seen},
            )


def claim_attempt(url: str, name: str, barrier: Barrier, claimed: str) -> None:
    """Claim one attempt in the same moment as the others; leave a file if it is ours."""
    executions = Executions(Ledger(url), clock=SystemClock())
    executions.begin(name, procedure="triage-failed-run", repository="r", subject="s", request={})
    barrier.wait(timeout=DEADLINE_SECONDS)
    if executions.claim_attempt(name, repository="acme/voice-agent", run_id=1, run_attempt=1):
        with open(f"{claimed}/{name}", "w"):  # noqa: PTH123 - an empty mark
            pass


def take_lease_and_end(url: str, target: str) -> None:
    """Take a lease for an hour, and end without giving it back."""
    leases = Leases(Ledger(url), clock=SystemClock(), lease_seconds=3600, poll_seconds=0.05)
    leases.acquire((target,), execution_id="e1")


def tell_identity(path: str) -> None:
    """Write down who this process is."""
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(process_identity())


def open_as_nobody(url: str, path: str) -> None:
    """Open and write a ledger without the right to write it; write down what that says."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    said = "it was written"
    try:
        Executions(Ledger(url), clock=SystemClock()).ask(procedure="p", request={}, requester="r")
    except LedgerError as error:
        said = str(error)
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(said)
