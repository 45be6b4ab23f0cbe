"""How commands get at the installation, or at no more of it than they need."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.errors import LedgerError
from runbook.scrub import install_log_scrubber
from runbook.settings import Settings

if TYPE_CHECKING:
    from runbook.engine.ledger import Ledger
    from runbook.installation import Installation


def open_installation() -> "Installation":
    """Return the installation, for as long as the process lives; nothing is connected to before it is needed.

    Raises:
        UsageError: A setting makes no sense.
        PolicyError: There is no policy, or it cannot be used.
    """
    from runbook.installation import Installation
    from runbook.policy import find_policy

    find_policy()  # says more about a file that is not there than reading it would
    return Installation.open()


@contextmanager
def opened_installation() -> Iterator["Installation"]:
    """Open the installation as :func:`open_installation` does, and close its connections at the end."""
    here = open_installation()
    try:
        yield here
    finally:
        for client in ("github", "ledger"):
            if client in here.__dict__:  # made when it was first needed
                getattr(here, client).close()


@contextmanager
def opened_ledger() -> Iterator["Ledger"]:
    """Open the ledger for reading: no policy, no credential and no network is needed.

    Raises:
        LedgerError: There is none yet (and none is made), or it cannot be used.
    """
    from runbook.engine.ledger import Ledger

    install_log_scrubber()
    settings = Settings.from_environment()
    require_ledger(settings)
    ledger = Ledger(settings.ledger_url.get_secret_value())
    try:
        yield ledger
    finally:
        ledger.close()


def require_ledger(settings: Settings) -> None:
    """Check that a ledger in a file exists: a mistyped path must not read as an empty ledger.

    Raises:
        LedgerError: There is none, or its address is none.
    """
    from runbook.engine.ledger import parsed_url

    url = parsed_url(settings.ledger_url.get_secret_value())
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return
    if not Path(url.database).is_file():
        raise LedgerError(
            f"There is no ledger at {url.database}.",
            unchanged="Nothing was made.",
            next_step="name it in RUNBOOK_LEDGER_URL; the first procedure that runs makes one.",
        )
