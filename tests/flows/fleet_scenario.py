"""What the stories of rollbacks play on: in the cluster a namespace each, on GitHub a repository each."""

from typing import Any

GOOD = "sha-1a2b3c4"
BAD = "sha-9f8e7d6"
STORIES = (
    "well",
    "unwell",
    "refused",
    "killed",
    "moved",
    "none",
    "release",
    "pending",
    "synced",
    "busy",
    "again",
    "absent",
)
SOAK_SECONDS = 1.5
ROLES = {"runbook-bot": "write", "alice": "admin", "bob": "write", "mallory": "read"}


def repository(story: str) -> str:
    """Name a story's repository."""
    return f"acme/fleet-{story}"


def namespace(story: str) -> str:
    """Name a story's namespace."""
    return f"fleet-{story}"


def image(service: str, tag: str, *, story: str) -> str:
    """Name an image."""
    return f"ghcr.io/acme/{story}-{service}:{tag}"


def cluster() -> dict[str, Any]:
    """Return the scenario's cluster: in each namespace two services that move together, the newest images bad."""
    images: dict[str, Any] = {}
    namespaces: dict[str, Any] = {}
    for story in STORIES:
        for service in ("tts", "agent"):
            images[image(service, BAD, story=story)] = {"health": 500, "digest": _digest(story, service, "b")}
            images[image(service, GOOD, story=story)] = {"digest": _digest(story, service, "a")}
        namespaces[namespace(story)] = {
            "workloads": {}
            if story == "absent"
            else {service: _workload(service, story) for service in ("tts", "agent")}
        }
    # What it would go back to is not well either.
    images[image("agent", GOOD, story="unwell")] = {"health": 503}
    releases = [_release("release", "deployed"), _release("pending", "pending-upgrade")]
    return {"start_seconds": 0.3, "images": images, "namespaces": namespaces, "helm_releases": releases}


def _workload(service: str, story: str) -> dict[str, Any]:
    revisions = [
        {"image": image(service, GOOD, story=story), "ago": "3d", "change_cause": "the good one"},
        {"image": image(service, BAD, story=story), "ago": "20m", "config_maps": ["voices"]},
    ]
    more: dict[str, Any] = {"helm": "voice"} if story in ("release", "pending") else {}
    if story == "synced":
        more["argocd"] = {"application": "voice", "namespace": "argocd"}
    return {"replicas": 2, "revisions": revisions[1:] if story == "none" else revisions, **more}


def _release(story: str, status: str) -> dict[str, Any]:
    def workloads(tag: str) -> list[dict[str, Any]]:
        return [{"name": service, "images": image(service, tag, story=story)} for service in ("tts", "agent")]

    newest = {"ago": "20m", "workloads": workloads(BAD)}
    if status != "deployed":
        newest["status"] = status
    return {
        "name": "voice",
        "namespace": namespace(story),
        "revisions": [{"ago": "3d", "workloads": workloads(GOOD)}, newest],
    }


def content(story: str) -> dict[str, Any]:
    names = [f"acme/{story}-{service}:{tag}" for service in ("tts", "agent") for tag in (GOOD, BAD)]
    return {"roles": ROLES, "labels": ["incident"], "images": names}


def _digest(story: str, service: str, letter: str) -> str:
    number = STORIES.index(story) * 2 + (service == "agent")
    return f"sha256:{letter * 60}{number:04x}"
