"""Reading a request's body within bounds: its size, its time, and the memory of all of them together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from starlette.requests import ClientDisconnect, Request

MEBIBYTE = 1 << 20


class Refusal(StrEnum):
    """Why a body was not read to its end."""

    TOO_LARGE = "the body is larger than this gateway takes"
    TOO_SLOW = "the body did not arrive in time"
    BUSY = "too many bodies are being read at this moment"
    CUT_OFF = "the connection ended within the body"


class BodyRefused(Exception):
    """A body that was not read; the response says why."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(str(why))
        self.why = why


class BodyReader:
    """Reads bodies while they stream in.

    Args:
        largest_bytes: A larger body is refused at the byte that is too many.
        deadline_seconds: How long a body may take; GitHub itself gives up after ten.
        most_bytes_at_once: How much the bodies of all requests may take together; it bounds what strangers,
            whose signatures nobody has checked yet, can make this process hold.
    """

    def __init__(self, *, largest_bytes: int, deadline_seconds: float, most_bytes_at_once: int) -> None:
        self._largest_bytes = largest_bytes
        self._deadline_seconds = deadline_seconds
        self._most_bytes_at_once = most_bytes_at_once
        self._held_bytes = 0

    @asynccontextmanager
    async def body_of(self, request: Request) -> AsyncIterator[bytes]:
        """Give the body; it counts towards the memory of all until the block ends.

        Raises:
            BodyRefused: It breaks a bound.
        """
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self._largest_bytes:
            raise BodyRefused(Refusal.TOO_LARGE)
        counted = [0]
        try:
            yield await self._read(request, counted)
        finally:
            self._held_bytes -= counted[0]

    async def _read(self, request: Request, counted: list[int]) -> bytes:
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._deadline_seconds):
                async for chunk in request.stream():
                    counted[0] += len(chunk)
                    self._held_bytes += len(chunk)
                    if counted[0] > self._largest_bytes:
                        raise BodyRefused(Refusal.TOO_LARGE)
                    if self._held_bytes > self._most_bytes_at_once:
                        raise BodyRefused(Refusal.BUSY)
                    chunks.append(chunk)
        except TimeoutError as error:
            raise BodyRefused(Refusal.TOO_SLOW) from error
        except ClientDisconnect as error:
            raise BodyRefused(Refusal.CUT_OFF) from error
        return b"".join(chunks)
