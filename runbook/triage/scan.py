"""One pass over a log with all signatures at once: bytes in, hits with exact line numbers out.

Hyperscan finds where a signature may match, at some GB/s; Python's own regular expression then confirms it on the
one line, read as people mean it. So a signature may say "at the start of the line" and mean after the time stamp.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import hyperscan

from runbook.triage.catalogue import Catalogue, Signature
from runbook.triage.lines import BLOCK_BYTES, OVERLAP_BYTES, SHOWN_BYTES, Block, Line, blocks, read_line
from runbook.triage.logs import LogSource, refuse_binary

KEPT_PER_STEP = 40
"""Hits of one signature kept per step: enough for evidence, bounded on a log that is nothing but errors."""

MAX_STEPS = 5_000
"""Steps told apart in one log; more than any has. What comes later counts to the last one."""

MAX_HITS = 20_000
"""Hits kept of one log, of its beginning and its end: whoever wrote the log decides how many it has."""

TRIES_PER_LONG_LINE = 64
"""How often one signature is tried on one overlong line: what only looks like a match must not cost minutes."""

_INDEX_BITS = 12
_INDEX_MASK = (1 << _INDEX_BITS) - 1


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


def scan(source: LogSource, catalogue: Catalogue, *, block_bytes: int = BLOCK_BYTES) -> Scan:
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
    chunks: Iterable[bytes], catalogue: Catalogue, *, name: str, job: str = "", block_bytes: int = BLOCK_BYTES
) -> Scan:
    """Scan a stream of bytes; see ``scan``."""
    state = _Pass(catalogue)
    found: list[int] = []

    def on_match(signature: int, _start: int, end: int, _flags: int, _context: object) -> None:
        found.append(end << _INDEX_BITS | signature)  # one number: there may be a hundred thousand in a block

    # Hyperscan's working memory serves one scan at a time: with one of its own, several threads share a catalogue.
    working = [(database, hyperscan.Scratch(database)) for database in catalogue.databases]
    first_at = ""
    lines = 0
    unfinished = False
    for number, block in enumerate(blocks(chunks, block_bytes=block_bytes)):
        if number == 0:
            refuse_binary(block.data, name)
            opening = read_line(block.data[: block.data.find(b"\n") % SHOWN_BYTES])
            state.columns = bool(opening.step)
            first_at = opening.at
        found.clear()
        for database, scratch in working:
            database.scan(block.data, match_event_handler=on_match, scratch=scratch)
        found.sort()
        state.confirm(block, found)
        lines = block.first_line - 1 + block.line_ends
        unfinished = not block.data.endswith(b"\n")
    return Scan(file=name, job=job, lines=lines + unfinished, hits=tuple(state.hits), first_at=first_at)


@dataclass(slots=True)
class _Pass:
    """One pass over one log: which hits were kept so far, and in which step the log is."""

    catalogue: Catalogue
    columns: bool = False
    hits: list[Hit] = field(default_factory=list)
    region: int = 0
    place: tuple[str, str] = ("", "")
    kept: dict[tuple[int, int], int] = field(default_factory=dict)
    tried: dict[int, tuple[int, int]] = field(default_factory=dict)

    def confirm(self, block: Block, found: list[int]) -> None:
        """Try each place that hyperscan found on its line, in the order of the lines."""
        data = block.data
        number, counted = block.first_line, 0
        begin, stop = 0, -1
        line: Line | None = None
        for place in found:
            end, index = place >> _INDEX_BITS, place & _INDEX_MASK
            if not begin < end <= stop + 1:  # another line than the last one's
                begin = data.rfind(b"\n", 0, end - 1) + 1
                stop = data.find(b"\n", end - 1)
                stop = len(data) if stop < 0 else stop
                number += data.count(b"\n", counted, begin)
                counted = begin
                line = None
            if not self._worth_trying(index, number, overlong=stop - begin > SHOWN_BYTES):
                continue
            if stop - begin > SHOWN_BYTES:
                near = max(begin, end - OVERLAP_BYTES // 2)
                line = read_line(data[near : min(stop, end + OVERLAP_BYTES // 2)])
            elif line is None:
                line = read_line(data[begin:stop], columns=self.columns)
            self._take(index, line, number)

    def _worth_trying(self, index: int, number: int, *, overlong: bool) -> bool:
        # Where columns name the step, the next line may be another step's: only reading it tells.
        if not self.columns and self.kept.get((index, self.region), 0) >= KEPT_PER_STEP:
            return self.catalogue.signatures[index].begins_step
        tried_on, times = self.tried.get(index, (0, 0))
        times = times + 1 if tried_on == number else 1
        self.tried[index] = (number, times)
        return times <= (TRIES_PER_LONG_LINE if overlong else 1)

    def _take(self, index: int, line: Line, number: int) -> None:
        text = self.catalogue.confirm(index, line)
        if text is None or (self.hits and self._is_kept(index, number)):
            return
        signature = self.catalogue.signatures[index]
        if (line.job, line.step) != self.place or signature.begins_step:
            self.place = (line.job, line.step)
            self.region = min(self.region + 1, MAX_STEPS)
        kept = self.kept.get((index, self.region), 0)
        if kept >= KEPT_PER_STEP:
            return
        self.kept[index, self.region] = kept + 1
        self.hits.append(
            Hit(
                signature=signature,
                line=number,
                text=text,
                job=line.job,
                step=line.step,
                at=line.at,
                region=self.region,
                loud=line.text.startswith(("##[error]", "::error")),
                value=signature.value_in(text),
            )
        )
        if len(self.hits) >= 2 * MAX_HITS:  # twice, so that it is seldom done
            del self.hits[MAX_HITS // 2 : -MAX_HITS // 2]

    def _is_kept(self, index: int, number: int) -> bool:
        """Whether this signature was already kept for this line (an overlong line is tried more than once)."""
        signature = self.catalogue.signatures[index]
        for hit in reversed(self.hits):
            if hit.line != number:
                return False
            if hit.signature is signature:
                return True
        return False
