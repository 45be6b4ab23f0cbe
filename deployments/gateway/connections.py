"""Connections that say nothing: they are closed, so that they cannot take the places of all others.

uvicorn bounds how many there are and how long one may idle between two requests, but not how long the first request,
or the head of any, may take to arrive: a thousand silent connections would shut the gateway for good.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""How long a request's head may take; GitHub gives up on the whole delivery by then."""


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1, with a deadline for the head of each request; bodies have theirs (see `bodies`)."""

    head_seconds = HEAD_SECONDS
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a head that is not complete put nothing off."""
        super().data_received(data)
        # Between two requests the deadline of an idle connection holds, until the first byte of the next one.
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()
        else:
            self._head_is_here()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._head_is_here()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_due is None:
            self._head_due = self.loop.call_later(self.head_seconds, self.transport.close)

    def _head_is_here(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None
