"""The zip of an artifact, opened without trust: spooled to a bounded file, members read as streams, none extracted."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO

from runbook.artifacts.bounded import Unreadable

_CHUNK_BYTES = 65_536
_IN_MEMORY_BYTES = 4 * 1024 * 1024
_END_RECORD = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_SIGNATURE = b"PK\x06\x07"
_LONGEST_COMMENT_BYTES = 65_535
_ENCRYPTED = 0x1

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, OSError, ValueError, NotImplementedError)
"""What reading a damaged or made-up archive may raise, now or at any of its members."""


@dataclass(frozen=True)
class ArchiveLimits:
    """How much of one archive is read.

    Args:
        bytes: Of the zip itself.
        directory_bytes: Of its list of members: some 60 bytes each.
        members: Opened ones.
        member_bytes: Of one member, unpacked.
        total_bytes: Of all members, unpacked.
        ratio: A member of more than ``ratio_from_bytes`` that unpacks to so many times its size is left shut.
        ratio_from_bytes: Small files may be as compressible as they like.
    """

    bytes: int = 32 * 1024 * 1024
    directory_bytes: int = 1024 * 1024
    members: int = 40
    member_bytes: int = 40 * 1024 * 1024
    total_bytes: int = 96 * 1024 * 1024
    ratio: int = 200
    ratio_from_bytes: int = 1024 * 1024


@contextmanager
def spooled(pieces: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """Keep a download in a temporary file (in memory while it is small), gone at the end.

    Args:
        pieces: The download; whoever makes it bounds it.
    """
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as file:
        for piece in pieces:
            file.write(piece)
        file.seek(0)
        yield file


class _Limited(io.RawIOBase):
    """A member's bytes, counted as they are unpacked: what the archive says of its size may be a lie."""

    def __init__(self, source: IO[bytes], allow: Callable[[int], None]) -> None:
        self._source, self._allow = source, allow

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        try:
            piece = self._source.read(len(buffer))
        except BROKEN as error:
            raise _damaged(error) from error
        self._allow(len(piece))
        buffer[: len(piece)] = piece
        return len(piece)


class Archive:
    """A zip of which some members are read.

    Args:
        file: The spooled zip.
        limits: How much of it is read.

    Raises:
        Unreadable: It is no zip, or one made to exhaust its reader.
    """

    def __init__(self, file: IO[bytes], *, limits: ArchiveLimits | None = None) -> None:
        self._limits = limits or ArchiveLimits()
        self._unpacked = 0
        _check_directory(file, self._limits.directory_bytes)
        try:
            self._zip = zipfile.ZipFile(file)
        except BROKEN as error:
            raise Unreadable(f"it is no zip file ({error})") from error

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files in it, in its order."""
        return tuple(info.filename for info in self._zip.infolist() if not info.is_dir())

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """Open one member as a stream, which ends with ``Unreadable`` where a limit is passed.

        Args:
            name: Its name in the archive; never used as a path.

        Raises:
            Unreadable: It is broken, encrypted, packed in an unusual way, or a bomb; also while it is read.
        """
        info = self._zip.getinfo(name)
        self._check(info)
        begun_at = self._unpacked
        limits = self._limits

        def allow(size: int) -> None:
            self._unpacked += size
            if self._unpacked - begun_at > limits.member_bytes:
                raise Unreadable(f"it unpacks to more than {limits.member_bytes // 1024**2} MiB")
            if self._unpacked > limits.total_bytes:
                raise Unreadable(f"the archive unpacks to more than {limits.total_bytes // 1024**2} MiB")

        try:
            source = self._zip.open(info)
        except BROKEN as error:
            raise _damaged(error) from error
        with source:
            yield io.BufferedReader(_Limited(source, allow), _CHUNK_BYTES)

    def _check(self, info: zipfile.ZipInfo) -> None:
        if info.flag_bits & _ENCRYPTED:
            raise Unreadable("it is encrypted")
        # The others may ask for gigabytes of memory to unpack a few bytes.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("it is packed by another method than store or deflate")
        large = info.file_size > self._limits.ratio_from_bytes
        if large and info.file_size > self._limits.ratio * max(1, info.compress_size):
            raise Unreadable(f"it claims to unpack to more than {self._limits.ratio} times its size")


def _damaged(error: Exception) -> Unreadable:
    return Unreadable(f"it cannot be unpacked ({type(error).__name__}: {error})")


def _check_directory(file: IO[bytes], most_bytes: int) -> None:
    """Refuse an archive whose list of members is too long to be held: zipfile reads all of it at once."""
    size = file.seek(0, io.SEEK_END)
    tail_bytes = min(size, _LONGEST_COMMENT_BYTES + _END_RECORD.size + 20)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    file.seek(0)
    # Every end record that a reader might take for the last one is looked at.
    at = tail.find(_END_SIGNATURE)
    while at >= 0:
        if len(tail) - at >= _END_RECORD.size:
            directory_bytes = _END_RECORD.unpack_from(tail, at)[5]
            if directory_bytes > most_bytes or tail[max(0, at - 20) : at].startswith(_ZIP64_SIGNATURE):
                raise Unreadable("it lists more files than are looked at")
        at = tail.find(_END_SIGNATURE, at + 1)
