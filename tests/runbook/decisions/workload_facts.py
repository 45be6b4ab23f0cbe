"""Facts about workloads, for the tests of decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

from runbook.workloads import (
    Condition,
    ContainerImage,
    Revision,
    Template,
    Workload,
    WorkloadKind,
    WorkloadRef,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
IMAGE = "ghcr.io/acme/tts"


def template(tag: str, *, digest: str = "", image: str = IMAGE, **more: Any) -> Template:
    """Return a template of one container; its digest is made of the tag where none is given."""
    return Template(
        digest=digest or f"t-{tag}",
        images=(ContainerImage(container="app", image=f"{image}:{tag}"),),
        **more,
    )


def revision(number: int, tag: str, *, hours_ago: float, name: str = "", cause: str = "") -> Revision:
    """Return a revision that was made so long ago."""
    return Revision(
        number=number,
        name=name or f"tts-{tag}",
        created_at=NOW - timedelta(hours=hours_ago),
        change_cause=cause,
        template=template(tag),
    )


def workload(kind: WorkloadKind = WorkloadKind.DEPLOYMENT, **changes: Any) -> Workload:
    """Return a workload of three pods, all of them new and well."""
    facts: dict[str, Any] = {
        "ref": WorkloadRef(kind=kind, namespace="voice-agent", name="tts"),
        "uid": "u-1",
        "resource_version": "100",
        "generation": 4,
        "observed_generation": 4,
        "revision": 4,
        "template": template("v4"),
        "wanted": 3,
        "replicas": 3,
        "updated": 3,
        "available": 3,
        "ready": 3,
        **changes,
    }
    return Workload(**facts)


def progressing(reason: str, *, at: datetime, status: str = "True") -> Condition:
    """Return a Deployment's Progressing condition."""
    return Condition(type="Progressing", status=status, reason=reason, message="", updated_at=at)
