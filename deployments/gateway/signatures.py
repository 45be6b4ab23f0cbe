"""Whether a delivery is GitHub's: HMAC-SHA256 over the raw body, and the secrets that are valid now."""

import hashlib
import hmac
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import SecretStr

from runbook.errors import UsageError
from runbook.scrub import register_secret

VARIABLE = "RUNBOOK_WEBHOOK_SECRET"
_PREFIX = "sha256="
_LARGEST_FILE_BYTES = 65_536


def is_genuine(body: bytes, signature: str, secrets: Sequence[SecretStr]) -> bool:
    """Tell whether a signature fits a body under one of the secrets, in a time that tells nothing about them.

    Args:
        body: The body, byte for byte.
        signature: X-Hub-Signature-256; empty where there is none.
        secrets: Those that are valid: two while a webhook's secret is being changed.
    """
    # As bytes: the comparison refuses text beyond ASCII, which a forger may well send.
    given = signature.encode("utf-8", "surrogateescape")
    genuine = False
    for secret in secrets:
        made = _PREFIX + hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
        genuine |= hmac.compare_digest(made.encode(), given)
    return genuine


class WebhookSecrets:
    """The secrets that are valid now, one a line; a file is read again whenever it changes.

    Args:
        text: The secrets, where a variable holds them.
        file: The file, where one does.
    """

    def __init__(self, *, text: str = "", file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._secrets = _parse(text)
        self.current()
        if not self._secrets:
            raise UsageError(
                f"{VARIABLE}{'_FILE' if file else ''} holds no secret; anybody could forge deliveries.",
                unchanged="Nothing was started.",
                next_step="put the webhook's secret there; several, one a line, while it is being changed.",
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "WebhookSecrets":
        """Read ``RUNBOOK_WEBHOOK_SECRET``, or the file that ``RUNBOOK_WEBHOOK_SECRET_FILE`` names.

        Raises:
            UsageError: Neither is set, both are, or the file cannot be read.
        """
        values = os.environ if environment is None else environment
        text, path = values.get(VARIABLE, ""), values.get(f"{VARIABLE}_FILE", "")
        if bool(text) == bool(path):
            raise UsageError(
                f"{'Both' if text else 'Neither'} of {VARIABLE} and {VARIABLE}_FILE {'are' if text else 'is'} set.",
                unchanged="Nothing was started.",
                next_step="set one of them to the secret that the webhook was given on GitHub.",
            )
        return cls(text=text, file=Path(path) if path else None)

    def current(self) -> tuple[SecretStr, ...]:
        """Return the secrets that are valid now; the last ones that could be read, should the file be away.

        Raises:
            UsageError: The file could never be read.
        """
        if self._file is None:
            return self._secrets
        with self._lock:
            try:
                found = self._file.stat()
                stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
                if stamp != self._stamp:
                    with self._file.open("rb") as file:
                        read = _parse(file.read(_LARGEST_FILE_BYTES).decode("utf-8"))
                    # One that is empty for a moment is being written.
                    self._secrets, self._stamp = read or self._secrets, stamp
            except (OSError, UnicodeDecodeError) as error:
                if self._stamp is None:
                    reason = error.strerror if isinstance(error, OSError) else "it is not text"
                    raise UsageError(
                        f"{VARIABLE}_FILE names {self._file}, which cannot be read: {reason}.",
                        unchanged="Nothing was started.",
                        next_step="check the path and that this user may read it.",
                    ) from error
            return self._secrets


def _parse(text: str) -> tuple[SecretStr, ...]:
    secrets = tuple(line.strip() for line in text.splitlines() if line.strip())
    for secret in secrets:
        register_secret(secret)
    return tuple(SecretStr(secret) for secret in secrets)
