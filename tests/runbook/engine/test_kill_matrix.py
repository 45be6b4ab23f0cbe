"""R3 and R4 under SIGKILL: at every boundary, for every registered effect, nothing twice and nothing lost.

One effect per class and those on Kubernetes run in ``make test``, all of them in ``make integration``. A new
effect is enrolled by being registered; without a sample here the matrix fails.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import sandbox
from runbook.effects.actions_caches import DeleteCacheEntries, DeleteCacheEntry
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.effects.catalogue import registered
from runbook.effects.incident_issues import CloseIssue, OpenIssue, PostComment, RaiseSeverity, ReopenIssue
from runbook.engine.effects import Effect, EffectClass
from runbook.engine.engine import Engine
from runbook.engine.entries import JournalEntry
from runbook.engine.plan import Plan, PlanView
from runbook.engine.schema import EffectRow
from runbook.engine.states import EffectState
from tests.runbook.effects.cluster_samples import CLUSTER, release_rollback
from tests.runbook.effects.failed_delivery import failed_delivery
from tests.runbook.effects.source_revert_samples import COMMITS, revert_commit, with_its_branch
from tests.runbook.effects.workload_samples import kubernetes_of, sync_pause, workload_rollback
from tests.runbook.engine.databases import new_ledger_url
from tests.runbook.engine.kill_child import Job, engine_for, run_in_process
from tests.runbook.engine.passing import let_pass

REPOSITORY = "acme/voice-agent"
KILLED = -9
SCENARIO: dict[str, Any] = {
    "bot": "runbook-bot",
    "kubernetes": CLUSTER,
    "users": {"runbook-bot": {}, "alice": {}},
    "repositories": {
        REPOSITORY: {
            "roles": {"runbook-bot": "write", "alice": "admin"},
            "workflows": [{"file": "ci-test.yml", "name": "CI Test"}],
            "commits": COMMITS,
            "issues": [{"title": "Incident", "author": "runbook-bot"}],
            "caches": [
                {"key": "pip-a", "ref": "refs/heads/main", "size": 10},
                {"key": "pip-b", "ref": "refs/heads/main", "size": 10},
            ],
            "runs": [
                {
                    "workflow": "ci-test.yml",
                    "ago": "30m",
                    "jobs": [
                        {
                            "name": "test",
                            "seconds": 10,
                            "conclusion": "failure",
                            "rerun": {"seconds": 900, "conclusion": "success"},
                        }
                    ],
                }
            ],
        }
    },
}
VIEW = PlanView(title="t", why="w", remedy="r", blast_radius="b", if_nobody_acts="n")
APPLY_BOUNDARIES = ("claim.before", "claim.after", "confirm.before", "confirm.after")
UNDO_BOUNDARIES = ("undo-claim.before", "undo-claim.after", "undo-confirm.before", "undo-confirm.after")


@dataclass(frozen=True)
class Sample:
    """An effect on the scenario, and which requests apply it (and take it back)."""

    effect: Callable[[sandbox.Box], Effect]
    method: str
    path_end: str
    undo_method: str = ""
    undo_path_end: str = ""

    @property
    def undo_is_alike(self) -> bool:
        """The same request takes it back, with other content."""
        return (self.method, self.path_end) == (self.undo_method, self.undo_path_end)


SAMPLES = {
    "delete-cache-entries": Sample(
        lambda box: DeleteCacheEntries(
            repository=REPOSITORY, key="pip-a", ref="refs/heads/main", cache_ids=(_cache(box, "pip-a"),)
        ),
        "DELETE",
        "/actions/caches",
    ),
    "delete-cache-entry": Sample(
        lambda box: DeleteCacheEntry(
            repository=REPOSITORY, cache_id=_cache(box, "pip-b"), key="pip-b", ref="refs/heads/main"
        ),
        "DELETE",
        "/actions/caches/",
    ),
    "rerun-failed-jobs": Sample(
        lambda box: RerunFailedJobs(
            repository=REPOSITORY, run_id=_run(box), failed_attempt=1, workflow_file="ci-test.yml"
        ),
        "POST",
        "/rerun-failed-jobs",
        undo_method="POST",
        undo_path_end="/cancel",
    ),
    "open-issue": Sample(
        lambda box: OpenIssue(repository=REPOSITORY, key="k", title="t", body="b", labels=("incident",)),
        "POST",
        "/issues",
    ),
    "post-comment": Sample(
        lambda box: PostComment(repository=REPOSITORY, key="k", issue=_issue(box), body="b"),
        "POST",
        "/comments",
    ),
    "close-issue": Sample(
        lambda box: CloseIssue(repository=REPOSITORY, issue=_issue(box)), "PATCH", "/issues/"
    ),
    "reopen-issue": Sample(
        lambda box: ReopenIssue(repository=REPOSITORY, issue=_closed_issue(box)), "PATCH", "/issues/"
    ),
    "raise-severity": Sample(
        lambda box: RaiseSeverity(
            repository=REPOSITORY, issue=_issue(box), title="P0: t", label="severity:P0", other_labels=()
        ),
        "PATCH",
        "/issues/",
    ),
    "redeliver": Sample(failed_delivery, "POST", "/attempts"),
    "create-revert-commit": Sample(
        revert_commit, "POST", "/git/refs", undo_method="DELETE", undo_path_end="/git/refs/"
    ),
    "open-pull-request": Sample(
        with_its_branch, "POST", "/pulls", undo_method="PATCH", undo_path_end="/pulls/"
    ),
    "roll-back-release": Sample(
        release_rollback, "POST", "/helm/rollback", undo_method="POST", undo_path_end="/helm/rollback"
    ),
    "roll-back-workload": Sample(
        lambda box: workload_rollback(kubernetes_of(box)),
        "PATCH",
        "/deployments/",
        undo_method="PATCH",
        undo_path_end="/deployments/",
    ),
    "pause-gitops-sync": Sample(
        lambda box: sync_pause(kubernetes_of(box)),
        "PATCH",
        "/applications/",
        undo_method="PATCH",
        undo_path_end="/applications/",
    ),
}
# Of each class the one with most to lose, and what writes to Kubernetes; the others run in `make integration`.
ALWAYS = {
    "delete-cache-entries",
    "rerun-failed-jobs",
    "post-comment",
    "roll-back-workload",
    "pause-gitops-sync",
}
UNDOABLE = [
    pytest.param(kind, marks=() if kind in ALWAYS else pytest.mark.integration)
    for kind, sample in sorted(SAMPLES.items())
    if sample.undo_path_end
]


def _cache(box: sandbox.Box, key: str) -> int:
    return next(cache.id for cache in box.repository.caches.values() if cache.key == key)


def _run(box: sandbox.Box) -> int:
    return next(iter(box.repository.runs))


def _issue(box: sandbox.Box) -> int:
    return next(iter(box.repository.issues))


def _closed_issue(box: sandbox.Box) -> int:
    number = _issue(box)
    box.repository.issues[number].state = "closed"
    return number


def _kinds() -> list[Any]:
    return [
        pytest.param(kind, marks=() if kind in ALWAYS else pytest.mark.integration)
        for kind in sorted(registered())
    ]


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    """A stand-in with something for every effect to act on."""
    with sandbox.running(SCENARIO) as running:
        yield running


@pytest.fixture
def job(box: sandbox.Box, tmp_path: Path) -> Job:
    """A process's work, without a plan yet."""
    return Job(
        ledger_url=new_ledger_url(tmp_path),
        github_url=box.url,
        token=box.token,
        login="runbook-bot",
        kubeconfig=box.kubernetes.kubeconfig,
        helm=str(box.kubernetes.helm),
    )


def test_every_registered_effect_is_in_the_matrix() -> None:
    assert set(SAMPLES) == set(registered())
    assert {registered()[kind].effect_class for kind in ALWAYS} == set(EffectClass)


@pytest.mark.parametrize("kind", _kinds())
@pytest.mark.parametrize("boundary", APPLY_BOUNDARIES)
def test_an_effect_killed_at_a_boundary_is_applied_once(
    kind: str, boundary: str, box: sandbox.Box, job: Job
) -> None:
    sample = SAMPLES[kind]
    work = _enrol(job, sample.effect(box))

    assert run_in_process(_with(work, kill_at=boundary)) == KILLED
    assert run_in_process(work) == 0

    entry = _entry(work)
    assert entry.state is EffectState.CONFIRMED
    assert _applied(box, sample.method, sample.path_end) == 1


@pytest.mark.parametrize("kind", _kinds())
def test_an_effect_whose_answer_was_lost_with_its_process_is_applied_once(
    kind: str, box: sandbox.Box, job: Job
) -> None:
    """The hardest case: it took effect, no answer came, and the process died before asking."""
    sample = SAMPLES[kind]
    work = _enrol(job, sample.effect(box))
    _fail(box, "500_after", sample.method, sample.path_end)

    assert run_in_process(_with(work, kill_at="doubt.before")) == KILLED
    assert run_in_process(work) == 0

    assert _entry(work).state is EffectState.CONFIRMED
    assert _applied(box, sample.method, sample.path_end) == 1


@pytest.mark.parametrize("kind", UNDOABLE)
def test_an_undo_whose_answer_was_lost_with_its_process_is_applied_once(
    kind: str, box: sandbox.Box, job: Job
) -> None:
    sample = SAMPLES[kind]
    work = _with(_enrol(job, sample.effect(box)), verified=False)
    if sample.undo_is_alike:  # the effect itself is to be answered
        assert run_in_process(_with(work, kill_at="undo-claim.before")) == KILLED
    _fail(box, "500_after", sample.undo_method, sample.undo_path_end)

    assert run_in_process(_with(work, kill_at="undo-doubt.before")) == KILLED
    assert run_in_process(work) == 0

    assert _entry(work).state is EffectState.UNDONE
    _assert_undone_once(box, sample)


@pytest.mark.parametrize("kind", UNDOABLE)
@pytest.mark.parametrize("boundary", UNDO_BOUNDARIES)
def test_an_undo_killed_at_a_boundary_is_applied_once(
    kind: str, boundary: str, box: sandbox.Box, job: Job
) -> None:
    sample = SAMPLES[kind]
    work = _with(_enrol(job, sample.effect(box)), verified=False)

    assert run_in_process(_with(work, kill_at=boundary)) == KILLED
    assert run_in_process(work) == 0

    assert _entry(work).state is EffectState.UNDONE
    _assert_undone_once(box, sample)


def test_a_repeated_notification_says_so(box: sandbox.Box, job: Job) -> None:
    """A comment that GitHub lost sight of for a moment is posted again, marked."""
    work = _enrol(job, SAMPLES["post-comment"].effect(box))
    assert run_in_process(_with(work, kill_at="confirm.before")) == KILLED
    original = next(iter(box.repository.comments.values()))
    original.body = original.body.replace("<!-- runbook:k -->", "")  # the probe cannot find it

    assert run_in_process(work) == 0

    bodies = [comment.body for comment in box.repository.comments.values()]
    assert len(bodies) == 2
    assert "Repeated after an interruption" in bodies[1]
    assert "Repeated" not in bodies[0]


def _enrol(job: Job, effect: Effect) -> Job:
    """Store a plan (or name a record write) for the effect, as a gate that was passed leaves it."""
    with _engine(job) as engine:
        engine.executions.begin(
            "e1", procedure="clear-caches", repository=REPOSITORY, subject="s", request={}
        )
        if effect.target.startswith("issues:"):
            return _with(job, record=("e1", "record", effect.kind, effect.params()))
        plan = Plan.of(procedure="clear-caches", repository=REPOSITORY, effects=[effect])
        stored = let_pass(engine, engine.plans.store("e1", plan, view=VIEW, expires_after_seconds=3600))
        return _with(job, plan_id=stored.id)


def _with(job: Job, **changes: Any) -> Job:
    return Job(**{**job.__dict__, **changes})


def _entry(job: Job) -> JournalEntry:
    with _engine(job) as engine, engine.ledger.read() as session:
        return JournalEntry.of(session.scalars(select(EffectRow)).one())


@contextmanager
def _engine(job: Job) -> Iterator[Engine]:
    engine = engine_for(job)
    try:
        yield engine
    finally:
        engine.ledger.close()


def _fail(box: sandbox.Box, fault: str, method: str, path_end: str) -> None:
    """Set a fault for one request; only one of the stand-ins has such a path."""
    box.fail(fault, method=method, path_regex=path_end)
    box.kubernetes.fail(fault, method=method, path_regex=path_end)


def _assert_undone_once(box: sandbox.Box, sample: Sample) -> None:
    sent = _applied(box, sample.method, sample.path_end)
    assert sent == (2 if sample.undo_is_alike else 1)
    if not sample.undo_is_alike:
        assert _applied(box, sample.undo_method, sample.undo_path_end) == 1


def _applied(box: sandbox.Box, method: str, path_end: str) -> int:
    return sum(
        bool(request["applied"]) and request["method"] == method and path_end in request["path"]
        for request in [*box.requests, *box.kubernetes.requests]
    )
