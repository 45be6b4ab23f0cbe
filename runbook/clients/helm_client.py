"""Helm through its program: a release's history and its rollback.

Programs of Helm 3 and 4 will do; only what both say is read. A manifest may hold secrets (a Secret's data, an
environment variable) and never leaves this module: a fact carries its digest, images and workloads (R8).
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from runbook.clients import helm_errors
from runbook.clients.helm_process import HelmProgram
from runbook.errors import Permanent, UsageError
from runbook.workloads import HelmRevision, ReleaseManifest, WorkloadKind, WorkloadRef

MOST_REVISIONS = 256
"""Revisions of a history that are read; helm itself keeps ten unless told otherwise."""
_MOST_NAMED = 1_000
"""Images and workloads of one manifest that are told."""
# https://helm.sh/docs/chart_template_guide/getting_started: a release is named as a DNS label, at most 53 long.
_RELEASE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,51}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_POD_SPEC = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_POD_SPEC_OF_CONTROLLERS = ("spec", "template", "spec")
# libyaml's parser, where it is there, reads a megabyte in a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class HelmTimeouts:
    """How long helm may take.

    Args:
        read_seconds: For history or manifest.
        rollback_seconds: For a rollback, and for each hook of the chart; helm's own default is 300. Nothing is
            waited for beyond hooks.
        end_grace_seconds: Between SIGTERM and SIGKILL once that is over.
    """

    read_seconds: float = 60
    rollback_seconds: float = 300
    end_grace_seconds: float = 5


class HelmClient:
    """The releases of one cluster.

    Args:
        kubeconfig: ``KUBECONFIG``; None for the account of the pod that this runs in.
        program: The helm program; one in ``PATH`` by its name.
        timeouts: How long it may take.
    """

    def __init__(
        self, kubeconfig: Path | None, *, program: str = "helm", timeouts: HelmTimeouts | None = None
    ) -> None:
        self._timeouts = timeouts or HelmTimeouts()
        self._program = HelmProgram(
            program=program,
            kubeconfig=kubeconfig,
            environment=dict(os.environ),
            end_grace_seconds=self._timeouts.end_grace_seconds,
        )

    def history(self, release: str, namespace: str) -> tuple[HelmRevision, ...]:
        """Read a release's revisions, oldest first, the newest ``MOST_REVISIONS`` of them.

        Raises:
            NotFound: There is no such release (or no such namespace).
            Denied: The account may not; verb and resource are named.
            Transient: The cluster cannot be reached, or helm took too long.
            UsageError: No program, no cluster, or no name that Helm would take.
        """
        _check(release, namespace)
        text = self._read(
            f"history of release {release} in {namespace}",
            *("history", release, f"--namespace={namespace}", "--output=json", f"--max={MOST_REVISIONS}"),
        )
        try:
            revisions = _revisions(json.loads(text))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Permanent(
                f"The history of release {release} in {namespace} is not the JSON that Helm 3 and 4 give: "
                f"{helm_errors.said(repr(error))}.",
                unchanged="Nothing was changed.",
                next_step="see what `helm version` says of the program that RUNBOOK_HELM names",
            ) from error
        return tuple(sorted(revisions, key=lambda revision: revision.revision))

    def manifest(self, release: str, namespace: str, revision: int) -> ReleaseManifest:
        """Read what may be known of a revision's manifest: a rollback copies it to the letter.

        Raises:
            NotFound: There is no such release or revision.
            Denied, Transient, UsageError: As for ``history``.
        """
        _check(release, namespace, revision)
        text = self._read(
            f"manifest of release {release} in {namespace}, revision {revision}",
            *("get", "manifest", release, f"--namespace={namespace}", f"--revision={revision}"),
        )
        try:
            documents = list(_objects(yaml.load_all(text, Loader=_Loader)))
        except (yaml.YAMLError, RecursionError) as error:
            # The cause would quote the manifest, in which a secret may stand.
            raise Permanent(
                f"The manifest of release {release} in {namespace}, revision {revision}, is not YAML.",
                unchanged="Nothing was changed.",
                next_step=f"see for yourself: helm get manifest {release} -n {namespace} --revision {revision}",
            ) from _without_quote(error)
        images = dict.fromkeys(image for document in documents for image in _images(document))
        workloads = dict.fromkeys(
            workload for document in documents for workload in _workload(document, namespace)
        )
        return ReleaseManifest(
            digest=hashlib.sha256(text.strip()).hexdigest(),
            images=tuple(images)[:_MOST_NAMED],
            workloads=tuple(workloads)[:_MOST_NAMED],
        )

    def rollback(self, release: str, namespace: str, revision: int) -> None:
        """Roll a release back to an explicit revision, which Helm notes as a new one.

        It is not waited until pods are ready; hooks of the chart run. No old revision is removed, as helm would
        do beyond ten: the next upgrade does what its own ``--history-max`` says.

        Raises:
            NotFound: There is no such release or revision.
            Conflict: Another operation on the release goes on.
            Denied: The account may not read or create Helm's records; nothing was changed.
            Transient: The cluster could not be reached; nothing was sent.
            Ambiguous: Helm failed, was denied or was ended half-way: only the history tells.
            UsageError: No program, no cluster, or no name that Helm would take.
        """
        _check(release, namespace, revision)
        hooks = f"{self._timeouts.rollback_seconds:g}s"
        ran = self._program.run(
            rollback_arguments(release, namespace, revision, f"--timeout={hooks}"),
            deadline_seconds=self._timeouts.rollback_seconds,
        )
        if ran.code != 0 or ran.cut_short:
            raise helm_errors.of_rollback(ran, f"release {release} in {namespace} to revision {revision}")

    def _read(self, what: str, *arguments: str) -> bytes:
        ran = self._program.run(arguments, deadline_seconds=self._timeouts.read_seconds)
        if ran.code != 0 or ran.cut_short:
            raise helm_errors.of_read(ran, what)
        return ran.output


def rollback_arguments(release: str, namespace: str, revision: int, *more: str) -> tuple[str, ...]:
    """Return helm's arguments for a rollback."""
    return ("rollback", release, str(revision), f"--namespace={namespace}", "--history-max=0", *more)


def _check(release: str, namespace: str, revision: int = 1) -> None:
    """Refuse what helm would read as an option or, as for revision 0, as "the one before"."""
    for value, rule, what in ((release, _RELEASE, "release"), (namespace, _NAMESPACE, "namespace")):
        if not rule.fullmatch(value):
            raise UsageError(f"{value!r} is not the name of a {what}.", unchanged="Nothing was sent.")
    if revision < 1:
        raise UsageError(f"{revision} is not a revision: they count from 1.", unchanged="Nothing was sent.")


def _revisions(entries: Any) -> list[HelmRevision]:
    if not isinstance(entries, list):
        raise TypeError(f"a list is wanted, not {type(entries).__name__}")
    return [_revision(entry) for entry in entries]


def _revision(entry: dict[str, Any]) -> HelmRevision:
    updated_at = datetime.fromisoformat(entry["updated"])
    if updated_at.tzinfo is None:
        raise ValueError("a time without its offset from UTC")
    return HelmRevision(
        revision=int(entry["revision"]),
        updated_at=updated_at,
        status=helm_errors.said(str(entry["status"])),
        chart=helm_errors.said(str(entry.get("chart") or "")),
        app_version=helm_errors.said(str(entry.get("app_version") or "")),
        description=helm_errors.said(str(entry.get("description") or "")),
    )


def _objects(documents: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Yield the Kubernetes objects of a manifest, those of a List too."""
    for document in documents:
        if not isinstance(document, dict):
            continue
        if document.get("kind") == "List":
            yield from _dicts(document.get("items"))
        else:
            yield document


def _images(document: dict[str, Any]) -> Iterator[str]:
    spec: Any = document
    for key in _POD_SPEC.get(str(document.get("kind")), _POD_SPEC_OF_CONTROLLERS):
        spec = spec.get(key) if isinstance(spec, dict) else None
    if isinstance(spec, dict):
        for containers in ("initContainers", "containers"):
            for container in _dicts(spec.get(containers)):
                if container.get("image"):
                    yield helm_errors.said(str(container["image"]))


def _workload(document: dict[str, Any], namespace: str) -> Iterator[WorkloadRef]:
    metadata = document.get("metadata")
    if document.get("kind") in set(WorkloadKind) and isinstance(metadata, dict) and metadata.get("name"):
        yield WorkloadRef(
            kind=WorkloadKind(document["kind"]),
            namespace=str(metadata.get("namespace") or namespace),
            name=str(metadata["name"]),
        )


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _without_quote(error: Exception) -> Exception:
    mark = getattr(error, "problem_mark", None)
    return ValueError(f"{type(error).__name__} in line {mark.line + 1}" if mark else type(error).__name__)
