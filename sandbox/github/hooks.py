"""Repository webhooks: made, listed, deleted, their deliveries, and asking for one again."""

from urllib.parse import urlencode

from sandbox.github import shapes
from sandbox.github.records import Delivery, Hook
from sandbox.github.routing import REPOSITORY, Call, invalid, routes
from sandbox.wire import Refused, Reply

HOOKS = REPOSITORY + "/hooks"
HOOK = HOOKS + "/{hook_id}"
DELIVERIES = HOOK + "/deliveries"


def find_hook(call: Call) -> Hook:
    """Return the hook that the path names."""
    found = call.repo.hooks.get(call.number("hook_id"))
    if found is None:
        raise Refused(404, "Not Found")
    return found


def _find_delivery(call: Call, hook: Hook) -> Delivery:
    wanted = call.number("delivery_id")
    for one in hook.deliveries:
        if one.id == wanted:
            return one
    raise Refused(404, "Not Found")


@routes.add("GET", HOOKS, permission="repository_hooks:read", role="admin", hidden=True)
def list_hooks(call: Call) -> Reply:
    """List the webhooks."""
    repo = call.repo
    return call.page(list(repo.hooks.values()), lambda one: shapes.hook(call, repo, one))


@routes.add("POST", HOOKS, permission="repository_hooks:write", role="admin", hidden=True)
def create_hook(call: Call) -> Reply:
    """Make a webhook and send it a ping."""
    repo, data = call.repo, call.data()
    config = data.get("config")
    if not isinstance(config, dict) or not str(config.get("url", "")).startswith(("http://", "https://")):
        raise invalid("Hook", "url", "custom", "url is not a valid URL")
    if any(one.url == config["url"] for one in repo.hooks.values()):
        raise invalid("Hook", "url", "custom", "Hook already exists on this repository")
    hook = Hook(
        id=call.state.new_id("hook", 500_000_001),
        url=str(config["url"]),
        secret=str(config["secret"]) if config.get("secret") else None,
        events=[str(event) for event in data.get("events") or ["push"]],
        active=bool(data.get("active", True)),
        created_at=call.now,
        updated_at=call.now,
    )
    repo.hooks[hook.id] = hook
    call.webhooks.send(repo, hook, "ping", None, shapes.ping(call, repo, hook))
    body = shapes.hook(call, repo, hook)
    return call.created(body, location=body["url"])


@routes.add("GET", HOOK, permission="repository_hooks:read", role="admin", hidden=True)
def get_hook(call: Call) -> Reply:
    """Return a webhook."""
    return Reply(200, shapes.hook(call, call.repo, find_hook(call)))


@routes.add("DELETE", HOOK, permission="repository_hooks:write", role="admin", hidden=True)
def delete_hook(call: Call) -> Reply:
    """Remove a webhook with its deliveries."""
    del call.repo.hooks[find_hook(call).id]
    return call.created(None, status=204)


@routes.add("GET", DELIVERIES, permission="repository_hooks:read", role="admin", hidden=True)
def list_deliveries(call: Call) -> Reply:
    """List deliveries, newest first; the Link header names the next page by a cursor, not by a number."""
    repo, hook, query = call.repo, find_hook(call), call.request.query
    size = min(100, max(1, int(query["per_page"]) if query.get("per_page", "").isdecimal() else 30))
    rows = [one for one in reversed(hook.deliveries) if one.status_code]
    cursor = query.get("cursor", "")
    if cursor:
        if not cursor.removeprefix("v1_").isdecimal():
            raise Refused(422, "Invalid cursor")
        rows = [one for one in rows if one.id <= int(cursor.removeprefix("v1_"))]
    body = [shapes.delivery(repo, one) for one in rows[:size]]
    if len(rows) <= size:
        return Reply(200, body)
    following = urlencode({"per_page": size, "cursor": f"v1_{rows[size].id}"})
    return Reply(200, body, {"Link": f'<{call.api}{call.request.path}?{following}>; rel="next"'})


@routes.add(
    "GET", DELIVERIES + "/{delivery_id}", permission="repository_hooks:read", role="admin", hidden=True
)
def get_delivery(call: Call) -> Reply:
    """Return a delivery with what was sent and what came back."""
    hook = find_hook(call)
    return Reply(200, shapes.full_delivery(call.repo, hook, _find_delivery(call, hook)))


@routes.add(
    "POST",
    DELIVERIES + "/{delivery_id}/attempts",
    permission="repository_hooks:write",
    role="admin",
    hidden=True,
)
def redeliver(call: Call) -> Reply:
    """Send a delivery again."""
    hook = find_hook(call)
    call.webhooks.send_again(hook, _find_delivery(call, hook))
    return call.created({}, status=202)
