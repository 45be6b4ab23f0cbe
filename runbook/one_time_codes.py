"""One-time codes of the approval page (TOTP, RFC 6238), and the file that keeps their seeds.

The file is named by ``RUNBOOK_APPROVER_SEEDS_FILE``, is TOML (``login = "base32 seed"``) and readable by nobody but
its owner; ``runbook enrol`` writes it. A seed leaves it for a moment of this process's memory and nothing else (R8).
"""

import fcntl
import hmac
import json
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pyotp
from pydantic import SecretStr

from runbook.errors import Conflict, UsageError
from runbook.scrub import register_secret

SEEDS_VARIABLE = "RUNBOOK_APPROVER_SEEDS_FILE"
STEP_SECONDS = 30
DRIFT_STEPS = 1
"""How many steps a phone's clock may be ahead or behind."""

CODE_DIGITS = 6
_SEED_CHARACTERS = 32  # 160 bits, as RFC 4226 recommends
_MAX_FILE_BYTES = 1_000_000
_LOGIN = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62})")
_SEED = re.compile(r"[A-Z2-7]{26,128}")


class Seeds:
    """Who is enrolled, with what; it shows no seed.

    Args:
        by_login: Base32 seeds by lower-case login.
    """

    def __init__(self, by_login: Mapping[str, SecretStr]) -> None:
        self._by_login = dict(by_login)
        # Checked for those who are not enrolled, so that they cost the same time; nobody knows it.
        self._nobody = new_seed()

    def __contains__(self, login: str) -> bool:
        return login.casefold() in self._by_login

    @property
    def logins(self) -> tuple[str, ...]:
        """Everybody who is enrolled, sorted."""
        return tuple(sorted(self._by_login))

    def step_of(self, login: str, code: str, *, now: datetime) -> int | None:
        """Return the step of which ``code`` is this person's, if it is one's of now, give or take the drift.

        It takes the same time for somebody who is not enrolled.

        Args:
            login: A GitHub login.
            code: What was typed; blanks in it are left out.
            now: The time.
        """
        known = login.casefold() in self._by_login
        seed = self._by_login[login.casefold()] if known else self._nobody
        step = matching_step(seed, code, now=now)
        return step if known else None


def new_seed() -> SecretStr:
    """Make a seed that nobody has seen."""
    return SecretStr(pyotp.random_base32(_SEED_CHARACTERS))


def matching_step(seed: SecretStr, code: str, *, now: datetime) -> int | None:
    """Return the 30-second step of which ``code`` is this seed's, compared in constant time; None if none.

    Args:
        seed: The base32 seed.
        code: What was typed.
        now: The time.
    """
    given = "".join(code.split()).encode("utf-8", "replace")
    generator = pyotp.TOTP(seed.get_secret_value(), digits=CODE_DIGITS, interval=STEP_SECONDS)
    current = int(now.timestamp()) // STEP_SECONDS
    found: int | None = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        # Every step is compared, whichever fits.
        if hmac.compare_digest(generator.generate_otp(step).encode(), given):
            found = step
    return found


def normal_login(text: str) -> str | None:
    """Return a login as it is kept (lower case), or None for what cannot be one."""
    login = text.strip().removeprefix("@").casefold()
    return login if _LOGIN.fullmatch(login) else None


def seeds_file(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the file that ``RUNBOOK_APPROVER_SEEDS_FILE`` names, if it is set.

    Args:
        environment: The variables; this process's own where None.
    """
    named = (os.environ if environment is None else environment).get(SEEDS_VARIABLE)
    return Path(named).absolute() if named else None


def read_seeds(path: Path) -> Seeds:
    """Read the seeds, and register each with the scrubber.

    Args:
        path: The file.

    Raises:
        UsageError: It cannot be read, others may read or write it, or it is not what ``runbook enrol`` writes.
    """
    return Seeds(_read(path))


def enrol(path: Path, login: str, seed: SecretStr) -> None:
    """Add a person to the file, which is made where there is none.

    Args:
        path: The file.
        login: A GitHub login.
        seed: Their base32 seed, confirmed by a first code.

    Raises:
        UsageError: The file cannot be used, or this is no login.
        Conflict: They are enrolled already.
    """
    known = _require_login(login)
    with _changing(path) as by_login:
        if known in by_login:
            raise already_enrolled(login)
        by_login[known] = seed


def remove(path: Path, login: str) -> None:
    """Take a person out of the file: their codes count no more, at once.

    Args:
        path: The file.
        login: A GitHub login.

    Raises:
        UsageError: The file cannot be used, or they are not enrolled.
    """
    known = _require_login(login)
    with _changing(path) as by_login:
        if by_login.pop(known, None) is None:
            raise UsageError(
                f"{login} is not enrolled.",
                unchanged="The file is as it was.",
                next_step=f"look which file {SEEDS_VARIABLE} names.",
            )


def already_enrolled(login: str) -> Conflict:
    """Return the error for somebody who has a seed."""
    return Conflict(
        f"{login} is enrolled already.",
        unchanged="The seed they have still counts.",
        next_step=f"if it is lost, run `runbook enrol {login} --remove` first.",
    )


def _require_login(login: str) -> str:
    known = normal_login(login)
    if known is None:
        raise UsageError(f"{login!r} is not a GitHub login.", next_step="give the name as GitHub shows it.")
    return known


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, SecretStr]]:
    """Give the seeds to be changed; write them if the block ends without an error. One process at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept_for = path.stat() if path.exists() else None
        if kept_for is not None:
            _give_to(path, lock, kept_for)
        by_login = _read(path) if kept_for is not None else {}
        yield by_login
        _write(path, by_login, kept_for=kept_for)
    finally:
        os.close(lock)


def _read(path: Path) -> dict[str, SecretStr]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _unusable(path, "it is not a file")
            if status.st_mode & 0o077:
                raise _unusable(path, "others than its owner may use it", next_step=f"chmod 600 {path}")
            document = tomllib.loads(file.read(_MAX_FILE_BYTES).decode("utf-8"))
    except OSError as error:
        raise _unusable(path, error.strerror or type(error).__name__) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # Not chained: either error may quote what stands there.
        raise _unusable(path, "it is not TOML") from None
    by_login: dict[str, SecretStr] = {}
    for login, seed in document.items():
        known = normal_login(login)
        if known is None or known in by_login or not isinstance(seed, str) or not _SEED.fullmatch(seed):
            raise _unusable(path, 'not every line is `login = "base32 seed"`, each login once')
        register_secret(seed)
        by_login[known] = SecretStr(seed)
    return by_login


def _write(path: Path, by_login: Mapping[str, SecretStr], *, kept_for: os.stat_result | None) -> None:
    # JSON's strings of these characters are TOML's.
    lines = [
        f"{json.dumps(login)} = {json.dumps(by_login[login].get_secret_value())}\n"
        for login in sorted(by_login)
    ]
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if kept_for is not None:
                    _give_to(path, descriptor, kept_for)
                file.write("".join(lines).encode())
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(path, error.strerror or type(error).__name__) from error


def _give_to(path: Path, descriptor: int, kept_for: os.stat_result) -> None:
    """Give what stands beside or in place of the file to the file's owner, as whom the gateway reads it.

    Raises:
        UsageError: This user may not, being neither that owner nor root.
    """
    if os.fstat(descriptor).st_uid == kept_for.st_uid:
        return
    try:
        os.fchown(descriptor, kept_for.st_uid, kept_for.st_gid)
    except PermissionError as error:
        raise _unusable(
            path,
            f"it belongs to the user {kept_for.st_uid}, who could not read one of yours",
            next_step="run this as that user, or as root.",
        ) from error


def _unusable(path: Path, why: str, *, next_step: str = "") -> UsageError:
    return UsageError(
        f"The approvers' seeds in {path} cannot be used: {why}.",
        unchanged="Nothing was changed, and no code counts.",
        next_step=next_step or f"check {SEEDS_VARIABLE}; `runbook enrol LOGIN` writes the file.",
    )
