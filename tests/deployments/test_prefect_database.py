"""The seed of a new server's database: sound or not used, and never a reason to fail."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deployments.prefect_database import default_cache_directory, harvest, plant, seed_file


def database_with(path: Path, word: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE words (word TEXT)")
        connection.execute("INSERT INTO words VALUES (?)", (word,))
    return path


def words(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT word FROM words").fetchall()


def test_what_was_harvested_is_planted(tmp_path: Path) -> None:
    seed = seed_file(tmp_path / "cache")
    assert harvest(database_with(tmp_path / "first.db", "migrated"), seed)
    assert plant(seed, tmp_path / "second.db")
    assert words(tmp_path / "second.db") == [("migrated",)]
    assert (tmp_path / "second.db").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in seed.parent.iterdir()] == [seed.name]


def test_a_live_database_is_harvested_whole(tmp_path: Path) -> None:
    seed = tmp_path / "seed.db"
    database = database_with(tmp_path / "first.db", "old")
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("INSERT INTO words VALUES ('only in the write-ahead log')")
        writer.commit()
        assert harvest(database, seed)
    assert ("only in the write-ahead log",) in words(seed)


def test_a_missing_cut_or_foreign_seed_is_not_planted(tmp_path: Path) -> None:
    database = tmp_path / "new.db"
    assert not plant(tmp_path / "missing.db", database)
    cut = database_with(tmp_path / "cut.db", "x" * 50_000)
    with closing(sqlite3.connect(cut)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    cut.write_bytes(cut.read_bytes()[:9_000])
    assert not plant(cut, database)
    foreign = tmp_path / "foreign.db"
    foreign.write_text("no database")
    assert not plant(foreign, database)
    assert not database.exists()


def test_a_cache_that_cannot_be_written_is_nobodys_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not harvest(database_with(tmp_path / "first.db", "migrated"), tmp_path / "file" / "seed.db")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RUNBOOK_CACHE": "/builds/cache", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/builds/cache"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/runbook"),
        ({"HOME": "/h"}, "/h/.cache/runbook"),
    ],
)
def test_the_cache_is_where_the_integration_builds_keep_theirs(
    environment: dict[str, str], expected: str
) -> None:
    assert default_cache_directory(environment) == Path(expected)
