"""XML from strangers, read within limits: an entity bomb, a deep nest or a million elements end early."""

import xml.etree.ElementTree as ET
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

from runbook.errors import Permanent

MOST_XML_BYTES = 32 * 1024 * 1024
MOST_XML_ELEMENTS = 300_000
MOST_XML_DEPTH = 50
MOST_XML_TAG_BYTES = 2 * 1024 * 1024
"""Of one tag or comment: the parser holds it whole, and looks through it again with each piece that it is fed."""

REPORT_LINE = "report_line"
"""The attribute in which each element is told its own line of the file."""

_CHUNK_BYTES = 65_536
_MOST_TEXT_CHARACTERS = 4_000


class Unreadable(Permanent):
    """A report cannot be read; the others still can."""


@dataclass(frozen=True)
class Tree:
    """The elements of a document as far as they were read.

    Args:
        root: The outermost element.
        cut: Why the rest was not read; "" where all was.
    """

    root: ET.Element
    cut: str


class _Enough(Exception):
    """The document holds more than is read of it: no error, but the end of a parse."""


@dataclass
class _Builder:
    """Builds the tree from the parser's events, and stops where it grows too large."""

    only_root: Collection[str]
    parser: expat.XMLParserType = field(default_factory=lambda: expat.ParserCreate(namespace_separator="}"))
    target: ET.TreeBuilder = field(default_factory=ET.TreeBuilder)
    open_tags: list[str] = field(default_factory=list)
    elements: int = 0
    characters: int = 0

    def __post_init__(self) -> None:
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        # An entity of its own is in no report that a tool writes: it is how a small file becomes a huge one.
        self.parser.EntityDeclHandler = self.refuse_entity

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition("}")[2]
        if self.elements >= MOST_XML_ELEMENTS:
            raise _Enough(f"only its first {MOST_XML_ELEMENTS:,} elements were read")
        if len(self.open_tags) >= MOST_XML_DEPTH:
            raise _Enough(f"it is nested deeper than {MOST_XML_DEPTH}, and was read up to there")
        line = self.parser.CurrentLineNumber
        short = {name: value[:_MOST_TEXT_CHARACTERS] for name, value in attributes.items()}
        self.target.start(tag, {**short, REPORT_LINE: str(line)})
        self.open_tags.append(tag)
        self.elements += 1
        self.characters = 0
        if self.elements == 1 and tag in self.only_root:
            raise _Enough

    def end(self, tag: str) -> None:
        self.target.end(self.open_tags.pop())
        self.characters = 0

    def text(self, data: str) -> None:
        left = _MOST_TEXT_CHARACTERS - self.characters
        if left > 0:
            self.target.data(data[:left])
            self.characters += len(data)

    def refuse_entity(self, *_declaration: object) -> None:
        raise Unreadable("it declares XML entities, which no report needs")

    def close(self) -> ET.Element:
        while self.open_tags:
            self.target.end(self.open_tags.pop())
        return self.target.close()


def read_xml(stream: IO[bytes], *, only_root: Collection[str] = ()) -> Tree:
    """Read a document; of one that is cut off, broken or too large, what comes before.

    Args:
        stream: The document.
        only_root: Of a document whose outermost element has such a name, only that element is read.

    Raises:
        Unreadable: It is no XML, or declares entities.
    """
    builder = _Builder(only_root)
    cut = ""
    try:
        _feed(builder, stream)
    except _Enough as enough:
        cut = str(enough)
        if not builder.elements:
            raise Unreadable(cut) from enough
    except (expat.ExpatError, ValueError, LookupError) as error:
        if not builder.elements:
            raise Unreadable(f"it is no XML ({error})") from error
        cut = f"it is broken, and was read up to there ({error})"
    return Tree(root=builder.close(), cut=cut)


def _feed(builder: _Builder, stream: IO[bytes]) -> None:
    read = 0
    while chunk := stream.read(_CHUNK_BYTES):
        builder.parser.Parse(chunk, False)
        read += len(chunk)
        if read - builder.parser.CurrentByteIndex > MOST_XML_TAG_BYTES:
            raise _Enough(
                f"one tag in it is larger than {MOST_XML_TAG_BYTES // 1024**2} MiB, and it was read up to there"
            )
        if read > MOST_XML_BYTES:
            raise _Enough(f"only its first {MOST_XML_BYTES // 1024**2} MiB were read")
    builder.parser.Parse(b"", True)
