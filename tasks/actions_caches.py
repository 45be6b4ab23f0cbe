"""Reads of a repository's Actions caches."""

from runbook.engine.engine import Verification
from runbook.installation import installation
from runbook.models import ActionsCache
from tasks.retrying import system_task


@system_task("list caches", run_name="list the caches of {repository}")
def list_caches(repository: str) -> tuple[ActionsCache, ...]:
    """List every cache of a repository, all pages (CM-06)."""
    return tuple(installation().github.list_caches(repository))


@system_task("verify caches are gone", run_name="verify that {repository}'s deleted caches are gone")
def verify_caches_gone(repository: str, cache_ids: frozenset[int]) -> Verification:
    """Check that no planned entry is listed any more.

    Args:
        repository: owner/name.
        cache_ids: The entries that were to be deleted.
    """
    left = sorted(
        cache.id for cache in installation().github.list_caches(repository) if cache.id in cache_ids
    )
    if left:
        return Verification(passed=False, reason=f"{len(left)} caches are still listed: {left[:10]}")
    return Verification(passed=True, reason=f"none of the {len(cache_ids)} planned caches is listed any more")
