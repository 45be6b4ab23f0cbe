"""Which caches to delete, why, and in how few calls: pure functions of the listing (CM-06 to CM-10)."""

from collections import defaultdict
from collections.abc import Iterable

from runbook.decisions.severity import AffectedRef
from runbook.effects.actions_caches import DeleteCacheEntries, DeleteCacheEntry
from runbook.engine.effects import Effect
from runbook.models import ActionsCache, Frozen, WorkflowRun
from runbook.requests import ClearCachesRequest


class ChosenCache(Frozen):
    """A cache that would be deleted, and why."""

    cache: ActionsCache
    why: str


class CacheSelection(Frozen):
    """What would go and what stays."""

    chosen: tuple[ChosenCache, ...]
    staying: tuple[ActionsCache, ...]

    @property
    def freed_bytes(self) -> int:
        """The sum of the sizes of what would go."""
        return sum(chosen.cache.size_in_bytes for chosen in self.chosen)

    @property
    def staying_bytes(self) -> int:
        """The sum of the sizes of what stays."""
        return sum(cache.size_in_bytes for cache in self.staying)


def select_requested(caches: Iterable[ActionsCache], request: ClearCachesRequest) -> CacheSelection:
    """Choose the caches that fit every field of the request.

    Args:
        caches: All caches of the repository.
        request: What was asked for.
    """
    chosen: list[ChosenCache] = []
    staying: list[ActionsCache] = []
    for cache in caches:
        if (
            (not request.cache_ids or cache.id in request.cache_ids)
            and (request.key is None or cache.key == request.key)
            and (request.key_prefix is None or cache.key.startswith(request.key_prefix))
            and (request.ref is None or cache.ref == request.ref)
        ):
            chosen.append(ChosenCache(cache=cache, why=request.choice))
        else:
            staying.append(cache)
    return CacheSelection(chosen=tuple(chosen), staying=tuple(staying))


def select_implicated(
    caches: Iterable[ActionsCache], *, keys: frozenset[str], refs: frozenset[str]
) -> CacheSelection:
    """Choose only what the failed run can have restored and its log names (KI-06).

    A run may restore caches of its own ref, of the base and of the default branch; the same key elsewhere
    stays.

    Args:
        caches: All caches of the repository.
        keys: Complete keys that the log names.
        refs: The refs whose caches the run could see.
    """
    chosen: list[ChosenCache] = []
    staying: list[ActionsCache] = []
    for cache in caches:
        if cache.key in keys and cache.ref in refs:
            chosen.append(ChosenCache(cache=cache, why="the failed job restored it"))
        else:
            staying.append(cache)
    return CacheSelection(chosen=tuple(chosen), staying=tuple(staying))


def restorable_refs(run: WorkflowRun, *, ref: AffectedRef, default_branch: str) -> frozenset[str]:
    """Return the refs whose caches a run can have restored.

    A pull request's run restores from its merge ref and the default branch; the branch it names is its
    author's, perhaps in a fork, who may call it like one of ours. (GitHub lets it restore from the base
    branch too, which the run does not name: those caches stay.) Of a tag's run the tag is the branch it names,
    and its caches lie under the tag.

    Args:
        run: The failed attempt.
        ref: What it was made for.
        default_branch: The repository's.
    """
    refs = {f"refs/heads/{default_branch}", *(f"refs/pull/{number}/merge" for number in run.pull_requests)}
    if run.head_branch and ref is not AffectedRef.PULL_REQUEST:
        refs |= {f"refs/{kind}/{run.head_branch}" for kind in ("heads", "tags")}
    return frozenset(refs)


def plan_deletions(repository: str, selection: CacheSelection) -> list[Effect]:
    """Turn a selection into the fewest calls: one per key and ref where all of it goes, else one per id.

    Args:
        repository: Whose caches.
        selection: What goes and what stays.
    """
    kept = {(cache.key, cache.ref) for cache in selection.staying}
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for chosen in selection.chosen:
        groups[chosen.cache.key, chosen.cache.ref].append(chosen.cache.id)
    effects: list[Effect] = []
    for (key, ref), ids in sorted(groups.items()):
        if (key, ref) in kept:
            effects += [
                DeleteCacheEntry(repository=repository, cache_id=cache_id, key=key, ref=ref)
                for cache_id in sorted(ids)
            ]
        else:
            effects.append(
                DeleteCacheEntries(repository=repository, key=key, ref=ref, cache_ids=tuple(sorted(ids)))
            )
    return effects
