"""Effects on a repository's Actions caches (CM-07 to CM-10)."""

from typing import Any
from urllib.parse import urlencode

from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult, register
from runbook.errors import NotFound
from runbook.world import World

_HOLDS = Precondition(holds=True, detail="a cache that is gone meanwhile needs no deleting")
_NO_UNDO = "a deleted cache cannot be put back; the next run that misses it builds it anew"


def cache_target(repository: str) -> str:
    """Name a repository's caches as leases do."""
    return f"cache:{repository}"


class _CacheEffect(Effect):
    repository: str

    @property
    def target(self) -> str:
        """The repository's caches as a whole: two clean-ups of one repository would plan over each other."""
        return cache_target(self.repository)

    def precondition(self, world: World) -> Precondition:
        """Hold always: see the detail."""
        return _HOLDS


@register("delete-cache-entries")
class DeleteCacheEntries(_CacheEffect):
    """Delete every entry with one complete key on one ref, in one call.

    ``cache_ids`` are the entries that were planned for; entries of the same key and ref that differ only in
    their version (paths, compression) go in the same call.
    """

    effect_class = EffectClass.IDEMPOTENT
    no_undo = _NO_UNDO
    key: str
    ref: str
    cache_ids: tuple[int, ...]

    def describe(self) -> str:
        """Name key and ref."""
        return f"delete cache {self.key} on {self.ref}"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line for the same call."""
        query = urlencode({"key": self.key, "ref": self.ref})
        return ("gh", "api", "--method", "DELETE", f"repos/{self.repository}/actions/caches?{query}")

    def probe(self, world: World) -> ProbeResult:
        """Look whether one of the planned entries is still there."""
        listed = world.github.list_caches(self.repository, key=self.key, ref=self.ref)
        left = sorted(cache.id for cache in listed if cache.id in self.cache_ids)
        if left:
            return ProbeResult(found=Found.NOT_DONE, detail=f"entries {left} are still there")
        return ProbeResult(
            found=Found.DONE, detail="no planned entry is left", result={"deleted": list(self.cache_ids)}
        )

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Delete them; that they are gone already is as good."""
        try:
            deleted = world.github.delete_caches_by_key(self.repository, key=self.key, ref=self.ref)
        except NotFound:
            return {"deleted": []}
        return {"deleted": [cache.id for cache in deleted]}


@register("delete-cache-entry")
class DeleteCacheEntry(_CacheEffect):
    """Delete one entry by its id; key and ref are what people review."""

    effect_class = EffectClass.IDEMPOTENT
    no_undo = _NO_UNDO
    cache_id: int
    key: str
    ref: str

    def describe(self) -> str:
        """Name the entry."""
        return f"delete cache entry {self.cache_id} ({self.key} on {self.ref})"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line."""
        return ("gh", "cache", "delete", str(self.cache_id), "--repo", self.repository)

    def probe(self, world: World) -> ProbeResult:
        """Look whether it is still listed."""
        listed = world.github.list_caches(self.repository, key=self.key, ref=self.ref)
        if any(cache.id == self.cache_id for cache in listed):
            return ProbeResult(found=Found.NOT_DONE, detail="it is still there")
        return ProbeResult(found=Found.DONE, detail="it is gone", result={"deleted": [self.cache_id]})

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Delete it; that it is gone already is as good."""
        try:
            world.github.delete_cache_by_id(self.repository, self.cache_id)
        except NotFound:
            return {"deleted": []}
        return {"deleted": [self.cache_id]}
