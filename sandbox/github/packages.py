"""Versions of the images in the registry, as the REST API lists them for an organisation or an account."""

from sandbox.github import shapes
from sandbox.github.routing import Call, routes
from sandbox.wire import Refused, Reply

VERSIONS = "/packages/container/{package}/versions"


@routes.add("GET", "/orgs/{owner}" + VERSIONS)
def list_versions_of_organization(call: Call) -> Reply:
    """List an organisation's versions: 404 where the owner is an account."""
    if call.state.user(call.params["owner"]) is not None:
        raise Refused(404, "Package not found.")
    return _versions(call, "orgs")


@routes.add("GET", "/users/{owner}" + VERSIONS)
def list_versions_of_user(call: Call) -> Reply:
    """List an account's versions: 404 where the owner is an organisation."""
    if call.state.user(call.params["owner"]) is None:
        raise Refused(404, "Package not found.")
    return _versions(call, "users")


def _versions(call: Call, kind: str) -> Reply:
    if call.actor is None:
        raise Refused(401, "Requires authentication")
    permissions = call.token.permissions if call.token else None
    if permissions is not None and permissions.get("packages") not in ("read", "write"):
        raise Refused(403, "Resource not accessible by personal access token")
    name = f"{call.params['owner']}/{call.params['package']}".lower()
    rows = [
        image
        for repository in call.state.repositories.values()
        if not repository.private or call.role_in(repository) != "none"
        for image in repository.images
        if image.name.lower() == name
    ]
    if not rows:
        raise Refused(404, "Package not found.")
    rows.sort(key=lambda one: (one.created_at, one.id), reverse=True)
    return call.page(rows, lambda one: shapes.package_version(call, kind, one))
