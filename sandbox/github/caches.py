"""Actions caches: list, delete, usage."""

from sandbox.github import shapes
from sandbox.github.records import Cache
from sandbox.github.routing import REPOSITORY, Call, routes
from sandbox.wire import Refused, Reply

CACHES = REPOSITORY + "/actions/caches"
SORTS = {"created_at": "created_at", "last_accessed_at": "used_at", "size_in_bytes": "size"}


@routes.add("GET", CACHES, permission="actions:read")
def list_caches(call: Call) -> Reply:
    """List caches (``key`` is a prefix, ``ref`` complete), last used first unless told otherwise."""
    query = call.request.query
    sort = query.get("sort", "last_accessed_at")
    if sort not in SORTS:
        raise Refused(400, "Invalid sort parameter")
    rows = [
        one
        for one in call.repo.caches.values()
        if one.key.startswith(query.get("key", "")) and query.get("ref", one.ref) == one.ref
    ]
    rows.sort(key=lambda one: (getattr(one, SORTS[sort]), one.id), reverse=query.get("direction") != "asc")
    return call.page(rows, shapes.cache, "actions_caches")


@routes.add("DELETE", CACHES, permission="actions:write", role="write")
def delete_caches_by_key(call: Call) -> Reply:
    """Delete every cache with a complete key (and ref) and return them; 404 when there is none."""
    key, ref = call.request.query.get("key"), call.request.query.get("ref")
    if not key:
        raise Refused(422, "Invalid request.\n\nMissing required query parameter: key")
    repo = call.repo
    doomed: list[Cache] = [one for one in repo.caches.values() if one.key == key and ref in (None, one.ref)]
    if not doomed:
        raise Refused(404, "Not Found")
    for one in doomed:
        del repo.caches[one.id]
    body = {"total_count": len(doomed), "actions_caches": [shapes.cache(one) for one in doomed]}
    return call.created(body, status=200)


@routes.add("DELETE", CACHES + "/{cache_id}", permission="actions:write", role="write")
def delete_cache(call: Call) -> Reply:
    """Delete one cache by its id."""
    if call.repo.caches.pop(call.number("cache_id"), None) is None:
        raise Refused(404, "Not Found")
    return call.created(None, status=204)


@routes.add("GET", REPOSITORY + "/actions/cache/usage", permission="actions:read")
def get_cache_usage(call: Call) -> Reply:
    """Return number and total size of the caches."""
    repo = call.repo
    return Reply(
        200,
        {
            "full_name": repo.full_name,
            "active_caches_size_in_bytes": sum(one.size for one in repo.caches.values()),
            "active_caches_count": len(repo.caches),
        },
    )
