"""Helm releases as the stand-in keeps them: a history of revisions, each with the images of its workloads.

Nothing is rendered: a revision carries what its chart would come to.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sandbox.clock import Clock
from sandbox.kubernetes.rights import Access, allowed, forbidden
from sandbox.wire import Json, Refused

Images = str | dict[str, str]


class Cluster(Protocol):
    """What is needed of the Kubernetes stand-in."""

    @property
    def clock(self) -> Clock:
        """Its time."""
        ...

    def workload(self, namespace: str, name: str, kind: str = "Deployment") -> object:
        """Return a workload; KeyError where there is none."""
        ...

    def deploy(self, namespace: str, name: str, images: Images, *, kind: str = "Deployment") -> None:
        """Deploy other images to a workload now."""
        ...


@dataclass(frozen=True)
class ReleaseWorkload:
    """One workload of a revision.

    Attributes:
        name: Its name.
        images: The image of every container, or of each by its name.
        kind: Deployment, StatefulSet or DaemonSet.
    """

    name: str
    images: Images
    kind: str = "Deployment"

    def document(self, namespace: str) -> Json:
        """Return its manifest, as far as Helm's reader looks at it."""
        images = {"app": self.images} if isinstance(self.images, str) else self.images
        containers = [{"name": name, "image": image} for name, image in images.items()]
        return {
            "apiVersion": "apps/v1",
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {"template": {"spec": {"containers": containers}}},
        }


@dataclass
class ReleaseRevision:
    """One line of a release's history."""

    revision: int
    updated: datetime
    status: str
    chart: str
    app_version: str
    description: str
    workloads: tuple[ReleaseWorkload, ...]

    def as_json(self) -> Json:
        """Return it as ``helm history -o json`` does."""
        return {
            "revision": self.revision,
            "updated": self.updated.isoformat().replace("+00:00", "Z"),
            "status": self.status,
            "chart": self.chart,
            "app_version": self.app_version,
            "description": self.description,
        }


@dataclass
class Release:
    """One release.

    Attributes:
        namespace: Where it is.
        name: Its name.
        revisions: Its history, oldest first; never empty.
        next_rollback: What becomes of the next rollback: empty for success, ``fails`` leaves a failed revision,
            ``hangs`` a pending one and a program that does not end.
    """

    namespace: str
    name: str
    revisions: list[ReleaseRevision]
    next_rollback: str = ""

    @property
    def last(self) -> ReleaseRevision:
        """The newest revision."""
        return self.revisions[-1]

    def find(self, number: int) -> ReleaseRevision | None:
        """Return a revision by its number, if it is kept."""
        return next((one for one in self.revisions if one.revision == number), None)


@dataclass(frozen=True)
class Rights:
    """What one account may do.

    Attributes:
        user: The account as the API server names it.
        rules: Its rules; None for everything.
    """

    user: str
    rules: list[Json] | None

    def require(
        self, verb: str, plural: str, namespace: str, name: str = "", group: str = "", *, saying: str
    ) -> None:
        """Refuse, after helm's words, what it may not do.

        Raises:
            Refused: 403.
        """
        access = Access(verb, group, plural, namespace=namespace, name=name)
        if not allowed(self.rules, access):
            raise Refused(403, saying + forbidden(self.user, access).message)


@dataclass
class Releases:
    """All releases of the cluster, and what the program may ask.

    Attributes:
        cluster: Where their workloads run.
        known: By namespace and name.
    """

    cluster: Cluster
    known: dict[tuple[str, str], Release] = field(default_factory=dict)

    def answer(self, verb: str, data: Json, may: Rights) -> tuple[Json, bool]:
        """Answer the program; the second value says whether any state changed.

        Args:
            verb: ``history``, ``manifest`` or ``rollback``.
            data: Its arguments by name.
            may: What the account that asks may do.

        Raises:
            Refused: With helm's words.
        """
        namespace = str(data.get("namespace"))
        # Helm keeps each revision in a Secret.
        first = (
            ("get", "get: failed to get")
            if verb == "manifest"
            else ("list", "query: failed to query with labels")
        )
        may.require(first[0], "secrets", namespace, saying=f"{first[1]}: ")
        release = self.known.get((namespace, str(data.get("release"))))
        if release is None:
            raise Refused(404, "release: not found")
        if verb == "history":
            return {"history": [one.as_json() for one in release.revisions[-int(data["max"]) :]]}, False
        if verb == "manifest":
            return {"manifest": self._manifest(release, int(data["revision"]))}, False
        if verb == "rollback":
            may.require("get", "secrets", namespace, saying="get: failed to get: ")
            may.require("create", "secrets", namespace, saying="create: failed to create: ")
            return self._rollback(release, int(data["revision"]), int(data["history_max"]), may), True
        raise Refused(404, f'unknown command "{verb}" for "helm"')

    def upgrade(
        self,
        namespace: str,
        name: str,
        workloads: tuple[ReleaseWorkload, ...],
        *,
        status: str = "deployed",
        description: str = "Upgrade complete",
    ) -> ReleaseRevision:
        """Have somebody else upgrade a release; ``pending-upgrade`` leaves it as a killed helm does."""
        release = self.known[namespace, name]
        made = self._add(release, workloads, status=status, description=description)
        if status == "deployed":
            self._put(release, made)
            self._mark(release, made)
        return made

    def as_json(self) -> Json:
        """Return all histories, for ``GET /_sandbox/state``."""
        return {
            f"{release.namespace}/{release.name}": [one.as_json() for one in release.revisions]
            for release in self.known.values()
        }

    def _manifest(self, release: Release, number: int) -> str:
        found = release.find(number) if number else release.last
        if found is None:
            raise Refused(404, "release: not found")
        documents = [json.dumps(one.document(release.namespace), indent=1) for one in found.workloads]
        return "---\n" + "\n---\n".join(documents)

    def _rollback(self, release: Release, number: int, history_max: int, may: Rights) -> Json:
        target = release.find(number or release.last.revision - 1)
        if target is None:
            raise Refused(404, f"release has no {number or release.last.revision - 1} version")
        outcome, release.next_rollback = release.next_rollback, ""
        made = self._add(
            release,
            target.workloads,
            status="pending-rollback",
            description=f"Rollback to {target.revision}",
            chart=target.chart,
            app_version=target.app_version,
        )
        if history_max:
            del release.revisions[: max(0, len(release.revisions) - history_max)]
        if outcome == "hangs":
            return {"hangs": True}
        try:
            if outcome == "fails":
                raise Refused(
                    422, "failed to create resource: Internal error occurred: failed calling webhook"
                )
            for workload in made.workloads:
                plural = f"{workload.kind.lower()}s"
                for needed in ("get", "patch"):
                    saying = f'cannot {needed} "{workload.name}" with kind {workload.kind}: '
                    may.require(needed, plural, release.namespace, workload.name, "apps", saying=saying)
        except Refused as refusal:
            made.status, made.description = "failed", f'Rollback "{release.name}" failed: {refusal.message}'
            raise
        self._put(release, made)
        may.require("update", "secrets", release.namespace, saying="update: failed to update: ")
        self._mark(release, made)
        return {}

    def _add(
        self,
        release: Release,
        workloads: tuple[ReleaseWorkload, ...],
        *,
        status: str,
        description: str,
        chart: str = "",
        app_version: str = "",
    ) -> ReleaseRevision:
        last = release.last
        made = ReleaseRevision(
            revision=last.revision + 1,
            updated=self.cluster.clock.now(),
            status=status,
            chart=chart or last.chart,
            app_version=app_version or last.app_version,
            description=description,
            workloads=workloads,
        )
        release.revisions.append(made)
        return made

    def _put(self, release: Release, made: ReleaseRevision) -> None:
        for workload in made.workloads:
            self.cluster.deploy(release.namespace, workload.name, workload.images, kind=workload.kind)

    def _mark(self, release: Release, made: ReleaseRevision) -> None:
        for one in release.revisions:
            if one.status == "deployed":
                one.status = "superseded"
        made.status = "deployed"
