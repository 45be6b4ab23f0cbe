"""What an installation runs beside Prefect's server and the worker, as `runbook up` and the demo start it."""

import sys
import time
from collections.abc import Mapping

import requests

from deployments.children import POLL_SECONDS, Child
from deployments.ports import LOOPBACK, require_free
from deployments.supervisor import Supervisor
from runbook.errors import Transient, UsageError

WEBHOOK_SETTINGS = ("RUNBOOK_WEBHOOK_SECRET", "RUNBOOK_WEBHOOK_SECRET_FILE")
"""Where the gateway's secret comes from; no other process gets to know it."""

PAGE_SETTINGS = ("RUNBOOK_APPROVER_SEEDS_FILE",)
"""Where the approval page's seeds are; no other process gets to know it."""

_GATEWAY_NEEDS = ("RUNBOOK_POLICY", "RUNBOOK_LEDGER_URL")
_READY_SECONDS = 30.0


def start_dispatchers(up: Supervisor, settings: Mapping[str, str]) -> None:
    """Start what wakes runs whose plans were decided, and what turns deliveries into runs.

    Args:
        up: The installation's processes.
        settings: What flow runs get to know, too.
    """
    for name, module in (
        ("dispatcher", "deployments.dispatcher"),
        ("delivery-dispatcher", "deployments.delivery_dispatcher"),
    ):
        up.start(
            name,
            (sys.executable, "-m", module),
            settings=settings,
            reaches_prefect=True,
            reaches_network=True,
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
        settings={**{name: settings[name] for name in _GATEWAY_NEEDS}, **secrets},
        reaches_prefect=True,  # the approval page wakes the run that it decided about
    )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _await_ready(gateway, url)
    return url


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
