"""Every effect on GitHub's stand-in: what it sends, what it makes of the answers, and how doubt is settled."""

import shlex
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runbook.effects.actions_caches import DeleteCacheEntries, DeleteCacheEntry
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.effects.catalogue import registered
from runbook.effects.incident_issues import CloseIssue, OpenIssue, PostComment, RaiseSeverity, ReopenIssue
from runbook.engine.effects import Effect, Found, load_effect
from runbook.engine.engine import Ended, Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.states import EffectState, PlanState
from runbook.errors import Ambiguous, Denied, NeedsPerson, NotFound, RunbookError, Transient, UsageError
from runbook.scrub import shell_quote
from runbook.world import World
from sandbox.github.scenario import add_runs
from tests.runbook.effects.cluster_samples import CLUSTER, NAMESPACE, release_rollback
from tests.runbook.effects.failed_delivery import failed_delivery
from tests.runbook.effects.source_revert_samples import revert_commit, with_its_branch
from tests.runbook.effects.workload_samples import ARGO_NAMESPACE, sync_pause, workload_rollback
from tests.runbook.engine.conftest import REPOSITORY, TIMINGS
from tests.runbook.engine.desk import INCIDENTS, MAIN, SCENARIO, Desk, open_desk

PASSED = Verification(passed=True, reason="green")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine on the stand-ins, with a cluster among them."""
    # A look at Helm starts a program, in real time: fewer of them.
    timings = TIMINGS.model_copy(update={"probe_interval_seconds": 40.0})
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": CLUSTER}, timings=timings) as opened:
        yield opened


@pytest.fixture
def world(desk: Desk) -> World:
    """What effects act through."""
    return desk.engine.world


def sent(desk: Desk, method: str, path_end: str) -> list[bool]:
    """For each request of that kind: whether it took effect."""
    return [
        bool(request["applied"])
        for request in requests_of(desk)
        if request["method"] == method and path_end in request["path"]
    ]


def requests_of(desk: Desk) -> list[dict[str, Any]]:
    """The requests to every stand-in."""
    return [*desk.box.requests, *desk.box.kubernetes.requests]


def fail(desk: Desk, fault: str, **more: Any) -> None:
    """Set a fault; only one of the stand-ins has the path that it waits at."""
    desk.box.fail(fault, **more)
    desk.box.kubernetes.fail(fault, **more)


def keys(desk: Desk) -> list[str]:
    """The keys of the caches that are left."""
    return sorted(one.key for one in desk.box.repository.caches.values())


def apply(desk: Desk, effect: Effect) -> JournalEntry:
    """Apply one effect through the journal, as a plan or as a record."""
    if effect.target.startswith("issues:"):
        desk.engine.executions.begin("e1", procedure="p", repository=REPOSITORY, subject="s", request={})
        return desk.engine.record("e1", "record", effect)
    plan = desk.show(effect, passed=True)
    lease = desk.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    return desk.engine.journal.apply(desk.entries(plan)[0].id, lease=lease)


# --- each effect's own behaviour -------------------------------------------------------------------------


def test_caches_of_one_key_and_ref_go_in_one_call_and_no_longer_key_is_touched(desk: Desk) -> None:
    entry = apply(desk, desk.clear("pip-a"))
    assert entry.result is not None
    assert len(entry.result["deleted"]) == 2
    assert keys(desk) == ["pip-ab", "pip-b"]
    assert sent(desk, "DELETE", "/actions/caches") == [True]


def test_one_cache_goes_by_its_id_and_its_namesake_stays(desk: Desk) -> None:
    first, second = desk.cache_ids("pip-a")
    apply(desk, DeleteCacheEntry(repository=REPOSITORY, cache_id=first, key="pip-a", ref=MAIN))
    assert desk.cache_ids("pip-a") == (second,)


@pytest.mark.parametrize("by_id", [True, False])
def test_a_cache_that_is_gone_already_is_as_good_as_deleted(desk: Desk, by_id: bool) -> None:
    number = desk.cache_ids("pip-b")[0]
    effect: Effect = desk.clear("pip-b")
    if by_id:
        effect = DeleteCacheEntry(repository=REPOSITORY, cache_id=number, key="pip-b", ref=MAIN)
    del desk.box.repository.caches[number]
    entry = apply(desk, effect)
    assert (entry.state, entry.result) == (EffectState.CONFIRMED, {"deleted": []})


def test_a_cache_made_anew_since_the_plan_is_not_what_a_probe_looks_for(desk: Desk, world: World) -> None:
    effect = desk.clear("pip-b")
    assert effect.probe(world).found is Found.NOT_DONE
    old = desk.box.repository.caches.pop(effect.cache_ids[0])
    old.id += 1000
    desk.box.repository.caches[old.id] = old
    assert effect.probe(world).found is Found.DONE


def test_a_rerun_starts_one_attempt_of_the_failed_jobs(desk: Desk) -> None:
    entry = apply(desk, desk.rerun())
    assert entry.result == {"attempt": 2}
    assert len(desk.box.repository.runs[desk.run_id].attempts) == 2


def test_a_rerun_that_somebody_else_started_is_found_and_not_ours_to_cancel(desk: Desk) -> None:
    plan = desk.show(desk.rerun(), passed=True)
    desk.person("alice").rerun_failed_jobs(REPOSITORY, desk.run_id)
    outcome = desk.engine.apply(plan, verify=lambda lease: Verification(passed=False, reason="red"))
    assert [entry.state for entry in outcome.entries] == [EffectState.FOUND]
    assert sent(desk, "POST", "/cancel") == []


def test_an_unverified_rerun_is_cancelled(desk: Desk) -> None:
    plan = desk.show(desk.rerun(), passed=True)
    outcome = desk.engine.apply(plan, verify=lambda lease: Verification(passed=False, reason="red"))
    assert [entry.state for entry in outcome.entries] == [EffectState.UNDONE]
    assert sent(desk, "POST", "/cancel") == [True]


def test_a_rerun_that_ended_by_itself_is_not_cancelled(desk: Desk) -> None:
    def wait(_lease: object) -> Verification:
        desk.clock.sleep(1000)
        return Verification(passed=False, reason="red")

    plan = desk.show(desk.rerun(), passed=True)
    outcome = desk.engine.apply(plan, verify=wait)
    assert [entry.state for entry in outcome.entries] == [EffectState.UNDONE]
    assert sent(desk, "POST", "/cancel") == []


def test_the_undo_of_a_rerun_whose_run_was_deleted_has_nothing_left_to_stop(desk: Desk) -> None:
    def delete(_lease: object) -> Verification:
        del desk.box.repository.runs[desk.run_id]
        return Verification(passed=False, reason="gone")

    plan = desk.show(desk.rerun(), passed=True)
    outcome = desk.engine.apply(plan, verify=delete)
    assert (outcome.ended, outcome.entries[0].state) == (Ended.UNDONE, EffectState.UNDONE)


def test_a_run_deleted_before_its_rerun_ends_the_plan_undone(desk: Desk) -> None:
    plan = desk.show(desk.clear(), desk.rerun(), passed=True)
    desk.box.repository.runs.clear()
    outcome = desk.engine.apply(plan, verify=lambda lease: PASSED)
    assert (outcome.ended, desk.engine.plans.get(plan.id).state) == (Ended.UNDONE, PlanState.UNDONE)
    assert [entry.state for entry in outcome.not_undone] == [EffectState.KEPT]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda desk: desk.box.repository.runs.clear(), "was deleted"),
        (
            lambda desk: desk.person("alice").rerun_failed_jobs(REPOSITORY, desk.run_id),
            "is at attempt 2 now",
        ),
        (lambda desk: setattr(_last_job(desk), "conclusion", "success"), "is success now"),
        (
            lambda desk: setattr(_last_job(desk), "ends_at", desk.clock.now().replace(year=2030)),
            "is in_progress now",
        ),
    ],
)
def test_a_rerun_may_be_applied_only_to_the_attempt_it_was_planned_on(
    desk: Desk, world: World, change: Callable[[Desk], object], detail: str
) -> None:
    assert desk.rerun().precondition(world).holds
    change(desk)
    rerun = RerunFailedJobs(
        repository=REPOSITORY, run_id=_planned_run(desk), failed_attempt=1, workflow_file="ci-test.yml"
    )
    precondition = rerun.precondition(world)
    assert not precondition.holds
    assert detail in precondition.detail


@pytest.mark.parametrize(
    ("newer", "holds"),
    [
        ({}, False),
        ({"conclusion": "success"}, False),
        ({"branch": "topic"}, True),
        ({"event": "workflow_dispatch"}, True),
        ({"conclusion": "cancelled"}, True),
        ({"ago": "2d"}, True),
    ],
    ids=["red", "green", "on another branch", "dispatched", "cancelled", "older"],
)
def test_an_older_commit_is_not_run_again_once_its_branch_has_moved_on(
    desk: Desk, world: World, newer: dict[str, object], holds: bool
) -> None:
    assert desk.rerun().precondition(world).holds
    added = {"workflow": "ci-test.yml", "ago": "1s", "conclusion": "failure", **newer}
    add_runs(desk.box.state, desk.box.repository, [added], workflows=[])
    precondition = desk.rerun().precondition(world)
    assert precondition.holds is holds
    assert holds or "took the place of" in precondition.detail


def test_an_issue_is_opened_with_its_labels_and_found_again_by_its_marker(desk: Desk, world: World) -> None:
    effect = OpenIssue(repository=INCIDENTS, key="k1", title="Broken", body="why", labels=("incident", "P0"))
    assert effect.probe(world).found is Found.NOT_DONE
    entry = apply(desk, effect)
    assert entry.result is not None
    issue = world.github.get_issue(INCIDENTS, entry.result["number"])
    assert (issue.title, set(issue.labels)) == ("Broken", {"incident", "P0"})
    assert effect.probe(world).result == entry.result
    other = effect.model_copy(update={"key": "k"})
    assert other.probe(world).found is Found.NOT_DONE


def test_a_closed_issue_is_found_too(desk: Desk, world: World) -> None:
    effect = OpenIssue(repository=INCIDENTS, key="k1", title="t", body="b", labels=())
    number = apply(desk, effect).result["number"]  # type: ignore[index]
    close = CloseIssue(repository=INCIDENTS, issue=number)
    assert close.probe(world).found is Found.NOT_DONE
    assert desk.engine.record("e1", "close", close).state is EffectState.CONFIRMED
    assert close.probe(world).found is Found.DONE
    assert effect.probe(world).found is Found.DONE


def test_a_raised_severity_is_the_only_one_and_leaves_peoples_labels(desk: Desk, world: World) -> None:
    opened = OpenIssue(
        repository=INCIDENTS, key="k1", title="P2: t", body="b", labels=("incident", "severity:P2", "infra")
    )
    number = apply(desk, opened).result["number"]  # type: ignore[index]
    effect = RaiseSeverity(
        repository=INCIDENTS,
        issue=number,
        title="P0: u",
        label="severity:P0",
        other_labels=("severity:P1", "Severity:P2", "severity:P3"),
    )
    assert effect.probe(world).found is Found.NOT_DONE
    assert desk.engine.record("e1", "raise", effect).state is EffectState.CONFIRMED
    issue = world.github.get_issue(INCIDENTS, number)
    assert (issue.title, set(issue.labels)) == ("P0: u", {"incident", "infra", "severity:P0"})
    assert effect.probe(world).found is Found.DONE


def test_a_title_longer_than_github_takes_is_cut(desk: Desk, world: World) -> None:
    """A branch's name alone may hold 244 characters, and without its title no incident would be opened."""
    effect = OpenIssue(repository=INCIDENTS, key="k", title="P0: " + "x" * 400, body="b", labels=())
    number = apply(desk, effect).result["number"]  # type: ignore[index]
    title = world.github.get_issue(INCIDENTS, number).title
    assert len(title) == 256
    assert title.endswith("x…")


@pytest.mark.parametrize("kind", ["issue", "comment"])
def test_a_marker_that_somebody_copied_is_not_ours(desk: Desk, world: World, kind: str) -> None:
    """Else anybody could make the product believe that it had written its record."""
    if kind == "issue":
        effect: Effect = OpenIssue(repository=INCIDENTS, key="k", title="t", body="b", labels=())
        desk.person("mallory").create_issue(INCIDENTS, title="t", body="b\n\n<!-- runbook:k -->")
    else:
        effect = PostComment(repository=INCIDENTS, issue=1, key="k", body="b")
        desk.say("mallory", "b\n\n<!-- runbook:k -->")
    assert effect.probe(world).found is Found.NOT_DONE


def test_a_comment_is_found_by_its_own_marker_only(desk: Desk, world: World) -> None:
    effect = PostComment(repository=INCIDENTS, issue=1, key="e1/plan-1", body="b")
    apply(desk, effect)
    assert effect.probe(world).found is Found.DONE
    for key in ("e1/plan-", "e1/plan-11", "plan-1"):
        assert effect.model_copy(update={"key": key}).probe(world).found is Found.NOT_DONE


def test_closing_an_issue_that_is_gone_is_done(desk: Desk, world: World) -> None:
    assert CloseIssue(repository=INCIDENTS, issue=99).probe(world).found is Found.DONE


# --- doubt, over the wire --------------------------------------------------------------------------------


def _closed_issue(desk: Desk) -> ReopenIssue:
    issues = next(one for one in desk.box.state.repositories.values() if one.full_name == INCIDENTS).issues
    issues[1].state = "closed"
    return ReopenIssue(repository=INCIDENTS, issue=1)


SAMPLES: dict[str, tuple[Callable[[Desk], Effect], str, str]] = {
    "delete-cache-entries": (lambda desk: desk.clear(), "DELETE", "/actions/caches"),
    "delete-cache-entry": (
        lambda desk: DeleteCacheEntry(
            repository=REPOSITORY, cache_id=desk.cache_ids("pip-b")[0], key="pip-b", ref=MAIN
        ),
        "DELETE",
        "/actions/caches/",
    ),
    "rerun-failed-jobs": (lambda desk: desk.rerun(), "POST", "/rerun-failed-jobs"),
    "open-issue": (
        lambda desk: OpenIssue(repository=INCIDENTS, key="k", title="t", body="b", labels=("incident",)),
        "POST",
        "/issues",
    ),
    "post-comment": (
        lambda desk: PostComment(repository=INCIDENTS, issue=1, key="k", body="b"),
        "POST",
        "/comments",
    ),
    "close-issue": (lambda desk: CloseIssue(repository=INCIDENTS, issue=1), "PATCH", "/issues/"),
    "reopen-issue": (_closed_issue, "PATCH", "/issues/"),
    "raise-severity": (
        lambda desk: RaiseSeverity(
            repository=INCIDENTS, issue=1, title="P0: t", label="severity:P0", other_labels=()
        ),
        "PATCH",
        "/issues/",
    ),
    "redeliver": (lambda desk: failed_delivery(desk.box), "POST", "/attempts"),
    "create-revert-commit": (lambda desk: revert_commit(desk.box), "POST", "/git/refs"),
    "open-pull-request": (lambda desk: with_its_branch(desk.box), "POST", "/pulls"),
    "roll-back-release": (lambda desk: release_rollback(desk.box), "POST", "/helm/rollback"),
    "roll-back-workload": (
        lambda desk: workload_rollback(desk.engine.world.kubernetes),
        "PATCH",
        "/deployments/",
    ),
    "pause-gitops-sync": (
        lambda desk: sync_pause(desk.engine.world.kubernetes),
        "PATCH",
        "/applications/",
    ),
}
# How a refusal is worded; GitHub's where a kind is not named.
REFUSALS = {
    "roll-back-release": 'create: failed to create: secrets is forbidden: User "runbook" cannot create resource '
    '"secrets" in API group "" in the namespace "voice"',
    "roll-back-workload": 'deployments.apps "agent-service" is forbidden',
    "pause-gitops-sync": 'applications.argoproj.io "agent" is forbidden',
}
KINDS = sorted(SAMPLES)


def test_every_registered_effect_has_a_sample() -> None:
    assert set(SAMPLES) == set(registered())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "takes_effect"),
    [("500_after", True), ("reset_after", True), ("500_before", False), ("reset", False)],
)
def test_a_write_without_a_clear_answer_is_settled_by_a_probe(
    desk: Desk, kind: str, fault: str, takes_effect: bool
) -> None:
    make, method, path = SAMPLES[kind]
    effect = make(desk)
    fail(desk, fault, method=method, path_regex=path)
    assert apply(desk, effect).state is EffectState.CONFIRMED
    requests = [
        request
        for request in requests_of(desk)
        if request["method"] == method and path in request["path"] and _is_for(effect, request)
    ]
    assert [bool(request["applied"]) for request in requests] == ([True] if takes_effect else [False, True])


@pytest.mark.parametrize("kind", ["rerun-failed-jobs", "delete-cache-entries"])
def test_a_write_that_is_never_answered_is_settled_by_a_probe(desk: Desk, kind: str) -> None:
    make, method, path = SAMPLES[kind]
    effect = make(desk)
    desk.box.fail("timeout_after", method=method, path_regex=path, seconds=1.5)
    assert apply(desk, effect).state is EffectState.CONFIRMED
    assert sent(desk, method, path) == [True]


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_permission_is_named_and_nothing_changes(desk: Desk, kind: str) -> None:
    make, method, path = SAMPLES[kind]
    effect = make(desk)
    before = len(desk.box.repository.caches)
    said = REFUSALS.get(kind, "Resource not accessible by personal access token")
    fail(desk, "403", method=method, path_regex=path, message=said, times=9)
    with pytest.raises(Denied):
        apply(desk, effect)
    assert not any(sent(desk, method, path)[-1:])
    assert len(desk.box.repository.caches) == before


@pytest.mark.parametrize("kind", ["rerun-failed-jobs", "delete-cache-entry"])
def test_an_effect_held_off_by_a_rate_limit_is_sent_once_when_it_is_over(desk: Desk, kind: str) -> None:
    make, method, path = SAMPLES[kind]
    effect = make(desk)
    plan = desk.show(effect, passed=True)
    lease = desk.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    desk.box.fail("429", method=method, path_regex=path, retry_after=30, times=5)
    began = desk.clock.now()
    entry = desk.engine.journal.apply(desk.entries(plan)[0].id, lease=lease)
    assert (entry.state, entry.sends) == (EffectState.CONFIRMED, 1)
    # Longer than a lease lasts: it was kept meanwhile.
    assert desk.clock.now() - began >= timedelta(seconds=5 * 30)
    assert sent(desk, method, path).count(True) == 1


@pytest.mark.parametrize("kind", ["rerun-failed-jobs", "delete-cache-entry"])
def test_an_effect_held_off_for_long_is_left_with_nothing_claimed(desk: Desk, kind: str) -> None:
    make, method, path = SAMPLES[kind]
    effect = make(desk)
    plan = desk.show(effect, passed=True)
    lease = desk.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    desk.box.fail("429", method=method, path_regex=path, retry_after=3600)
    with pytest.raises(Transient):
        desk.engine.journal.apply(desk.entries(plan)[0].id, lease=lease)
    (entry,) = desk.entries(plan)
    assert (entry.state, entry.sends) == (EffectState.PLANNED, 0)
    assert sent(desk, method, path) == [False]


def test_a_rerun_in_doubt_whose_run_was_deleted_needs_a_person(desk: Desk) -> None:
    plan = desk.show(desk.rerun(), passed=True)
    lease = desk.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    desk.box.fail("500_before", method="POST", path_regex="/rerun-failed-jobs")
    original = desk.engine.world.github.rerun_failed_jobs

    def rerun_of_a_deleted_run(repository: str, run_id: int) -> None:
        try:
            original(repository, run_id)
        finally:
            desk.box.repository.runs.clear()

    desk.engine.world.github.rerun_failed_jobs = rerun_of_a_deleted_run  # type: ignore[method-assign]
    with pytest.raises(NeedsPerson) as raised:
        desk.engine.journal.apply(desk.entries(plan)[0].id, lease=lease)
    assert isinstance(raised.value.__cause__, Ambiguous)
    assert "gh run rerun" in raised.value.next_step


# --- what they say of themselves -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_effect_survives_the_journal_and_says_what_it_does(desk: Desk, kind: str) -> None:
    effect = SAMPLES[kind][0](desk)
    assert load_effect(effect.kind, effect.params()) == effect
    assert effect.describe()
    assert effect.command_line()[0] in {"gh", "git", "helm", "kubectl", "sh"}
    assert any(
        name in effect.target for name in (INCIDENTS, REPOSITORY, f"{NAMESPACE}/", f"{ARGO_NAMESPACE}/")
    )


@pytest.mark.parametrize("kind", sorted(kind for kind in SAMPLES if registered()[kind].no_undo))
def test_an_effect_without_an_undo_says_why_and_refuses_to_try(desk: Desk, world: World, kind: str) -> None:
    effect = SAMPLES[kind][0](desk)
    assert len(effect.no_undo) > 10
    with pytest.raises(NotImplementedError, match=effect.no_undo[:10]):
        effect.undo(world, {})


def test_a_hostile_key_stays_one_word_of_the_command_line() -> None:
    key = "pip; rm -rf / $(curl evil) `id` 'x' \"y\"\n--method POST"
    effect = DeleteCacheEntries(repository=REPOSITORY, key=key, ref=MAIN, cache_ids=(1,))
    assert parse_qs(urlsplit(effect.command_line()[-1]).query) == {"key": [key], "ref": [MAIN]}
    line = " ".join(map(shell_quote, effect.command_line()))
    assert shlex.split(line) == list(effect.command_line())
    assert "\n" not in line


def test_an_unknown_effect_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="does not know") as raised:
        load_effect("launch-rocket", {})
    assert raised.value.unchanged == "Nothing was sent."


@pytest.mark.parametrize("error", [NotFound, Denied])
def test_errors_say_what_is_unchanged(error: type[RunbookError]) -> None:
    text = str(error("It failed.", unchanged="Nothing was sent.", next_step="try again"))
    assert text == "It failed. Nothing was sent. Next: try again"


def _last_job(desk: Desk) -> Any:
    return desk.box.repository.runs[desk.run_id].latest.jobs[-1]


def _planned_run(desk: Desk) -> int:
    return next(iter(desk.box.repository.runs), 1)


def _is_for(effect: Effect, request: dict[str, Any]) -> bool:
    """Tell the effect's own requests from the comment that showed its plan."""
    return effect.target.startswith("issues:") or "/issues" not in request["path"]
