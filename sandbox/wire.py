"""What travels between the HTTP server and a stand-in: requests, replies, bodies, refusals, routes.

Nothing here knows GitHub; a stand-in of another system uses the same pieces.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote

Json = dict[str, Any]
CHUNK_BYTES = 256 * 1024


class Body(Protocol):
    """A response body whose length is known and whose bytes are made as they are sent."""

    @property
    def length(self) -> int:
        """Number of bytes."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, piece by piece."""
        ...


@dataclass(frozen=True)
class Bytes:
    """A body that is held in memory."""

    data: bytes

    @property
    def length(self) -> int:
        """Number of bytes."""
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        for start in range(0, len(self.data), CHUNK_BYTES):
            yield self.data[start : start + CHUNK_BYTES]


@dataclass(frozen=True)
class Repeated:
    """``unit`` over and over, cut at ``length`` bytes: gigabytes that take no memory."""

    unit: bytes
    length: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        block = self.unit * max(1, CHUNK_BYTES // len(self.unit))
        left = self.length
        while left > 0:
            yield block[:left]
            left -= len(block)


@dataclass(frozen=True)
class Joined:
    """Several bodies, one after another."""

    parts: Sequence[Body]

    @property
    def length(self) -> int:
        """Number of bytes."""
        return sum(part.length for part in self.parts)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        for part in self.parts:
            yield from part.chunks()


@dataclass(frozen=True)
class Request:
    """One request as it came in. ``path`` is still percent-encoded; header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, method: str, target: str, headers: Mapping[str, str], body: bytes) -> "Request":
        """Split a request target into path and query."""
        path, _, query = target.partition("?")
        return cls(method, path, dict(parse_qsl(query, keep_blank_values=True)), headers, body)


@dataclass
class Reply:
    """One answer. ``body`` is JSON data, a ``Body`` or None; ``sent`` is called once it is out."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    sent: Callable[[], None] | None = None

    def payload(self) -> Body:
        """Return the body as bytes to send."""
        if self.body is None:
            return Bytes(b"")
        if isinstance(self.body, Bytes | Repeated | Joined):
            return self.body
        return Bytes(json.dumps(self.body, separators=(",", ":")).encode())


class Refused(Exception):
    """The stand-in answers with an error.

    Args:
        status: HTTP status code.
        message: The text that the real system gives.
        extra: Further keys of the body.
        headers: Further response headers.
    """

    def __init__(
        self, status: int, message: str, *, extra: Json | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.extra = extra or {}
        self.headers = headers or {}


Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Route(Generic[Handler]):
    """A method and path with the function that answers it; ``tags`` are the stand-in's own rules for it."""

    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Handler
    tags: Mapping[str, Any]


class Router(Generic[Handler]):
    """Finds the handler of a request. Templates: ``{name}`` is one segment, ``{name...}`` is the rest."""

    def __init__(self) -> None:
        self.routes: list[Route[Handler]] = []

    def add(self, method: str, template: str, **tags: Any) -> Callable[[Handler], Handler]:
        """Register the decorated function for ``method`` and ``template``."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
        pattern = re.sub(r"\{(\w+)\.\.\.\}", r"(?P<\1>.*)", pattern)

        def register(handler: Handler) -> Handler:
            self.routes.append(Route(method, template, re.compile(pattern), handler, tags))
            return handler

        return register

    def find(self, method: str, path: str) -> tuple[Route[Handler], dict[str, str]] | None:
        """Return the route and its decoded path parameters, or None."""
        for route in self.routes:
            if route.method == method and (match := route.pattern.fullmatch(path)):
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
        return None
