"""R6: exceptions end; what is restored is only what the product itself changed, once, when its time has come."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from runbook.decisions.exceptions import ExceptionKind, ExceptionState
from runbook.engine import audit
from runbook.engine.engine import Ended
from runbook.engine.entries import JournalEntry
from runbook.engine.exception_rows import StandingException, Telling
from runbook.engine.executions import Requester
from runbook.engine.leases import Fenced, Lease
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import ApprovalRow, AuditRow
from runbook.engine.states import EffectState, ExecutionState, IncidentState, RequesterKind
from runbook.errors import Ambiguous, Conflict, Denied, Transient, UsageError
from tests.runbook.engine.conftest import REPOSITORY, START, Room
from tests.runbook.engine.lamps import BurnMatch, Lamps, LightLamp, LightLampBeside

DEADLINE = START + timedelta(hours=4)
BAD = "ghcr.io/acme/tts@sha256:0bad"


def left_lit(room: Room, *names: str, incident_id: int | None = None) -> tuple[StandingException, ...]:
    """Light lamps that are to be put out at the deadline, by an execution that is over."""
    plan = room.store(*(LightLamp(name=name) for name in names))
    assert room.apply(plan).ended is Ended.DONE
    left = tuple(add_restore(room, plan, position, incident_id=incident_id) for position in range(len(names)))
    room.engine.executions.end("e1", ExecutionState.DONE, reason="done")
    return left


def add_restore(
    room: Room, plan: StoredPlan, position: int = 0, *, incident_id: int | None = None
) -> StandingException:
    """Leave one effect of a plan as an exception."""
    added = room.engine.exceptions.add_restore(
        plan.execution_id,
        effect_id=room.entries(plan)[position].id,
        repository=REPOSITORY,
        owner="alice",
        reason="the light is needed",
        deadline=DEADLINE,
        incident_id=incident_id,
    )
    assert added is not None
    return added


def bar(
    room: Room,
    *,
    execution_id: str = "e1",
    subject: str = BAD,
    incident_id: int | None = None,
    effect_id: int | None = None,
) -> int:
    """Bar an image until the deadline."""
    return room.engine.exceptions.add_bar(
        execution_id,
        repository=REPOSITORY,
        subject=subject,
        service="tts",
        owner="alice",
        reason="it crashes",
        deadline=DEADLINE,
        incident_id=incident_id,
        effect_id=effect_id,
    ).id


def owe(room: Room, effect_id: int) -> int:
    """Owe something for an effect."""
    return room.engine.exceptions.add_obligation(
        "e1",
        repository=REPOSITORY,
        subject="merge it",
        owner="",
        reason="r",
        deadline=DEADLINE,
        incident_id=None,
        effect_id=effect_id,
    ).id


def incident_of(room: Room, execution_id: str) -> int:
    """Give an execution an incident."""
    return room.engine.incidents.open_or_join(
        execution_id,
        repository=REPOSITORY,
        issues_repository=REPOSITORY,
        fingerprint="f00d",
        failure_class="deployment",
        severity="P0",
        title="P0: tts",
        detail={},
    ).id


def state_of(room: Room, exception: StandingException | int) -> ExceptionState:
    """Return where an exception stands now."""
    number = exception if isinstance(exception, int) else exception.id
    return room.engine.exceptions.get(number).state


def events(room: Room, exception_id: int) -> list[tuple[str, str]]:
    """Return what the audit says of an exception, and who did it."""
    with room.engine.ledger.read() as session:
        rows = select(AuditRow).where(AuditRow.subject == f"exception:{exception_id}").order_by(AuditRow.seq)
        return [(row.event, row.actor) for row in session.scalars(rows)]


# --- restore ----------------------------------------------------------------------------------------------------


def test_confirmed_effect_is_undone_at_its_deadline_and_not_before(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    assert room.engine.exceptions.due(DEADLINE - timedelta(seconds=1)) == ()
    with pytest.raises(Conflict, match="not due before"):
        room.engine.restore(left.id, reason="too early")
    assert room.lamps.lit == {"hall"}

    room.clock.sleep(4 * 3600)
    assert [one.id for one in room.engine.exceptions.due(room.clock.now())] == [left.id]
    restored = room.engine.restore(left.id, reason="its deadline has come")

    assert (restored.state, restored.untold) == (ExceptionState.RESTORED, Telling.RESTORED)
    assert room.lamps.lit == set()
    assert room.engine.exceptions.open() == ()
    assert [event for event, _ in events(room, left.id)] == [
        "exception.added",
        "exception.restoring",
        "exception.restored",
    ]
    with room.engine.ledger.read() as session:
        assert audit.verify(session).intact


def test_restore_that_another_execution_needs_is_put_off_once_and_never_shortened(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    exceptions, later = room.engine.exceptions, DEADLINE + timedelta(hours=1)
    assert exceptions.put_off(left.id, DEADLINE - timedelta(hours=1), execution_id="e2", reason="short")
    assert exceptions.get(left.id).deadline == DEADLINE
    assert exceptions.put_off(left.id, later, execution_id="e2", reason="resumed")
    assert exceptions.get(left.id).deadline == DEADLINE, "an execution that is resumed asks for it once"
    assert exceptions.put_off(left.id, later, execution_id="e3", reason="it needs the light too")
    room.clock.sleep(4 * 3600)
    assert exceptions.due(room.clock.now()) == ()
    with pytest.raises(Conflict, match="not due before"):
        room.engine.restore(left.id, reason="its first deadline has come")
    assert room.lamps.lit == {"hall"}
    assert [event for event, _ in events(room, left.id)] == ["exception.added", *["exception.put_off"] * 2]
    with room.engine.ledger.read() as session:
        assert audit.verify(session).intact


def test_restore_that_is_over_and_a_bar_are_put_off_for_nobody(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    barred = bar(room)
    room.clock.sleep(4 * 3600)
    room.engine.restore(left.id, reason="its deadline has come")
    for number in (left.id, barred):
        later = DEADLINE + timedelta(days=1)
        assert not room.engine.exceptions.put_off(number, later, execution_id="e2", reason="too late")
        assert room.engine.exceptions.get(number).deadline == DEADLINE


def test_restoring_again_sends_nothing(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    room.clock.sleep(4 * 3600)
    room.engine.restore(left.id, reason="its deadline has come")
    room.lamps.sent.clear()
    with pytest.raises(Conflict, match="is over: restored"):
        room.engine.restore(left.id, reason="again")
    assert room.lamps.sent == []


def test_person_restores_before_the_deadline_in_their_own_name(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    restored = room.engine.restore(left.id, by="carol", reason="mended")
    assert restored.state is ExceptionState.RESTORED
    assert room.lamps.lit == set()
    assert ("exception.restoring", "carol") in events(room, left.id)


def test_what_a_person_had_switched_already_is_never_ours(room: Room) -> None:
    room.lamps.lit.add("hall")
    plan = room.store(LightLamp(name="hall"))
    assert room.apply(plan).ended is Ended.DONE
    assert room.entries(plan)[0].state is EffectState.FOUND
    left = room.engine.exceptions.add_restore(
        "e1",
        effect_id=room.entries(plan)[0].id,
        repository=REPOSITORY,
        owner="alice",
        reason="r",
        deadline=DEADLINE,
        incident_id=None,
    )
    assert left is None
    assert room.engine.exceptions.of_execution("e1") == ()


def test_what_was_refused_is_nothing_to_restore(room: Room) -> None:
    plan = room.store(LightLamp(name="hall"))
    room.lamps.fail("on", Denied("no"))
    assert room.apply(plan).ended is Ended.UNDONE
    (entry,) = room.entries(plan)
    assert entry.state is EffectState.REFUSED
    left = room.engine.exceptions.add_restore(
        "e1",
        effect_id=entry.id,
        repository=REPOSITORY,
        owner="alice",
        reason="r",
        deadline=DEADLINE,
        incident_id=None,
    )
    assert left is None


def test_what_a_person_switched_back_meanwhile_is_restored_without_sending(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    room.lamps.lit.clear()
    room.clock.sleep(4 * 3600)
    assert room.engine.restore(left.id, reason="due").state is ExceptionState.RESTORED
    assert "off hall" not in room.lamps.sent


@pytest.mark.parametrize("effect", [LightLamp(name="hall"), BurnMatch(name="match")])
def test_only_what_was_confirmed_and_has_an_undo_can_be_left(room: Room, effect: LightLamp) -> None:
    plan = room.store(effect)
    if isinstance(effect, BurnMatch):
        room.apply(plan)
    with pytest.raises(UsageError, match="cannot be restored later"):
        add_restore(room, plan)


def test_effect_of_another_execution_is_refused(room: Room) -> None:
    plan = room.store(LightLamp(name="hall"))
    room.apply(plan)
    room.begin("e2")
    with pytest.raises(UsageError, match="has no effect"):
        room.engine.exceptions.add_restore(
            "e2",
            effect_id=room.entries(plan)[0].id,
            repository=REPOSITORY,
            owner="",
            reason="",
            deadline=DEADLINE,
            incident_id=None,
        )


def test_effect_that_is_no_exception_stays_when_its_plan_is_done(room: Room) -> None:
    """What allows the claim is the exception, and nothing else does."""
    plan = room.store(LightLamp(name="hall"))
    room.apply(plan)
    lease = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    with pytest.raises(Fenced, match="not being applied"):
        room.engine.journal.undo(room.entries(plan)[0].id, lease=lease)
    assert room.lamps.lit == {"hall"}


def test_exception_that_is_open_but_not_begun_allows_no_claim(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    assert left.effect_id is not None
    lease = room.engine.leases.acquire(("lamp:hall",), execution_id="e1")
    with pytest.raises(Fenced):
        room.engine.journal.undo(left.effect_id, lease=lease)
    assert room.lamps.lit == {"hall"}


def test_exception_that_ended_meanwhile_allows_no_claim(room: Room) -> None:
    """A person ended it between the look and the claim: the claim's own transaction sees that."""
    (left,) = left_lit(room, "hall")
    room.engine.exceptions.begin_restore(left.id, by="carol", reason="now")
    room.engine.exceptions.end(left.id, ExceptionState.ENDED, "keep it", by="alice")
    assert left.effect_id is not None
    lease = room.engine.leases.acquire(("lamp:hall",), execution_id="e1")
    with pytest.raises(Fenced):
        room.engine.journal.undo(left.effect_id, lease=lease)
    assert room.lamps.lit == {"hall"}


def test_plan_that_is_still_applied_keeps_what_it_did(room: Room) -> None:
    plan = room.store(LightLamp(name="hall"))
    lease = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    entry = room.engine.journal.apply(room.entries(plan)[0].id, lease=lease)
    assert entry.state is EffectState.CONFIRMED
    left = add_restore(room, plan)
    room.engine.leases.release(lease)
    room.clock.sleep(5 * 3600)
    assert room.engine.exceptions.due(room.clock.now()) == ()
    with pytest.raises(Conflict, match="still being applied"):
        room.engine.restore(left.id, by="carol", reason="now")


def test_target_that_another_procedure_changes_is_left_for_later(
    room: Room, new_room: Callable[[Lamps], Room]
) -> None:
    (left,) = left_lit(room, "hall")
    room.clock.sleep(4 * 3600)
    room.begin("e2")
    other = room.engine.leases.acquire(("lamp:hall",), execution_id="e2")
    with pytest.raises(Transient, match="being changed by another procedure"):
        room.engine.restore(left.id, reason="due")
    assert state_of(room, left) is ExceptionState.RESTORING
    assert room.lamps.lit == {"hall"}
    room.engine.leases.release(other)
    assert [one.id for one in room.engine.exceptions.due(room.clock.now())] == [left.id]
    assert room.engine.restore(left.id, reason="due").state is ExceptionState.RESTORED


def test_refused_restore_needs_a_person_once_and_is_not_tried_again(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    room.clock.sleep(4 * 3600)
    room.lamps.fail("off", Denied("patch lamps in hall is forbidden"))
    stuck = room.engine.restore(left.id, reason="due")
    assert (stuck.state, stuck.untold) == (ExceptionState.NEEDS_PERSON, Telling.NEEDS_PERSON)
    assert "patch lamps in hall" in stuck.note
    assert [one.id for one in room.engine.exceptions.open()] == [left.id]
    room.engine.exceptions.told(left.id, Telling.NEEDS_PERSON)
    assert room.engine.exceptions.untold() == ()
    assert room.engine.exceptions.due(room.clock.now()) == ()
    with pytest.raises(Conflict, match="could not be restored"):
        room.engine.restore(left.id, by="carol", reason="again")
    ended = room.engine.exceptions.end(left.id, ExceptionState.ENDED, "put out by hand", by="carol")
    assert (ended.state, ended.untold) == (ExceptionState.ENDED, Telling.ENDED)


def test_restore_whose_answer_is_lost_is_probed_and_not_sent_again(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    room.clock.sleep(4 * 3600)
    room.lamps.fail("off", Ambiguous("time-out"), effect_first=True)
    assert room.engine.restore(left.id, reason="due").state is ExceptionState.RESTORED
    assert room.lamps.sent.count("off hall") == 1


@pytest.mark.parametrize(
    "boundary", ["undo-claim.before", "undo-claim.after", "undo-confirm.before", "undo-confirm.after"]
)
def test_restore_that_was_interrupted_goes_on_at_the_next_sweep(room: Room, boundary: str) -> None:
    (left,) = left_lit(room, "hall")
    room.clock.sleep(4 * 3600)
    room.boundaries[boundary] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        room.engine.restore(left.id, reason="due")
    (again,) = room.engine.exceptions.due(room.clock.now())
    assert room.engine.restore(again.id, reason="due").state is ExceptionState.RESTORED
    assert room.lamps.sent.count("off hall") == 1


def test_person_cannot_end_what_is_being_undone_at_the_moment(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    room.clock.sleep(4 * 3600)
    room.boundaries["undo-claim.after"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        room.engine.restore(left.id, reason="due")
    with pytest.raises(Conflict, match="being restored"):
        room.engine.exceptions.end(left.id, ExceptionState.ENDED, "leave it", by="carol")


def test_each_of_several_effects_is_restored_by_itself(room: Room) -> None:
    hall, attic = left_lit(room, "hall", "attic")
    room.engine.restore(hall.id, by="carol", reason="mended")
    assert room.lamps.lit == {"attic"}
    assert state_of(room, attic) is ExceptionState.OPEN


# --- added once, ended with what they belong to -----------------------------------------------------------------


def test_resumed_flow_adds_nothing_twice(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    plan = room.engine.plans.latest("e1")
    assert plan is not None
    first = bar(room)
    assert add_restore(room, plan).id == left.id
    assert bar(room) == first
    assert [one.id for one in room.engine.exceptions.of_execution("e1")] == [left.id, first]


def test_exception_that_ended_is_not_opened_by_a_resumed_flow(room: Room) -> None:
    (left,) = left_lit(room, "hall")
    plan = room.engine.plans.latest("e1")
    assert plan is not None
    room.engine.restore(left.id, by="carol", reason="mended")
    assert add_restore(room, plan).state is ExceptionState.RESTORED


def test_exceptions_end_when_the_effects_of_their_execution_are_undone(room: Room) -> None:
    plan = room.store(LightLamp(name="hall"))

    def verify(lease: object) -> object:
        add_restore(room, plan)
        bar(room)
        room.engine.exceptions.add_obligation(
            "e1",
            repository=REPOSITORY,
            subject="merge it",
            owner="",
            reason="r",
            deadline=DEADLINE,
            incident_id=None,
        )
        raise Denied("the health endpoint says 500")

    outcome = room.engine.apply(plan, verify=verify)  # type: ignore[arg-type] # it never returns
    assert outcome.ended is Ended.UNDONE
    left = room.engine.exceptions.of_execution("e1")
    assert {one.kind for one in left} == set(ExceptionKind)
    assert {(one.state, one.untold) for one in left} == {(ExceptionState.ENDED, None)}
    assert room.engine.exceptions.barred(REPOSITORY) == ()


def test_undo_that_got_stuck_leaves_what_still_stands(room: Room) -> None:
    plan = room.store(LightLamp(name="hall"), LightLamp(name="attic"))

    def verify(lease: object) -> object:
        add_restore(room, plan, 0)
        add_restore(room, plan, 1)
        bar(room)
        room.lamps.fail("off", Denied("no"), times=1)  # attic, the last, is undone first
        raise Denied("still dark")

    outcome = room.engine.apply(plan, verify=verify)  # type: ignore[arg-type] # it never returns
    assert outcome.ended is Ended.NEEDS_PERSON
    hall, attic, barred = room.engine.exceptions.of_execution("e1")
    assert hall.state is ExceptionState.ENDED
    assert (attic.state, barred.state) == (ExceptionState.OPEN, ExceptionState.OPEN)


def test_doubt_beside_an_undone_plan_leaves_nothing_barred_or_owed(room: Room) -> None:
    plan = room.store(LightLampBeside(name="porch"), LightLamp(name="hall"))
    room.lamps.fail("on", Ambiguous("the line went dead"))

    def verify(lease: object) -> object:
        room.lamps.blind = False
        porch, hall = room.entries(plan)
        bar(room, effect_id=hall.id)
        owe(room, porch.id)
        raise Denied("still dark")

    room.lamps.blind = True
    outcome = room.engine.apply(plan, verify=verify)  # type: ignore[arg-type] # it never returns
    assert outcome.ended is Ended.UNDONE
    assert [one.state for one in outcome.entries] == [EffectState.NEEDS_PERSON, EffectState.UNDONE]
    assert [one.effect.describe() for one in outcome.not_undone] == ["light porch"]
    assert room.engine.exceptions.open() == ()


def test_stuck_undo_keeps_only_the_bars_of_what_still_stands(room: Room) -> None:
    plan = room.store(LightLampBeside(name="porch"), LightLamp(name="hall"), LightLamp(name="attic"))
    room.lamps.fail("on", Denied("no"))  # porch

    def verify(lease: object) -> object:
        porch, hall, attic = room.entries(plan)
        owe(room, porch.id)
        bar(room, subject="left by hall", effect_id=hall.id)
        bar(room, subject="left by attic", effect_id=attic.id)
        room.lamps.fail("off", Denied("no"))  # attic, the last, is undone first
        raise Denied("still dark")

    outcome = room.engine.apply(plan, verify=verify)  # type: ignore[arg-type] # it never returns
    assert outcome.ended is Ended.NEEDS_PERSON
    assert [one.subject for one in room.engine.exceptions.open()] == ["left by attic"]


def test_plan_that_a_person_has_to_end_keeps_what_its_steps_noted(room: Room) -> None:
    plan = room.store(LightLampBeside(name="porch"), LightLamp(name="hall"), LightLamp(name="attic"))
    room.lamps.fail("on", Denied("no"))  # porch

    def step(entry: JournalEntry, lease: Lease) -> JournalEntry:
        if entry.effect == LightLamp(name="attic"):
            owe(room, room.entries(plan)[0].id)
            room.lamps.blind = True
            room.lamps.fail("on", Ambiguous("the line went dead"))
        applied = room.engine.journal.apply(entry.id, lease=lease)
        add_restore(room, plan, 1)
        bar(room, effect_id=applied.id)
        return applied

    outcome = room.engine.apply(plan, verify=lambda lease: 1 / 0, step=step)  # type: ignore[arg-type, return-value]
    assert outcome.ended is Ended.NEEDS_PERSON
    assert {one.kind for one in room.engine.exceptions.open()} == set(ExceptionKind)
    room.engine.executions.end("e1", ExecutionState.NEEDS_PERSON, reason=outcome.reason)
    due = room.engine.exceptions.due(DEADLINE)
    assert ExceptionKind.RESTORE in {one.kind for one in due}


def test_settled_execution_takes_its_exceptions_along(room: Room) -> None:
    plan = room.store(LightLamp(name="hall"))
    lease = room.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    room.engine.journal.apply(room.entries(plan)[0].id, lease=lease)
    left = add_restore(room, plan)
    room.engine.leases.release(lease)
    room.engine.settle("e1", state=ExecutionState.CANCELLED, reason="its run was cancelled")
    assert state_of(room, left) is ExceptionState.ENDED
    assert room.lamps.lit == set()


# --- bars -------------------------------------------------------------------------------------------------------


def test_what_is_barred_is_named_once_until_its_deadline(room: Room) -> None:
    room.begin("e1")
    room.begin("e2")
    bar(room)
    bar(room, execution_id="e2")
    bar(room, subject="ghcr.io/acme/agent@sha256:0bad")
    assert room.engine.exceptions.barred(REPOSITORY) == (BAD, "ghcr.io/acme/agent@sha256:0bad")
    assert room.engine.exceptions.barred("acme/other") == ()
    room.clock.sleep(4 * 3600)
    assert room.engine.exceptions.barred(REPOSITORY) == ()


def test_bar_is_watched_once_the_execution_that_made_it_is_over(room: Room) -> None:
    room.begin("e1")
    number = bar(room)
    assert room.engine.exceptions.watched() == ()
    room.engine.executions.end("e1", ExecutionState.DONE, reason="done")
    (watched,) = room.engine.exceptions.watched()
    assert (watched.id, watched.digest) == (number, "sha256:0bad")


def test_sighting_opens_the_closed_incident_again_and_is_news_once_a_day(room: Room) -> None:
    room.begin("e1")
    incident = incident_of(room, "e1")
    number = bar(room, incident_id=incident)
    room.engine.executions.end("e1", ExecutionState.DONE, reason="done")
    room.engine.incidents.close(incident, resolution="rolled back")
    seen = room.engine.exceptions.seen

    assert seen(number, "tts in voice-agent", room.clock.now())
    assert room.engine.incidents.get(incident).state is IncidentState.OPEN
    assert room.engine.exceptions.get(number).untold is Telling.SEEN_AGAIN
    room.engine.exceptions.told(number, Telling.SEEN_AGAIN)

    assert not seen(number, "tts in voice-agent", room.clock.now() + timedelta(hours=1))
    assert room.engine.exceptions.untold() == ()
    exception = room.engine.exceptions.get(number)
    assert (exception.seen_at, exception.seen_where) == (START + timedelta(hours=1), "tts in voice-agent")
    assert [event for event, _ in events(room, number)] == ["exception.added", "exception.seen_again"]
    said = [sentence for _, sentence in room.engine.timeline(incident)]
    assert any("incident reopened" in one for one in said)
    assert any("exception seen again" in one for one in said)


def test_sighting_of_a_bar_that_is_over_tells_nothing(room: Room) -> None:
    room.begin("e1")
    incident = incident_of(room, "e1")
    number = bar(room, incident_id=incident)
    room.engine.executions.end("e1", ExecutionState.DONE, reason="done")
    room.engine.incidents.close(incident, resolution="rolled back")
    room.clock.sleep(4 * 3600)
    assert not room.engine.exceptions.seen(number, "tts", room.clock.now())
    assert room.engine.incidents.get(incident).state is IncidentState.CLOSED


def test_newer_news_is_not_lost_while_the_older_is_told(room: Room) -> None:
    room.begin("e1")
    number = bar(room)
    room.engine.exceptions.seen(number, "tts", room.clock.now())
    room.engine.exceptions.end(number, ExceptionState.ENDED, "rebuilt under the same digest", by="carol")
    room.engine.exceptions.told(number, Telling.SEEN_AGAIN)
    assert room.engine.exceptions.get(number).untold is Telling.ENDED


# --- obligations and people -------------------------------------------------------------------------------------


def test_obligation_is_escalated_once_and_stays_owed_until_it_is_ended(room: Room) -> None:
    room.begin("e1")
    owed = room.engine.exceptions.add_obligation(
        "e1",
        repository=REPOSITORY,
        subject="merge the hotfix",
        owner="",
        reason="r",
        deadline=DEADLINE,
        incident_id=None,
    )
    room.engine.executions.end("e1", ExecutionState.DONE, reason="done")
    room.clock.sleep(4 * 3600)
    assert [one.id for one in room.engine.exceptions.due(room.clock.now())] == [owed.id]
    for _ in range(2):
        room.engine.exceptions.escalate(owed.id)
    assert room.engine.exceptions.due(room.clock.now()) == ()
    assert [event for event, _ in events(room, owed.id)].count("exception.overdue") == 1
    assert state_of(room, owed) is ExceptionState.OPEN
    ended = room.engine.exceptions.end(owed.id, ExceptionState.ENDED, "merged", by="carol")
    assert (ended.state, ended.note) == (ExceptionState.ENDED, "merged")
    assert events(room, owed.id)[-1] == ("exception.ended", "carol")
    again = room.engine.exceptions.end(owed.id, ExceptionState.ENDED, "merged again", by="dave")
    assert again.note == "merged"


def test_bar_cannot_be_restored(room: Room) -> None:
    room.begin("e1")
    with pytest.raises(UsageError, match="nothing to restore"):
        room.engine.restore(bar(room), by="carol", reason="r")


def test_exception_that_does_not_exist_is_a_usage_error(room: Room) -> None:
    with pytest.raises(UsageError, match="no exception 99"):
        room.engine.exceptions.get(99)
    with pytest.raises(UsageError, match="no exception 99"):
        room.engine.restore(99, reason="r")
    with pytest.raises(UsageError, match="no exception 99"):
        room.engine.exceptions.end(99, ExceptionState.ENDED, "r")


def test_owner_is_who_asked_else_who_approved_else_who_is_on_call(room: Room) -> None:
    owner = room.engine.exceptions.owner
    room.begin("e1", Requester(RequesterKind.PERSON, "alice"))
    assert owner("e1", on_call="@acme/on-call") == "alice"
    plan = room.store(LightLamp(name="hall"), execution_id="e2")
    assert owner("e2", on_call="@acme/on-call") == "acme/on-call"
    with room.engine.ledger.write() as session:
        session.add(
            ApprovalRow(
                plan_id=plan.id,
                source="github-comment",
                proof="c1",
                login="carol",
                decision="approve",
                reason="",
                policy_digest="d",
                recorded_at=START,
            )
        )
    assert owner("e2", on_call="@acme/on-call") == "carol"
    room.begin("e3", Requester(RequesterKind.PRODUCT, "runbook"))
    assert owner("e3", on_call=None) == ""


def test_what_an_exception_says_carries_no_secret(room: Room) -> None:
    room.begin("e1")
    secret = "ghp_" + "a" * 36
    exception = room.engine.exceptions.add_obligation(
        "e1",
        repository=REPOSITORY,
        subject="s",
        owner="",
        reason=f"token {secret}",
        deadline=DEADLINE,
        incident_id=None,
    )
    room.engine.exceptions.end(exception.id, ExceptionState.ENDED, f"was {secret}", by="carol")
    ended = room.engine.exceptions.get(exception.id)
    assert secret not in ended.reason + ended.note
