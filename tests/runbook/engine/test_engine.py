"""The engine as procedures use it: apply, verify, undo, settle, record; re-entrant at every point."""

from collections.abc import Callable

import pytest

from runbook.engine import audit
from runbook.engine.engine import Ended, Outcome, Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.journal import BESIDE_SETTLE_SECONDS
from runbook.engine.leases import Fenced, Lease
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import LeaseRow
from runbook.engine.states import EffectState, ExecutionState, PlanState
from runbook.errors import Ambiguous, Denied, Permanent, RunbookError, Transient
from tests.runbook.engine.conftest import TIMINGS, Room
from tests.runbook.engine.lamps import BurnMatch, Lamps, LightLamp, LightLampAgain, LightLampBeside, RingBell

HALL, STAIRS, CELLAR = LightLamp(name="hall"), LightLamp(name="stairs"), LightLamp(name="cellar")
DOUBT = Ambiguous("the line went dead")


class Killed(BaseException):
    """Stands for the end of the process."""


def states(room: Room, plan_id: str) -> list[EffectState]:
    """Return the state of each effect of a plan."""
    return [entry.state for entry in room.engine.entries.of_plan(plan_id)]


def holders(room: Room) -> set[str | None]:
    """Return who holds a lease."""
    with room.engine.ledger.read() as session:
        return {row.execution_id for row in session.query(LeaseRow)}


def test_effects_are_applied_in_their_order_and_verified_under_the_lease(room: Room) -> None:
    plan = room.store(HALL, STAIRS, CELLAR)
    held: list[set[str | None]] = []

    def verify(lease: Lease) -> Verification:
        room.engine.keep(lease)
        held.append(holders(room))
        return Verification(passed=True, reason="bright")

    outcome = room.engine.apply(plan, verify=verify)
    assert (outcome.ended, outcome.reason, outcome.not_undone) == (Ended.DONE, "bright", ())
    assert room.lamps.sent == ["on hall", "on stairs", "on cellar"]
    assert held == [{"e1"}]
    assert holders(room) == {None}
    assert room.engine.plans.get(plan.id).state is PlanState.DONE


def test_a_failed_verification_undoes_last_first(room: Room) -> None:
    plan = room.store(HALL, STAIRS, CELLAR)
    outcome = room.apply(plan, passed=False)
    assert (outcome.ended, outcome.reason) == (Ended.UNDONE, "still dark")
    assert room.lamps.sent[3:] == ["off cellar", "off stairs", "off hall"]
    assert room.lamps.lit == set()
    assert room.engine.plans.get(plan.id).state is PlanState.UNDONE


def test_what_cannot_be_undone_is_named_and_what_was_found_is_left(room: Room) -> None:
    room.lamps.lit.add("stairs")
    plan = room.store(BurnMatch(name="match"), STAIRS, HALL)
    outcome = room.apply(plan, passed=False)
    assert outcome.ended is Ended.UNDONE
    assert states(room, plan.id) == [EffectState.KEPT, EffectState.FOUND, EffectState.UNDONE]
    assert [entry.effect.describe() for entry in outcome.not_undone] == ["light match"]
    assert room.lamps.lit == {"match", "stairs"}


@pytest.mark.parametrize("error", [Permanent("no such lamp"), Denied("not you")])
def test_a_refusal_half_way_undoes_what_was_done_before_it(room: Room, error: RunbookError) -> None:
    plan = room.store(LightLampAgain(name="hall"), STAIRS, CELLAR)

    def refuse_stairs(_name: str) -> None:
        if room.lamps.sent == ["on hall"] and not room.lamps.faults:
            room.lamps.fail("on", error)

    room.engine.journal._boundary = refuse_stairs
    outcome = room.apply(plan)
    assert outcome.ended is Ended.UNDONE
    assert error.message in outcome.reason
    assert states(room, plan.id) == [EffectState.UNDONE, EffectState.REFUSED, EffectState.PLANNED]
    assert room.lamps.sent == ["on hall", "on stairs", "off hall"]


@pytest.mark.parametrize("verb", ["on", "look"])
@pytest.mark.parametrize("error", [Permanent("no such lamp"), Denied("not you"), Transient("is away")])
def test_what_stands_beside_the_plan_may_be_refused_and_the_rest_goes_on(
    room: Room, error: RunbookError, verb: str
) -> None:
    plan = room.store(LightLampBeside(name="porch"), HALL)
    room.lamps.fail(verb, error)
    outcome = room.apply(plan)
    assert outcome.ended is Ended.DONE
    assert states(room, plan.id) == [EffectState.REFUSED, EffectState.CONFIRMED]
    assert error.message in outcome.entries[0].note
    assert room.lamps.lit == {"hall"}


def test_what_was_refused_beside_the_plan_is_not_tried_again_by_a_later_process(room: Room) -> None:
    plan = room.store(LightLampBeside(name="porch"), HALL)
    room.lamps.fail("on", Permanent("no such lamp"))
    room.boundaries["confirm.after"] = Killed()
    with pytest.raises(Killed):
        room.apply(plan)
    assert states(room, plan.id) == [EffectState.REFUSED, EffectState.CONFIRMED]
    assert room.apply(plan).ended is Ended.DONE
    assert room.lamps.sent == ["on porch", "on hall"]


def test_what_was_done_beside_the_plan_is_undone_with_it(room: Room) -> None:
    plan = room.store(HALL, LightLampBeside(name="porch"))
    assert room.apply(plan, passed=False).ended is Ended.UNDONE
    assert room.lamps.sent[2:] == ["off porch", "off hall"]


def test_doubt_about_what_stands_beside_the_plan_is_a_person_s_to_settle_and_the_rest_goes_on(
    room: Room,
) -> None:
    plan = room.store(LightLampBeside(name="porch"), HALL)
    room.lamps.blind = True
    room.lamps.fail("on", DOUBT)
    outcome = room.apply(plan)
    assert outcome.ended is Ended.DONE
    assert states(room, plan.id) == [EffectState.NEEDS_PERSON, EffectState.CONFIRMED]
    assert room.lamps.sent == ["on porch", "on hall"]


LIMITED = Transient("limited", retry_after_seconds=600)


@pytest.mark.parametrize(("verb", "error"), [("look", LIMITED), ("on", LIMITED), ("on", DOUBT)])
def test_what_stands_beside_the_plan_delays_it_by_seconds(room: Room, error: RunbookError, verb: str) -> None:
    plan = room.store(LightLampBeside(name="porch"), HALL)
    began = room.clock.now()
    room.lamps.fail(verb, error)
    assert room.apply(plan).ended is Ended.DONE
    assert room.lamps.lit >= {"hall"}
    assert (
        room.clock.now() - began
    ).total_seconds() <= BESIDE_SETTLE_SECONDS + TIMINGS.probe_interval_seconds
    assert room.lamps.sent.count("on porch") <= 1


def test_what_stands_beside_the_plan_is_sent_by_the_process_after_one_that_died_before_sending(
    room: Room,
) -> None:
    plan = room.store(LightLampBeside(name="porch"), HALL)
    room.boundaries["claim.after"] = Killed()
    with pytest.raises(Killed):
        room.apply(plan)
    assert room.apply(plan).ended is Ended.DONE
    assert states(room, plan.id) == [EffectState.CONFIRMED, EffectState.CONFIRMED]


def test_who_lost_the_lease_goes_on_with_nothing_beside_the_plan_either(room: Room) -> None:
    plan = room.store(LightLampBeside(name="porch"), HALL)

    def fenced(entry: JournalEntry, _lease: Lease) -> JournalEntry:
        raise Fenced(f"{entry.id} is another process's")

    with pytest.raises(Fenced):
        room.engine.apply(plan, verify=lambda _lease: Verification(passed=True, reason=""), step=fenced)
    assert states(room, plan.id) == [EffectState.PLANNED, EffectState.PLANNED]


def test_a_verification_that_is_refused_undoes_too(room: Room) -> None:
    plan = room.store(HALL)

    def verify(_lease: Lease) -> Verification:
        raise Permanent("the run was deleted")

    outcome = room.engine.apply(plan, verify=verify)
    assert (outcome.ended, room.lamps.lit) == (Ended.UNDONE, set())


def test_doubt_that_no_probe_settles_stops_and_leaves_the_rest_to_a_person(room: Room) -> None:
    plan = room.store(HALL, STAIRS, CELLAR)
    room.lamps.fail("on", DOUBT, effect_first=True)
    room.lamps.blind = True
    outcome = room.apply(plan)
    assert outcome.ended is Ended.NEEDS_PERSON
    assert room.lamps.sent == ["on hall"]
    assert states(room, plan.id) == [EffectState.NEEDS_PERSON, EffectState.PLANNED, EffectState.PLANNED]
    assert [entry.effect.describe() for entry in outcome.not_undone] == ["light hall"]
    assert room.engine.plans.get(plan.id).state is PlanState.NEEDS_PERSON


def test_what_is_put_off_goes_on_where_it_was(room: Room) -> None:
    plan = room.store(HALL, STAIRS)
    room.lamps.fail("look", Transient("busy"))
    with pytest.raises(Transient):
        room.apply(plan)
    assert holders(room) == {None}
    assert room.engine.plans.get(plan.id).state is PlanState.APPLYING
    assert room.apply(plan).ended is Ended.DONE
    assert room.lamps.sent == ["on hall", "on stairs"]


def test_a_plan_that_no_gate_let_pass_is_not_applied(room: Room) -> None:
    plan = room.store(HALL, waiting=True)
    with pytest.raises(Fenced, match="is waiting, not being applied"):
        room.apply(plan)
    assert room.lamps.sent == []
    assert [entry.sends for entry in room.entries(plan)] == [0]


def test_a_verification_put_off_is_asked_again_without_sending_again(room: Room) -> None:
    plan = room.store(HALL)

    def busy(_lease: Lease) -> Verification:
        raise Transient("busy")

    with pytest.raises(Transient):
        room.engine.apply(plan, verify=busy)
    assert room.apply(plan).ended is Ended.DONE
    assert room.lamps.sent == ["on hall"]


@pytest.mark.parametrize(
    "boundary", ["claim.before", "claim.after", "confirm.before", "confirm.after", "undo-claim.after"]
)
def test_applying_is_re_entrant_from_every_boundary(room: Room, boundary: str) -> None:
    plan = room.store(HALL, STAIRS)
    room.boundaries[boundary] = Killed()
    passed = not boundary.startswith("undo")
    with pytest.raises(Killed):
        room.apply(plan, passed=passed)
    outcome = room.apply(plan, passed=passed)
    assert outcome.ended is (Ended.DONE if passed else Ended.UNDONE)
    lit = [sent.removesuffix(" again") for sent in room.lamps.sent if sent.startswith("on")]
    assert lit == ["on hall", "on stairs"]
    assert room.lamps.sent.count("off hall") == room.lamps.sent.count("off stairs") == (not passed)


def test_an_execution_that_was_being_undone_is_not_applied_again(room: Room) -> None:
    plan = room.store(HALL, STAIRS)
    room.boundaries["undo-confirm.after"] = Killed()
    with pytest.raises(Killed):
        room.apply(plan, passed=False)
    outcome = room.apply(plan, passed=True)
    assert (outcome.ended, outcome.reason) == (Ended.UNDONE, "still dark")
    assert room.lamps.lit == set()


def test_a_process_that_was_taken_over_stops_and_the_other_one_finishes(
    room: Room, new_room: Callable[[Lamps], Room]
) -> None:
    plan = room.store(HALL, STAIRS)
    other = new_room(room.lamps)
    outcomes: list[Outcome] = []

    def slept(name: str) -> None:
        if name == "claim.before" and not outcomes and room.lamps.sent:
            with room.engine.ledger.write() as session:  # as a process elsewhere would hold it
                for row in session.query(LeaseRow):
                    row.process = "another-host/boot/pid:[1]/77/12345"
            room.clock.sleep(TIMINGS.lease_seconds + 1)
            outcomes.append(other.apply(plan))

    room.engine.journal._boundary = slept
    with pytest.raises(Fenced):
        room.apply(plan)
    assert [outcome.ended for outcome in outcomes] == [Ended.DONE]
    assert room.lamps.sent == ["on hall", "on stairs"]


def test_each_effect_is_applied_by_the_step_that_the_caller_hands_in(room: Room) -> None:
    plan = room.store(HALL, STAIRS)
    stepped = []

    def step(entry: JournalEntry, lease: Lease) -> JournalEntry:
        stepped.append(entry.effect.describe())
        return room.engine.journal.apply(entry.id, lease=lease)

    verdict = Verification(passed=True, reason="r")
    assert room.engine.apply(plan, verify=lambda lease: verdict, step=step).ended is Ended.DONE
    assert stepped == ["light hall", "light stairs"]


# --- settling --------------------------------------------------------------------------------------------

SETTLED_AS = [ExecutionState.CANCELLED, ExecutionState.EXPIRED, ExecutionState.NEEDS_PERSON]


@pytest.mark.parametrize("state", SETTLED_AS)
def test_settling_what_was_never_applied_only_ends_the_plan(room: Room, state: ExecutionState) -> None:
    plan = room.store(HALL)
    assert room.engine.settle("e1", state=state, reason="r") is None
    assert room.engine.plans.get(plan.id).state.value == state.value
    assert room.lamps.sent == []
    assert room.engine.settle("e1", state=state, reason="r") is None


def test_what_is_found_untouched_while_settling_stays_untouched(
    room: Room, new_room: Callable[[Lamps], Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = room.store(HALL)
    sweeper = new_room(room.lamps).engine
    look = sweeper._untouched

    def look_slowly(found: StoredPlan) -> bool:
        seen = look(found)
        room.apply(plan)  # the run's own process, still alive, gets its turn just now
        return seen

    monkeypatch.setattr(sweeper, "_untouched", look_slowly)
    assert sweeper.settle("e1", state=ExecutionState.CANCELLED, reason="its run was cancelled") is None
    assert (room.lamps.sent, room.lamps.lit) == ([], set())


def test_a_process_at_work_stops_before_its_next_effect_once_it_is_settled(
    room: Room, new_room: Callable[[Lamps], Room]
) -> None:
    plan = room.store(HALL, STAIRS)

    def cancel(name: str) -> None:
        if name == "claim.before" and room.lamps.sent:
            room.engine.executions.settle("e1", reason="its run was cancelled")

    room.engine.journal._boundary = cancel
    with pytest.raises(Fenced):
        room.apply(plan)
    assert room.lamps.sent == ["on hall"]
    sweeper = new_room(room.lamps).engine
    outcome = sweeper.settle("e1", state=ExecutionState.CANCELLED, reason="its run was cancelled")
    assert outcome is not None
    assert (outcome.ended, room.lamps.lit) == (Ended.UNDONE, set())


def test_an_execution_that_is_being_undone_never_waits_for_people(room: Room) -> None:
    room.store(HALL)
    room.engine.executions.settle("e1", reason="its run was cancelled")
    room.engine.executions.wait("e1")
    execution = room.engine.executions.get("e1")
    assert execution is not None
    assert execution.state is ExecutionState.SETTLING


def test_settling_an_execution_without_a_plan_has_nothing_to_do(room: Room) -> None:
    room.begin("e1")
    assert room.engine.settle("e1", state=ExecutionState.CANCELLED, reason="r") is None


@pytest.mark.parametrize("state", [ExecutionState.CANCELLED, ExecutionState.EXPIRED])
def test_settling_half_an_application_undoes_it_last_first(room: Room, state: ExecutionState) -> None:
    plan = room.store(HALL, STAIRS, CELLAR)
    kill_after(room, "on stairs")
    with pytest.raises(Killed):
        room.apply(plan)
    outcome = room.engine.settle("e1", state=state, reason="its run was cancelled")
    assert outcome is not None
    assert (outcome.ended, room.lamps.lit) == (Ended.UNDONE, set())
    assert room.lamps.sent == ["on hall", "on stairs", "off stairs", "off hall"]
    assert room.engine.plans.get(plan.id).state.value == state.value


@pytest.mark.parametrize("state", [ExecutionState.CANCELLED, ExecutionState.EXPIRED])
def test_a_sweeper_that_died_before_its_record_is_told_again_what_was_undone(
    room: Room, state: ExecutionState
) -> None:
    plan = room.store(HALL, BurnMatch(name="match"))
    kill_after(room, "on match")
    with pytest.raises(Killed):
        room.apply(plan)
    first = room.engine.settle("e1", state=state, reason="r")
    assert first is not None
    assert [entry.effect.describe() for entry in first.not_undone] == ["light match"]
    assert room.engine.settle("e1", state=state, reason="r") == first


@pytest.mark.parametrize("passed", [True, False])
def test_settling_what_had_only_its_record_to_write_tells_how_it_had_ended(room: Room, passed: bool) -> None:
    plan = room.store(HALL)
    applied = room.apply(plan, passed=passed)
    sent = list(room.lamps.sent)
    outcome = room.engine.settle("e1", state=ExecutionState.CANCELLED, reason="r")
    assert outcome is not None
    assert (outcome.ended, outcome.reason) == (applied.ended, applied.reason)
    assert room.lamps.sent == sent


def test_settling_what_cannot_be_settled_calls_a_person(room: Room) -> None:
    plan = room.store(HALL)
    kill_after(room, "on hall")
    with pytest.raises(Killed):
        room.apply(plan)
    room.lamps.fail("off", Denied("not you"))
    outcome = room.engine.settle("e1", state=ExecutionState.CANCELLED, reason="r")
    assert outcome is not None
    assert outcome.ended is Ended.NEEDS_PERSON
    assert [entry.note for entry in outcome.not_undone] == ["its undo was refused: not you"]
    assert room.engine.plans.get(plan.id).state is PlanState.NEEDS_PERSON


def test_the_outcome_of_a_plan_that_was_never_applied_is_none(room: Room) -> None:
    plan = room.store(HALL)
    assert room.engine.outcome_of(plan) is None
    room.engine.plans.end(plan.id, PlanState.REJECTED, reason="r")
    assert room.engine.outcome_of(room.engine.plans.get(plan.id)) is None


@pytest.mark.parametrize("passed", [True, False])
def test_the_outcome_of_an_applied_plan_can_be_had_again(room: Room, passed: bool) -> None:
    plan = room.store(HALL)
    outcome = room.apply(plan, passed=passed)
    assert room.engine.outcome_of(room.engine.plans.get(plan.id)) == outcome


# --- records and the timeline ----------------------------------------------------------------------------


def test_a_record_is_written_once_per_name_whatever_it_says_later(room: Room) -> None:
    room.begin("e1")
    room.begin("e2")
    first = room.engine.record("e1", "opened", RingBell(name="hall"))
    again = room.engine.record("e1", "opened", RingBell(name="stairs"))
    assert again == first
    assert room.lamps.sent == ["on hall"]
    room.engine.record("e1", "closed", RingBell(name="hall"))
    room.engine.record("e2", "opened", RingBell(name="hall"))
    assert room.lamps.sent == ["on hall"] * 3


def test_a_record_of_what_several_executions_join_is_written_once_for_all(room: Room) -> None:
    room.begin("e1")
    room.begin("e2")
    first = room.engine.record("e1", "issue", RingBell(name="hall"), within="incident:1")
    assert room.engine.record("e2", "issue", RingBell(name="stairs"), within="incident:1") == first
    assert room.lamps.sent == ["on hall"]


def test_two_processes_that_write_one_record_at_once_send_it_once(
    room: Room, new_room: Callable[[Lamps], Room]
) -> None:
    room.begin("e1")
    other = new_room(room.lamps)

    def overtaken(name: str) -> None:
        if name == "claim.before" and not room.lamps.sent:
            other.engine.record("e1", "opened", RingBell(name="hall"))

    room.engine.journal._boundary = overtaken
    with pytest.raises(Transient, match="another process"):
        room.engine.record("e1", "opened", RingBell(name="hall"))
    assert room.engine.record("e1", "opened", RingBell(name="hall")).state is EffectState.CONFIRMED
    assert room.lamps.sent == ["on hall"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_record_that_another_execution_confirmed_first_is_returned_as_it_stands(
    room: Room, new_room: Callable[[Lamps], Room], lost: bool
) -> None:
    """Two triages join an incident at once: one wrote the issue, the other found it before the first could say so."""
    room.begin("e1")
    room.begin("e2")
    other = new_room(room.lamps)
    found: list[JournalEntry] = []

    def overtaken(name: str) -> None:
        if name in {"confirm.before", "doubt.before"} and not found:
            found.append(other.engine.record("e2", "issue", RingBell(name="hall"), within="incident:1"))

    room.engine.journal._boundary = overtaken
    if lost:
        room.lamps.fail("on", Ambiguous("the line went dead"), effect_first=True)
    assert room.engine.record("e1", "issue", RingBell(name="hall"), within="incident:1") == found[0]
    assert found[0].state is EffectState.CONFIRMED
    assert room.lamps.sent == ["on hall"]


def test_a_record_put_off_or_refused_is_written_by_a_later_call_and_does_not_say_again(room: Room) -> None:
    room.begin("e1")
    for error in (Transient("busy"), Denied("not yet")):
        room.lamps.fail("on", error)
        with pytest.raises(type(error)):
            room.engine.record("e1", "opened", RingBell(name="hall"))
    room.engine.record("e1", "opened", RingBell(name="hall"))
    assert room.lamps.sent == ["on hall"] * 3


def test_a_record_is_no_part_of_a_plan(room: Room) -> None:
    plan = room.store(HALL)
    bell = room.engine.record("e1", "opened", RingBell(name="bell"))
    assert room.engine.entries.get(bell.id) == bell
    assert [entry.effect.describe() for entry in room.entries(plan)] == ["light hall"]
    room.apply(plan, passed=False)
    assert "bell" in room.lamps.lit


def test_the_timeline_tells_of_an_incidents_execution_plan_and_effects_in_order_and_of_nothing_else(
    room: Room,
) -> None:
    plan = room.store(HALL)
    room.store(STAIRS, execution_id="e2")
    room.clock.sleep(60)
    incident = room.engine.incidents.open_or_join(
        "e1",
        repository="acme/house",
        issues_repository="acme/house",
        fingerprint="f",
        failure_class="unknown",
        severity="P2",
        title="it is dark",
        detail={},
    )
    room.apply(plan, passed=False)
    room.engine.executions.end("e1", ExecutionState.UNDONE, reason="still dark")
    lines = room.engine.timeline(incident.id)
    assert [at for at, _ in lines] == sorted(at for at, _ in lines)
    told = [what for _, what in lines]
    assert told[0].startswith("execution begun")
    assert told[1].startswith(f"plan made: {plan.digest}")
    assert [line.partition(":")[0] for line in told[2:]] == [
        "incident opened",
        "effect claimed",
        "effect confirmed",
        "execution settling",
        "effect undoing",
        "effect undone",
        "plan undone",
        "execution undone",
    ]
    assert not any("stairs" in line for line in told)


def test_the_audit_head_moves_with_everything_that_happens_and_stays_intact(room: Room) -> None:
    heads = [room.engine.audit_head()]
    plan = room.store(HALL)
    heads.append(room.engine.audit_head())
    room.apply(plan)
    heads.append(room.engine.audit_head())
    assert [head.seq for head in heads] == sorted({head.seq for head in heads})
    with room.engine.ledger.read() as session:
        assert audit.verify(session, witness=heads[1].hash).intact


def kill_after(room: Room, sent: str) -> None:
    """Let the process die once a request arrived, before it is confirmed."""

    def boundary(name: str) -> None:
        if name == "confirm.before" and room.lamps.sent[-1] == sent:
            room.engine.journal._boundary = lambda _name: None
            raise Killed

    room.engine.journal._boundary = boundary
