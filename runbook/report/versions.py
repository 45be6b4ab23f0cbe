"""What there is to go back to, beside what Kubernetes keeps: the registry's versions, a Helm release's history."""

from collections.abc import Sequence

from runbook.engine.plan import Table
from runbook.report.text import utc_time
from runbook.source_facts import ContainerVersion
from runbook.workloads import HelmRevision

MOST_VERSIONS = 10
"""Newest versions, or revisions, that a plan shows."""


def versions_table(image: str, versions: Sequence[ContainerVersion]) -> Table:
    """Show the newest versions of an image (RB-01).

    Args:
        image: Its name, without tag.
        versions: What the registry has of it, newest first.
    """
    shown = versions[:MOST_VERSIONS]
    return Table(
        title=f"Newest versions of {image} in the registry",
        columns=("Pushed (UTC)", "Tags", "Digest"),
        rows=tuple((utc_time(one.created_at), ", ".join(one.tags) or "-", one.digest) for one in shown),
    )


def history_table(release: str, history: Sequence[HelmRevision]) -> Table:
    """Show the newest revisions of a Helm release (RB-09).

    Args:
        release: Its name.
        history: Its revisions, oldest first.
    """
    shown = list(reversed(history[-MOST_VERSIONS:]))
    return Table(
        title=f"History of the Helm release {release}",
        columns=("Revision", "Updated (UTC)", "Status", "Chart", "App version", "Description"),
        rows=tuple(
            (
                str(one.revision),
                utc_time(one.updated_at),
                one.status,
                one.chart,
                one.app_version,
                one.description,
            )
            for one in shown
        ),
    )
