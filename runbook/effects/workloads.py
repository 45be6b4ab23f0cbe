"""Effects on Kubernetes workloads (RB-03, RB-04): a pod template is put back, by an explicit revision."""

from typing import Any

from runbook.decisions.rollout import progressing_since
from runbook.effects.images import change_of_images, images_of
from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult, register
from runbook.errors import Conflict, NotFound
from runbook.workloads import Revision, Workload, WorkloadKind, WorkloadRef
from runbook.world import World


def service_target(namespace: str, name: str) -> str:
    """Name a service as leases do."""
    return f"service:{namespace}/{name}"


@register("roll-back-workload")
class RollBackWorkload(Effect):
    """Put the pod template of one kept revision in the place of the one that the workload has.

    A revision that is rolled back to gets a new number, so what is compared and put back goes by the names of the
    objects that hold the revisions and by their templates' digests; the numbers are for people.

    Args:
        workload_kind: Deployment, StatefulSet or DaemonSet.
        namespace: Where it is.
        name: Its name.
        uid: Tells it apart from one of the same name that is made anew.
        from_revision: The number of the revision that it is at.
        from_name: That revision's object; its undo puts this one's template back.
        from_digest: The digest of that revision's template.
        to_revision: The number of the revision to go back to.
        to_name: That revision's object.
        to_digest: The digest of that revision's template.
        from_images: What runs, for people.
        to_images: What will run, for people.
    """

    effect_class = EffectClass.PROBEABLE
    workload_kind: WorkloadKind
    namespace: str
    name: str
    uid: str
    from_revision: int
    from_name: str
    from_digest: str
    to_revision: int
    to_name: str
    to_digest: str
    from_images: tuple[str, ...] = ()
    to_images: tuple[str, ...] = ()

    @classmethod
    def of(cls, workload: Workload, *, before: Revision, after: Revision) -> "RollBackWorkload":
        """Plan the way of a workload from one of its revisions to another.

        Args:
            workload: As it stands.
            before: The revision that it is at.
            after: The one to go back to.
        """
        return cls(
            workload_kind=workload.ref.kind,
            namespace=workload.ref.namespace,
            name=workload.ref.name,
            uid=workload.uid,
            from_revision=before.number,
            from_name=before.name,
            from_digest=before.template.digest,
            to_revision=after.number,
            to_name=after.name,
            to_digest=after.template.digest,
            from_images=images_of(before.template),
            to_images=images_of(after.template),
        )

    @property
    def ref(self) -> WorkloadRef:
        """The workload."""
        return WorkloadRef(kind=self.workload_kind, namespace=self.namespace, name=self.name)

    @property
    def target(self) -> str:
        """The service."""
        return service_target(self.namespace, self.name)

    def describe(self) -> str:
        """Name workload, revisions and the images that change."""
        images = change_of_images(self.from_images, self.to_images)
        return f"roll {self.ref} back from revision {self.from_revision} to {self.to_revision}{images}"

    def command_line(self) -> tuple[str, ...]:
        """Give kubectl's line."""
        return (
            *("kubectl", "rollout", "undo", self.ref.command_name),
            *("--namespace", self.namespace, f"--to-revision={self.to_revision}"),
        )

    def precondition(self, world: World) -> Precondition:
        """Ask that it is the same workload at the same revision, not paused, and that the other revision is kept."""
        try:
            workload = world.kubernetes.workload(self.ref)
        except NotFound as error:
            return Precondition(holds=False, detail=error.message)
        if said := self._why_not(workload, self.from_digest):
            return Precondition(holds=False, detail=said)
        kept = {one.name: one for one in world.kubernetes.revisions(workload)}
        revision = kept.get(self.to_name)
        if revision is None:
            return Precondition(
                holds=False, detail=f"revision {self.to_revision} ({self.to_name}) is no longer kept"
            )
        if revision.template.digest != self.to_digest:
            return Precondition(holds=False, detail=f"{self.to_name} holds another template now")
        return Precondition(holds=True, detail=f"{self.ref} is at revision {self.from_revision}")

    def probe(self, world: World) -> ProbeResult:
        """Compare its template with both revisions'."""
        return self._compare(world, before=self.from_digest, after=self.to_digest)

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Put the template there, unless anybody changed the workload since it was read.

        Returns:
            ``generation``: the workload's, which its controller has to observe; ``progressing_at``: when its
            Progressing condition was last updated before, by the cluster's clock (ISO 8601; None where it had none):
            a verdict from then is none on this rollout. Where a probe confirmed this instead, it has neither.
        """
        workload, changed = self._put(world, self.from_digest, self.to_name, self.to_digest)
        since = progressing_since(workload)
        return {"generation": changed.generation, "progressing_at": since.isoformat() if since else None}

    def undo(self, world: World, result: dict[str, Any]) -> None:
        """Put the template that it had back, if it still has the one that this put there.

        Raises:
            Conflict: It has another one: somebody deployed since.
        """
        self._put(world, self.to_digest, self.from_name, self.from_digest)

    def probe_undo(self, world: World, result: dict[str, Any]) -> ProbeResult:
        """Compare its template with both revisions', the other way round."""
        return self._compare(world, before=self.to_digest, after=self.from_digest)

    def _put(self, world: World, at: str, name: str, digest: str) -> tuple[Workload, Workload]:
        workload = world.kubernetes.workload(self.ref)
        if said := self._why_not(workload, at):
            raise Conflict(
                f"{self.ref} cannot be changed: {said}.",
                unchanged="It was left as it is.",
                next_step="look at `kubectl rollout history`, then plan anew if it still needs a rollback",
            )
        return workload, world.kubernetes.put_template(workload, name, template_digest=digest)

    def _why_not(self, workload: Workload, at: str) -> str:
        if workload.uid != self.uid:
            return "it was deleted and made anew since this was planned"
        if workload.template.digest != at:
            number = f"revision {workload.revision}" if workload.revision else "another revision"
            return f"somebody changed it since: it is at {number} now"
        if workload.paused:
            return "its rollouts are paused (kubectl rollout resume lets them go on)"
        return ""

    def _compare(self, world: World, *, before: str, after: str) -> ProbeResult:
        try:
            workload = world.kubernetes.workload(self.ref)
        except NotFound as error:
            return ProbeResult(found=Found.UNKNOWN, detail=error.message)
        if workload.uid != self.uid:
            return ProbeResult(found=Found.UNKNOWN, detail=f"{self.ref} was deleted and made anew")
        if workload.template.digest == after:
            return ProbeResult(found=Found.DONE, detail=f"{self.ref} has that template")
        if workload.template.digest == before:
            return ProbeResult(found=Found.NOT_DONE, detail=f"{self.ref} still has the template from before")
        return ProbeResult(found=Found.UNKNOWN, detail=f"somebody changed {self.ref} meanwhile")
