"""The gateway as a process: ``python -m deployments.gateway [--host 127.0.0.1] [--port 8080]``.

The webhook's secret comes from RUNBOOK_WEBHOOK_SECRET or RUNBOOK_WEBHOOK_SECRET_FILE, the policy and the ledger
from RUNBOOK_POLICY and RUNBOOK_LEDGER_URL. Put a proxy that ends TLS before it: it speaks plain HTTP.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

import uvicorn

from deployments.gateway.app import Limits, create_app
from deployments.gateway.approval_page import approval_router, desk_of
from deployments.gateway.bodies import MEBIBYTE
from deployments.gateway.connections import ImpatientProtocol
from deployments.gateway.policy_in_force import PolicyInForce
from deployments.gateway.signatures import WebhookSecrets
from deployments.ports import LOOPBACK, require_free
from runbook.clock import SystemClock
from runbook.engine.deliveries import Deliveries
from runbook.engine.ledger import Ledger
from runbook.errors import RunbookError
from runbook.installation import Installation
from runbook.one_time_codes import seeds_file
from runbook.policy import find_policy
from runbook.scrub import install_log_scrubber
from runbook.settings import Settings, is_loopback
from tasks.waking import resume

DEFAULT_PORT = 8080
_LOG = logging.getLogger("runbook.gateway")
# A batch may wait for the one before it: both must fail, and be answered, before GitHub gives up after ten seconds.
_BUSY_TIMEOUT_SECONDS = 4.0
_MOST_CONNECTIONS = 1_000
_IDLE_SECONDS = 5  # between two requests
_STOP_SECONDS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--host", default=LOOPBACK, help=f"address to listen on ({LOOPBACK})")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"port to listen on ({DEFAULT_PORT})")
    parser.add_argument(
        "--largest-body-mib",
        type=int,
        default=Limits.largest_body_bytes // MEBIBYTE,
        choices=range(1, 26),
        metavar="1..25",
        help="largest delivery taken; GitHub sends up to 25 (%(default)s)",
    )
    options = parser.parse_args(arguments)
    install_log_scrubber()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        return _serve(options.host, options.port, largest_body_bytes=options.largest_body_mib * MEBIBYTE)
    except RunbookError as error:
        _LOG.error("%s", error)
        return error.exit_code


def _serve(host: str, port: int, *, largest_body_bytes: int) -> int:
    require_free(port, host=host, purpose="the gateway")
    clock = SystemClock()
    settings = Settings.from_environment()
    settings.require_private_prefect()
    webhook_secrets = WebhookSecrets.from_environment()
    policy = PolicyInForce(find_policy())
    ledger = Ledger(settings.ledger_url.get_secret_value(), busy_timeout_seconds=_BUSY_TIMEOUT_SECONDS)
    # The approval page reads plans and takes decisions; it asks GitHub nothing, and may be the only thing that works.
    here = Installation(settings=settings, policy=policy(), clock=clock)
    if seeds_file() is not None and here.policy.product_login is None:
        _LOG.warning(
            "People are enrolled for the approval page, but the policy names no product_login: while GitHub is away "
            "nobody can tell which account is the product's, and no plan passes."
        )
    if not is_loopback(host):
        _LOG.warning("The gateway listens on %s in plain HTTP: put a proxy that ends TLS before it.", host)
    app = create_app(
        deliveries=Deliveries(ledger, clock=clock),
        policy=policy,
        webhook_secrets=webhook_secrets.current,
        clock=clock,
        limits=Limits(largest_body_bytes=largest_body_bytes),
        routers=(approval_router(desk_of(here, wake=resume)),),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,  # each delivery is in the ledger, and counted
            server_header=False,
            http=ImpatientProtocol,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    _LOG.info("The gateway listens on http://%s:%d.", host, port)
    try:
        server.run()
    finally:
        ledger.close()
        here.ledger.close()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
