"""Deliveries in the ledger: stored once, handed out oldest first, put off, given up, forgotten."""

from datetime import timedelta

import pytest

from runbook.clock import VirtualClock
from runbook.engine.deliveries import (
    LONGEST_BACKOFF_SECONDS,
    Deliveries,
    DeliveryState,
    Incoming,
    Receipt,
    pack,
)
from runbook.engine.ledger import Ledger
from runbook.engine.schema import DeliveryRow
from runbook.errors import Permanent


@pytest.fixture
def deliveries(ledger: Ledger, clock: VirtualClock) -> Deliveries:
    return Deliveries(ledger, clock=clock)


def arrival(id: str, *, key: str = "k", ignored: str = "") -> Incoming:
    return Incoming(
        id=id,
        event="workflow_run",
        action="completed",
        repository="acme/voice-agent",
        key="" if ignored else key,
        body=b"" if ignored else pack(b'{"id": "%s"}' % id.encode()),
        ignored=ignored,
    )


def due(deliveries: Deliveries) -> list[str]:
    return [delivery.id for delivery in deliveries.due(limit=100)]


def test_delivery_is_stored_once_however_often_it_comes(deliveries: Deliveries) -> None:
    receipts = deliveries.store([arrival("a"), arrival("a"), arrival("b", ignored="why"), arrival("a")])
    assert receipts == [Receipt.STORED, Receipt.REPEATED, Receipt.IGNORED, Receipt.REPEATED]
    assert deliveries.store([arrival("a"), arrival("b", ignored="why")]) == [Receipt.REPEATED] * 2
    assert due(deliveries) == ["a"]
    assert deliveries.due(limit=1)[0].payload() == b'{"id": "a"}'


def test_repeating_a_handled_delivery_does_not_bring_it_back(deliveries: Deliveries) -> None:
    deliveries.store([arrival("a")])
    deliveries.done(["a"], reason="started")
    assert deliveries.store([arrival("a")]) == [Receipt.REPEATED]
    assert due(deliveries) == []


def test_ignored_delivery_that_now_means_something_is_taken_up_when_sent_again(
    deliveries: Deliveries,
) -> None:
    deliveries.store([arrival("a", ignored="the policy does not name its repository")])
    assert deliveries.store([arrival("a")]) == [Receipt.STORED]
    assert due(deliveries) == ["a"]


def test_oldest_is_handed_out_first(deliveries: Deliveries, clock: VirtualClock) -> None:
    for id in ("c", "a", "b"):
        deliveries.store([arrival(id)])
        clock.sleep(1)
    assert due(deliveries) == ["c", "a", "b"]
    assert len(deliveries.due(limit=2)) == 2


def test_delivery_is_put_off_longer_each_time_and_no_longer_than_ten_minutes(
    deliveries: Deliveries, clock: VirtualClock
) -> None:
    deliveries.store([arrival("a")])
    waits = []
    for _ in range(14):
        deliveries.retry(["a"], reason="Prefect is away")
        waited = 0
        while not due(deliveries):
            clock.sleep(1)
            waited += 1
        waits.append(waited)
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == LONGEST_BACKOFF_SECONDS


def test_delivery_is_given_up_after_its_tries(deliveries: Deliveries) -> None:
    deliveries.store([arrival("a")])
    for _ in range(3):
        deliveries.retry(["a"], reason="refused", give_up_after=3)
    assert deliveries.backlog().counts[DeliveryState.FAILED] == 1


def test_reason_is_scrubbed(deliveries: Deliveries, ledger: Ledger) -> None:
    deliveries.store([arrival("a")])
    deliveries.retry(["a"], reason="https://user:hunter2hunter2@example.org is away")
    with ledger.read() as session:
        assert "hunter2" not in session.get_one(DeliveryRow, "a").reason


def test_key_is_handled_once_a_delivery_with_it_was_acted_on(deliveries: Deliveries) -> None:
    deliveries.store([arrival("a", key="x"), arrival("b", key="y")])
    deliveries.ignored(["b"], reason="not any more")
    assert not deliveries.handled("x")
    deliveries.done(["a"], reason="started")
    assert deliveries.handled("x")
    assert not deliveries.handled("y")


def test_backlog_counts_states_and_knows_the_oldest(deliveries: Deliveries, clock: VirtualClock) -> None:
    assert deliveries.backlog().oldest_waiting_at is None
    since = clock.now()
    deliveries.store([arrival("a"), arrival("b", ignored="why")])
    clock.sleep(60)
    deliveries.store([arrival("c")])
    backlog = deliveries.backlog()
    assert backlog.oldest_waiting_at == since
    assert backlog.counts == {
        DeliveryState.WAITING: 2,
        DeliveryState.DONE: 0,
        DeliveryState.IGNORED: 1,
        DeliveryState.FAILED: 0,
    }


def test_old_deliveries_are_forgotten_unless_they_wait(deliveries: Deliveries, clock: VirtualClock) -> None:
    deliveries.store([arrival("done"), arrival("waiting"), arrival("ignored", ignored="why")])
    deliveries.done(["done"], reason="started")
    clock.sleep(timedelta(days=8).total_seconds())
    deliveries.store([arrival("fresh", ignored="why")])
    assert deliveries.prune(older_than=timedelta(days=7), limit=1) == 1
    assert deliveries.prune(older_than=timedelta(days=7)) == 1
    assert deliveries.prune(older_than=timedelta(days=7)) == 0
    assert due(deliveries) == ["waiting"]


def test_damaged_body_is_this_deliverys_trouble_alone(deliveries: Deliveries, ledger: Ledger) -> None:
    deliveries.store([arrival("a"), arrival("b")])
    with ledger.write() as session:
        session.get_one(DeliveryRow, "a").body = b"rubbish"
    damaged, sound = deliveries.due(limit=2)
    assert sound.payload() == b'{"id": "b"}'
    with pytest.raises(Permanent, match="damaged"):
        damaged.payload()
