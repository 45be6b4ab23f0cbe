"""Our worker: forks each run from a server that has the product loaded, and runs nothing but our flows (R13).

    python -m deployments.worker NAME

It is a `ProcessWorker` in all but how a run's process comes to be, so the pool's type stays ``process`` and a stock
worker can serve it too. Of a deployment only the entry point counts, and only if this package ships it: pull steps,
command, environment and working directory are ignored, and said to be. Whoever can write to the Prefect API could
otherwise run a shell with our credentials.
"""

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from deployments.prefect_api import WORK_POOL
from runbook.scrub import install_log_scrubber

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

_LOG = logging.getLogger("runbook.worker")

FORKING = "forking-"
"""What Prefect's name of our worker begins with, so that a stock one that took over is told from it."""

PRELOADED = (
    "deployments.preloaded",
    "deployments.forked_run",
    "runbook.installation",
    "flows.procedure",
    "flows.waking",
)
"""What every run needs; the flows themselves are added from the allow-list."""


def main(arguments: list[str]) -> int:
    """Work until the process is told to end.

    Args:
        arguments: The worker's name, as Prefect shows it.
    """
    install_log_scrubber()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    (name,) = arguments
    try:
        from deployments.forking_worker import ForkingWorker
    except ImportError as error:
        if not (error.name or "").startswith("prefect"):
            raise  # a broken installation is no reason to run other people's code
        # Private modules of Prefect, which may move in any release.
        _LOG.error(
            "This version of Prefect has no place for our worker: %s. A stock process worker takes over; it starts "
            "runs more slowly, and runs whatever entry point a deployment names: let nobody else write to the API.",
            error,
        )
        become_stock_worker(name)
    forkserver = warm_forkserver()
    worker = ForkingWorker(work_pool_name=WORK_POOL, name=f"{FORKING}{name}", forkserver=forkserver)
    asyncio.run(worker.start())
    return 0


def warm_forkserver() -> "ForkServerContext":
    """Return a fork server that has the product loaded."""
    import multiprocessing

    from deployments.entry_points import allowed_entry_points

    flows = sorted(entry_point.rpartition(".")[0] for entry_point in allowed_entry_points())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *flows])
    # The first process waits for the server to be up and loaded: none of a run's time goes there.
    first = context.Process(target=os.getpid)
    first.start()
    first.join()
    return context


def become_stock_worker(name: str) -> NoReturn:
    """Replace this process by Prefect's own process worker of the same name."""
    worker = ("worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", name)
    os.execv(sys.executable, [sys.executable, "-m", "prefect", *worker])  # noqa: S606 - no shell is involved


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
