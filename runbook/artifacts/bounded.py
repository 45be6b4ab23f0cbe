"""XML from strangers, read within limits: an entity bomb, a deep nest or a million elements end early."""

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO
from xml.parsers import expat

from runbook.errors import Permanent

MOST_XML_BYTES = 32 * 1024 * 1024
MOST_XML_ELEMENTS = 300_000
MOST_XML_DEPTH = 50
MOST_XML_TAG_BYTES = 1024 * 1024
"""Of one tag or comment: the parser holds it whole, and looks through it again with each piece that it is fed."""

MOST_XML_NAMES = 5_000
"""Different names of elements and attributes: the parser keeps them all. Reports use some dozens."""

REPORT_LINE = "report_line"
"""The attribute in which each record is told its own line of the file."""

_CHUNK_BYTES = 65_536
_MOST_TEXT_CHARACTERS = 2_000
_MOST_ATTRIBUTES = 20
_MOST_PARTS = 10


class Unreadable(Permanent):
    """A report cannot be read; the others still can."""


@dataclass(frozen=True)
class Record:
    """One element of the kind that a report is made of.

    Args:
        element: The element, with those of its children that are read.
        within: The elements that it is in, the outermost first; without children or text.
    """

    element: ET.Element
    within: tuple[ET.Element, ...]


class _Enough(Exception):
    """The document holds more than is read of it: no error, but the end of a parse."""


class Document:
    """An XML document of which one kind of element is read, each as soon as it ends, and none kept.

    Of a document that is cut off, broken or too large, what comes before is read.

    Args:
        stream: The document.
        record: The name of the elements that are read.
        parts: The names of those children that are read with them.
        roots: Of a document whose outermost element has another name, only that element is read.

    Attributes:
        root: The outermost element.
        cut: Why the rest was not read; "" as long as all was.

    Raises:
        Unreadable: It is no XML, or declares entities; also while it is read.
    """

    def __init__(
        self, stream: IO[bytes], *, record: str, parts: Collection[str], roots: Collection[str]
    ) -> None:
        self.root: ET.Element | None = None
        self.cut = ""
        self._stream, self._record, self._parts, self._roots = stream, record, parts, roots
        self._open: list[ET.Element] = []
        self._within: tuple[ET.Element, ...] = ()
        self._current: ET.Element | None = None
        self._ended: list[Record] = []
        self._elements = self._read = self._characters = 0
        self._names: dict[str, str] = {}
        # Without namespaces: the parser keeps each prefix that was ever declared, and tells nobody of it.
        self._parser = expat.ParserCreate(None, None, self._names)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add_text
        self._parser.StartDoctypeDeclHandler = self._refuse_declarations
        self._more = True
        while self._more and self.root is None:
            self._more = self._feed()
        if self.root is None:
            raise Unreadable(self.cut or "it is no XML")

    def records(self) -> Iterator[Record]:
        """Yield each element of the kind that is read; to be called once."""
        while True:
            ended, self._ended = self._ended, []
            yield from ended
            if not self._more:
                break
            self._more = self._feed()
        if self._current is not None:  # the document ends within it
            yield Record(self._current, self._within)

    # --- The parser's events ---

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._elements >= MOST_XML_ELEMENTS:
            raise _Enough(f"only its first {MOST_XML_ELEMENTS:,} elements were read")
        if len(self._open) >= MOST_XML_DEPTH:
            raise _Enough(f"it is nested deeper than {MOST_XML_DEPTH}, and was read up to there")
        if len(self._names) > MOST_XML_NAMES:
            raise _Enough(f"it uses more than {MOST_XML_NAMES:,} different names, and was read up to there")
        name = tag.rpartition(":")[2]
        read = {
            key: value[:_MOST_TEXT_CHARACTERS] for key, value in islice(attributes.items(), _MOST_ATTRIBUTES)
        }
        element = ET.Element(name, read)
        self._elements += 1
        self._characters = 0
        if self.root is None:
            self.root = element
            if name not in self._roots:
                raise _Enough
        if self._current is None and name == self._record:
            element.set(REPORT_LINE, str(self._parser.CurrentLineNumber))
            self._current, self._within = element, tuple(self._open)
        elif self._is_part(name):
            self._open[-1].append(element)
        self._open.append(element)

    def _is_part(self, name: str) -> bool:
        parent = self._current
        return (
            parent is not None
            and self._open[-1] is parent
            and name in self._parts
            and len(parent) < _MOST_PARTS
        )

    def _end(self, _tag: str) -> None:
        if self._open.pop() is self._current:
            self._ended.append(Record(self._current, self._within))
            self._current = None

    def _add_text(self, data: str) -> None:
        element = self._open[-1]
        left = _MOST_TEXT_CHARACTERS - self._characters
        if self._current is not None and left > 0:
            element.text = (element.text or "") + data[:left]
            self._characters += len(data)

    def _refuse_declarations(self, _name: str, _system: object, _public: object, internal: int) -> None:
        # Entities and default attributes make a huge report of a small file; no tool declares any.
        if internal:
            raise Unreadable("it declares XML entities or the like, which no report needs")

    # --- The document ---

    def _feed(self) -> bool:
        """Parse the next piece; False at the end."""
        try:
            return self._parse(self._stream.read(_CHUNK_BYTES))
        except _Enough as enough:
            self.cut = str(enough)
        except (expat.ExpatError, ValueError, LookupError) as error:
            if self.root is None:
                raise Unreadable(f"it is no XML ({error})") from error
            self.cut = f"it is broken, and was read up to there ({error})"
        return False

    def _parse(self, chunk: bytes) -> bool:
        self._parser.Parse(chunk, not chunk)
        self._read += len(chunk)
        if self._read - self._parser.CurrentByteIndex > MOST_XML_TAG_BYTES:
            raise _Enough(
                f"one tag in it is larger than {MOST_XML_TAG_BYTES // 1024**2} MiB, and it was read up to there"
            )
        if self._read > MOST_XML_BYTES:
            raise _Enough(f"only its first {MOST_XML_BYTES // 1024**2} MiB were read")
        return bool(chunk)
