"""Where log bytes come from, and what one line of them says.

A log is a stream that is read once, in bounded memory, whatever its size: a file, a pipe, a .gz, the members of
a zip of job logs, or the chunks of an HTTP body. Nothing is ever unpacked to disk.
"""

import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from runbook.errors import NotFound, Permanent, UsageError

READ_BYTES = 1 << 18
"""Asked of a file at once."""

MAX_LOG_BYTES = 8 << 30
"""Most bytes read of one target after decompression: a bound on time for a decompression bomb."""

MAX_ZIP_MEMBERS = 5_000
"""More members than any run has jobs and steps."""

_PROBE_BYTES = 1 << 16
_MAX_BINARY_SHARE = 0.1
_TEXT_CONTROLS = bytes([7, 8, 9, 10, 12, 13, 27])
_BINARY = bytes(code for code in (*range(32), 127) if code not in _TEXT_CONTROLS)


class NotText(Permanent):
    """What was to be read as a log is not text."""


@dataclass(frozen=True, slots=True)
class LogSource:
    """One log to read: a file's, a zip member's, or one job's body over HTTP.

    Args:
        name: Shown as the evidence's file.
        read: Starts reading; each call yields the log's bytes from the beginning, in chunks of any size.
        job: The job's name where the source holds exactly one job; "" where it does not say.
    """

    name: str
    read: Callable[[], Iterable[bytes]] = field(repr=False)
    job: str = ""


def from_bytes(name: str, data: bytes, *, job: str = "") -> LogSource:
    """Return a source over bytes already in memory (an excerpt, a test)."""
    return LogSource(name=name, read=lambda: (data,), job=job)


def open_logs(target: str) -> tuple[LogSource, ...]:
    """Find the logs that ``target`` holds, without reading them yet.

    Args:
        target: A path (plain text, .gz or zip of job logs, told apart by content) or ``-`` for standard input.

    Returns:
        One source, or one per job log of a zip, in the zip's own numeric order.

    Raises:
        NotFound: There is no such file.
        UsageError: It is a folder, or a zip on a pipe.
        Permanent: It cannot be read, or the zip is broken, encrypted or beyond all bounds.
    """
    if target == "-":
        return (_standard_input(),)
    path = Path(target)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError as error:
        raise NotFound(
            f"No such log: {target}.", next_step="Name an existing file, or - for a pipe."
        ) from error
    except IsADirectoryError as error:
        raise UsageError(f"{target} is a folder.", next_step="Name one log, .gz or zip in it.") from error
    except OSError as error:
        raise Permanent(
            f"Cannot read {target}: {error.strerror}.", next_step="Check its permissions."
        ) from error
    if magic.startswith(b"PK"):
        return _zip_members(path)
    return (LogSource(name=target, read=lambda: _file_chunks(path)),)


def _standard_input() -> LogSource:
    def read() -> Iterator[bytes]:
        stream = sys.stdin.buffer
        start = stream.read(4)
        if start.startswith(b"PK\x03\x04"):
            raise UsageError("A zip cannot be read from a pipe.", next_step="Save it and name the file.")
        chunks = _chain(start, _chunks(stream))
        yield from _gunzip(chunks, "-") if start.startswith(b"\x1f\x8b") else _bounded(chunks, "-")

    return LogSource(name="-", read=read)


def _file_chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            start = file.read(4)
            chunks = _chain(start, _chunks(file))
            if start.startswith(b"\x1f\x8b"):
                yield from _gunzip(chunks, str(path))
            else:
                yield from _bounded(chunks, str(path))
    except OSError as error:
        raise Permanent(f"Cannot read {path}: {error}.", next_step="Fetch the log anew.") from error


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(READ_BYTES):
        yield chunk


def _chain(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from rest


def _bounded(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > MAX_LOG_BYTES:
            raise Permanent(
                f"{name} is longer than {MAX_LOG_BYTES >> 30} GiB.",
                next_step="Cut out the failing job and name that.",
            )
        yield chunk


def _gunzip(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    return _bounded(_inflate(chunks, name), name)


def _inflate(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    # zlib's own object rather than gzip.open: it works on a pipe and never hands out more than it was asked for.
    inflater = zlib.decompressobj(wbits=31)
    fresh = (
        False  # whether a member has ended and no other has begun: a .gz may be several, one after the other
    )
    try:
        for chunk in chunks:
            data = chunk
            while data:
                yield inflater.decompress(data, READ_BYTES)
                data = inflater.unconsumed_tail or inflater.unused_data
                fresh = inflater.eof
                if fresh:
                    inflater = zlib.decompressobj(wbits=31)
        yield inflater.flush()
    except zlib.error as error:
        raise Permanent(f"{name} is a broken .gz: {error}.", next_step="Fetch the log anew.") from error
    if not fresh:
        raise Permanent(f"{name} is a .gz that was cut short.", next_step="Fetch the log anew.")


def _zip_members(path: Path) -> tuple[LogSource, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise Permanent(f"{path} is a broken zip: {error}.", next_step="Fetch the logs anew.") from error
    if len(members) > MAX_ZIP_MEMBERS:
        raise Permanent(
            f"{path} has {len(members)} members; {MAX_ZIP_MEMBERS} is the most that is read.",
            next_step="Take the failed jobs' logs out of it and name those.",
        )
    if sum(info.file_size for info in members) > MAX_LOG_BYTES:
        raise Permanent(
            f"{path} holds more than {MAX_LOG_BYTES >> 30} GiB.", next_step="Name the failed job's log alone."
        )
    logs = [info for info in members if info.filename.lower().endswith((".txt", ".log"))] or members
    # GitHub's zip of a run repeats each job's log step by step in a folder of its own: read each line once.
    whole_jobs = [info for info in logs if "/" not in info.filename]
    if not logs:
        raise Permanent(f"{path} holds no log.", next_step="Name a zip of job logs.")
    return tuple(
        LogSource(
            name=_shown_member(info.filename),
            read=lambda info=info: _member_chunks(path, info),  # type: ignore[misc]
            job=_job_of(info.filename),
        )
        for info in sorted(whole_jobs or logs, key=lambda info: _numeric(info.filename))
    )


def _member_chunks(path: Path, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as member:
            yield from _bounded(_chunks(member), info.filename)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise Permanent(
            f"{path} is broken at {info.filename}: {error}.", next_step="Fetch it anew."
        ) from error
    except (
        RuntimeError,
        NotImplementedError,
    ) as error:  # how zipfile says encrypted, and unknown compression
        raise Permanent(
            f"{path} cannot be unpacked at {info.filename}: {error}.", next_step="Name a plain zip."
        ) from error


def _shown_member(name: str) -> str:
    """Return a member's name without what could climb out of a folder; it is shown, never opened."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _job_of(name: str) -> str:
    stem = _shown_member(name).split("/")[0].removesuffix(".txt").removesuffix(".log")
    return re.sub(r"^\d+_", "", stem)


def _numeric(name: str) -> tuple[tuple[int, str], ...]:
    # Shorter numbers only: a name may be 65,535 digits, which int refuses.
    return tuple(
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,18})", name)
    )


def refuse_binary(start: bytes, name: str) -> None:
    """Raise NotText where ``start``, the first bytes of ``name``, cannot be the start of a text."""
    probe = start[:_PROBE_BYTES]
    if not probe:
        return
    strange = len(probe) - len(probe.translate(None, _BINARY))
    if strange > len(probe) * _MAX_BINARY_SHARE:
        raise NotText(
            f"{name} is not text ({100 * strange // len(probe)} % of its first bytes are control codes).",
            next_step="Name a log, a .gz of one, or a zip of job logs.",
        )
