"""A migrated, empty Prefect database, kept so that the next new server need not migrate again.

Prefect's 100 or so migrations are more than half of a first start (4.5 of 8 seconds on two cores). The first
new server pays them; its database, still empty, is kept in the cache by Prefect's version.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Mapping
from importlib.metadata import version as installed_version
from pathlib import Path


def default_cache_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Return ``RUNBOOK_CACHE``, else this user's cache directory for the runbook.

    Args:
        environment: The variables; this process's own where None.
    """
    values = os.environ if environment is None else environment
    if given := values.get("RUNBOOK_CACHE"):
        return Path(given).absolute()
    home = values.get("XDG_CACHE_HOME") or str(Path(values.get("HOME") or Path.home()) / ".cache")
    return Path(home).absolute() / "runbook"


def seed_file(cache_directory: Path) -> Path:
    """Return where the seed for the installed version is kept."""
    return (
        cache_directory
        / f"prefect-{installed_version('prefect')}-sqlalchemy-{installed_version('sqlalchemy')}.db"
    )


def plant(seed: Path, database: Path) -> bool:
    """Copy the seed to ``database``, which does not exist yet; return whether there was a sound one."""
    if not _is_sound(seed):
        return False
    copy = database.with_name(f"{database.name}.new")
    try:
        shutil.copyfile(seed, copy)
        copy.chmod(0o600)
        copy.replace(database)
    except OSError:
        copy.unlink(missing_ok=True)
        return False  # the server will migrate, or say itself what is wrong with its disk
    return True


def harvest(database: Path, seed: Path) -> bool:
    """Keep the database of a server that has just started for the first time; return whether it was kept.

    A cache that cannot be written makes later starts slower and is nobody's error.
    """
    copy = seed.with_name(f"{seed.name}.{os.getpid()}")
    try:
        seed.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        copy.replace(seed)
    except (OSError, sqlite3.Error):
        return False
    finally:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)
    return True


def _is_sound(seed: Path) -> bool:
    if not seed.is_file():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"file:{seed}?mode=ro&immutable=1", uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.Error:
        return False
