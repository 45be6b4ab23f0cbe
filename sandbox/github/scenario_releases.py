"""What a scenario says of images in the registry, of deployments, and of the files that a commit changed."""

from datetime import datetime, timedelta
from typing import Any

from sandbox.github.deployments import STATES
from sandbox.github.release_records import Deployment, DeploymentStatus, Image, digest_of
from sandbox.github.scenario_values import ScenarioError, known, seconds
from sandbox.github.state import State


def read_image(state: State, item: Any, now: datetime, where: str) -> Image:
    """Read one version of an image: ``owner/name:tag``, or a mapping with more than one tag, or a digest."""
    data = {"image": item} if isinstance(item, str) else item
    known(data, f"{where}.images", "image", "tags", "digest", "ago")
    name, _, tag = str(data["image"]).partition(":")
    tags = [str(one) for one in data.get("tags") or ([tag] if tag else [])]
    return Image(
        id=state.new_id("package version", 786_001),
        name=name,
        digest=str(data.get("digest") or digest_of(f"{name}:{','.join(tags)}")),
        tags=tags,
        created_at=now - timedelta(seconds=seconds(data.get("ago", 3600.0))),
    )


def read_deployment(
    state: State, item: Any, now: datetime, where: str, *, sha: str, ref: str, author: str
) -> Deployment:
    """Read one deployment with its statuses.

    Args:
        state: Gives ids.
        item: What the scenario says.
        now: The time.
        where: The place, for errors.
        sha: The commit that ``commit`` names.
        ref: What whoever deployed named.
        author: Who did.
    """
    made = Deployment(
        id=state.new_id("deployment", 140_000_001),
        sha=sha,
        ref=ref,
        environment=str(item.get("environment", "production")),
        author=author,
        description=None,
        created_at=now - timedelta(seconds=seconds(item.get("ago", 3600.0))),
    )
    for one in item.get("statuses") or []:  # oldest first, as it happened
        data = {"state": one} if isinstance(one, str) else one
        known(data, f"{where}.deployments.statuses", "state", "description", "ago")
        if data["state"] not in STATES:
            raise ScenarioError(f"{where}.deployments: {data['state']!r} is none of {', '.join(STATES)}")
        at = now - timedelta(seconds=seconds(data["ago"])) if "ago" in data else made.created_at
        number = state.new_id("deployment status", 209_000_001)
        said = DeploymentStatus(number, data["state"], str(data.get("description", "")), author, at)
        made.statuses.insert(0, said)
    return made


def read_changes(items: list[Any], where: str) -> tuple[list[str], dict[str, str]]:
    """Read the files of a commit: paths, and ``{added: path}``, ``{removed: path}``, ``{renamed: [old, new]}``."""
    paths: list[str] = []
    how: dict[str, str] = {}
    for item in items:
        if isinstance(item, str):
            paths.append(item)
            continue
        known(item, f"{where}.commits.files", "added", "removed", "renamed")
        ((kind, value),) = item.items()
        path = str(value[1] if kind == "renamed" else value)
        paths.append(path)
        how[path] = str(value[0]) if kind == "renamed" else kind
    return paths, how
