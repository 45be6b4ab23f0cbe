"""Where logs come from: plain, .gz, zip, pipe; broken, huge, hostile or absent ones are said, never unpacked."""

import gzip
import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook.errors import NotFound, Permanent, UsageError
from runbook.triage import logs
from runbook.triage.logs import LogSource, open_logs


def _read(source: LogSource) -> bytes:
    return b"".join(source.read())


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_plain_file_and_a_gz_of_it_read_alike(tmp_path: Path) -> None:
    text = b"line\n" * 200_000
    (tmp_path / "a.log").write_bytes(text)
    (tmp_path / "b.log").write_bytes(gzip.compress(text))  # told by content, not by name
    for name in ("a.log", "b.log"):
        (source,) = open_logs(str(tmp_path / name))
        assert _read(source) == text
        assert _read(source) == text  # a source can be read again


def test_a_gz_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    (source,) = open_logs(str(tmp_path / "a.gz"))
    assert _read(source) == b"one\ntwo\n"


def test_a_zip_of_job_logs_gives_one_source_per_job_in_numeric_order(tmp_path: Path) -> None:
    members = {
        "10_deploy.txt": b"d",
        "2_test (3.12).txt": b"t",
        "test (3.12)/1_Set up job.txt": b"repeated",
        "picture.png": b"\x89PNG",
    }
    sources = open_logs(str(_zip(tmp_path / "run.zip", members)))
    assert [(source.name, source.job) for source in sources] == [
        ("2_test (3.12).txt", "test (3.12)"),
        ("10_deploy.txt", "deploy"),
    ]
    assert _read(sources[0]) == b"t"


def test_a_name_in_a_zip_cannot_climb_out_of_it(tmp_path: Path) -> None:
    (source,) = open_logs(str(_zip(tmp_path / "run.zip", {"../../etc/cron.d/x.txt": b"x"})))
    assert source.name == "etc/cron.d/x.txt"
    assert list(tmp_path.iterdir()) == [tmp_path / "run.zip"]


def test_decompression_bombs_end_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 1 << 20)
    bomb = b"\0" * (4 << 20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bomb))
    (source,) = open_logs(str(tmp_path / "bomb.gz"))
    with pytest.raises(Permanent, match="is longer than"):
        _read(source)
    with pytest.raises(Permanent, match="holds more than"):
        open_logs(str(_zip(tmp_path / "bomb.zip", {"a.txt": bomb})))


def test_a_zip_of_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_ZIP_MEMBERS", 2)
    with pytest.raises(Permanent, match="has 3 members"):
        open_logs(str(_zip(tmp_path / "run.zip", {f"{n}.txt": b"x" for n in range(3)})))


def _truncated_gz(folder: Path) -> Path:
    path = folder / "cut.gz"
    path.write_bytes(gzip.compress(b"line\n" * 100_000)[:-40])
    return path


def _damaged_gz(folder: Path) -> Path:
    path = folder / "bad.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00" + b"garbage" * 20)
    return path


def _damaged_member(folder: Path) -> Path:
    path = _zip(folder / "bad.zip", {"a.txt": b"line\n" * 100_000})
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("broken", [_truncated_gz, _damaged_gz, _damaged_member])
def test_a_broken_archive_is_said_to_be_broken(broken: Callable[[Path], Path], tmp_path: Path) -> None:
    (source,) = open_logs(str(broken(tmp_path)))
    with pytest.raises(Permanent, match=r"broken|cut short") as caught:
        _read(source)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"PK\x03\x04 but no zip", "broken zip"), (b"PK\x05\x06" + bytes(18), "holds no log")],
)
def test_what_is_no_zip_of_logs_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(Permanent, match=reason):
        open_logs(str(tmp_path / "x.zip"))


def test_an_absent_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No such log"):
        open_logs(str(tmp_path / "none.log"))
    with pytest.raises(UsageError, match="is a folder"):
        open_logs(str(tmp_path))


class _Pipe:
    """Standard input as a pipe: it cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BufferedReader(io.BytesIO(data))


@pytest.mark.parametrize("packed", [lambda data: data, gzip.compress])
def test_standard_input_may_be_plain_or_gz(
    packed: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", _Pipe(packed(b"line\n")))
    (source,) = open_logs("-")
    assert _read(source) == b"line\n"


def test_a_zip_on_a_pipe_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Pipe(b"PK\x03\x04rest"))
    (source,) = open_logs("-")
    with pytest.raises(UsageError, match="name the file"):
        _read(source)
