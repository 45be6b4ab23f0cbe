"""One-time codes, and the file of seeds that nobody else may read."""

import os
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from pydantic import SecretStr

from runbook.errors import Conflict, UsageError
from runbook.one_time_codes import (
    STEP_SECONDS,
    Seeds,
    enrol,
    matching_step,
    new_seed,
    normal_login,
    read_seeds,
    remove,
    seeds_file,
)
from runbook.scrub import scrub

NOW = datetime(2026, 3, 2, 9, 0, 10, tzinfo=UTC)
STEP = int(NOW.timestamp()) // STEP_SECONDS
# RFC 6238, appendix B: the seed is the ASCII text 12345678901234567890; its codes' last six digits.
RFC_SEED = SecretStr("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")


@pytest.mark.parametrize(
    ("unix_seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
    ],
)
def test_codes_are_those_of_rfc_6238(unix_seconds: int, code: str) -> None:
    now = datetime.fromtimestamp(unix_seconds, UTC)
    assert matching_step(RFC_SEED, code, now=now) == unix_seconds // STEP_SECONDS


@pytest.mark.parametrize(("steps", "fits"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_phones_clock_may_differ_by_one_step(steps: int, fits: bool) -> None:
    seed = new_seed()
    code = pyotp.TOTP(seed.get_secret_value()).at(NOW + timedelta(seconds=steps * STEP_SECONDS))
    assert matching_step(seed, code, now=NOW) == (STEP + steps if fits else None)


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "\u0660" * 6, "\ud800", "0" * 10_000])
def test_what_is_no_code_fits_nothing(typed: str) -> None:
    assert matching_step(RFC_SEED, typed, now=datetime.fromtimestamp(59, UTC)) is None


def test_blanks_in_a_code_do_not_matter() -> None:
    assert matching_step(RFC_SEED, " 287 082 ", now=datetime.fromtimestamp(59, UTC)) == 1


def test_a_stranger_is_checked_like_somebody_who_is_enrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same work is done for both, so that the time tells nobody who is enrolled."""
    checked: list[int] = []
    generate = pyotp.TOTP.generate_otp

    def counted(totp: pyotp.TOTP, step: int) -> str:
        checked.append(step)
        return generate(totp, step)

    monkeypatch.setattr(pyotp.TOTP, "generate_otp", counted)
    seeds = Seeds({"alice": RFC_SEED})
    code = pyotp.TOTP(RFC_SEED.get_secret_value()).at(NOW)
    checked.clear()
    assert seeds.step_of("mallory", code, now=NOW) is None
    stranger, checked[:] = list(checked), []
    assert seeds.step_of("ALICE", code, now=NOW) == STEP
    assert checked == stranger == [STEP - 1, STEP, STEP + 1]


@pytest.mark.parametrize(
    ("typed", "login"),
    [
        ("Alice", "alice"),
        (" @octo-cat ", "octo-cat"),
        ("mona_corp", "mona_corp"),
        ("", None),
        ("a b", None),
        ("a\x00", None),
        ("-a", None),
        ("x" * 64, None),
        ("\uff41lice", None),
    ],
)
def test_a_login_is_kept_in_lower_case_and_nothing_else_is_one(typed: str, login: str | None) -> None:
    assert normal_login(typed) == login


# --- the file --------------------------------------------------------------------------------------------


def test_enrolling_makes_a_private_file_that_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "seeds.toml"
    enrol(file, "Alice", RFC_SEED)
    enrol(file, "bob", new_seed())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_seeds(file).logins == ("alice", "bob")
    assert "alice" in read_seeds(file)
    assert sorted(one.name for one in file.parent.iterdir()) == ["seeds.toml", "seeds.toml.lock"]


def test_a_seed_that_was_read_is_hidden_everywhere(tmp_path: Path) -> None:
    seed = new_seed()
    enrol(tmp_path / "seeds.toml", "alice", seed)
    seeds = read_seeds(tmp_path / "seeds.toml")
    assert seed.get_secret_value() not in repr(seeds) + str(seeds.__dict__)
    assert scrub(f"seed {seed.get_secret_value()}") == "seed ***"


def test_whoever_is_enrolled_is_not_enrolled_over(tmp_path: Path) -> None:
    enrol(tmp_path / "seeds.toml", "alice", RFC_SEED)
    before = (tmp_path / "seeds.toml").read_bytes()
    with pytest.raises(Conflict, match="enrolled already"):
        enrol(tmp_path / "seeds.toml", "ALICE", new_seed())
    assert (tmp_path / "seeds.toml").read_bytes() == before


def test_whoever_is_removed_has_no_code_that_counts(tmp_path: Path) -> None:
    file = tmp_path / "seeds.toml"
    enrol(file, "alice", RFC_SEED)
    remove(file, "Alice")
    code = pyotp.TOTP(RFC_SEED.get_secret_value()).at(NOW)
    assert read_seeds(file).step_of("alice", code, now=NOW) is None
    with pytest.raises(UsageError, match="not enrolled"):
        remove(file, "alice")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o700 | 0o010])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "seeds.toml"
    enrol(file, "alice", RFC_SEED)
    file.chmod(mode)
    with pytest.raises(UsageError, match="others than its owner"):
        read_seeds(file)
    with pytest.raises(UsageError, match="others than its owner"):
        enrol(file, "bob", new_seed())


SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJX"
BROKEN = {
    "no TOML": f"alice {SECRET}",
    "another table": f'[seeds]\nalice = "{SECRET}"',
    "no base32": f'alice = "{SECRET.lower()}!"',
    "too short": 'alice = "GEZDGNBV"',
    "no login": f'"a b" = "{SECRET}"',
    "twice": f'alice = "{SECRET}"\nALICE = "{SECRET}"',
    "not text": f'alice = "{SECRET}\xff"',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_and_what_stands_in_it_is_not_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "seeds.toml"
    file.write_bytes(content.encode("latin-1"))
    file.chmod(0o600)
    with pytest.raises(UsageError, match="cannot be used") as refused:
        read_seeds(file)
    chain = [refused.value, refused.value.__cause__, refused.value.__context__]
    shown = " ".join(str(error) for error in chain[:2])
    assert SECRET not in shown
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot be used"):
            read_seeds(path)


def test_enrolling_at_the_same_time_loses_nobody(tmp_path: Path) -> None:
    file = tmp_path / "seeds.toml"
    names = [f"person-{number}" for number in range(12)]
    threads = [threading.Thread(target=enrol, args=(file, name, new_seed())) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_seeds(file).logins == tuple(sorted(names))


def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "seeds.toml"
    enrol(file, "alice", RFC_SEED)
    before = file.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        enrol(file, "bob", new_seed())
    assert file.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["seeds.toml", "seeds.toml.lock"]


def test_the_environment_names_the_file() -> None:
    assert seeds_file({}) is None
    assert seeds_file({"RUNBOOK_APPROVER_SEEDS_FILE": "/etc/runbook/seeds.toml"}) == Path(
        "/etc/runbook/seeds.toml"
    )


NOBODY = 65_534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")


@needs_root
@pytest.mark.parametrize(
    "change", [lambda file: enrol(file, "bob", new_seed()), lambda file: remove(file, "alice")]
)
def test_the_file_stays_its_owners_when_root_changes_it(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """As the gateway's user reads it, and may change it later."""
    file = tmp_path / "seeds.toml"
    enrol(file, "alice", new_seed())
    enrol(file, "carol", new_seed())
    os.chown(file, NOBODY, NOBODY)
    change(file)
    for one in tmp_path.iterdir():
        assert (one.stat().st_uid, stat.S_IMODE(one.stat().st_mode)) == (NOBODY, 0o600), one


@needs_root
def test_a_file_of_another_user_is_left_as_it_is_where_it_cannot_stay_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "seeds.toml"
    enrol(file, "alice", new_seed())
    os.chown(file, NOBODY, NOBODY)

    def refused(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refused)
    with pytest.raises(UsageError, match=f"belongs to the user {NOBODY}"):
        enrol(file, "bob", new_seed())
    assert read_seeds(file).logins == ("alice",)
    assert file.stat().st_uid == NOBODY
