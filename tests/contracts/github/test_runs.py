"""Workflows, runs, attempts and jobs; re-running and cancelling."""

from typing import Any

import pytest

from tests.contracts.github.conftest import Api, GitHub


def page(reply: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = reply.json()["workflow_runs"]
    return rows


def test_runs_are_listed_newest_first(bot: Api) -> None:
    times = [run["created_at"] for run in page(bot.get("actions/runs?per_page=100"))]
    assert times == sorted(times, reverse=True)
    assert len(times) == 42


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("branch=topic", 1),
        ("event=schedule", 3),
        ("status=failure", 2),
        ("status=in_progress", 1),
        ("status=completed", 41),
        ("status=startup_failure", 1),
        ("status=success&event=push", 35),
        ("created=<2026-04-01", 2),
        ("created=2026-01-01..2026-04-01", 2),
        ("created=>=2026-05-04T08:00:00Z", 3),
        ("created=2026-05-02", 1),
        ("branch=none", 0),
    ],
)
def test_runs_are_filtered_by_what_the_query_says(bot: Api, query: str, count: int) -> None:
    assert bot.get(f"actions/runs?{query}").json()["total_count"] == count


def test_runs_are_filtered_by_head_sha(bot: Api) -> None:
    sha = bot.get("commits/topic").json()["sha"]
    assert [run["head_branch"] for run in page(bot.get(f"actions/runs?head_sha={sha}"))] == ["topic"]


def test_pages_follow_the_link_header_until_it_ends(bot: Api) -> None:
    seen, target = [], "actions/workflows/ci-test.yml/runs?per_page=15"
    while target:
        reply = bot.get(target)
        seen += [run["id"] for run in page(reply)]
        target = reply.links.get("next", {}).get("url", "").removeprefix(bot.url)
    assert len(seen) == len(set(seen)) == reply.json()["total_count"] == 39
    assert {"prev", "first"} == set(reply.links)


def test_a_page_holds_at_most_a_hundred(bot: Api) -> None:
    assert len(bot.get("actions/caches?per_page=500").json()["actions_caches"]) == 100


def test_a_workflow_is_named_by_id_or_by_file(bot: Api) -> None:
    by_file = bot.get("actions/workflows/ci-test.yml").json()
    assert bot.get(f"actions/workflows/{by_file['id']}").json() == by_file
    assert bot.get("actions/workflows").json()["total_count"] == 2
    assert bot.get("actions/workflows/none.yml").status_code == 404


def test_a_disabled_workflow_stays_so_until_it_is_enabled(bot: Api) -> None:
    for verb, state in (("disable", "disabled_manually"), ("enable", "active")):
        assert bot.put(f"actions/workflows/ci-test.yml/{verb}").status_code == 204
        assert bot.get("actions/workflows/ci-test.yml").json()["state"] == state


def test_a_run_that_could_not_start_has_no_jobs(bot: Api) -> None:
    (run,) = page(bot.get("actions/runs?status=startup_failure"))
    assert bot.get(f"actions/runs/{run['id']}/jobs").json() == {"total_count": 0, "jobs": []}


def test_a_failed_job_names_the_step_that_failed(bot: Api) -> None:
    run = bot.failed_run()
    jobs = bot.get(f"actions/runs/{run['id']}/jobs").json()["jobs"]
    assert {job["name"]: job["conclusion"] for job in jobs} == {"lint": "success", "test": "failure"}
    steps = next(job["steps"] for job in jobs if job["name"] == "test")
    assert [(step["number"], step["conclusion"]) for step in steps] == [
        (1, "success"),
        (2, "failure"),
        (3, "skipped"),
    ]
    assert bot.get(f"actions/jobs/{jobs[0]['id']}").json() == jobs[0]


def rerun(api: Api, run: dict[str, Any], verb: str = "rerun-failed-jobs") -> Any:
    return api.post(f"actions/runs/{run['id']}/{verb}")


def test_a_rerun_makes_a_new_attempt_that_is_queued_then_runs_then_completes(
    github: GitHub, bot: Api
) -> None:
    run = bot.failed_run()
    assert (rerun(bot, run).status_code, rerun(bot, run).status_code) == (201, 403)
    seen = []
    for seconds in (0, 2, 60):
        github.wait(seconds)
        now = bot.get(f"actions/runs/{run['id']}").json()
        seen.append((now["run_attempt"], now["status"], now["conclusion"]))
    assert seen == [(2, "queued", None), (2, "in_progress", None), (2, "completed", "failure")]
    assert now["created_at"] == run["created_at"]
    assert now["run_started_at"] > run["run_started_at"]
    assert (now["head_sha"], now["actor"]["login"]) == (run["head_sha"], "alice")
    assert now["triggering_actor"]["login"] == "bot"


def test_an_older_attempt_stays_as_it_was(github: GitHub, bot: Api) -> None:
    run = bot.failed_run()
    before = bot.get(f"actions/runs/{run['id']}/attempts/1/jobs").json()
    rerun(bot, run)
    github.wait(60)
    assert bot.get(f"actions/runs/{run['id']}/attempts/1/jobs").json() == before
    first = bot.get(f"actions/runs/{run['id']}/attempts/1").json()
    assert (first["conclusion"], first["previous_attempt_url"]) == ("failure", None)
    second = bot.get(f"actions/runs/{run['id']}").json()
    assert second["previous_attempt_url"].endswith(f"/runs/{run['id']}/attempts/1")
    assert bot.get(f"actions/runs/{run['id']}/attempts/3").status_code == 404


def test_only_failed_jobs_run_again_and_the_others_are_shown_as_they_ended(github: GitHub, bot: Api) -> None:
    run = bot.failed_run()
    old = {job["name"]: job for job in bot.get(f"actions/runs/{run['id']}/jobs").json()["jobs"]}
    rerun(bot, run)
    github.wait(60)
    new = {job["name"]: job for job in bot.get(f"actions/runs/{run['id']}/jobs").json()["jobs"]}
    assert new["lint"]["started_at"] == old["lint"]["started_at"]
    assert new["test"]["started_at"] > old["test"]["completed_at"]
    assert {job["run_attempt"] for job in new.values()} == {2}
    every = bot.get(f"actions/runs/{run['id']}/jobs?filter=all").json()
    assert every["total_count"] == 4


def test_a_job_that_needs_a_corrupt_cache_to_be_gone_fails_until_it_is(github: GitHub, bot: Api) -> None:
    run = bot.failed_run()
    outcomes = []
    for _ in range(2):
        rerun(bot, run)
        github.wait(60)
        outcomes.append(bot.get(f"actions/runs/{run['id']}").json()["conclusion"])
        bot.delete("actions/caches?key=deps-1&ref=refs/heads/main")
    assert outcomes == ["failure", "success"]


def test_a_green_run_saves_a_fresh_cache_under_the_same_key(github: GitHub, bot: Api) -> None:
    run = bot.failed_run()
    deleted = bot.delete("actions/caches?key=deps-1&ref=refs/heads/main").json()["actions_caches"]
    rerun(bot, run)
    github.wait(60)
    listed = bot.get("actions/caches?key=deps-1&ref=refs/heads/main").json()["actions_caches"]
    (fresh,) = (one for one in listed if one["key"] == "deps-1")
    assert fresh["id"] not in [one["id"] for one in deleted]
    assert fresh["created_at"] > deleted[0]["created_at"]


def test_every_job_runs_again_on_a_whole_rerun(github: GitHub, bot: Api) -> None:
    run = bot.failed_run()
    assert rerun(bot, run, "rerun").status_code == 201
    github.wait(2)
    jobs = bot.get(f"actions/runs/{run['id']}/jobs").json()["jobs"]
    assert {job["status"] for job in jobs} == {"in_progress"}


def test_one_job_of_the_latest_attempt_may_run_again(github: GitHub, bot: Api) -> None:
    run = bot.failed_run()
    first = bot.get(f"actions/runs/{run['id']}/jobs").json()["jobs"][0]
    assert bot.post(f"actions/jobs/{first['id']}/rerun").status_code == 201
    github.wait(60)
    reply = bot.post(f"actions/jobs/{first['id']}/rerun")
    assert (reply.status_code, reply.json()["message"]) == (
        403,
        "Only jobs from the current attempt can be re-run",
    )


def test_a_run_that_still_runs_cannot_be_rerun_or_deleted(bot: Api) -> None:
    (run,) = page(bot.get("actions/runs?status=in_progress"))
    reply = rerun(bot, run)
    assert (reply.status_code, reply.json()["message"]) == (403, "This workflow is already running")
    assert bot.delete(f"actions/runs/{run['id']}").status_code == 403


def test_a_run_older_than_thirty_days_cannot_be_rerun(bot: Api) -> None:
    run = page(bot.get("actions/runs?status=failure&event=schedule"))[0]
    reply = rerun(bot, run)
    assert (reply.status_code, "over a month ago" in reply.json()["message"]) == (403, True)


def test_a_green_run_has_no_failed_jobs_to_rerun(bot: Api) -> None:
    run = page(bot.get("actions/runs?status=success"))[0]
    reply = rerun(bot, run)
    assert (reply.status_code, reply.json()["message"]) == (403, "This workflow run cannot be retried")


def test_fifty_reruns_are_the_most(github: GitHub, bot: Api) -> None:
    run = bot.failed_run()
    answers = []
    for _ in range(51):
        answers.append(rerun(bot, run).status_code)
        github.wait(60)
    assert answers == [201] * 50 + [403]


def test_a_cancelled_run_ends_cancelled_and_a_completed_one_cannot_be(github: GitHub, bot: Api) -> None:
    (run,) = page(bot.get("actions/runs?status=in_progress"))
    assert bot.post(f"actions/runs/{run['id']}/cancel").status_code == 202
    github.wait(2)
    assert bot.get(f"actions/runs/{run['id']}").json()["conclusion"] == "cancelled"
    assert bot.post(f"actions/runs/{run['id']}/cancel").status_code == 409


def test_a_deleted_run_is_gone(bot: Api) -> None:
    run = bot.failed_run()
    assert bot.delete(f"actions/runs/{run['id']}").status_code == 204
    assert bot.get(f"actions/runs/{run['id']}").status_code == 404
    assert rerun(bot, run).status_code == 404


def test_an_open_pull_request_is_named_by_its_runs(bot: Api) -> None:
    (run,) = page(bot.get("actions/runs?branch=topic"))
    assert [one["number"] for one in run["pull_requests"]] == [1]
