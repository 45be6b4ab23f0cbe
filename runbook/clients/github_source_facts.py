"""GitHub's JSON as facts about source and deployments: one pure function per kind, no network."""

from dataclasses import dataclass

from runbook.clients.github_facts import GHOST, Json, commit
from runbook.source_facts import (
    ChangedFile,
    CommitDetails,
    Comparison,
    ContainerVersion,
    Deployment,
    DeploymentStatus,
    OwnPullRequest,
    TreeEntry,
)

MOST_FILES = 300
"""GitHub names no more files of a commit or a comparison at once."""


def changed_file(data: Json) -> ChangedFile:
    """Build a changed file."""
    return ChangedFile(
        path=data["filename"],
        status=data["status"],
        blob=data["sha"],
        previous_path=data.get("previous_filename"),
    )


def commit_details(data: Json) -> CommitDetails:
    """Build a commit with its files."""
    files = tuple(map(changed_file, data.get("files") or ()))
    return CommitDetails(
        commit=commit(data),
        tree=data["commit"]["tree"]["sha"],
        parents=tuple(parent["sha"] for parent in data["parents"]),
        files=files,
        whole=len(files) < MOST_FILES,
    )


def comparison(data: Json) -> Comparison:
    """Build a comparison, with the commits of this page."""
    files = tuple(map(changed_file, data.get("files") or ()))
    return Comparison(
        status=data["status"],
        ahead_by=data["ahead_by"],
        behind_by=data["behind_by"],
        merge_base=data["merge_base_commit"]["sha"],
        commits=tuple(map(commit, data["commits"])),
        files=files,
        whole=len(files) < MOST_FILES,
    )


@dataclass(frozen=True)
class WholeTree:
    """A tree read with all below it, without the folders themselves; ``truncated`` where GitHub cut it off."""

    entries: dict[str, TreeEntry]
    truncated: bool


def whole_tree(data: Json) -> WholeTree:
    """Build a tree."""
    entries = {
        entry["path"]: TreeEntry(mode=entry["mode"], blob=entry["sha"])
        for entry in data["tree"]
        if entry["type"] != "tree"
    }
    return WholeTree(entries=entries, truncated=bool(data["truncated"]))


def own_pull_request(data: Json) -> OwnPullRequest:
    """Build a pull request."""
    user = data.get("user")
    return OwnPullRequest(
        number=data["number"],
        author=user["login"] if user else GHOST,
        state=data["state"],
        merged=data.get("merged_at") is not None,
        body=data.get("body") or "",
        head_ref=data["head"]["ref"],
        html_url=data["html_url"],
    )


def deployment(data: Json) -> Deployment:
    """Build a deployment."""
    creator = data.get("creator")
    return Deployment(
        id=data["id"],
        sha=data["sha"],
        ref=data["ref"],
        environment=data["environment"],
        creator=creator["login"] if creator else GHOST,
        created_at=data["created_at"],
    )


def deployment_status(data: Json) -> DeploymentStatus:
    """Build a status of a deployment."""
    creator = data.get("creator")
    return DeploymentStatus(
        id=data["id"],
        state=data["state"],
        description=data.get("description") or "",
        creator=creator["login"] if creator else GHOST,
        created_at=data["created_at"],
    )


def container_version(data: Json) -> ContainerVersion:
    """Build a version of an image; GitHub calls it by its digest."""
    tags = ((data.get("metadata") or {}).get("container") or {}).get("tags") or ()
    return ContainerVersion(
        id=data["id"], digest=data["name"], tags=tuple(tags), created_at=data["created_at"]
    )
