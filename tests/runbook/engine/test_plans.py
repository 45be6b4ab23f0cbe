"""Plans: frozen, found by their digits, one open per target (R7), counted for the scorecard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from runbook.effects.actions_caches import DeleteCacheEntries
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.engine import Ended
from runbook.engine.executions import BY_PRODUCT
from runbook.engine.plan import Plan, PlannedEffect
from runbook.engine.schema import EffectRow, OpenTargetRow, PlanRow
from runbook.engine.states import ExecutionState, PlanState, RequesterKind
from runbook.errors import Conflict, UsageError
from tests.runbook.engine.conftest import REPOSITORY, VIEW, Room
from tests.runbook.engine.lamps import BurnMatch, LightLamp

HALL, STAIRS, CELLAR = LightLamp(name="hall"), LightLamp(name="stairs"), LightLamp(name="cellar")


def state_of(room: Room, execution_id: str) -> ExecutionState:
    """Return the state of an execution."""
    execution = room.engine.executions.get(execution_id)
    assert execution is not None
    return execution.state


def open_targets(room: Room) -> dict[str, str]:
    """Return who has which target open."""
    with room.engine.ledger.read() as session:
        return {row.target: row.execution_id for row in session.query(OpenTargetRow)}


# --- the digest ------------------------------------------------------------------------------------------


def make(*, repository: str = "a/b", attempt: int = 1, keys: tuple[str, ...] = ("pip-a",)) -> Plan:
    """Return a plan with what differs in it."""
    caches = [DeleteCacheEntries(repository=repository, key=key, ref="r", cache_ids=(1,)) for key in keys]
    rerun = RerunFailedJobs(repository=repository, run_id=7, failed_attempt=attempt, workflow_file="ci.yml")
    return Plan.of(procedure="triage-failed-run", repository=repository, effects=[*caches, rerun])


def test_a_digest_is_the_same_for_the_same_intention_and_survives_storage() -> None:
    plan = make()
    assert plan.digest == make().digest
    assert Plan.model_validate(plan.model_dump(mode="json")).digest == plan.digest
    assert len(plan.digest) == 64


@pytest.mark.parametrize(
    "other",
    [
        make(attempt=2),
        make(keys=("pip-b",)),
        make(keys=("pip-a", "pip-b")),
        make(keys=("pip-b", "pip-a")),
        make(repository="a/c"),
        make().model_copy(update={"procedure": "clear-caches"}),
        make().model_copy(update={"effects": make().effects[::-1]}),
    ],
)
def test_whatever_would_be_done_differently_changes_the_digest(other: Plan) -> None:
    plans = {make().digest, make(keys=("pip-a", "pip-b")).digest, make(keys=("pip-b", "pip-a")).digest}
    assert len(plans) == 3
    assert other.digest != make().digest


def test_prose_and_time_do_not_change_the_digest(room: Room) -> None:
    first = room.store(HALL, waiting=True)
    room.clock.sleep(1000)
    room.begin("e2")
    again = room.engine.plans.store(
        "e2",
        Plan.of(procedure="clear-caches", repository=REPOSITORY, effects=[HALL]),
        view=VIEW.model_copy(update={"title": "another title", "why": "because", "history": "2 of 3"}),
        expires_after_seconds=5,
    )
    assert again.digest == first.digest
    assert (again.id == first.id, again.created_at == first.created_at) == (False, False)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4), st.text(max_size=12))
def test_a_plan_can_be_loaded_from_what_the_ledger_keeps(keys: list[str], ref: str) -> None:
    effects = [DeleteCacheEntries(repository="a/b", key=key, ref=ref, cache_ids=(1, 2)) for key in keys]
    plan = Plan.of(procedure="clear-caches", repository="a/b", effects=list(effects))
    loaded = Plan.model_validate_json(plan.model_dump_json())
    assert [effect.load() for effect in loaded.effects] == effects
    assert loaded.digest == plan.digest


def test_a_plan_without_effects_is_no_plan() -> None:
    with pytest.raises(ValueError, match="without effects"):
        Plan.of(procedure="clear-caches", repository="a/b", effects=[])


def test_targets_are_named_once_and_sorted() -> None:
    assert make(keys=("x", "y")).targets == ("cache:a/b", "run:a/b:7")
    assert PlannedEffect.of(HALL).target == "lamp:hall"


# --- storing ---------------------------------------------------------------------------------------------


def test_a_stored_plan_says_who_asked_and_until_when_it_waits(room: Room) -> None:
    room.begin("e1", BY_PRODUCT)
    plan = room.store(HALL, expires_after_seconds=60, waiting=True)
    assert (plan.state, plan.requester_kind) == (PlanState.WAITING, RequesterKind.PRODUCT)
    assert (plan.expires_at - plan.created_at).total_seconds() == 60
    assert room.engine.plans.get(plan.id) == plan
    assert room.engine.plans.active("e1") == room.engine.plans.latest("e1") == plan
    assert room.engine.plans.waiting() == (plan,)


def test_plans_that_wait_are_found_by_the_issue_and_the_digits_that_a_comment_names(room: Room) -> None:
    plan = room.store(HALL, waiting=True)
    room.store(STAIRS, execution_id="e2", waiting=True)
    plans = room.engine.plans
    assert plans.waiting(shown=True) == ()
    placed = plans.placed(plan.id, issues_repository="Acme/House", issue_number=7, issue_url="u")
    assert plans.waiting_on("acme/house", 7, digits=plan.short_digest) == (placed,)
    assert plans.waiting(shown=True) == (), "its run has yet to post the comment"
    shown = plans.shown(plan.id, comment_id=1)
    assert plans.waiting(shown=True) == (shown,)
    for repository, number, digits in (
        ("acme/house", 8, plan.digest),
        ("acme/hous_", 7, plan.digest),
        ("acme/house", 7, "%"),
        ("acme/house", 7, "0" * 16),
    ):
        assert plans.waiting_on(repository, number, digits=digits) == ()
    plans.end(plan.id, PlanState.REJECTED, reason="no")
    assert plans.waiting_on("acme/house", 7, digits=plan.digest) == plans.waiting(shown=True) == ()


def test_the_digests_of_the_other_waiting_plans_are_told(room: Room) -> None:
    plan = room.store(HALL, waiting=True)
    other = room.store(STAIRS, execution_id="e2", waiting=True)
    room.store(CELLAR, execution_id="e3")
    assert room.engine.plans.waiting_digests(other_than=plan.id) == (other.digest,)


def test_a_newer_plan_supersedes_one_that_waits_for_a_common_target(room: Room) -> None:
    old = room.store(HALL, STAIRS, execution_id="e1", waiting=True)
    room.engine.executions.wait("e1")
    new = room.store(STAIRS, CELLAR, execution_id="e2", waiting=True)
    plans = room.engine.plans
    assert plans.get(old.id).state is PlanState.SUPERSEDED
    assert state_of(room, "e1") is ExecutionState.SUPERSEDED
    assert plans.waiting() == (new,)
    assert open_targets(room) == {"lamp:stairs": "e2", "lamp:cellar": "e2"}


def test_the_same_plan_asked_for_again_supersedes_the_first(room: Room) -> None:
    old = room.store(HALL, execution_id="e1", waiting=True)
    new = room.store(HALL, execution_id="e2", waiting=True)
    assert old.digest == new.digest
    assert room.engine.plans.by_digits(new.digest).id == new.id


def test_an_execution_has_one_open_plan_at_a_time(room: Room) -> None:
    """An orphan and its revival may both get as far as here; one of them stores."""
    plan = room.store(HALL, waiting=True)
    for effect in (HALL, STAIRS):
        with pytest.raises(Conflict, match="has a plan already"):
            room.store(effect, waiting=True)
    assert room.engine.plans.waiting() == (plan,)
    assert open_targets(room) == {"lamp:hall": "e1"}


def test_plans_for_other_targets_wait_side_by_side(room: Room) -> None:
    room.store(HALL, execution_id="e1", waiting=True)
    room.store(STAIRS, execution_id="e2", waiting=True)
    assert len(room.engine.plans.waiting()) == 2


def test_a_plan_on_a_target_that_is_being_changed_is_refused_and_leaves_nothing(room: Room) -> None:
    busy = room.store(HALL, execution_id="e1")
    with room.engine.ledger.write() as session:
        session.get_one(PlanRow, busy.id).state = PlanState.APPLYING
    with pytest.raises(Conflict, match=r"lamp:hall is being changed by clear-caches \(e1\)"):
        room.store(STAIRS, HALL, execution_id="e2", waiting=True)
    assert room.engine.plans.latest("e2") is None
    with room.engine.ledger.read() as session:
        assert set(session.scalars(select(EffectRow.execution_id))) == {"e1"}
    assert open_targets(room) == {"lamp:hall": "e1"}
    assert room.engine.plans.get(busy.id).state is PlanState.APPLYING


def test_a_plan_that_plans_anew_for_its_own_targets_keeps_them(room: Room) -> None:
    first = room.store(HALL, execution_id="e1", waiting=True)
    room.engine.plans.end(first.id, PlanState.VOIDED, reason="moved on")
    second = room.store(HALL, execution_id="e1", waiting=True)
    assert room.engine.plans.active("e1") == second
    assert open_targets(room) == {"lamp:hall": "e1"}


def test_an_execution_that_was_superseded_while_it_planned_anew_cannot_take_its_target_back(
    room: Room,
) -> None:
    first = room.store(HALL, execution_id="e1", waiting=True)
    room.engine.plans.end(first.id, PlanState.VOIDED, reason="moved on")
    newer = room.store(HALL, execution_id="e2", waiting=True)
    assert state_of(room, "e1") is ExecutionState.SUPERSEDED
    with pytest.raises(Conflict, match="superseded"):
        room.store(HALL, execution_id="e1", waiting=True)
    assert room.engine.plans.waiting() == (newer,)
    assert state_of(room, "e2") is ExecutionState.RUNNING


@pytest.mark.parametrize(("passed", "ended"), [(True, Ended.DONE), (False, Ended.UNDONE)])
def test_a_plan_that_was_applied_and_has_only_its_record_to_write_is_not_superseded(
    room: Room, passed: bool, ended: Ended
) -> None:
    """Its process may die before the record: then it must go on with that, not be told it never happened."""
    applied = room.store(HALL, execution_id="e1")
    assert room.apply(applied, passed=passed).ended is ended
    room.store(HALL, execution_id="e2", waiting=True)
    assert state_of(room, "e1") in {ExecutionState.RUNNING, ExecutionState.SETTLING}
    assert open_targets(room) == {"lamp:hall": "e2"}
    room.engine.executions.end("e1", ExecutionState(ended), reason="recorded")
    assert state_of(room, "e1").value == ended.value
    assert open_targets(room) == {"lamp:hall": "e2"}


def test_ending_an_execution_frees_its_targets(room: Room) -> None:
    room.store(HALL, STAIRS, execution_id="e1", waiting=True)
    room.engine.executions.end("e1", ExecutionState.REJECTED, reason="r")
    assert open_targets(room) == {}


@pytest.mark.parametrize("state", [PlanState.DONE, PlanState.REJECTED, PlanState.SUPERSEDED])
def test_a_plan_that_ended_stays_as_it_ended(room: Room, state: PlanState) -> None:
    plan = room.store(HALL, waiting=True)
    room.engine.plans.end(plan.id, state, reason="first")
    room.engine.plans.end(plan.id, PlanState.CANCELLED, reason="second")
    ended = room.engine.plans.get(plan.id)
    assert (ended.state, ended.reason) == (state, "first")
    assert room.engine.plans.active("e1") is None


# --- digits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [16, 17, 40, 64])
def test_a_plan_is_found_by_the_first_digits_of_its_digest(room: Room, digits: int) -> None:
    plan = room.store(HALL, waiting=True)
    found = room.engine.plans.by_digits(f" {plan.digest[:digits].upper()} ")
    assert (found.id, found.short_digest) == (plan.id, plan.digest[:16])


@pytest.mark.parametrize(
    "digits", ["", "0123456789abcde", "g" * 16, "\N{ARABIC-INDIC DIGIT ZERO}" * 16, "0x" + "1" * 16, "%" * 16]
)
def test_what_is_not_sixteen_digits_is_refused(room: Room, digits: str) -> None:
    room.store(HALL, waiting=True)
    with pytest.raises(UsageError, match="16 or more hexadecimal digits"):
        room.engine.plans.by_digits(digits)


def test_digits_of_no_plan_or_of_one_that_no_longer_waits_are_refused(room: Room) -> None:
    plan = room.store(HALL, waiting=True)
    with pytest.raises(UsageError, match="No waiting plan"):
        room.engine.plans.by_digits("0" * 16)
    room.engine.plans.end(plan.id, PlanState.EXPIRED, reason="r")
    with pytest.raises(UsageError, match="No waiting plan"):
        room.engine.plans.by_digits(plan.digest)


def test_digits_that_fit_two_plans_are_refused(room: Room) -> None:
    plans = [
        room.store(HALL, execution_id="e1", waiting=True),
        room.store(STAIRS, execution_id="e2", waiting=True),
    ]
    with room.engine.ledger.write() as session:
        for plan, last in zip(plans, "12", strict=True):
            session.get_one(PlanRow, plan.id).digest = "a" * 20 + last * 44
    with pytest.raises(UsageError, match="More than one"):
        room.engine.plans.by_digits("a" * 16)
    assert room.engine.plans.by_digits("a" * 20 + "1").id == plans[0].id


def test_an_unknown_plan_is_refused(room: Room) -> None:
    with pytest.raises(UsageError, match="no plan"):
        room.engine.plans.get("never")


# --- asking and counting ---------------------------------------------------------------------------------


def test_every_ask_has_a_number_of_its_own(room: Room) -> None:
    first = room.store(HALL, waiting=True)
    assert [room.engine.plans.ask(first.id) for _ in range(3)] == [1, 2, 3]
    room.engine.plans.end(first.id, PlanState.VOIDED, reason="r")
    second = room.store(STAIRS, waiting=True)
    assert room.engine.plans.ask(second.id) == 1
    assert room.engine.plans.asks_of("e1") == 4
    assert room.engine.plans.asks_of("never") == 0


def test_where_a_plan_is_shown_is_kept(room: Room) -> None:
    plan = room.store(HALL, waiting=True)
    room.engine.plans.placed(plan.id, issues_repository="acme/incidents", issue_number=3, issue_url="u")
    shown = room.engine.plans.shown(plan.id, comment_id=9)
    assert (shown.issues_repository, shown.issue_number, shown.comment_id) == ("acme/incidents", 3, 9)


def test_the_scorecard_counts_what_was_applied_and_what_was_verified(room: Room) -> None:
    def card() -> str:
        return room.engine.plans.scorecard(remedy="r", failure_class="c").sentence()

    assert card() == "never tried before"
    for number, passed in enumerate([True, False, True]):
        plan = room.store(BurnMatch(name=f"lamp-{number}"), execution_id=f"e{number}")
        room.apply(plan, passed=passed)
        room.engine.executions.end(f"e{number}", ExecutionState.DONE, reason="r")
    rejected = room.store(HALL, execution_id="e9", waiting=True)
    room.engine.plans.end(rejected.id, PlanState.REJECTED, reason="r")
    assert card() == "helped 2 of 3 times before"
    assert room.engine.plans.scorecard(remedy="other", failure_class="c").tried == 0
