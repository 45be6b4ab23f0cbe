"""Deployments, their statuses, and versions of images."""

from sandbox.github.records import Repository, node_id
from sandbox.github.release_records import Deployment, DeploymentStatus, Image
from sandbox.github.routing import Call
from sandbox.github.shapes.common import repo_url, user, when
from sandbox.github.shapes.repositories import pull_repository
from sandbox.wire import Json


def deployment(call: Call, repo: Repository, one: Deployment) -> Json:
    """Return a deployment."""
    url = f"{repo_url(call, repo)}/deployments/{one.id}"
    newest = one.statuses[0].at if one.statuses else one.created_at
    return {
        "url": url,
        "id": one.id,
        "node_id": node_id("Deployment", one.id),
        "sha": one.sha,
        "ref": one.ref,
        "task": "deploy",
        "payload": {},
        "original_environment": one.environment,
        "environment": one.environment,
        "description": one.description,
        "creator": user(call, one.author),
        "created_at": when(one.created_at),
        "updated_at": when(newest),
        "statuses_url": f"{url}/statuses",
        "repository_url": repo_url(call, repo),
        "transient_environment": False,
        "production_environment": one.environment == "production",
        "performed_via_github_app": None,
    }


def deployment_status(call: Call, repo: Repository, of: Deployment, one: DeploymentStatus) -> Json:
    """Return a status of a deployment."""
    url = f"{repo_url(call, repo)}/deployments/{of.id}"
    return {
        "url": f"{url}/statuses/{one.id}",
        "id": one.id,
        "node_id": node_id("DeploymentStatus", one.id),
        "state": one.state,
        "creator": user(call, one.author),
        "description": one.description,
        "environment": of.environment,
        "target_url": "",
        "created_at": when(one.at),
        "updated_at": when(one.at),
        "deployment_url": url,
        "repository_url": repo_url(call, repo),
        "environment_url": "",
        "log_url": "",
        "performed_via_github_app": None,
    }


def deployment_status_event(call: Call, repo: Repository, of: Deployment, one: DeploymentStatus) -> Json:
    """Return the payload of ``deployment_status`` created."""
    return {
        "action": "created",
        "deployment_status": deployment_status(call, repo, of, one),
        "deployment": deployment(call, repo, of),
        "repository": pull_repository(call, repo),
        "sender": user(call, one.author),
    }


def package_version(call: Call, kind: str, one: Image) -> Json:
    """Return a version of an image; ``kind`` is orgs or users, as it is listed."""
    owner, _, package = one.name.partition("/")
    html = f"{call.site}/{kind}/{owner}/packages/container"
    return {
        "id": one.id,
        "name": one.digest,
        "url": f"{call.api}/{kind}/{owner}/packages/container/{package}/versions/{one.id}",
        "package_html_url": f"{html}/package/{package}",
        "created_at": when(one.created_at),
        "updated_at": when(one.created_at),
        "html_url": f"{html}/{package}/{one.id}",
        "metadata": {"package_type": "container", "container": {"tags": list(one.tags)}},
    }
