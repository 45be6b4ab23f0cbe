"""How a dispatcher runs as a process: until it is told to end, and at once then."""

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from runbook.errors import RunbookError
from runbook.scrub import install_log_scrubber


def run_until_told(work: Callable[[], NoReturn], *, log: logging.Logger) -> int:
    """Work until SIGTERM or SIGINT; return the exit status.

    At once means at once: what is interrupted is a read, a wait, or a call that may be repeated.

    Args:
        work: Never returns by itself.
        log: Where an error that ends it is said.
    """
    install_log_scrubber()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        work()
    except RunbookError as error:
        log.error("%s", error)
        return error.exit_code


def _end(number: int, frame: FrameType | None) -> NoReturn:
    for ignored in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)  # the lease is given back in peace
    raise SystemExit(0 if number == signal.SIGTERM else 128 + number)
