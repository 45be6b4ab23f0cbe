"""JSON from strangers, skimmed: the text is kept, and only the entry that is looked at is decoded.

A decoded document takes up to fifty times the memory of its text, and a made-up one takes all of it.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import IO, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from runbook.artifacts.bounded import Unreadable

MOST_JSON_BYTES = 16 * 1024 * 1024
MOST_JSON_TOKENS = 1_000_000
"""Texts and brackets: what decides how long it takes to find where an entry ends."""

MOST_ENTRIES = 20_000
"""Entries of all lists of one report together."""

MOST_ENTRY_BYTES = 65_536
"""Of one entry, without the lists in it that are read entry by entry and the fields that nobody asks for."""

_CHUNK_BYTES = 65_536
_MOST_FIELDS = 100

_SPACE = re.compile(rb"[ \t\r\n]*+")
# Both match a text without an end as well, up to where the data ends: it must not be tried anew from each quote in it.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(")?', re.DOTALL)
_NESTING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_PLAIN = re.compile(rb'[^ \t\r\n,:"\[\]{}]++')
_BEGINNING = re.compile(rb'[\[{"0-9tfn-]')
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")

Entry = TypeVar("Entry", bound="Entered")


@dataclass(frozen=True, slots=True)
class Part:
    """A value in the report's text that is not decoded.

    Args:
        start: Where it begins.
        end: Where it ends, or where the text does.
        whole: Whether its end is there.
    """

    start: int
    end: int
    whole: bool = True


class Entered(BaseModel):
    """Base of what is read of a report's JSON: just the named fields, the others may be anything.

    A field of type ``Part | None`` stays undecoded: a list whose entries are read one by one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Incomplete(Exception):
    """The text ends within the entry: what is there of it might say the opposite of the whole."""


class _TooLarge(Exception):
    """The entry is larger than is decoded."""


class Entries:
    """One report's JSON, and what was not read of it: a single budget, whatever the lists are nested in.

    Args:
        stream: The file.

    Raises:
        Unreadable: It is no JSON.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.cut = ""
        self._odd = self._large = 0
        self._left = MOST_ENTRIES
        self._room = 0
        self._text = self._read(stream)
        start = self._space(0, len(self._text))
        if not _BEGINNING.match(self._text, start):
            raise Unreadable("it is no JSON")
        self.root = Part(start, len(self._text))

    def is_list(self, part: Part) -> bool:
        """Tell whether it is a list."""
        return self._text.startswith(b"[", part.start)

    def fields(self, part: Part) -> dict[str, Part]:
        """Return an object's named fields undecoded, the first hundred of them; none of another value."""
        found: dict[str, Part] = {}
        for name, one in self._members(part, b"{"):
            found[name.decode("utf-8", "replace")] = one
            if len(found) >= _MOST_FIELDS:
                break
        return found

    def of(self, kind: type[Entry], part: Part | None, *, openings: bytes = b"[") -> Iterator[Entry]:
        """Yield a list's entries as ``kind``; those that are something else are counted, not fatal.

        Args:
            kind: What each should be.
            part: The list; None or null, which some tools write for an empty one, has no entries.
            openings: With a ``{`` in it, an object's values are entries too.
        """
        if part is None or self._text.startswith(b"null", part.start):
            return
        opening = self._text[part.start : part.start + 1]
        if opening not in openings:
            self._odd += 1
            return
        for _, one in self._members(part, bytes(opening)):
            if not self._left:
                self._end_early(f"only the first {MOST_ENTRIES:,} of its entries were read")
                return
            self._left -= 1
            entry = self._validated(kind, one)
            if entry is not None:
                yield entry

    def notes(self) -> Iterator[str]:
        """Say what was not read."""
        if self.cut:
            yield self.cut
        if self._odd:
            yield f"{self._odd} of its entries are not as the format says, and were left out"
        if self._large:
            yield f"{self._large} of its entries are larger than {MOST_ENTRY_BYTES // 1024} KiB, and were left out"

    # --- Decoding one entry ---

    def _validated(self, kind: type[Entry], part: Part) -> Entry | None:
        self._room = MOST_ENTRY_BYTES
        try:
            return kind.model_validate(self._opened(kind, part))
        except _Incomplete:
            pass  # why is said in `cut`
        except _TooLarge:
            self._large += 1
        except ValueError:  # pydantic's and the decoder's
            self._odd += 1
        return None

    def _opened(self, kind: type[Entered], part: Part) -> Any:
        """Decode what ``kind`` names of a value: at once where it is small and holds no lists of its own."""
        small = part.end - part.start <= self._room and not _holds_lists(kind)
        if small or not self._text.startswith(b"{", part.start):
            return self._decoded(part)
        shape = _shape(kind)
        named = {name: one for name, one in self._members(part, b"{") if name in shape}
        return {name.decode(): self._field(shape[name], one) for name, one in named.items()}

    def _field(self, kind: type[Entered] | type[Part] | None, part: Part) -> Any:
        if kind is None:
            return self._decoded(part)
        return self._opened(kind, part) if issubclass(kind, Entered) else part

    def _decoded(self, part: Part) -> Any:
        if not part.whole:
            raise _Incomplete
        self._room -= part.end - part.start
        if self._room < 0:
            raise _TooLarge
        return from_json(bytes(self._text[part.start : part.end]), allow_inf_nan=False)

    # --- The text ---

    def _read(self, stream: IO[bytes]) -> bytearray:
        """Read the text up to where it holds more than is looked at."""
        text, tokens = bytearray(), 0
        for chunk in _as_utf8(stream):
            tokens += chunk.count(b'"') // 2 + sum(chunk.count(mark) for mark in (b"[", b"]", b"{", b"}"))
            if len(text) + len(chunk) > MOST_JSON_BYTES:
                self._end_early(f"only its first {MOST_JSON_BYTES // 1024**2} MiB were read")
            elif tokens > MOST_JSON_TOKENS:
                self._end_early(f"only its first {MOST_JSON_TOKENS:,} texts and brackets were read")
            if self.cut:
                break
            text += chunk
        return text

    def _members(self, part: Part, opening: bytes) -> Iterator[tuple[bytes, Part]]:
        """Yield an object's names and values, or a list's values, as far as they are there."""
        text, end = self._text, part.end
        if not text.startswith(opening, part.start):
            return
        name, at = b"", self._space(part.start + 1, end)
        while at < end and text[at] not in _CLOSING:
            if opening == b"{":
                named = _TEXT.match(text, at, end)
                colon = self._space(named.end(), end) if named else end
                if named is None or not text.startswith(b":", colon):
                    break
                name, at = named[0][1:-1], self._space(colon + 1, end)
            after = self._after(at, end)
            if after is None:
                if at < end:
                    yield name, Part(at, end, whole=False)
                break
            yield name, Part(at, after)
            at = self._space(after, end)
            if text.startswith(b",", at):
                at = self._space(at + 1, end)
            elif at < end and text[at] not in _CLOSING:
                break
        else:
            if at < end:
                return
        self._end_early("it is broken, and was read up to there")

    def _after(self, at: int, end: int) -> int | None:
        """Return where the value ends that begins here; None where its end is not there."""
        text = self._text
        if at < end and text[at] in _OPENING:
            depth = 0
            for token in _NESTING.finditer(text, at, end):
                mark = text[token.start()]
                if mark in _OPENING:
                    depth += 1
                elif mark in _CLOSING:
                    depth -= 1
                    if not depth:
                        return token.end()
            return None
        quoted = _TEXT.match(text, at, end)
        if quoted:
            return quoted.end() if quoted[1] else None
        plain = _PLAIN.match(text, at, end)
        return plain.end() if plain and plain.end() < end else None  # the rest of a number may be missing

    def _space(self, at: int, end: int) -> int:
        found = _SPACE.match(self._text, at, end)
        return found.end() if found else at

    def _end_early(self, why: str) -> None:
        self.cut = self.cut or why  # the first reason explains the others


def _as_utf8(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the text in pieces, without a byte order mark, also of what PowerShell's ``>`` writes (UTF-16)."""
    chunk = stream.read(_CHUNK_BYTES)
    wide = chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16")("replace") if wide else None
    chunk = chunk.removeprefix(codecs.BOM_UTF8)
    while chunk:
        yield decoder.decode(chunk).encode("utf-8", "replace") if decoder else chunk
        chunk = stream.read(_CHUNK_BYTES)


@cache
def _shape(kind: type[Entered]) -> dict[bytes, type[Entered] | type[Part] | None]:
    """Return how each field that ``kind`` names is read: field by field, not yet, or (None) decoded at once."""
    shape: dict[bytes, type[Entered] | type[Part] | None] = {}
    for name, field in kind.model_fields.items():
        shape[(field.alias or name).encode()] = _read_as(field.annotation)
    return shape


def _read_as(annotation: Any) -> type[Entered] | type[Part] | None:
    if Part in get_args(annotation):
        return Part
    return annotation if isinstance(annotation, type) and issubclass(annotation, Entered) else None


@cache
def _holds_lists(kind: type[Entered]) -> bool:
    return any(
        read_as is Part or (read_as is not None and issubclass(read_as, Entered) and _holds_lists(read_as))
        for read_as in _shape(kind).values()
    )
