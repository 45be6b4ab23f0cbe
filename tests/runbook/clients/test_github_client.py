"""Rules of the GitHub calls, on the stand-in: what each returns, refuses and sends."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

import sandbox
from runbook.clients.budget import Budget
from runbook.clients.github_client import GitHubClient, TooLarge
from runbook.clock import VirtualClock
from runbook.errors import Ambiguous, Conflict, Denied, Gone, NotFound, Permanent, Transient, UsageError
from runbook.models import Permission, WorkflowRun
from runbook.settings import Settings
from tests.runbook.clients.scripted import Said, Script, scripted

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REPO = "acme/voice-agent"
PIP = "pip-Linux-5c0ffee4b1d2a9e8f7d6c5b4a3928170"
MAIN = "refs/heads/main"


def connect(box: sandbox.Box, token: str | None = None) -> GitHubClient:
    return GitHubClient(
        token=SecretStr(token or box.token),
        api_url=box.url,
        clock=box.clock,
        budget=Budget(box.clock, max_wait_seconds=4000),
    )


@contextmanager
def answering(script: Script) -> Iterator[GitHubClient]:
    """Yield a client of a server that answers as told: for what the stand-in never says."""
    with scripted(script) as server, GitHubClient(token=SecretStr("a-token"), api_url=server.url) as client:
        yield client


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    with sandbox.running(clock=VirtualClock(START)) as running:
        yield running


@pytest.fixture
def github(box: sandbox.Box) -> Iterator[GitHubClient]:
    with connect(box) as client:
        yield client


def failed_run(github: GitHubClient) -> WorkflowRun:
    (run,) = github.list_runs(REPO, workflow="ci-test.yml", status="failure", limit=10)
    return run


def applied(box: sandbox.Box, method: str) -> int:
    return sum(entry["method"] == method and entry["applied"] for entry in box.requests)


# --- Who and what ---


def test_the_token_says_whose_it_is_and_what_scopes_it_has(box: sandbox.Box, github: GitHubClient) -> None:
    assert github.whoami() == "runbook-bot"
    assert github.token_facts().scopes is None
    with connect(box, box.token_of("alice")) as alice:
        assert alice.token_facts().login == "alice"
        assert "repo" in (alice.token_facts().scopes or ())


@pytest.mark.parametrize(
    ("expiry", "expected"),
    [
        (None, None),
        ("2026-05-01 10:00:00 UTC", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01 12:00:00 +0200", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("soon", None),
    ],
)
def test_a_token_that_expires_says_when(expiry: str | None, expected: datetime | None) -> None:
    headers = {"X-OAuth-Scopes": "repo, workflow"}
    if expiry is not None:
        headers["GitHub-Authentication-Token-Expiration"] = expiry
    with answering(lambda seen: Said(200, {"login": "ann", "type": "User"}, headers)) as github:
        facts = github.token_facts()
    assert (facts.expires_at, facts.scopes) == (expected, ("repo", "workflow"))


def test_a_repository_tells_its_branch_and_the_tokens_permission(
    box: sandbox.Box, github: GitHubClient
) -> None:
    facts = github.repository_facts(REPO)
    assert (facts.full_name, facts.default_branch, facts.private, facts.archived) == (
        REPO,
        "main",
        True,
        False,
    )
    assert facts.permission is Permission.WRITE
    with pytest.raises(NotFound, match=r"Could not read the repository acme/nothing.*may see it"):
        github.repository_facts("acme/nothing")


@pytest.mark.parametrize("name", ["voice-agent", "acme/..", "acme/voice agent", "a/b/c", "/x", "acme/x?y"])
def test_what_is_no_repository_name_is_refused_before_anything_is_sent(
    box: sandbox.Box, github: GitHubClient, name: str
) -> None:
    with pytest.raises(UsageError, match="owner/name"):
        github.repository_facts(name)
    assert box.requests == []


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("alice", Permission.ADMIN),
        ("carol", Permission.MAINTAIN),
        ("bob", Permission.WRITE),
        ("mallory", Permission.READ),
        ("nobody-here", Permission.NONE),
    ],
)
def test_a_persons_permission_is_read_by_role(github: GitHubClient, login: str, expected: Permission) -> None:
    assert github.permission_of(REPO, login) is expected


def test_required_checks_come_from_protection_and_rulesets_and_say_what_is_hidden() -> None:
    rule = {
        "type": "required_status_checks",
        "parameters": {"required_status_checks": [{"context": "build"}]},
    }
    scenario = demo()
    scenario["repositories"][REPO]["rules"] = {"main": [{"type": "deletion"}, rule]}
    with sandbox.running(scenario, clock=VirtualClock(START)) as box, connect(box) as github:
        checks = github.required_checks(REPO, "main")
        assert checks.contexts == ("build", "lint", "test (3.11)", "test (3.12)", "test (3.13)")
        assert checks.unreadable == ()
        assert github.required_checks(REPO, "feature/small-voice").contexts == ()
        with pytest.raises(NotFound):
            github.required_checks(REPO, "no-such-branch")
    scenario["users"]["runbook-bot"]["permissions"].pop("contents")
    with sandbox.running(scenario, clock=VirtualClock(START)) as box, connect(box) as github:
        checks = github.required_checks(REPO, "main")
        assert checks.contexts == ("build",)
        assert "branch protection: give the token" in checks.unreadable[0]
        assert "contents=read" in checks.unreadable[0]


def demo() -> dict[str, Any]:
    from sandbox.box import DEMO
    from sandbox.github.scenario import load

    return dict(load(DEMO))


def test_pull_requests_commits_and_files_are_read(github: GitHubClient) -> None:
    (request,) = github.list_pull_requests(REPO)
    assert (request.author, request.head_ref, request.base_ref) == ("bob", "feature/small-voice", "main")
    assert github.list_pull_requests(REPO, head_sha=request.head_sha) == (request,)
    assert github.list_pull_requests(REPO, head_sha=request.head_sha, state="closed") == ()
    commits = github.list_commits(REPO, branch="main")
    assert [commit.author for commit in commits] == ["bob", "carol", "carol", "alice"]
    assert github.list_commits(REPO, branch="main", since_sha=commits[1].sha) == commits[:1]
    assert github.list_commits(REPO, branch="main", until=START - timedelta(hours=1)) == commits[1:]
    assert github.list_commits(REPO, branch="main", limit=2) == commits[:2]
    assert b"@alice" in github.get_file(REPO, "CODEOWNERS")
    assert b"CI Test" in github.get_file(REPO, ".github/workflows/ci-test.yml")
    with pytest.raises(NotFound):
        github.get_file(REPO, "missing.txt")
    with pytest.raises(UsageError):
        github.get_file(REPO, "../secrets")


def test_what_is_no_plain_file_is_said() -> None:
    answers = iter([Said(200, [{"name": "a"}]), Said(200, {"encoding": "none", "content": ""})])
    with answering(lambda seen: next(answers)) as github:
        for path in ("folder", "large.bin"):
            with pytest.raises(Permanent, match=f"Could not read {path} of .*a folder, a link, or larger"):
                github.get_file(REPO, path)


def test_rate_limits_are_read(github: GitHubClient) -> None:
    core = {limit.resource: limit for limit in github.rate_limits()}["core"]
    assert core.limit == 5000
    assert core.reset_at > START


# --- Runs ---


def test_the_failed_run_its_jobs_and_steps_are_read(github: GitHubClient) -> None:
    run = failed_run(github)
    assert (run.repository, run.workflow_file, run.head_branch, run.run_attempt) == (
        REPO,
        "ci-test.yml",
        "main",
        1,
    )
    assert github.get_run(REPO, run.id) == run
    assert github.get_run_attempt(REPO, run.id, attempt=1) == run
    (job,) = [job for job in github.list_jobs(REPO, run.id, attempt=1) if job.conclusion == "failure"]
    assert job.name == "test (3.12)"
    assert [step.name for step in job.steps if step.conclusion == "failure"] == [
        "Run pip install --require-hashes -r requirements.txt"
    ]
    log = b"".join(github.stream_job_log(REPO, job.id)).decode()
    assert "Decoding error (36)" in log
    with pytest.raises(NotFound, match=f"read attempt 9 of run {run.id}"):
        github.get_run_attempt(REPO, run.id, attempt=9)


def test_runs_are_filtered_and_limited(box: sandbox.Box, github: GitHubClient) -> None:
    everything = github.list_runs(REPO, limit=200)
    assert len(everything) == 24
    assert github.list_runs(REPO, limit=5) == everything[:5]
    run = failed_run(github)
    assert run in github.list_runs(REPO, branch="main", event="push", head_sha=run.head_sha, limit=50)
    since = run.created_at - timedelta(minutes=1)
    assert all(found.created_at >= since for found in github.list_runs(REPO, created_since=since, limit=50))
    older = github.list_runs(REPO, created_until=since, limit=50)
    assert older
    assert all(found.created_at <= since for found in older)


def test_failed_jobs_are_re_run_once_and_a_second_time_is_refused(
    box: sandbox.Box, github: GitHubClient
) -> None:
    run = failed_run(github)
    github.rerun_failed_jobs(REPO, run.id)
    assert github.get_run(REPO, run.id).run_attempt == 2
    with pytest.raises(Conflict, match=r"re-run the failed jobs of run \d+ of acme/voice-agent"):
        github.rerun_failed_jobs(REPO, run.id)
    github.cancel_run(REPO, run.id)
    assert applied(box, "POST") == 2
    box.clock.sleep(60)
    with pytest.raises(Conflict, match="cancel run"):
        github.cancel_run(REPO, run.id)


@pytest.mark.parametrize(("fault", "attempt"), [("500_before", 1), ("500_after", 2), ("reset_after", 2)])
def test_a_re_run_in_doubt_is_ambiguous_and_sent_once(
    box: sandbox.Box, github: GitHubClient, fault: str, attempt: int
) -> None:
    run = failed_run(github)
    box.fail(fault, method="POST", path_regex="/rerun-failed-jobs")
    with pytest.raises(Ambiguous, match="may or may not have taken effect"):
        github.rerun_failed_jobs(REPO, run.id)
    assert github.get_run(REPO, run.id).run_attempt == attempt
    assert sum(entry["method"] == "POST" for entry in box.requests) == 1


def test_what_the_token_may_not_do_names_the_permission() -> None:
    scenario = demo()
    scenario["users"]["runbook-bot"]["permissions"]["actions"] = "read"
    with sandbox.running(scenario, clock=VirtualClock(START)) as box, connect(box) as github:
        run = failed_run(github)
        with pytest.raises(Denied, match=r"Nothing was changed\. Next: give the token.*actions=write"):
            github.rerun_failed_jobs(REPO, run.id)


def test_a_log_that_expired_is_gone() -> None:
    scenario = demo()
    for run in scenario["repositories"][REPO]["runs"]:
        run["logs_gone"] = True
    with sandbox.running(scenario, clock=VirtualClock(START)) as box, connect(box) as github:
        job = github.list_jobs(REPO, failed_run(github).id, attempt=1)[0]
        with pytest.raises(Gone, match=f"read the log of job {job.id}"):
            github.stream_job_log(REPO, job.id)


def test_artifacts_and_workflows_are_listed_and_an_artifact_is_read(github: GitHubClient) -> None:
    (artifact,) = github.list_artifacts(REPO, failed_run(github).id)
    assert (artifact.name, artifact.expired) == ("coverage-report", False)
    assert b"".join(github.stream_artifact(REPO, artifact.id)).startswith(b"PK")
    with pytest.raises(TooLarge):
        list(github.stream_artifact(REPO, artifact.id, largest_bytes=10))
    files = {workflow.path.rsplit("/", 1)[-1]: workflow.state for workflow in github.list_workflows(REPO)}
    assert files["ci-test.yml"] == "active"
    assert len(files) == 3


# --- Caches ---


def test_caches_are_filtered_by_ref_and_key_prefix(github: GitHubClient) -> None:
    assert len(github.list_caches(REPO)) == 12
    assert {cache.ref for cache in github.list_caches(REPO, key=PIP)} == {MAIN, "refs/pull/1/merge"}
    assert [cache.key for cache in github.list_caches(REPO, key=PIP, ref=MAIN)] == [PIP]


def test_every_page_of_caches_is_read_and_no_more() -> None:
    scenario = demo()
    scenario["repositories"][REPO]["caches"] = [{"key": "pip-{n}", "size": 10, "count": 250}]
    with sandbox.running(scenario, clock=VirtualClock(START)) as box, connect(box) as github:
        assert len({cache.key for cache in github.list_caches(REPO)}) == 250
        assert github.budget.calls() == {"GET": 3}


def test_caches_are_deleted_by_id_and_by_complete_key(box: sandbox.Box, github: GitHubClient) -> None:
    (cache,) = github.list_caches(REPO, key=PIP, ref=MAIN)
    assert github.delete_caches_by_key(REPO, key=PIP, ref=MAIN) == (cache,)
    with pytest.raises(NotFound, match=f"delete the caches '{PIP}' on {MAIN}"):
        github.delete_caches_by_key(REPO, key=PIP, ref=MAIN)
    with pytest.raises(NotFound):
        github.delete_caches_by_key(REPO, key="docker-Linux-", ref=MAIN)
    (other,) = github.list_caches(REPO, key=PIP)
    github.delete_cache_by_id(REPO, other.id)
    with pytest.raises(NotFound):
        github.delete_cache_by_id(REPO, other.id)
    assert len(github.list_caches(REPO)) == 10


def test_a_thousand_caches_are_cleared_on_nine_tenths_of_the_limit_without_a_refusal() -> None:
    scenario = demo()
    scenario["repositories"][REPO]["caches"] = [{"key": "pip-{n}", "size": 10, "count": 1000}]
    with sandbox.running(scenario, clock=VirtualClock(START)) as box, connect(box) as github:
        for cache in github.list_caches(REPO):
            github.delete_caches_by_key(REPO, key=cache.key, ref=cache.ref)
        assert github.list_caches(REPO) == ()
        assert {entry["status"] for entry in box.requests} == {200}
        taken = (box.clock.now() - START).total_seconds()
    assert 1000 * 5 / 900 * 60 / taken >= 0.9


# --- Issues ---


def test_an_issue_lives_from_opening_to_closing(github: GitHubClient) -> None:
    github.ensure_label(REPO, name="severity: P0", color="b60205", description="Blocks everybody")
    github.ensure_label(REPO, name="severity: P0", color="ffffff", description="ignored")
    opened = github.create_issue(REPO, title="CI is red", body="Evidence", labels=["severity: P0"])
    assert (opened.labels, opened.state) == (("severity: P0",), "open")
    assert github.get_issue(REPO, opened.number) == opened
    changed = github.update_issue(REPO, opened.number, title="CI was red", labels=["bug"], state="closed")
    assert (changed.title, changed.body, changed.labels, changed.state) == (
        "CI was red",
        "Evidence",
        ("bug",),
        "closed",
    )
    assert github.list_issues(REPO, labels=["bug"], state="closed", creator="runbook-bot") == (changed,)
    assert all(found.number != opened.number for found in github.list_issues(REPO))
    assert github.update_issue(REPO, opened.number, labels=[]).labels == ()


def test_pull_requests_are_not_listed_as_issues(github: GitHubClient) -> None:
    numbers = {request.number for request in github.list_pull_requests(REPO)}
    assert numbers
    assert not numbers & {found.number for found in github.list_issues(REPO, state="all")}


def test_comments_tell_what_decides_whether_they_count(box: sandbox.Box, github: GitHubClient) -> None:
    issue = github.create_issue(REPO, title="Approve?", body="")
    first = github.create_comment(REPO, issue.number, body="The plan")
    with (
        connect(box, box.token_of("alice")) as alice,
        connect(box, box.token_of("alice", app="chat-bridge")) as app,
    ):
        own = alice.create_comment(REPO, issue.number, body="/approve 0123456789abcdef")
        bridged = app.create_comment(REPO, issue.number, body="/approve 0123456789abcdef")
    found = github.list_comments(REPO, issue.number, after_id=first.id)
    assert [(c.id, c.login, c.via_app, c.edited) for c in found] == [
        (own.id, "alice", False, False),
        (bridged.id, "alice", True, False),
    ]
    assert github.list_comments(REPO, issue.number)[0] == first
    for number in range(105):
        github.create_comment(REPO, issue.number, body=str(number))
    assert len(github.list_comments(REPO, issue.number)) == 108


def test_a_label_that_somebody_creates_at_the_same_moment_is_as_good(box: sandbox.Box) -> None:
    taken = {"message": "Validation Failed", "errors": [{"resource": "Label", "code": "already_exists"}]}
    answers = {"GET": Said(404, {"message": "Not Found"}), "POST": Said(422, taken)}
    with answering(lambda seen: answers[seen.method]) as github:
        github.ensure_label(REPO, name="P0", color="b60205", description="")
        taken["errors"] = []
        with pytest.raises(Conflict, match="create the label 'P0'"):
            github.ensure_label(REPO, name="P0", color="b60205", description="")


# --- Whatever the call ---


def test_with_github_down_reads_are_repeated_and_nothing_is_changed(
    box: sandbox.Box, github: GitHubClient
) -> None:
    box.fail("500_before", times=None)
    with pytest.raises(Transient, match="githubstatus"):
        github.whoami()
    assert len(box.requests) == 4


@pytest.mark.parametrize(
    "answer",
    [{}, [], "text", {"id": 1, "path": "x"}, None],
)
def test_an_answer_that_is_not_as_documented_is_named(answer: object) -> None:
    with answering(lambda seen: Said(200, answer)) as github:
        with pytest.raises(Permanent, match="description of a run cannot be read"):
            github.get_run(REPO, 1)
        with pytest.raises(Permanent, match="not a list"):
            github.list_runs(REPO, limit=1)


def test_a_page_that_is_no_json_is_said() -> None:
    page = Said(200, b"<html>log in</html>")
    with answering(lambda seen: page) as github, pytest.raises(Permanent, match="not JSON"):
        github.get_run(REPO, 1)


@pytest.mark.parametrize("answer", [{}, [], b"<html>", {"number": 1}])
def test_a_write_whose_success_cannot_be_read_is_ambiguous(answer: object) -> None:
    with answering(lambda seen: Said(201 if seen.method == "POST" else 200, answer)) as github:
        for write in (
            lambda: github.create_issue(REPO, title="t", body="b"),
            lambda: github.create_comment(REPO, 1, body="b"),
            lambda: github.update_issue(REPO, 1, state="closed"),
            lambda: github.delete_caches_by_key(REPO, key="k", ref=MAIN),
        ):
            with pytest.raises(Ambiguous, match="may or may not have taken effect"):
                write()


RUN: Mapping[str, Any] = {
    "id": 7,
    "run_attempt": 2,
    "name": None,
    "path": ".github/workflows/ci.yml@refs/heads/main",
    "workflow_id": 1,
    "event": "push",
    "status": "completed",
    "conclusion": "startup_failure",
    "head_branch": None,
    "head_sha": "a" * 40,
    "actor": None,
    "html_url": "https://github.com/acme/voice-agent/actions/runs/7",
    "created_at": "2026-03-01T11:00:00Z",
    "updated_at": "2026-03-01T11:05:00Z",
    "run_started_at": None,
    "pull_requests": [{"number": 12}],
    "a_field_of_next_year": {},
}


def test_a_run_with_what_github_may_leave_out_is_read() -> None:
    with answering(lambda seen: Said(200, RUN)) as github:
        run = github.get_run(REPO, 7)
    assert (run.path, run.actor, run.triggering_actor) == (".github/workflows/ci.yml", "ghost", "ghost")
    assert run.run_started_at == run.created_at
    assert run.pull_requests == (12,)


def test_the_client_comes_from_settings_or_says_what_is_missing() -> None:
    settings = Settings.from_environment({"GITHUB_TOKEN": "a-token", "GITHUB_API_URL": "http://127.0.0.1:1"})
    with GitHubClient.from_settings(settings, purpose="read runs") as github:
        assert "a-token" not in repr(vars(github))
    with pytest.raises(UsageError, match="needed to read runs"):
        GitHubClient.from_settings(Settings.from_environment({}), purpose="read runs")


def test_comments_read_again_cost_nothing_until_one_changes(box: sandbox.Box, github: GitHubClient) -> None:
    """The dispatcher looks every few seconds; a 304 does not count against the hourly budget."""
    issue = github.create_issue(REPO, title="t", body="b", labels=())
    comment = github.create_comment(REPO, issue.number, body="first")

    assert github.list_comments(REPO, issue.number) == github.list_comments(REPO, issue.number) == (comment,)
    assert [entry["status"] for entry in box.requests[-2:]] == [200, 304]

    box.repository.comments[comment.id].body = "edited"
    assert [one.body for one in github.list_comments(REPO, issue.number)] == ["edited"]
    del box.repository.comments[comment.id]
    assert github.list_comments(REPO, issue.number) == ()


def test_the_files_of_a_commit_and_of_a_pull_request_are_read(github: GitHubClient) -> None:
    (request,) = github.list_pull_requests(REPO)
    changed = ("agent/model.py", "pyproject.toml")
    assert github.pull_request_files(REPO, request.number) == changed
    assert github.commit_files(REPO, request.head_sha) == changed
