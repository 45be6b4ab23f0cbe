"""Storing many deliveries at once: one writer, one transaction for all that came in during the one before.

A commit that survives a power cut takes a few milliseconds, whatever it holds. While one is under way, arrivals
gather for the next; each request waits for the commit of its own.
"""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from runbook.engine.deliveries import Deliveries, Incoming, Receipt
from runbook.errors import Transient

_LARGEST_BATCH = 500
_MOST_WAITING = 4_000


@dataclass
class _Batch:
    arrivals: list[Incoming] = field(default_factory=list)
    stored: "Future[list[Receipt]]" = field(default_factory=Future)


class Committer:
    """Stores deliveries in groups.

    Args:
        deliveries: Where to.
        most_waiting: How many may wait for their commit; more are turned away.
    """

    def __init__(self, deliveries: Deliveries, *, most_waiting: int = _MOST_WAITING) -> None:
        self._deliveries = deliveries
        self._most_waiting = most_waiting
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deliveries")
        self._lock = threading.Lock()
        self._gathering: _Batch | None = None
        self._waiting = 0

    async def store(self, incoming: Incoming) -> Receipt:
        """Store a delivery; return once it is committed.

        Raises:
            LedgerError: The ledger is away; it was not stored.
            Transient: Too many wait already; it was not stored.
        """
        batch, position = self._join(incoming)
        try:
            # Shielded: a client that hangs up must not take its neighbours' commit with it.
            receipts = await asyncio.shield(asyncio.wrap_future(batch.stored))
        finally:
            with self._lock:
                self._waiting -= 1
        return receipts[position]

    def close(self) -> None:
        """Commit what waits, then end the writer."""
        self._writer.shutdown(wait=True)

    def _join(self, incoming: Incoming) -> tuple[_Batch, int]:
        with self._lock:
            if self._waiting >= self._most_waiting:
                raise Transient(
                    f"{self._waiting} deliveries wait to be stored already.",
                    unchanged="This one was not stored.",
                    next_step="send it again later",
                )
            batch = self._gathering
            if batch is None or len(batch.arrivals) >= _LARGEST_BATCH:
                batch = self._gathering = _Batch()
                batch.stored = self._writer.submit(self._commit, batch)
            batch.arrivals.append(incoming)
            self._waiting += 1
            return batch, len(batch.arrivals) - 1

    def _commit(self, batch: _Batch) -> list[Receipt]:
        with self._lock:  # from here on nobody joins it
            if self._gathering is batch:
                self._gathering = None
        return self._deliveries.store(batch.arrivals)
