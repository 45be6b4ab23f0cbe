"""R3 and R4 for any effect: claimed, sent, confirmed, undone; doubt is settled by a probe or by a person."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from runbook.engine import effects
from runbook.engine.effects import Effect, EffectClass
from runbook.engine.engine import Ended
from runbook.engine.entries import JournalEntry
from runbook.engine.leases import Lease
from runbook.engine.schema import Base
from runbook.engine.states import EffectState, ExecutionState
from runbook.errors import Ambiguous, Denied, NeedsPerson, NotFound, Permanent, RunbookError, Transient
from tests.runbook.engine.conftest import TIMINGS, Room
from tests.runbook.engine.lamps import BurnMatch, LightLamp, LightLampAgain, RingBell

HALL = LightLamp(name="hall")
DOUBT = Ambiguous("the line went dead")
BUSY = Transient("come back later")
CLASSES: list[type[LightLamp]] = [LightLamp, LightLampAgain, RingBell]


class Killed(BaseException):
    """Stands for the end of the process at a boundary."""


def enrol(room: Room, effect: Effect) -> tuple[JournalEntry, Lease]:
    """Store a plan of one effect and take its lease."""
    plan = room.store(effect)
    lease = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    return room.entries(plan)[0], lease


def kill_at(room: Room, boundary: str, entry: JournalEntry, lease: Lease) -> None:
    """Apply until the process dies at a boundary."""
    room.boundaries[boundary] = Killed()
    with pytest.raises(Killed):
        room.engine.journal.apply(entry.id, lease=lease)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_effect_is_sent_once_and_confirmed_with_its_result(room: Room, kind: type[LightLamp]) -> None:
    entry, lease = enrol(room, kind(name="hall"))
    done = room.engine.journal.apply(entry.id, lease=lease)
    assert (done.state, done.sends, done.result) == (EffectState.CONFIRMED, 1, {"lamp": "hall"})
    assert room.lamps.sent == ["on hall"]


@pytest.mark.parametrize("kind", CLASSES)
def test_a_confirmed_effect_is_not_sent_again(room: Room, kind: type[LightLamp]) -> None:
    entry, lease = enrol(room, kind(name="hall"))
    first = room.engine.journal.apply(entry.id, lease=lease)
    assert room.engine.journal.apply(entry.id, lease=lease) == first
    assert room.lamps.sent == ["on hall"]


# --- doubt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_a_lost_answer_is_settled_by_a_probe_without_sending_again(room: Room, kind: type[LightLamp]) -> None:
    entry, lease = enrol(room, kind(name="hall"))
    room.lamps.fail("on", DOUBT, effect_first=True)
    done = room.engine.journal.apply(entry.id, lease=lease)
    assert (done.state, done.result) == (EffectState.CONFIRMED, {"lamp": "hall"})
    assert room.lamps.sent == ["on hall"]


@pytest.mark.parametrize(("kind", "second"), [(LightLamp, " again"), (RingBell, " again")])
def test_what_never_took_effect_is_sent_again_and_says_so(
    room: Room, kind: type[LightLamp], second: str
) -> None:
    entry, lease = enrol(room, kind(name="hall"))
    room.lamps.fail("on", DOUBT)
    done = room.engine.journal.apply(entry.id, lease=lease)
    assert (done.state, done.sends) == (EffectState.CONFIRMED, 2)
    assert room.lamps.sent == ["on hall", f"on hall{second}"]


def test_the_outside_world_gets_its_time_before_anything_is_sent_again(room: Room) -> None:
    entry, lease = enrol(room, HALL)
    room.lamps.fail("on", DOUBT, effect_first=True)
    room.lamps.slow_probes = 31  # the first is the look before sending
    before = room.clock.now()
    assert room.engine.journal.apply(entry.id, lease=lease).state is EffectState.CONFIRMED
    assert room.lamps.sent == ["on hall"]
    assert room.clock.now() - before == timedelta(seconds=30 * TIMINGS.probe_interval_seconds)


def test_doubt_ends_when_the_world_had_its_time(room: Room) -> None:
    entry, lease = enrol(room, HALL)
    room.lamps.fail("on", DOUBT)
    before = room.clock.now()
    room.engine.journal.apply(entry.id, lease=lease)
    assert room.clock.now() - before == timedelta(seconds=TIMINGS.settle_seconds)


def test_a_probeable_effect_that_no_probe_can_tell_needs_a_person(room: Room) -> None:
    entry, lease = enrol(room, HALL)
    room.lamps.fail("on", DOUBT, effect_first=True)
    room.lamps.blind = True
    with pytest.raises(NeedsPerson, match="took effect") as raised:
        room.engine.journal.apply(entry.id, lease=lease)
    assert "lamp on hall" in raised.value.next_step
    assert raised.value.__cause__ is DOUBT
    assert room.lamps.sent == ["on hall"]
    with pytest.raises(NeedsPerson):
        room.engine.journal.apply(entry.id, lease=lease)
    assert room.lamps.sent == ["on hall"]


@pytest.mark.parametrize("boundary", ["claim.after", "confirm.before"])
def test_a_claim_left_by_a_dead_process_that_no_probe_can_tell_needs_a_person(
    room: Room, boundary: str
) -> None:
    entry, lease = enrol(room, HALL)
    kill_at(room, boundary, entry, lease)
    sent = list(room.lamps.sent)
    room.lamps.blind = True
    with pytest.raises(NeedsPerson, match="took effect"):
        room.engine.journal.apply(entry.id, lease=lease)
    assert room.lamps.sent == sent
    assert room.engine.entries.get(entry.id).state is EffectState.NEEDS_PERSON


@pytest.mark.parametrize(("kind", "sent"), [(LightLampAgain, "on hall again"), (RingBell, "on hall again")])
def test_what_may_repeat_is_repeated_where_no_probe_can_tell(
    room: Room, kind: type[LightLamp], sent: str
) -> None:
    entry, lease = enrol(room, kind(name="hall"))
    kill_at(room, "confirm.before", entry, lease)
    room.lamps.blind = True
    done = room.engine.journal.apply(entry.id, lease=lease)
    assert done.state is EffectState.CONFIRMED
    assert room.lamps.sent == ["on hall", sent]


@pytest.mark.parametrize("error", [NotFound("the house is gone"), Denied("the door is locked")])
def test_a_probe_that_is_refused_cannot_tell(room: Room, error: RunbookError) -> None:
    entry, lease = enrol(room, HALL)
    kill_at(room, "confirm.before", entry, lease)
    room.lamps.fail("look", error, times=1000)
    with pytest.raises(NeedsPerson):
        room.engine.journal.apply(entry.id, lease=lease)
    assert room.lamps.sent == ["on hall"]


def test_a_probe_that_is_answered_later_settles_the_doubt_later(room: Room) -> None:
    entry, lease = enrol(room, HALL)
    kill_at(room, "confirm.before", entry, lease)
    room.lamps.fail("look", BUSY)
    with pytest.raises(Transient):
        room.engine.journal.apply(entry.id, lease=lease)
    assert room.engine.journal.apply(entry.id, lease=lease).state is EffectState.CONFIRMED
    assert room.lamps.sent == ["on hall"]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_effect_is_sent_three_times_at_most(room: Room, kind: type[LightLamp]) -> None:
    entry, lease = enrol(room, kind(name="hall"))
    room.lamps.fail("on", DOUBT, times=10)
    with pytest.raises(NeedsPerson, match="3 times"):
        room.engine.journal.apply(entry.id, lease=lease)
    assert len(room.lamps.sent) == 3


def test_a_record_without_a_clear_answer_is_looked_for_and_sent_again_by_a_later_call(room: Room) -> None:
    """GitHub's bad quarter of an hour must not close an incident's issue to every later triage."""
    room.begin("e1")
    room.lamps.fail("on", DOUBT, times=4)
    for sent in (3, 4):
        with pytest.raises(Transient, match=f"{sent} times"):
            room.engine.record("e1", "opened", RingBell(name="hall"))
        assert len(room.lamps.sent) == sent
    done = room.engine.record("e1", "opened", RingBell(name="hall"))
    assert (done.state, done.sends) == (EffectState.CONFIRMED, 5)
    assert room.lamps.sent == ["on hall", *["on hall again"] * 4]


def test_a_record_whose_effect_shows_late_is_found_and_not_sent_again(room: Room) -> None:
    room.begin("e1")
    room.lamps.fail("on", DOUBT, times=3, effect_first=True)
    room.lamps.slow_probes = 1000
    with pytest.raises(Transient):
        room.engine.record("e1", "opened", RingBell(name="hall"))
    room.lamps.slow_probes = 0
    done = room.engine.record("e1", "opened", RingBell(name="hall"))
    assert (done.state, done.result) == (EffectState.CONFIRMED, {"lamp": "hall"})
    assert len(room.lamps.sent) == 3


# --- clear refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_an_effect_put_off_by_the_other_side_is_as_if_never_sent(room: Room, kind: type[LightLamp]) -> None:
    """However often GitHub was down: nothing was in doubt, so nothing is used up and nothing is repeated."""
    entry, lease = enrol(room, kind(name="hall"))
    room.lamps.fail("on", BUSY, times=7)
    for _ in range(7):
        with pytest.raises(Transient):
            room.engine.journal.apply(entry.id, lease=lease)
        assert room.engine.entries.get(entry.id).state is EffectState.PLANNED
    done = room.engine.journal.apply(entry.id, lease=lease)
    assert (done.state, done.sends) == (EffectState.CONFIRMED, 1)
    assert room.lamps.sent == ["on hall"] * 8


def test_doubt_is_not_forgotten_when_the_next_send_is_put_off(room: Room) -> None:
    entry, lease = enrol(room, RingBell(name="hall"))
    room.lamps.fail("on", DOUBT)
    room.lamps.fail("on", BUSY)
    with pytest.raises(Transient):
        room.engine.journal.apply(entry.id, lease=lease)
    room.engine.journal.apply(entry.id, lease=lease)
    assert room.lamps.sent[-1] == "on hall again"


@pytest.mark.parametrize("error", [Denied("not you"), Permanent("no such lamp")])
def test_a_refused_effect_changed_nothing_and_may_be_tried_again(room: Room, error: RunbookError) -> None:
    entry, lease = enrol(room, HALL)
    room.lamps.fail("on", error)
    with pytest.raises(type(error)):
        room.engine.journal.apply(entry.id, lease=lease)
    refused = room.engine.entries.get(entry.id)
    assert (refused.state, refused.sends) == (EffectState.REFUSED, 0)
    assert error.message in refused.note
    done = room.engine.journal.apply(entry.id, lease=lease)
    assert (done.state, done.sends) == (EffectState.CONFIRMED, 1)
    assert room.lamps.sent == ["on hall", "on hall"]


def late(room: Room, effect: Effect, answer: RunbookError) -> tuple[JournalEntry, Lease]:
    """Enrol an effect whose first sending gets no answer and shows too late, and whose second gets this one."""
    entry, lease = enrol(room, effect)
    room.lamps.fail("on", DOUBT, effect_first=True)
    room.lamps.fail("on", answer)
    looks = effect.effect_class is EffectClass.PROBEABLE  # before the first sending
    room.lamps.slow_probes = looks + 1 + int(TIMINGS.settle_seconds / TIMINGS.probe_interval_seconds)
    return entry, lease


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("error", [Denied("it is already lit"), Permanent("it is already lit")])
def test_a_refusal_of_a_repeated_sending_is_believed_only_after_a_look(
    room: Room, kind: type[LightLamp], error: RunbookError
) -> None:
    """GitHub refuses a second re-run because the first, which got no answer, is running: that is ours."""
    entry, lease = late(room, kind(name="hall"), error)
    done = room.engine.journal.apply(entry.id, lease=lease)
    assert (done.state, done.result) == (EffectState.CONFIRMED, {"lamp": "hall"})
    assert error.message in done.note
    assert len(room.lamps.sent) == 2


def test_a_refusal_of_a_repeated_sending_that_is_not_there_is_a_refusal(room: Room) -> None:
    entry, lease = enrol(room, HALL)
    room.lamps.fail("on", DOUBT)
    room.lamps.fail("on", Denied("not you"))
    with pytest.raises(Denied):
        room.engine.journal.apply(entry.id, lease=lease)
    assert room.engine.entries.get(entry.id).state is EffectState.REFUSED


def test_what_shows_after_its_repeated_sending_was_put_off_is_ours_to_undo(room: Room) -> None:
    entry, lease = late(room, HALL, BUSY)
    with pytest.raises(Transient):
        room.engine.journal.apply(entry.id, lease=lease)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.UNDONE
    assert room.lamps.lit == set()


def test_what_shows_after_its_repeated_sending_was_put_off_is_confirmed_and_not_sent_again(
    room: Room,
) -> None:
    entry, lease = late(room, HALL, BUSY)
    with pytest.raises(Transient):
        room.engine.journal.apply(entry.id, lease=lease)
    assert room.engine.journal.apply(entry.id, lease=lease).state is EffectState.CONFIRMED
    assert room.lamps.sent == ["on hall", "on hall again"]


def test_only_what_was_sent_and_not_refused_is_counted(room: Room) -> None:
    plan = room.store(HALL, LightLamp(name="stairs"), LightLamp(name="cellar"))
    lease = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    lit, refused, _planned = room.entries(plan)
    room.engine.journal.apply(lit.id, lease=lease)
    room.lamps.fail("on", Denied("not you"))
    with pytest.raises(Denied):
        room.engine.journal.apply(refused.id, lease=lease)

    def count(**changes: object) -> int:
        known: dict[str, object] = {"params": {}, "since": room.clock.now() - timedelta(hours=1)}
        return room.engine.entries.count_since("light-lamp", **{**known, **changes})  # type: ignore[arg-type]

    assert count() == 1
    assert count(params={"name": "hall"}) == 1
    assert count(params={"name": "stairs"}) == 0
    assert count(since=room.clock.now() + timedelta(seconds=1)) == 0


# --- found already ---------------------------------------------------------------------------------------


def test_a_probeable_effect_that_the_world_already_has_is_not_sent_and_not_undone(room: Room) -> None:
    room.lamps.lit.add("hall")
    entry, lease = enrol(room, HALL)
    assert room.engine.journal.apply(entry.id, lease=lease).state is EffectState.FOUND
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.FOUND
    assert (room.lamps.sent, room.lamps.lit) == ([], {"hall"})


def test_a_notification_is_sent_although_the_world_looks_so(room: Room) -> None:
    room.lamps.lit.add("hall")
    entry, lease = enrol(room, RingBell(name="hall"))
    assert room.engine.journal.apply(entry.id, lease=lease).state is EffectState.CONFIRMED
    assert room.lamps.sent == ["on hall"]


# --- undo ------------------------------------------------------------------------------------------------


def confirmed(room: Room, effect: Effect = HALL) -> tuple[JournalEntry, Lease]:
    """Return an effect that was applied."""
    entry, lease = enrol(room, effect)
    return room.engine.journal.apply(entry.id, lease=lease), lease


def test_a_confirmed_effect_is_taken_back_once(room: Room) -> None:
    entry, lease = confirmed(room)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.UNDONE
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.UNDONE
    assert room.lamps.sent == ["on hall", "off hall"]


def test_what_was_never_sent_has_nothing_to_undo(room: Room) -> None:
    entry, lease = enrol(room, HALL)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.PLANNED
    assert room.lamps.sent == []


def test_what_cannot_be_undone_is_kept_with_the_reason(room: Room) -> None:
    entry, lease = confirmed(room, BurnMatch(name="hall"))
    kept = room.engine.journal.undo(entry.id, lease=lease)
    assert (kept.state, kept.note) == (EffectState.KEPT, "a burnt match stays burnt")


def test_an_undone_effect_is_never_applied_again(room: Room) -> None:
    entry, lease = confirmed(room)
    room.engine.journal.undo(entry.id, lease=lease)
    with pytest.raises(NeedsPerson, match="undone"):
        room.engine.journal.apply(entry.id, lease=lease)


@pytest.mark.parametrize(
    ("boundary", "state", "sent"),
    [
        ("claim.after", EffectState.PLANNED, []),
        ("confirm.before", EffectState.UNDONE, ["on hall", "off hall"]),
    ],
)
def test_the_undo_of_a_claim_in_doubt_asks_first(
    room: Room, boundary: str, state: EffectState, sent: list[str]
) -> None:
    entry, lease = enrol(room, HALL)
    kill_at(room, boundary, entry, lease)
    assert room.engine.journal.undo(entry.id, lease=lease).state is state
    assert room.lamps.sent == sent


@pytest.mark.parametrize("blind", [True, False])
def test_the_undo_of_a_claim_that_no_probe_can_tell_needs_a_person(room: Room, blind: bool) -> None:
    entry, lease = enrol(room, HALL)
    kill_at(room, "confirm.before", entry, lease)
    room.lamps.blind = blind
    if not blind:
        room.lamps.fail("look", NotFound("the house is gone"), times=1000)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.NEEDS_PERSON
    assert room.lamps.sent == ["on hall"]


@pytest.mark.parametrize(("effect_first", "sent"), [(True, 1), (False, 2)])
def test_an_undo_in_doubt_is_probed_before_it_is_sent_again(
    room: Room, effect_first: bool, sent: int
) -> None:
    entry, lease = confirmed(room)
    room.lamps.fail("off", DOUBT, effect_first=effect_first)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.UNDONE
    assert room.lamps.sent.count("off hall") == sent


def test_an_undo_put_off_goes_on_later(room: Room) -> None:
    entry, lease = confirmed(room)
    room.lamps.fail("off", BUSY, times=5)
    for _ in range(5):
        with pytest.raises(Transient):
            room.engine.journal.undo(entry.id, lease=lease)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.UNDONE


def test_an_undo_that_is_refused_needs_a_person_and_names_why(room: Room) -> None:
    entry, lease = confirmed(room)
    room.lamps.fail("off", Denied("not you"))
    left = room.engine.journal.undo(entry.id, lease=lease)
    assert left.state is EffectState.NEEDS_PERSON
    assert "not you" in left.note


def test_an_undo_refused_because_it_happened_by_itself_is_undone(room: Room) -> None:
    """A run may end between the look and the cancellation, which GitHub then refuses."""
    entry, lease = confirmed(room)
    room.lamps.fail("off", Permanent("it is off already"), effect_first=True)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.UNDONE


@pytest.mark.parametrize("refused", [True, False])
def test_an_undo_that_nobody_can_look_at_is_sent_once_and_after_doubt_needs_a_person(
    room: Room, refused: bool
) -> None:
    entry, lease = confirmed(room)
    room.lamps.blind = not refused
    if refused:
        room.lamps.fail("look", NotFound("the house is gone"), times=1000)
    room.lamps.fail("off", DOUBT, effect_first=True)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.NEEDS_PERSON
    assert room.lamps.sent == ["on hall", "off hall"]


def test_an_undo_without_a_clear_answer_needs_a_person(room: Room) -> None:
    entry, lease = confirmed(room)
    room.lamps.fail("off", DOUBT, times=10)
    assert room.engine.journal.undo(entry.id, lease=lease).state is EffectState.NEEDS_PERSON
    assert room.lamps.sent.count("off hall") == 3


# --- who may ---------------------------------------------------------------------------------------------


def test_the_journal_goes_on_only_while_the_plan_is_open(room: Room) -> None:
    """A process that slept between its approval and its first effect must not act on a plan ended since."""
    plan = room.store(HALL)
    entry = room.entries(plan)[0]
    lease = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    assert room.engine.settle("e1", state=ExecutionState.CANCELLED, reason="cancelled") is None
    with pytest.raises(RunbookError, match="cancelled"):
        room.engine.journal.apply(entry.id, lease=lease)
    assert room.lamps.sent == []


def test_an_effect_of_another_version_is_refused_before_anything_is_sent(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = room.store(HALL)
    monkeypatch.delitem(effects._registry, "light-lamp")
    with pytest.raises(RunbookError, match="does not know"):
        room.apply(plan)
    assert room.lamps.sent == []


def test_outside_text_is_scrubbed_before_it_is_kept(room: Room) -> None:
    canary = "ghp_" + "c4naryc4naryc4nary" * 2
    plan = room.store(HALL)
    room.lamps.fail("on", Denied(f"token {canary} may not"))
    outcome = room.apply(plan)
    assert outcome.ended is Ended.UNDONE
    with room.engine.ledger.read() as session:
        tables = Base.metadata.sorted_tables
        dump = "\n".join(str(row) for table in tables for row in session.execute(select(table)))
    assert "may not" in dump
    assert canary not in dump
