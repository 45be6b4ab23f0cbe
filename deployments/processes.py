"""What an installation runs beside Prefect's server and the worker, as `runbook up` and the demo start it."""

import sys
import time
from collections.abc import Collection, Mapping

import requests

from deployments.children import POLL_SECONDS, Child
from deployments.environment import GITHUB_SETTINGS, INSTALLATION_SETTINGS
from deployments.ports import LOOPBACK, require_free
from deployments.supervisor import Supervisor
from runbook.errors import Transient, UsageError

WEBHOOK_SETTINGS = ("RUNBOOK_WEBHOOK_SECRET", "RUNBOOK_WEBHOOK_SECRET_FILE")
"""Where the gateway's secret comes from; no other process gets to know it."""

PAGE_SETTINGS = ("RUNBOOK_APPROVER_SEEDS_FILE",)
"""Where the approval page's seeds are; no other process gets to know it."""

_READY_SECONDS = 30.0


def start_dispatchers(up: Supervisor, settings: Mapping[str, str]) -> None:
    """Start what wakes runs whose plans were decided, and what turns deliveries into runs.

    Args:
        up: The installation's processes.
        settings: What flow runs get to know; of these each gets what it needs itself (R8).
    """
    up.start(
        "dispatcher",
        (sys.executable, "-m", "deployments.dispatcher"),
        settings=_only(settings, INSTALLATION_SETTINGS | GITHUB_SETTINGS),  # it reads approvals there
        reaches_prefect=True,
        reaches_network=True,
    )
    up.start(
        "delivery-dispatcher",
        (sys.executable, "-m", "deployments.delivery_dispatcher"),
        settings=_only(settings, INSTALLATION_SETTINGS),
        reaches_prefect=True,
    )


def start_gateway(
    up: Supervisor,
    settings: Mapping[str, str],
    *,
    secrets: Mapping[str, str],
    port: int,
    host: str = LOOPBACK,
) -> str:
    """Start the gateway and wait until it listens.

    Args:
        up: The installation's processes.
        settings: What flow runs get to know; of these the gateway gets policy and ledger.
        secrets: The webhook's secret and the approval page's seeds, by the settings' names.
        port: Where it listens.
        host: The address.

    Returns:
        Its URL.

    Raises:
        UsageError: There is no webhook secret, or the port is taken.
        ChildDied: It ended.
        Transient: It was not ready in time.
    """
    if not any(secrets.get(name) for name in WEBHOOK_SETTINGS):
        raise UsageError(
            "The gateway has no webhook secret: anybody could forge deliveries.",
            unchanged="It was not started.",
            next_step=f"set {' or '.join(WEBHOOK_SETTINGS)}.",
        )
    require_free(port, host=host, purpose="the gateway", option="--gateway-port")
    gateway = up.start(
        "gateway",
        (sys.executable, "-m", "deployments.gateway", "--host", host, "--port", str(port)),
        settings={**_only(settings, INSTALLATION_SETTINGS), **secrets},
        reaches_prefect=True,  # the approval page wakes the run that it decided about
    )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _await_ready(gateway, url)
    return url


def _only(settings: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: settings[name] for name in sorted(names) if name in settings}


def _await_ready(gateway: Child, url: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands before a process of this machine
        while time.monotonic() < deadline:
            gateway.check()
            try:
                if session.get(f"{url}/readyz", timeout=_READY_SECONDS).ok:
                    return
            except requests.RequestException:
                pass  # it is about to listen
            time.sleep(POLL_SECONDS)
    raise Transient(
        f"The gateway was not ready within {_READY_SECONDS:.0f} s.",
        next_step="read gateway.log; on a slow or busy machine, try again.",
    )
