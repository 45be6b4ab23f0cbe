"""Deliveries that come in together are stored together, and none is acknowledged before its commit."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from deployments.gateway.committing import Committer
from runbook.engine.deliveries import Deliveries, Incoming, Receipt, pack
from runbook.errors import LedgerError, Transient


class SlowDeliveries(Deliveries):
    """Deliveries whose commits wait to be let through, and can fail."""

    def __init__(self, inner: Deliveries) -> None:
        self._inner = inner
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.batches: list[int] = []
        self.broken = False

    def store(self, arrivals: Sequence[Incoming]) -> list[Receipt]:
        self.begun.set()
        assert self.gate.wait(10)
        self.batches.append(len(arrivals))
        if self.broken:
            raise LedgerError("The ledger was locked.")
        return self._inner.store(arrivals)


@pytest.fixture
def slow(deliveries: Deliveries) -> SlowDeliveries:
    return SlowDeliveries(deliveries)


@pytest.fixture
def committer(slow: SlowDeliveries) -> Iterator[Committer]:
    opened = Committer(slow, most_waiting=50)
    yield opened
    opened.close()


def arrival(number: int) -> Incoming:
    return Incoming(
        id=str(number),
        event="workflow_run",
        action="completed",
        repository="acme/voice-agent",
        key=str(number),
        body=pack(b"{}"),
    )


def test_what_comes_in_during_a_commit_shares_the_next_one(
    committer: Committer, slow: SlowDeliveries
) -> None:
    async def send() -> list[Receipt]:
        tasks = [asyncio.ensure_future(committer.store(arrival(number))) for number in range(40)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        slow.gate.set()
        return list(await asyncio.gather(*tasks))

    assert asyncio.run(send()) == [Receipt.STORED] * 40
    assert sum(slow.batches) == 40
    assert len(slow.batches) <= 2


def test_failed_commit_is_the_failure_of_each_that_waited_for_it_and_of_no_other(
    committer: Committer, slow: SlowDeliveries, deliveries: Deliveries
) -> None:
    slow.gate.set()
    slow.broken = True

    async def send() -> list[object]:
        return list(
            await asyncio.gather(*(committer.store(arrival(n)) for n in range(5)), return_exceptions=True)
        )

    assert all(isinstance(found, LedgerError) for found in asyncio.run(send()))
    slow.broken = False
    assert asyncio.run(committer.store(arrival(1))) is Receipt.STORED
    assert len(deliveries.due(limit=10)) == 1


def test_client_that_hangs_up_takes_nobody_s_commit_with_it(
    committer: Committer, slow: SlowDeliveries
) -> None:
    async def send() -> Receipt:
        first = asyncio.ensure_future(committer.store(arrival(1)))
        assert await asyncio.to_thread(slow.begun.wait, 10)
        second = asyncio.ensure_future(committer.store(arrival(2)))
        third = asyncio.ensure_future(committer.store(arrival(3)))
        await asyncio.sleep(0)
        second.cancel()  # its batch waits for the writer still
        with suppress(asyncio.CancelledError):
            await second
        slow.gate.set()
        assert await first is Receipt.STORED
        return await third

    assert asyncio.run(send()) is Receipt.STORED


def test_beyond_what_may_wait_is_turned_away_at_once(committer: Committer, slow: SlowDeliveries) -> None:
    async def send() -> list[object]:
        tasks = [asyncio.ensure_future(committer.store(arrival(number))) for number in range(60)]
        await asyncio.sleep(0)
        turned_away = [task.exception() for task in tasks if task.done()]
        slow.gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return turned_away

    turned_away = asyncio.run(send())
    assert len(turned_away) == 10
    assert all(isinstance(error, Transient) for error in turned_away)
    assert asyncio.run(committer.store(arrival(99))) is Receipt.STORED
