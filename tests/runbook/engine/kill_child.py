"""What the kill tests run in a bare process: one plan, applied by the engine, stopped at one boundary.

The processes are forked from a server that has the product loaded, so that a kill costs a tenth of a second.
"""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

from pydantic import SecretStr

from runbook.clients.github_client import GitHubClient
from runbook.clients.helm_client import HelmClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import SystemClock
from runbook.effects.gitops import PauseGitOpsSync
from runbook.effects.releases import RollBackRelease
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.engine import Engine, Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.leases import Lease
from runbook.engine.ledger import Ledger
from runbook.policy import Timings
from runbook.world import World

TIMINGS = Timings(
    lease_seconds=5,
    settle_seconds=1.5,
    probe_interval_seconds=0.05,
    watch_poll_seconds=1,
)


@dataclass(frozen=True)
class Job:
    """One process's work.

    Args:
        ledger_url: The shared ledger.
        github_url: The stand-in.
        token: The product's credential there.
        login: The product's account.
        plan_id: The plan to apply; empty to make only the record write.
        record: Arguments of ``Engine.record``.
        restore: The exception to restore; 0 for none.
        verified: What the verification says.
        kill_at: Where the process is killed; empty for nowhere.
        kill_on: On which visit there.
        notes: Each step notes what it leaves, as the rollback's do.
        kubeconfig: The cluster's stand-in.
        helm: The program in front of it.
    """

    ledger_url: str
    github_url: str
    token: str
    login: str
    plan_id: str = ""
    record: tuple[str, str, str, dict[str, object]] | None = None
    restore: int = 0
    verified: bool = True
    kill_at: str = ""
    kill_on: int = 1
    notes: bool = False
    kubeconfig: Path | None = None
    helm: str = "helm"


def engine_for(job: Job, boundary: Callable[[str], None] = lambda name: None) -> Engine:
    """Open an engine as a process of its own would."""
    clock = SystemClock()
    github = GitHubClient(token=SecretStr(job.token), api_url=job.github_url, clock=clock)
    world = World(
        github=github,
        kubernetes=KubernetesClient(job.kubeconfig),
        helm=HelmClient(job.kubeconfig, program=job.helm),
        product_login=job.login,
        clock=clock,
    )
    return Engine(Ledger(job.ledger_url), world=world, timings=TIMINGS, boundary=boundary)


def work(job: Job) -> None:
    """Apply the plan, or make the record write, and die where told to."""
    from runbook.engine.effects import load_effect

    visits: Counter[str] = Counter()

    def boundary(name: str) -> None:
        visits[name] += 1
        if name == job.kill_at and visits[name] == job.kill_on:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = engine_for(job, boundary)
    if job.record is not None:
        execution_id, name, kind, params = job.record
        engine.record(execution_id, name, load_effect(kind, params))
    if job.restore:
        engine.restore(job.restore, by="alice", reason="as the test wants it")
    if job.plan_id:
        plan = engine.plans.get(job.plan_id)
        verdict = Verification(passed=job.verified, reason="as the test wants it")
        step = partial(noting_step, engine) if job.notes else None
        engine.apply(plan, verify=lambda lease: verdict, step=step)


def noting_step(engine: Engine, entry: JournalEntry, lease: Lease) -> JournalEntry:
    """Apply an effect, then note what it leaves: a pause is to end, and what was left is not to come back."""
    applied = engine.journal.apply(entry.id, lease=lease)
    deadline = engine.world.clock.now() + timedelta(hours=4)
    exceptions, execution_id = engine.exceptions, lease.execution_id
    if isinstance(entry.effect, PauseGitOpsSync):
        exceptions.add_restore(
            execution_id,
            effect_id=entry.id,
            repository="acme/voice-agent",
            owner="alice",
            reason="r",
            deadline=deadline,
            incident_id=None,
        )
    elif isinstance(entry.effect, RollBackWorkload | RollBackRelease):
        exceptions.add_bar(
            execution_id,
            effect_id=entry.id,
            subject=entry.effect.from_images[0],
            service="",
            repository="acme/voice-agent",
            owner="alice",
            reason="r",
            deadline=deadline,
            incident_id=None,
        )
    return applied


def forkserver() -> ForkServerContext:
    """Return the context whose server has the product loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.runbook.engine.kill_child", "runbook.effects.catalogue"])
    return context


def run_in_process(job: Job) -> int:
    """Run a job in a process of its own; return its exit code (-9 where it was killed)."""
    process = forkserver().Process(target=work, args=(job,))
    process.start()
    process.join(timeout=30)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{job} did not end")
    return process.exitcode
