"""What a backtest has read, kept on disk: an interrupted one goes on where it was, a later one asks for the new.

One JSON file for each answer, scrubbed, in folders that only their owner may read; logs themselves are not kept.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, JsonValue, ValidationError

from runbook.errors import UsageError
from runbook.scrub import scrub

Kept = TypeVar("Kept", bound=BaseModel)

FORMAT = 2
"""Counted up when what a kept answer means changes: those before it are left alone, and read again."""

_OWNER_ONLY = 0o700


def cache_folder(environment: Mapping[str, str], *, api_url: str, repository: str) -> Path:
    """Return where a repository's history is kept: below RUNBOOK_CACHE, else in the user's cache folder.

    Args:
        environment: The process' environment.
        api_url: The API that is asked: the same name on another server is another repository.
        repository: owner/name, checked.
    """
    named = environment.get("RUNBOOK_CACHE")
    if named:
        root = Path(named)
    else:
        home = Path(environment.get("HOME") or Path.home())
        root = Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "runbook"
    host = urlsplit(api_url).netloc.replace(":", "_")
    owner, _, name = repository.casefold().partition("/")
    return root.absolute() / "backtest" / f"format-{FORMAT}" / host / owner / name


class Store:
    """Answers by name. Damaged files and those of another version count as not there.

    Args:
        folder: Where they are; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, kind: type[Kept]) -> Kept | None:
        """Return what is kept under a name.

        Args:
            name: Of letters, digits and dashes; a slash makes a folder.
            kind: What it should be.
        """
        try:
            return kind.model_validate_json((self.folder / f"{name}.json").read_bytes())
        except (OSError, ValidationError):
            return None  # it is read again then

    def put(self, name: str, value: Kept) -> Kept:
        """Keep a value; it is there whole or not at all.

        Args:
            name: As for ``get``.
            value: What to keep.

        Returns:
            The value as it is kept, without secrets.

        Raises:
            UsageError: The folder cannot be written to.
        """
        clean = cleaned(value)
        path = self.folder / f"{name}.json"
        try:
            self._make(path.parent)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")  # mode 0600
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(clean.model_dump_json())
            Path(temporary).replace(path)
        except OSError as error:
            raise UsageError(
                f"What was read cannot be kept in {self.folder}: {error.strerror or error}.",
                unchanged="Nothing was changed on GitHub.",
                next_step="make room or set RUNBOOK_CACHE to a folder that this user may write to.",
            ) from error
        return clean

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if not self.folder.is_dir():
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
            self.folder.mkdir(exist_ok=True, mode=_OWNER_ONLY)
            # Whatever made it: titles and log lines of private repositories are in there.
            self.folder.chmod(_OWNER_ONLY)
        folder.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)


def cleaned(value: Kept) -> Kept:
    """Return a value without secrets, as it would be kept."""
    return type(value).model_validate_json(json.dumps(_scrubbed(value.model_dump(mode="json"))))


def _scrubbed(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [_scrubbed(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _scrubbed(inner) for name, inner in value.items()}
    return value
