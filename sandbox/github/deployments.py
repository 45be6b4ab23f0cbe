"""Deployments and their statuses; a status that is made is told to the webhooks, as GitHub does."""

from sandbox.github import shapes
from sandbox.github.release_records import Deployment, DeploymentStatus
from sandbox.github.routing import REPOSITORY, Call, invalid, routes
from sandbox.wire import Refused, Reply

DEPLOYMENTS = REPOSITORY + "/deployments"
DEPLOYMENT = DEPLOYMENTS + "/{deployment_id}"
STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")


def find_deployment(call: Call) -> Deployment:
    """Return the deployment that the path names."""
    found = call.repo.deployments.get(call.number("deployment_id"))
    if found is None:
        raise Refused(404, "Not Found")
    return found


@routes.add("GET", DEPLOYMENTS, permission="deployments:read")
def list_deployments(call: Call) -> Reply:
    """List deployments, newest first; ``sha``, ``ref`` and ``environment`` narrow them."""
    repo, query = call.repo, call.request.query
    wanted = {
        name: query[name] for name in ("sha", "ref", "environment") if query.get(name, "none") != "none"
    }
    rows = sorted(repo.deployments.values(), key=lambda one: (one.created_at, one.id), reverse=True)
    rows = [one for one in rows if all(getattr(one, name) == value for name, value in wanted.items())]
    return call.page(rows, lambda one: shapes.deployment(call, repo, one))


@routes.add("POST", DEPLOYMENTS, permission="deployments:write", role="write")
def create_deployment(call: Call) -> Reply:
    """Make a deployment of a branch or commit; required contexts and merges are not looked at."""
    repo, data = call.repo, call.data()
    ref = data.get("ref")
    commit = (repo.head(ref) or repo.commit(ref)) if isinstance(ref, str) else None
    if commit is None:
        raise Refused(422, f"No ref found for: {ref}")
    made = Deployment(
        id=call.state.new_id("deployment", 140_000_001),
        sha=commit.sha,
        ref=str(ref),
        environment=str(data.get("environment", "production")),
        author=call.login,
        description=data.get("description"),
        created_at=call.now,
    )
    repo.deployments[made.id] = made
    body = shapes.deployment(call, repo, made)
    return call.created(body, location=body["url"])


@routes.add("GET", DEPLOYMENT, permission="deployments:read")
def get_deployment(call: Call) -> Reply:
    """Return a deployment."""
    return Reply(200, shapes.deployment(call, call.repo, find_deployment(call)))


@routes.add("GET", DEPLOYMENT + "/statuses", permission="deployments:read")
def list_deployment_statuses(call: Call) -> Reply:
    """List what was said about a deployment, newest first."""
    repo, found = call.repo, find_deployment(call)
    return call.page(found.statuses, lambda one: shapes.deployment_status(call, repo, found, one))


@routes.add("POST", DEPLOYMENT + "/statuses", permission="deployments:write", role="write")
def create_deployment_status(call: Call) -> Reply:
    """Say something about a deployment, and tell the webhooks."""
    repo, found, data = call.repo, find_deployment(call), call.data()
    if data.get("state") not in STATES:
        raise invalid("DeploymentStatus", "state", "custom", "state is not included in the list")
    status = DeploymentStatus(
        id=call.state.new_id("deployment status", 209_000_001),
        state=data["state"],
        description=str(data.get("description", "")),
        author=call.login,
        at=call.now,
    )
    found.statuses.insert(0, status)
    call.webhooks.tell(
        repo, "deployment_status", "created", shapes.deployment_status_event(call, repo, found, status)
    )
    body = shapes.deployment_status(call, repo, found, status)
    return call.created(body, location=body["url"])
