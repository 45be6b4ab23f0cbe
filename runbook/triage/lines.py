"""Bytes to blocks of whole lines, and one raw line to what it says: job, step, time, text.

Blocks are cut by content alone, never by how the bytes happened to arrive, so that the same log always gives the
same hits. Lines are 1-based and end at \\n only.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BLOCK_BYTES = 1 << 20
"""Scanned at once; what a scan holds in memory is a small multiple of it."""

OVERLAP_BYTES = 1 << 12
"""How much of one piece of an overlong line is scanned again with the next, so that no match is cut in two."""

SHOWN_BYTES = 1 << 13
"""Longest line taken whole; of a longer one, only the surroundings of a match."""

_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_LINE = re.compile(
    r"(?:(?P<job>[^\t\n]*)\t(?P<step>[^\t\n]*)\t|(?P<name>[\w ./()-]{1,80}?) {2,})?"
    # A byte order mark, whole or mis-decoded, stands before the time in what gh prints.
    r"[^\x00-\x7f]{0,4}"
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)(?: \d\d[OE]\+?)?(?: |$)"
)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)(?: (?!\d\d[OE])|$)")
_COLUMNS = re.compile(r"(?P<job>[^\t\n]*)\t(?P<step>[^\t\n]*)\t")
_WRAPPERS = re.compile(
    r"\s*(?:"
    r"##\[(?:error|command|section)\]"  # not warnings: a tool's error inside one did not fail the step
    r"|::error[^:]*::"
    r"|#\d+ (?:\d+\.\d+ )?"  # buildkit: vertex number and seconds
    r"|\[(?:junit|javac|exec|java|testng|scalac|groovyc|null)\] ?"  # ant's task names
    r"|(?:@[\w.-]+/)?[\w.-]+:[\w:.-]+: (?=\S)"  # turborepo: package and task
    r"|[\w.-]{1,60} +\| "  # docker compose: service
    r"|\u2502 "  # terraform's box
    r"|Error: (?=\S)|error: (?=ERROR)"  # how GitHub's page shows an error annotation
    r")"
)


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole lines (or one piece of an overlong line), ANSI sequences removed.

    ``first_line`` is the number of the line that ``data`` begins in, ``line_ends`` how many it holds.
    """

    data: bytes
    first_line: int
    line_ends: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line as people mean it: where it was printed, when, and the text without time stamp and ANSI.

    ``bare`` is the text without what other tools wrapped around it (markers, buildkit's and compose's prefixes).
    """

    job: str
    step: str
    at: str
    text: str

    @property
    def bare(self) -> str:
        """The text as the innermost tool printed it."""
        return bare(self.text)


def blocks(chunks: Iterable[bytes], *, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Cut a stream into blocks that end at line ends.

    Args:
        chunks: The log's bytes, in pieces of any size. UTF-16 with a byte order mark is understood.
        block_bytes: Most bytes of a block. A line longer than that is cut into overlapping pieces.
    """
    buffer = bytearray()
    line = 1
    for chunk in _as_utf8(chunks):
        for start in range(0, len(chunk), block_bytes):
            buffer += chunk[start : start + block_bytes]
            while len(buffer) >= block_bytes:
                end = buffer.rfind(b"\n", 0, block_bytes) + 1
                data = bytes(memoryview(buffer)[: end or block_bytes])
                line_ends = data.count(b"\n")
                yield Block(without_ansi(data), line, line_ends)
                line += line_ends
                del buffer[: end or block_bytes - OVERLAP_BYTES]
    if buffer:
        yield Block(without_ansi(bytes(buffer)), line, buffer.count(b"\n"))


def _as_utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decoder: codecs.IncrementalDecoder | None = None
    head = b""
    for index, chunk in enumerate(chunks):
        if decoder is not None:
            yield decoder.decode(chunk).encode("utf-8", "replace")
            continue
        if index == 0 or len(head) < 2:
            head += chunk
            if len(head) < 2:
                continue
            if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                decoder = codecs.getincrementaldecoder("utf-16")("replace")
                yield decoder.decode(head).encode("utf-8", "replace")
            else:
                yield head
            head = head[:2]
            continue
        yield chunk
    if len(head) < 2:
        yield head


def without_ansi(data: bytes) -> bytes:
    """Remove colour and cursor sequences; line ends stay where they are."""
    return _ANSI.sub(b"", data) if b"\x1b" in data else data


def read_line(raw: bytes, *, columns: bool = False) -> Line:
    """Tell what one raw line (without its \\n and ANSI sequences) says.

    Args:
        raw: The bytes of the line.
        columns: Whether the log is in the form of ``gh run view --log``, so that a line without a time (the rest
            of a message of several lines) has its job and step columns too.
    """
    text = raw.decode("utf-8", "replace").rstrip("\r").lstrip("\ufeff")
    job = step = at = ""
    if found := _STAMP.match(text):  # most lines of most logs: quick
        return Line(job, step, found[1], text[found.end() :].lstrip("\ufeff"))
    if found := _LINE.match(text):
        job, step = found["job"] or found["name"] or "", found["step"] or ""
        at = found["at"]
        text = text[found.end() :]
    elif columns and (found := _COLUMNS.match(text)):
        job, step = found["job"], found["step"]
        text = text[found.end() :]
    return Line(job.strip(), step.strip(), at, text.lstrip("\ufeff"))


def bare(text: str) -> str:
    """Return a line's text without the wrappers that other tools put before it."""
    for _ in range(4):
        found = _WRAPPERS.match(text)
        if not found:
            break
        text = text[found.end() :]
    return text.strip()
