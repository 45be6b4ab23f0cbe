"""One pass over a log with all signatures at once: bytes in, hits with exact line numbers out.

Hyperscan finds where a signature may match, at some GB/s; Python's own regular expression then confirms it on the
one line, read as people mean it. So a signature may say "at the start of the line" and mean after the time stamp.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from runbook.triage.catalogue import Catalogue, Signature
from runbook.triage.lines import OVERLAP_BYTES, SHOWN_BYTES, Block, Line, blocks, read_line
from runbook.triage.logs import LogSource, refuse_binary

KEPT_PER_STEP = 40
"""Hits of one signature kept per step: enough for evidence, bounded on a log that is nothing but errors."""

KEPT_MARKERS = 4_000
_MAX_REGIONS = 20_000


@dataclass(frozen=True, slots=True)
class Hit:
    """One signature found on one line.

    ``region`` numbers the steps of a log in order of appearance (0 before the first). ``loud`` says that the line
    was printed as an error annotation. ``value`` is what the signature's ``extract`` took from the line.
    """

    signature: Signature
    line: int
    text: str
    job: str = ""
    step: str = ""
    at: str = ""
    region: int = 0
    loud: bool = False
    value: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over one log found: hits by line, the log's length, its first time stamp."""

    file: str
    job: str
    lines: int
    hits: tuple[Hit, ...]
    first_at: str = ""


@dataclass(slots=True)
class _Pass:
    """The state of one pass."""

    catalogue: Catalogue
    columns: bool = False
    hits: list[Hit] = field(default_factory=list)
    region: int = 0
    place: tuple[str, str] = ("", "")
    counts: dict[tuple[int, int], int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)


def scan(source: LogSource, catalogue: Catalogue, *, block_bytes: int | None = None) -> Scan:
    """Read a log once and return the hits of every signature of the catalogue.

    Args:
        source: The log.
        catalogue: The signatures, compiled.
        block_bytes: Bytes scanned at once; for tests.

    Raises:
        NotText: Its first bytes are not text.
        RunbookError: The source's own errors (gone, broken, too long).
    """
    return scan_chunks(source.read(), catalogue, name=source.name, job=source.job, block_bytes=block_bytes)


def scan_chunks(
    chunks: Iterable[bytes], catalogue: Catalogue, *, name: str, job: str = "", block_bytes: int | None = None
) -> Scan:
    """Scan a stream of bytes; see ``scan``."""
    state = _Pass(catalogue)
    lines = 0
    first_at = ""
    found: list[tuple[int, int]] = []
    scratch_free_append = found.append

    def on_match(signature: int, _start: int, end: int, _flags: int, _context: object) -> None:
        scratch_free_append((end, signature))

    sized = blocks(chunks, block_bytes=block_bytes) if block_bytes else blocks(chunks)
    first = True
    ends_line = True
    for block in sized:
        if first:
            refuse_binary(block.data, name)
            opening = read_line(block.data[: block.data.find(b"\n") % SHOWN_BYTES])
            state.columns = bool(opening.step)
            first_at = opening.at
            first = False
        found.clear()
        catalogue.database.scan(block.data, match_event_handler=on_match)
        found.sort()
        _confirm(state, block, found)
        lines = block.first_line + block.data.count(b"\n")
        ends_line = block.data.endswith(b"\n")
    return Scan(
        file=name,
        job=job,
        lines=lines - 1 if ends_line and lines else lines,
        hits=tuple(state.hits),
        first_at=first_at,
    )


def _confirm(state: _Pass, block: Block, found: list[tuple[int, int]]) -> None:
    data = block.data
    number, counted = block.first_line, 0
    begin, stop = 0, -1
    line: Line | None = None
    for end, index in found:
        if not begin < end <= stop + 1:  # another line than the last match's
            begin = data.rfind(b"\n", 0, max(end - 1, 0)) + 1
            stop = data.find(b"\n", max(end - 1, 0))
            stop = len(data) if stop < 0 else stop
            number += data.count(b"\n", counted, begin)
            counted = begin
            line = None
        if state.last.get(index) == number and stop - begin <= SHOWN_BYTES:
            continue  # a signature counts once a line
        kept = state.counts.get((index, state.region), 0)
        signature = state.catalogue.signatures[index]
        if kept >= (KEPT_MARKERS if signature.is_marker else KEPT_PER_STEP):
            continue
        if stop - begin > SHOWN_BYTES:
            near = max(begin, end - OVERLAP_BYTES // 2)
            line = read_line(data[near : min(stop, end + OVERLAP_BYTES // 2)])
        elif line is None:
            line = read_line(data[begin:stop], columns=state.columns)
        _take(state, index, signature, line, number)


def _take(state: _Pass, index: int, signature: Signature, line: Line, number: int) -> None:
    text = state.catalogue.confirm(index, line)
    if text is None or state.last.get(index) == number:
        return
    state.last[index] = number
    if (line.job, line.step) != state.place or signature.id == "step.begin":
        state.place = (line.job, line.step)
        if state.region < _MAX_REGIONS:
            state.region += 1
    key = (index, state.region)
    state.counts[key] = state.counts.get(key, 0) + 1
    value = signature.value_in(text)
    state.hits.append(
        Hit(
            signature=signature,
            line=number,
            text=text,
            job=line.job,
            step=line.step,
            at=line.at,
            region=state.region,
            loud=line.text.startswith(("##[error]", "::error")),
            value=value,
        )
    )
