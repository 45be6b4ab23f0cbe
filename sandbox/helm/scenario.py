"""The key ``helm_releases`` of a scenario.

For example::

    helm_releases:
      - name: tts
        namespace: voice-agent
        revisions:                   # oldest first; numbered from 1
          - {ago: 3d, workloads: [{name: tts-service, images: "ghcr.io/acme/tts:v1"}]}
          - {ago: 1h, workloads: [{name: tts-service, kind: Deployment, images: {app: "ghcr.io/acme/tts:v2"}}]}
          - {ago: 5m, status: pending-upgrade, workloads: []}

The last revision without a status is ``deployed``, those before it are ``superseded``. ``next_rollback: fails`` or
``hangs`` says what becomes of the next rollback. Workloads are not made here: the scenario has them already.
"""

from datetime import timedelta
from typing import Any

from sandbox.github.scenario_values import ScenarioError, known, seconds
from sandbox.helm.releases import Cluster, Release, ReleaseRevision, Releases, ReleaseWorkload

_KINDS = ("Deployment", "StatefulSet", "DaemonSet")
_OUTCOMES = ("", "fails", "hangs")


def read_releases(data: Any, cluster: Cluster) -> Releases:
    """Read the releases of a scenario.

    Args:
        data: The value of ``helm_releases``; None for no release.
        cluster: Where their workloads run.

    Raises:
        ScenarioError: It cannot be read; the text says where and why.
    """
    releases = Releases(cluster)
    for place, item in enumerate(data or []):
        release = _release(item, f"helm_releases[{place}]", cluster)
        releases.known[release.namespace, release.name] = release
    return releases


def _release(item: Any, where: str, cluster: Cluster) -> Release:
    known(item, where, "name", "namespace", "chart", "app_version", "revisions", "next_rollback")
    name, outcome = str(item.get("name", "")), str(item.get("next_rollback", ""))
    rows = item.get("revisions") or []
    if not (name and item.get("namespace") and rows):
        raise ScenarioError(f"{where}: name, namespace and at least one revision are wanted")
    if outcome not in _OUTCOMES:
        raise ScenarioError(f"{where}: next_rollback is fails or hangs, not {outcome!r}")
    newest = max((number for number, row in enumerate(rows) if "status" not in row), default=-1)
    revisions = []
    for number, row in enumerate(rows):
        here = f"{where}.revisions[{number}]"
        known(row, here, "ago", "status", "description", "chart", "app_version", "workloads")
        status = str(row.get("status") or ("deployed" if number == newest else "superseded"))
        revisions.append(
            ReleaseRevision(
                revision=number + 1,
                updated=cluster.clock.now() - timedelta(seconds=seconds(row.get("ago", 0))),
                status=status,
                chart=str(row.get("chart") or item.get("chart") or f"{name}-0.1.0"),
                app_version=str(row.get("app_version") or item.get("app_version") or "1.0"),
                description=str(row.get("description") or _description(name, number, status)),
                workloads=tuple(
                    _workload(one, here, str(item["namespace"]), cluster)
                    for one in row.get("workloads") or []
                ),
            )
        )
    return Release(str(item["namespace"]), name, revisions, next_rollback=outcome)


def _workload(item: Any, where: str, namespace: str, cluster: Cluster) -> ReleaseWorkload:
    known(item, f"{where}.workloads", "name", "kind", "images")
    kind, images = str(item.get("kind", "Deployment")), item.get("images")
    if kind not in _KINDS:
        raise ScenarioError(f"{where}.workloads: kind is one of {', '.join(_KINDS)}, not {kind!r}")
    if not item.get("name") or not isinstance(images, str | dict):
        raise ScenarioError(f"{where}.workloads: a name and images (one, or by container) are wanted")
    try:
        cluster.workload(namespace, str(item["name"]), kind)
    except KeyError as error:
        raise ScenarioError(
            f"{where}.workloads: there is no {kind} {item['name']} in {namespace}; add it to namespaces"
        ) from error
    return ReleaseWorkload(str(item["name"]), images, kind)


def _description(name: str, number: int, status: str) -> str:
    match status.partition("-"):
        case ("pending", _, operation):
            return f"Preparing {operation}"
        case ("failed", _, _):
            return f'Upgrade "{name}" failed: context deadline exceeded'
    return "Upgrade complete" if number else "Install complete"
