"""Clearing caches in each way that the runbook knows (CM-06 to CM-10)."""

from functools import partial

import pytest

from runbook.requests import ClearCachesRequest, Mode
from sandbox.github.scenario import add_repository
from tests.flows.newsroom import artifact, plan_in_turn
from tests.flows.theatre import Theatre

LARGE = "acme/large"
SMALL = tuple(f"acme/small-{number}" for number in range(3))
TOPIC = "refs/heads/topic"
ROLES = {"runbook-bot": "write", "alice": "admin", "bob": "write"}


@pytest.fixture(scope="module")
def theatre_with_caches(theatre: Theatre) -> Theatre:
    """Add a repository with more caches than a page holds, and small ones to clear."""
    many = [{"key": "docker-{n}", "size": 2_000_000, "used_ago": "3h", "count": 120}]
    few = [
        {"key": "pip-1", "version": "a" * 64},
        {"key": "pip-1", "version": "b" * 64},
        {"key": "pip-1", "ref": TOPIC},
        {"key": "npm-1", "ref": TOPIC},
    ]
    add_repository(theatre.box.state, LARGE, {"roles": ROLES, "caches": many})
    for name in SMALL:
        add_repository(theatre.box.state, name, {"roles": ROLES, "caches": few})
    with theatre.policy_file.open("a") as policy:
        policy.writelines(f'[[repositories]]\nname = "{name}"\n' for name in (LARGE, *SMALL))
    return theatre


@pytest.mark.executes("CM-06")
def test_a_plan_counts_the_caches_of_every_page_and_shows_size_ref_and_last_use(
    theatre_with_caches: Theatre,
) -> None:
    theatre = theatre_with_caches
    request = ClearCachesRequest(repository=LARGE, key_prefix="docker-")
    ids = plan_in_turn(theatre, "clear-caches", {"docker": request})
    plan = artifact(theatre, ids["docker"], "plan")
    assert "120 caches would go (240.0 MB), 0 stay" in plan
    used = min(theatre.state_of(LARGE).caches.items())[1].used_at
    assert f"| docker-0 | refs/heads/main | 2.0 MB | {used:%Y-%m-%d %H:%M} |" in plan
    assert len(theatre.state_of(LARGE).caches) == 120


@pytest.mark.executes("CM-07", "CM-08", "CM-10")
def test_one_entry_a_branch_and_all_there_are_go_and_nothing_else(theatre_with_caches: Theatre) -> None:
    theatre = theatre_with_caches
    by_id, by_branch, everything = SMALL
    first = min(theatre.state_of(by_id).caches)
    requests = {
        by_id: ClearCachesRequest(repository=by_id, mode=Mode.APPLY, cache_ids=(first,)),
        by_branch: ClearCachesRequest(repository=by_branch, mode=Mode.APPLY, ref=TOPIC),
        everything: ClearCachesRequest(repository=everything, mode=Mode.APPLY, everything=True),
    }
    runs = {name: theatre.start("clear-caches", request) for name, request in requests.items()}
    for run in runs.values():
        plan = theatre.asked(run.id)
        # Nobody can name who started a run over REST, so two people must approve it.
        theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
        theatre.comment(plan, "bob", f"/approve {plan.short_digest}")
        theatre.resume(run.id)
    for run in runs.values():
        assert theatre.until("the end", partial(theatre.ended, run.id)).state == "Verified"

    left = {name: [(c.key, c.ref) for c in theatre.state_of(name).caches.values()] for name in SMALL}
    main = "refs/heads/main"
    assert left[by_id] == [("pip-1", main), ("pip-1", TOPIC), ("npm-1", TOPIC)]
    assert left[by_branch] == [("pip-1", main), ("pip-1", main)]
    assert left[everything] == []
    deletions = {name: [r["path"] for r in theatre.effects_on(name)] for name in SMALL}
    assert deletions[by_id] == [f"/repos/{by_id}/actions/caches/{first}"]
    assert len(deletions[by_branch]) == 2
    assert len(deletions[everything]) == 3  # one call per key and ref, however many entries it has
    refused = [r for r in theatre.box.requests if r["status"] == 429 and "/small-" in r["path"]]
    assert refused == []
