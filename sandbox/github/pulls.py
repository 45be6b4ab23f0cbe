"""Pull requests that are opened and closed by requests; reading lists of them is with the repositories."""

from sandbox.github import shapes
from sandbox.github.records import Pull
from sandbox.github.routing import REPOSITORY, Call, invalid, routes
from sandbox.wire import Refused, Reply

PULLS = REPOSITORY + "/pulls"
PULL = PULLS + "/{number}"


def find_pull(call: Call) -> Pull:
    """Return the pull request that the path names."""
    found = call.repo.pulls.get(call.number("number"))
    if found is None:
        raise Refused(404, "Not Found")
    return found


@routes.add("GET", PULL, permission="pull_requests:read")
def get_pull(call: Call) -> Reply:
    """Return a pull request."""
    return Reply(200, shapes.full_pull(call, call.repo, find_pull(call)))


@routes.add("POST", PULLS, permission="pull_requests:write", role="read", content=True)
def create_pull(call: Call) -> Reply:
    """Open a pull request from a branch of the repository itself."""
    repo, data = call.repo, call.data()
    for field in ("head", "base", "title"):
        if not isinstance(data.get(field), str) or not data[field].strip():
            raise invalid("PullRequest", field)
    name = data["head"].removeprefix(f"{repo.owner}:")
    head, base = repo.head(name), repo.head(data["base"])
    if head is None or base is None:
        raise invalid("PullRequest", "base" if base is None else "head", "invalid")
    if head.sha == base.sha:
        said = f"No commits between {data['base']} and {name}"
        raise invalid("PullRequest", "base", "custom", said)
    if any((one.head, one.base, one.state) == (name, data["base"], "open") for one in repo.pulls.values()):
        said = f"A pull request already exists for {repo.owner}:{name}."
        raise invalid("PullRequest", "head", "custom", said)
    pull = Pull(
        id=call.state.new_id("pull", 60_001),
        number=repo.next_number(),
        title=data["title"],
        author=call.login,
        head=name,
        base=data["base"],
        sha=head.sha,
        state="open",
        draft=bool(data.get("draft", False)),
        created_at=call.now,
        merged_at=None,
        body=data.get("body"),
    )
    repo.pulls[pull.number] = pull
    body = shapes.full_pull(call, repo, pull)
    return call.created(body, location=body["url"])


@routes.add("PATCH", PULL, permission="pull_requests:write", role="read")
def update_pull(call: Call) -> Reply:
    """Close a pull request, or open it again."""
    repo, pull, data = call.repo, find_pull(call), call.data()
    if call.login != pull.author and not call.has_role("write"):
        raise Refused(403, "Must have admin rights to Repository.")
    state = data.get("state", pull.state)
    if state not in ("open", "closed"):
        raise invalid("PullRequest", "state", "invalid")
    if state == "open" and pull.merged_at is not None:
        raise invalid(
            "PullRequest", "state", "custom", "state cannot be changed. The pull request is merged."
        )
    if state != pull.state:
        pull.state, pull.closed_at = state, call.now if state == "closed" else None
    return call.created(shapes.full_pull(call, repo, pull), status=200)
