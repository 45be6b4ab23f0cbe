"""Actions caches."""

from typing import Any

import pytest

from tests.contracts.github.conftest import Api

CACHES = "actions/caches"


def keys(reply: Any) -> list[tuple[str, str]]:
    return [(one["key"], one["ref"]) for one in reply.json()["actions_caches"]]


def test_the_key_filter_is_a_prefix(bot: Api) -> None:
    assert keys(bot.get(f"{CACHES}?key=deps-1")) == [
        ("deps-1", "refs/heads/main"),
        ("deps-1", "refs/pull/1/merge"),
        ("deps-10", "refs/heads/main"),
    ]


def test_the_ref_filter_is_complete(bot: Api) -> None:
    assert keys(bot.get(f"{CACHES}?ref=refs/pull/1/merge")) == [("deps-1", "refs/pull/1/merge")]
    assert keys(bot.get(f"{CACHES}?ref=refs/pull")) == []


@pytest.mark.parametrize(
    ("sort", "sizes"),
    [
        ("sort=size_in_bytes", [300, 200, 100]),
        ("sort=size_in_bytes&direction=asc", [100, 200, 300]),
        ("sort=created_at", [100, 200, 300]),
        ("sort=last_accessed_at&direction=asc", [100, 200, 300]),
        ("", [300, 200, 100]),
    ],
)
def test_caches_are_sorted_last_used_first_unless_told_otherwise(
    bot: Api, sort: str, sizes: list[int]
) -> None:
    rows = bot.get(f"{CACHES}?key=deps&{sort}").json()["actions_caches"]
    assert [one["size_in_bytes"] for one in rows] == sizes


def test_all_pages_together_hold_every_cache_once(bot: Api) -> None:
    pages = [bot.get(f"{CACHES}?per_page=100&page={number}").json() for number in (1, 2, 3, 4)]
    assert [len(one["actions_caches"]) for one in pages] == [100, 100, 53, 0]
    assert {one["total_count"] for one in pages} == {253}
    assert len({cache["id"] for one in pages for cache in one["actions_caches"]}) == 253


def test_deleting_by_key_wants_the_complete_key_and_returns_what_it_deleted(bot: Api) -> None:
    reply = bot.delete(f"{CACHES}?key=deps-1")
    assert reply.status_code == 200
    assert keys(reply) == [("deps-1", "refs/heads/main"), ("deps-1", "refs/pull/1/merge")]
    assert keys(bot.get(f"{CACHES}?key=deps-")) == [("deps-10", "refs/heads/main")]


def test_deleting_by_key_and_ref_leaves_other_refs_alone(bot: Api) -> None:
    assert bot.delete(f"{CACHES}?key=deps-1&ref=refs/heads/main").json()["total_count"] == 1
    assert ("deps-1", "refs/pull/1/merge") in keys(bot.get(f"{CACHES}?key=deps-1"))


@pytest.mark.parametrize(
    "query", ["key=deps", "key=deps-1&ref=refs/heads/none", "key=page-", "key=deps-1&ref=main"]
)
def test_a_prefix_or_another_ref_deletes_nothing(bot: Api, query: str) -> None:
    assert bot.delete(f"{CACHES}?{query}").status_code == 404
    assert bot.get(CACHES).json()["total_count"] == 253


def test_a_cache_is_deleted_by_id_once(bot: Api) -> None:
    number = bot.get(f"{CACHES}?key=deps-10").json()["actions_caches"][0]["id"]
    assert bot.delete(f"{CACHES}/{number}").status_code == 204
    assert bot.delete(f"{CACHES}/{number}").status_code == 404


def test_usage_follows_what_is_there(bot: Api) -> None:
    usage = bot.get("actions/cache/usage").json()
    assert (usage["active_caches_count"], usage["active_caches_size_in_bytes"]) == (253, 850)
    bot.delete(f"{CACHES}?key=deps-1")
    assert bot.get("actions/cache/usage").json()["active_caches_size_in_bytes"] == 350
