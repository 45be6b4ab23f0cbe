"""R7: one at a time per target, and a process that was taken for dead can claim nothing more."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from runbook.clock import VirtualClock
from runbook.engine.leases import Fenced, Lease, Leases
from runbook.engine.ledger import Ledger
from runbook.engine.processes import is_provably_dead, process_identity
from runbook.engine.schema import LeaseRow
from runbook.engine.states import EffectState
from runbook.errors import Ambiguous, Transient
from tests.runbook.engine import children
from tests.runbook.engine.conftest import START, TIMINGS, Room
from tests.runbook.engine.databases import new_ledger_url
from tests.runbook.engine.lamps import Lamps, LightLamp

ELSEWHERE = "another-host/boot/pid:[1]/77/12345"
LONG = timedelta(seconds=60)


@pytest.fixture
def leases(ledger: Ledger, clock: VirtualClock) -> Leases:
    """Leases of a minute."""
    return Leases(ledger, clock=clock, lease_seconds=60, poll_seconds=2)


def held_elsewhere(ledger: Ledger, target: str, *, seconds: float = 60, process: str = ELSEWHERE) -> None:
    """Let a process elsewhere hold a target, as execution e1."""
    with ledger.write() as session:
        session.add(
            LeaseRow(
                target=target,
                token=5,
                execution_id="e1",
                process=process,
                expires_at=START + timedelta(seconds=seconds),
            )
        )


def keep(leases: Leases, lease: Lease) -> bool:
    """Tell whether a lease still holds."""
    try:
        leases.keep(lease)
    except Fenced:
        return False
    return True


def test_a_second_holder_waits_and_gets_it_when_the_first_gives_it_back(
    leases: Leases, clock: VirtualClock, ledger: Ledger
) -> None:
    class GivesBack(VirtualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now() - START == timedelta(seconds=10):
                leases.release(first)

    first = leases.acquire(("a",), execution_id="e1")
    patient = GivesBack(START)
    waiting = Leases(ledger, clock=patient, lease_seconds=60, poll_seconds=2)
    second = waiting.acquire(("a",), execution_id="e2")
    assert patient.now() - START == timedelta(seconds=10)
    assert second.tokens["a"] > first.tokens["a"]


def test_a_holder_that_keeps_renewing_is_never_robbed(ledger: Ledger) -> None:
    class Renews(VirtualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            holder.keep(lease)

    clock = Renews(START)
    holder = Leases(ledger, clock=clock, lease_seconds=60, poll_seconds=2)
    lease = holder.acquire(("a",), execution_id="e1")
    with pytest.raises(Transient, match="a is being changed") as raised:
        holder.acquire(("a",), execution_id="e2")
    assert raised.value.retry_after_seconds == 60
    assert clock.now() - START == 2 * LONG


def test_a_silent_holder_loses_it_when_it_expires_and_can_claim_nothing_more(
    leases: Leases, ledger: Ledger, clock: VirtualClock
) -> None:
    held_elsewhere(ledger, "a")
    stale = Lease(execution_id="e1", tokens={"a": 5})
    assert keep(leases, stale)
    taken = leases.acquire(("a",), execution_id="e2")
    assert clock.now() - START >= LONG
    assert not keep(leases, stale)
    assert keep(leases, taken)


def test_a_resumed_process_of_the_same_execution_fences_the_one_before(
    leases: Leases, ledger: Ledger
) -> None:
    """The orphan of a killed worker and its revival carry the same execution: the token tells them apart."""
    held_elsewhere(ledger, "a")
    orphan = Lease(execution_id="e1", tokens={"a": 5})
    revived = leases.acquire(("a",), execution_id="e1")
    assert revived.tokens["a"] == 6
    assert not keep(leases, orphan)
    assert keep(leases, revived)


def test_a_provably_dead_holder_is_taken_over_at_once(tmp_path: Path) -> None:
    from runbook.clock import SystemClock

    url = new_ledger_url(tmp_path)
    assert children.run_all(children.take_lease_and_end, (url, "a")) == [0]
    clock = VirtualClock(SystemClock().now())
    before = clock.now()
    ledger = Ledger(url)
    leases = Leases(ledger, clock=clock, lease_seconds=60, poll_seconds=2)
    assert leases.acquire(("a",), execution_id="e2").tokens == {"a": 2}
    assert clock.now() == before
    ledger.close()


@pytest.mark.parametrize("process", [ELSEWHERE, "", "nonsense", "h/unprovable/-/1/-"])
def test_a_holder_whose_death_nobody_can_prove_keeps_it_until_it_expires(
    leases: Leases, ledger: Ledger, clock: VirtualClock, process: str
) -> None:
    held_elsewhere(ledger, "a", process=process)
    leases.acquire(("a",), execution_id="e2")
    assert clock.now() - START >= LONG


def test_all_targets_or_none(leases: Leases, ledger: Ledger) -> None:
    held_elsewhere(ledger, "b", seconds=10_000)
    with pytest.raises(Transient, match="b is being changed"):
        leases.acquire(("a", "b", "c"), execution_id="e2")
    with ledger.read() as session:
        assert session.get(LeaseRow, "a") is None
        assert session.get(LeaseRow, "c") is None


def test_losing_one_of_several_targets_loses_the_whole(leases: Leases, ledger: Ledger) -> None:
    lease = leases.acquire(("a", "b"), execution_id="e1")
    with ledger.write() as session:
        session.get_one(LeaseRow, "b").token += 1
    assert not keep(leases, lease)


def test_a_large_set_is_renewed_by_as_few_statements_as_a_small_one(
    leases: Leases, ledger: Ledger, clock: VirtualClock
) -> None:
    def statements(count: int) -> int:
        lease = leases.acquire(tuple(f"{count}/{n}" for n in range(count)), execution_id="e1")
        clock.sleep(1)
        found: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            found.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            leases.keep(lease)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        with ledger.read() as session:
            expiries = {session.get_one(LeaseRow, target).expires_at for target in lease.tokens}
        assert expiries == {clock.now() + LONG}
        return len(found)

    assert statements(50) == statements(2)


def test_a_lease_given_back_cannot_be_used_and_giving_it_back_twice_robs_nobody(leases: Leases) -> None:
    first = leases.acquire(("a",), execution_id="e1")
    leases.release(first)
    assert not keep(leases, first)
    second = leases.acquire(("a",), execution_id="e2")
    leases.release(first)
    assert keep(leases, second)


def test_tokens_only_grow(leases: Leases) -> None:
    tokens = []
    for number in range(4):
        lease = leases.acquire(("a",), execution_id=f"e{number % 2}")
        tokens.append(lease.tokens["a"])
        leases.release(lease)
    assert tokens == [1, 2, 3, 4]


def test_an_expired_lease_that_nobody_took_may_be_renewed(leases: Leases, clock: VirtualClock) -> None:
    lease = leases.acquire(("a",), execution_id="e1")
    clock.sleep(1000)
    assert keep(leases, lease)


# --- through the journal ---------------------------------------------------------------------------------


def test_a_stale_token_claims_nothing_and_sends_nothing(
    room: Room, new_room: Callable[[Lamps], Room]
) -> None:
    plan = room.store(LightLamp(name="hall"), LightLamp(name="stairs"))
    first, second = room.entries(plan)
    stale = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    room.engine.journal.apply(first.id, lease=stale)

    other = new_room(room.lamps)
    room.clock.sleep(TIMINGS.lease_seconds + 1)
    fresh = other.engine.leases.acquire(plan.plan.targets, execution_id="e1")

    with pytest.raises(Fenced):
        room.engine.journal.apply(second.id, lease=stale)
    with pytest.raises(Fenced):
        room.engine.journal.undo(first.id, lease=stale)
    assert room.lamps.sent == ["on hall"]
    assert room.entries(plan)[1].state is EffectState.PLANNED
    assert other.engine.journal.apply(second.id, lease=fresh).state is EffectState.CONFIRMED


@pytest.mark.parametrize("verb", ["on", "off"])
def test_a_lease_and_its_execution_stay_alive_while_doubt_is_probed(room: Room, verb: str) -> None:
    """Doubt is probed for twice as long as a lease lasts."""
    plan = room.store(LightLamp(name="hall"))
    entry = room.entries(plan)[0]
    lease = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    looked: list[float] = []

    def look(name: str) -> None:
        if (
            name == ("claim.before" if verb == "on" else "undo-claim.before")
            and f"{verb} hall" in room.lamps.sent
        ):
            assert room.engine.leases.acquire_now(plan.plan.targets, execution_id="thief") is None
            execution = room.engine.executions.get("e1")
            assert execution is not None
            looked.append((room.clock.now() - execution.heartbeat_at).total_seconds())

    room.engine.journal._boundary = look
    room.lamps.fail(verb, Ambiguous("the line went dead"))
    room.engine.journal.apply(entry.id, lease=lease)
    room.engine.journal.undo(entry.id, lease=lease)
    assert len(looked) == 1
    assert looked[0] <= TIMINGS.lease_seconds / 3


def test_every_claim_extends_the_lease(room: Room) -> None:
    plan = room.store(LightLamp(name="hall"))
    lease = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    room.clock.sleep(50)
    room.engine.journal.apply(room.entries(plan)[0].id, lease=lease)
    with room.engine.ledger.read() as session:
        row = session.get_one(LeaseRow, "lamp:hall")
        assert row.expires_at == room.clock.now() + LONG


# --- processes -------------------------------------------------------------------------------------------


def test_this_process_is_not_dead() -> None:
    assert not is_provably_dead(process_identity())


def test_a_process_that_ended_here_is_provably_dead(tmp_path: Path) -> None:
    said = tmp_path / "identity"
    assert children.run_all(children.tell_identity, (str(said),)) == [0]
    identity = said.read_text()
    assert is_provably_dead(identity)
    host, _, rest = identity.partition("/")
    assert not is_provably_dead(f"not-{host}/{rest}")


def test_a_process_number_used_again_by_another_process_is_not_the_old_one() -> None:
    machine, _, started = process_identity().rpartition("/")
    assert is_provably_dead(f"{machine}/{int(started) - 1}")
