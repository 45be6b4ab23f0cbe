"""CM-06 to CM-10 and KI-06: exactly the chosen caches, in the fewest calls."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.cache_selection import (
    CacheSelection,
    ChosenCache,
    plan_deletions,
    restorable_refs,
    select_implicated,
    select_requested,
)
from runbook.decisions.severity import AffectedRef
from runbook.effects.actions_caches import DeleteCacheEntries, DeleteCacheEntry
from runbook.engine.effects import Effect
from runbook.models import ActionsCache, WorkflowRun
from runbook.requests import ClearCachesRequest

REPOSITORY = "acme/voice-agent"
MAIN = "refs/heads/main"
PULL = "refs/pull/12/merge"
AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def cache(number: int, key: str, ref: str = MAIN, *, size: int = 10, version: str = "v") -> ActionsCache:
    """Return a listed cache."""
    return ActionsCache(
        id=number,
        key=key,
        ref=ref,
        version=version,
        size_in_bytes=size,
        created_at=AT,
        last_accessed_at=AT,
    )


CACHES = (
    cache(1, "pip-a"),
    cache(2, "pip-a", version="zstd"),
    cache(3, "pip-a", PULL),
    cache(4, "pip-ab"),
    cache(5, "docker-1", PULL),
)


@pytest.mark.parametrize(
    ("choice", "ids"),
    [
        ({"everything": True}, {1, 2, 3, 4, 5}),
        ({"cache_ids": (1, 5)}, {1, 5}),
        ({"cache_ids": (99,)}, set()),
        ({"key": "pip-a"}, {1, 2, 3}),
        ({"key": "pip"}, set()),
        ({"key_prefix": "pip-a"}, {1, 2, 3, 4}),
        ({"ref": "main"}, {1, 2, 4}),
        ({"ref": "#12"}, {3, 5}),
        ({"ref": "refs/pull/12/merge"}, {3, 5}),
        ({"key": "pip-a", "ref": "main"}, {1, 2}),
        ({"key_prefix": "pip-", "ref": "#12"}, {3}),
        ({"cache_ids": (1, 3, 4), "key": "pip-a", "ref": "main"}, {1}),
    ],
)
def test_what_is_chosen_fits_every_field_of_the_request(choice: dict[str, object], ids: set[int]) -> None:
    request = ClearCachesRequest.model_validate({"repository": REPOSITORY, **choice})
    selection = select_requested(CACHES, request)
    assert {chosen.cache.id for chosen in selection.chosen} == ids
    assert {left.id for left in selection.staying} == {1, 2, 3, 4, 5} - ids
    assert all(chosen.why == request.choice for chosen in selection.chosen)


def test_sizes_are_summed_on_both_sides() -> None:
    request = ClearCachesRequest(repository=REPOSITORY, key="a")
    selection = select_requested(
        [cache(1, "a", size=7), cache(2, "a", size=5), cache(3, "b", size=3)], request
    )
    assert (selection.freed_bytes, selection.staying_bytes) == (12, 3)


@pytest.mark.parametrize(
    ("keys", "refs", "ids"),
    [
        ({"pip-a"}, {MAIN}, {1, 2}),
        ({"pip-a"}, {MAIN, PULL}, {1, 2, 3}),
        ({"pip-"}, {MAIN, PULL}, set()),
        (set(), {MAIN}, set()),
        ({"pip-a"}, set(), set()),
    ],
)
def test_implicated_is_only_what_the_log_names_on_a_ref_the_run_could_see(
    keys: set[str], refs: set[str], ids: set[int]
) -> None:
    selection = select_implicated(CACHES, keys=frozenset(keys), refs=frozenset(refs))
    assert {chosen.cache.id for chosen in selection.chosen} == ids


@pytest.mark.parametrize(
    ("ref", "head_branch", "pulls", "refs"),
    [
        (AffectedRef.DEFAULT_BRANCH, "main", (), {MAIN, "refs/tags/main"}),
        (AffectedRef.OTHER_BRANCH, "topic", (), {MAIN, "refs/heads/topic", "refs/tags/topic"}),
        (AffectedRef.RELEASE, "v1.2", (), {MAIN, "refs/heads/v1.2", "refs/tags/v1.2"}),
        (
            AffectedRef.PULL_REQUEST,
            "release/2",
            (7,),
            {MAIN, "refs/pull/7/merge"},
        ),  # whoever's release/2 that is
        (AffectedRef.PULL_REQUEST, "release/2", (), {MAIN}),  # a fork's: GitHub leaves the number out
        (AffectedRef.NOT_KNOWN, None, (), {MAIN}),
    ],
)
def test_a_pull_requests_author_cannot_point_at_the_caches_of_our_branches(
    ref: AffectedRef, head_branch: str | None, pulls: tuple[int, ...], refs: set[str]
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    run = WorkflowRun(
        repository="acme/app",
        id=1,
        run_attempt=1,
        name="CI",
        display_title="",
        path=".github/workflows/ci.yml",
        workflow_id=1,
        event="any",
        status="completed",
        conclusion="failure",
        head_branch=head_branch,
        head_sha="a" * 40,
        actor="mallory",
        triggering_actor="mallory",
        html_url="",
        created_at=at,
        run_started_at=at,
        updated_at=at,
        pull_requests=pulls,
    )
    assert restorable_refs(run, ref=ref, default_branch="main") == refs


def test_all_entries_of_a_key_and_ref_go_in_one_call() -> None:
    assert plan_deletions(REPOSITORY, _split(CACHES, {1, 2, 3})) == [
        DeleteCacheEntries(repository=REPOSITORY, key="pip-a", ref=MAIN, cache_ids=(1, 2)),
        DeleteCacheEntries(repository=REPOSITORY, key="pip-a", ref=PULL, cache_ids=(3,)),
    ]


def test_where_one_entry_of_a_key_and_ref_stays_the_others_go_by_id() -> None:
    assert plan_deletions(REPOSITORY, _split(CACHES, {2, 3})) == [
        DeleteCacheEntry(repository=REPOSITORY, cache_id=2, key="pip-a", ref=MAIN),
        DeleteCacheEntries(repository=REPOSITORY, key="pip-a", ref=PULL, cache_ids=(3,)),
    ]


def test_nothing_chosen_plans_nothing() -> None:
    assert plan_deletions(REPOSITORY, _split(CACHES, set())) == []


@st.composite
def _selections(draw: st.DrawFn) -> CacheSelection:
    keys = st.sampled_from(["a", "a-b", "a b", "ü"])
    refs = st.sampled_from([MAIN, PULL])
    entries = draw(st.lists(st.tuples(keys, refs, st.booleans()), max_size=12))
    caches = [cache(number, key, ref) for number, (key, ref, _) in enumerate(entries, start=1)]
    return _split(caches, {number for number, entry in enumerate(entries, start=1) if entry[2]})


@given(_selections())
def test_carrying_the_plan_out_deletes_exactly_the_chosen_caches(selection: CacheSelection) -> None:
    """Deleting by key and ref takes all that GitHub has under both: nothing that stays may be among it."""
    chosen = {one.cache.id for one in selection.chosen}
    everything = (*selection.staying, *(one.cache for one in selection.chosen))
    effects = plan_deletions(REPOSITORY, selection)
    assert sorted(number for effect in effects for number in _planned(effect)) == sorted(chosen)
    assert {number for effect in effects for number in _hit(effect, everything)} == chosen


@given(_selections())
def test_no_plan_could_do_with_fewer_calls(selection: CacheSelection) -> None:
    """One call per key and ref is the least; by id only where an entry of the same key and ref stays."""
    kept = {(one.key, one.ref) for one in selection.staying}
    chosen = [(one.cache.key, one.cache.ref) for one in selection.chosen]
    least = len({pair for pair in chosen if pair not in kept}) + sum(pair in kept for pair in chosen)
    assert len(plan_deletions(REPOSITORY, selection)) == least


@given(_selections())
def test_the_order_of_the_listing_does_not_change_the_plan(selection: CacheSelection) -> None:
    turned = CacheSelection(chosen=selection.chosen[::-1], staying=selection.staying[::-1])
    assert plan_deletions(REPOSITORY, turned) == plan_deletions(REPOSITORY, selection)


def _split(caches: tuple[ActionsCache, ...] | list[ActionsCache], ids: set[int]) -> CacheSelection:
    return CacheSelection(
        chosen=tuple(ChosenCache(cache=one, why="w") for one in caches if one.id in ids),
        staying=tuple(one for one in caches if one.id not in ids),
    )


def _planned(effect: Effect) -> tuple[int, ...]:
    if isinstance(effect, DeleteCacheEntries):
        return effect.cache_ids
    assert isinstance(effect, DeleteCacheEntry)
    return (effect.cache_id,)


def _hit(effect: Effect, everything: tuple[ActionsCache, ...]) -> set[int]:
    """What GitHub deletes for the effect's call."""
    if isinstance(effect, DeleteCacheEntries):
        return {one.id for one in everything if (one.key, one.ref) == (effect.key, effect.ref)}
    return set(_planned(effect))
