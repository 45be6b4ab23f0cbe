"""The policy as it stands in its file now, read again when the file changes."""

import logging
import threading
from pathlib import Path

from runbook.errors import PolicyError
from runbook.policy import Policy, load_policy
from runbook.scrub import neutralise_terminal

_LOG = logging.getLogger("runbook.gateway")


class PolicyInForce:
    """A policy file, and the last policy that could be read from it.

    Here it only says which deliveries are worth keeping. Whoever acts on them reads it for itself, and does
    nothing where it cannot.

    Args:
        file: The policy file.

    Raises:
        PolicyError: It cannot be used at the start.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._policy = load_policy(file)

    def __call__(self) -> Policy:
        """Return the policy."""
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._policy = load_policy(self._file)
                    _LOG.info("The policy has changed.")
                except PolicyError as error:
                    _LOG.warning("%s The policy before it holds on here.", neutralise_terminal(str(error)))
            return self._policy

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
