"""Effects on Helm releases (RB-07): a release is rolled back to an explicit revision."""

from typing import Any

from runbook.clients.helm_client import rollback_arguments
from runbook.effects.images import change_of_images, images_of
from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult, register
from runbook.errors import Ambiguous, Conflict, Denied, NotFound, Permanent, Transient
from runbook.models import Frozen
from runbook.workloads import HelmRevision, Revision
from runbook.world import World

# Helm notes on the newest revision itself that its release was removed, where the history is kept.
_UNINSTALLED = "uninstall"


def release_target(namespace: str, release: str) -> str:
    """Name a release as leases do."""
    return f"release:{namespace}/{release}"


class _Standing(Frozen):
    """Where a release stands: the newest line of its history and the digest of its manifest."""

    last: HelmRevision
    digest: str


@register("roll-back-release")
class RollBackRelease(Effect):
    """Have Helm roll a release back to one of its revisions.

    Helm copies the old revision's manifest to the letter into a new revision. So manifests tell whether it
    was done, not descriptions, which differ between Helm 3 and 4; and they tell a release that somebody
    removed and installed anew, whose revisions count from 1 again, from the one that was planned for.

    A rollback that failed half-way leaves a *failed* revision at the end of the history, one that was killed a
    *pending* one. What Helm changed by then nobody knows, so neither is done nor not done: a person decides.

    Args:
        namespace: Where it is.
        release: Its name.
        from_revision: The newest revision when this was planned, of whatever status.
        from_digest: Digest of that revision's manifest.
        to_revision: The revision to roll back to.
        to_digest: Digest of its manifest.
        from_images: Images of ``from_revision``, for people.
        to_images: Images of ``to_revision``, for people.
    """

    effect_class = EffectClass.PROBEABLE
    namespace: str
    release: str
    from_revision: int
    from_digest: str
    to_revision: int
    to_digest: str
    from_images: tuple[str, ...] = ()
    to_images: tuple[str, ...] = ()

    @classmethod
    def of(cls, release: str, namespace: str, *, before: Revision, after: Revision) -> "RollBackRelease":
        """Plan the way of a release from its newest revision to another.

        Args:
            release: Its name.
            namespace: Where it is.
            before: The newest revision, of whatever status, as ``runbook.decisions.releases.as_revision`` gives it.
            after: The one to go back to.
        """
        return cls(
            namespace=namespace,
            release=release,
            from_revision=before.number,
            from_digest=before.template.digest,
            to_revision=after.number,
            to_digest=after.template.digest,
            from_images=images_of(before.template),
            to_images=images_of(after.template),
        )

    @property
    def target(self) -> str:
        """The release."""
        return release_target(self.namespace, self.release)

    def describe(self) -> str:
        """Name release, revisions and the images that change."""
        images = change_of_images(self.from_images, self.to_images)
        return (
            f"roll release {self.release} in {self.namespace} back from revision {self.from_revision} "
            f"to {self.to_revision}{images}"
        )

    def command_line(self) -> tuple[str, ...]:
        """Give helm's line."""
        return ("helm", *rollback_arguments(self.release, self.namespace, self.to_revision))

    def precondition(self, world: World) -> Precondition:
        """Ask that the release stands where it was planned from, and the target is what it was."""
        said = self._why_not(world)
        return Precondition(holds=not said, detail=said or f"it stands at revision {self.from_revision}")

    def probe(self, world: World) -> ProbeResult:
        """Look where the release stands."""
        try:
            standing = self._standing(world)
        except NotFound as error:
            return ProbeResult(found=Found.UNKNOWN, detail=error.message)
        return _judge(standing, before=(self.from_revision, self.from_digest), after=self.to_digest)

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Roll it back, unless anybody changed the release since this was planned.

        Helm takes no guard, so what is looked at here is looked at again right before it is sent: after the gate
        other effects, a rate limit or a crash may have taken their time.

        Returns:
            ``revision``: the number that the history gives to the result.

        Raises:
            Conflict: It does not stand where it was planned from, or the target is another one; nothing was sent.
            Ambiguous: It was sent, and the history does not show it.
        """
        if said := self._why_not(world):
            raise Conflict(
                f"Release {self.release} in {self.namespace} was not rolled back: {said}.",
                unchanged="It was left as it is.",
                next_step="look at `helm history`, then plan anew if it still needs a rollback",
            )
        world.helm.rollback(self.release, self.namespace, self.to_revision)
        try:
            seen = self.probe(world)
        except (Transient, Permanent, Denied) as error:
            raise Ambiguous(
                f"Helm rolled release {self.release} in {self.namespace} back, and its history could not be read "
                f"afterwards: {error.message}",
                next_step="look at `helm history`: the newest revision tells",
            ) from error
        if seen.found is not Found.DONE:
            raise Ambiguous(
                f"Helm said that it rolled release {self.release} in {self.namespace} back, and {seen.detail}.",
                next_step="look at `helm history`: somebody may have changed it in the same moment",
            )
        return seen.result

    def undo(self, world: World, result: dict[str, Any]) -> None:
        """Roll it to where it stood, as a new revision, if nobody changed it since.

        Raises:
            Conflict: It no longer stands where this put it, or somebody deployed right before this was sent.
        """
        standing, revision = self._standing(world), int(result["revision"])
        if revision != self.from_revision + 1:
            raise Conflict(
                f"Release {self.release} in {self.namespace} was to be rolled back from revision {self.from_revision} "
                f"and stands at {revision}: revision {revision - 1} came between.",
                unchanged="It was left as it is.",
                next_step="decide which revision it should be at: somebody deployed in the same moment",
            )
        ours = (revision, "deployed", self.to_digest)
        if (standing.last.revision, standing.last.status, standing.digest) != ours:
            raise Conflict(
                f"Release {self.release} in {self.namespace} no longer stands where it was rolled back to: now "
                f"{_shown(standing.last)}.",
                unchanged="It was left as it is.",
                next_step="decide which revision it should be at: somebody changed it since",
            )
        world.helm.rollback(self.release, self.namespace, self.from_revision)

    def probe_undo(self, world: World, result: dict[str, Any]) -> ProbeResult:
        """Look whether it is where it stood before."""
        return _judge(
            self._standing(world), before=(int(result["revision"]), self.to_digest), after=self.from_digest
        )

    def _why_not(self, world: World) -> str:
        """Say why it cannot be rolled back as planned; empty where it can."""
        try:
            standing, to_digest = self._standing(world), self._digest(world, self.to_revision)
        except NotFound as error:
            return error.message.rstrip(".")
        last = standing.last
        if last.pending:
            return f"an operation on it has not ended: {_shown(last)}"
        if last.status.startswith(_UNINSTALLED):
            return f"it was uninstalled: {_shown(last)}"
        if (last.revision, standing.digest) != (self.from_revision, self.from_digest):
            return f"somebody changed the release: now {_shown(last)}"
        if to_digest != self.to_digest:
            return f"revision {self.to_revision} is another one now"
        return ""

    def _standing(self, world: World) -> _Standing:
        history = world.helm.history(self.release, self.namespace)
        if not history:
            raise NotFound(f"Release {self.release} in {self.namespace} has no revision.")
        return _Standing(last=history[-1], digest=self._digest(world, history[-1].revision))

    def _digest(self, world: World, revision: int) -> str:
        return world.helm.manifest(self.release, self.namespace, revision).digest


def _judge(standing: _Standing, *, before: tuple[int, str], after: str) -> ProbeResult:
    """Say whether a release moved from ``before`` to a revision that holds ``after``.

    Args:
        standing: Where it stands.
        before: Number and manifest digest of the newest revision before the move.
        after: Manifest digest of what the move makes.
    """
    last = standing.last
    if last.pending:
        return ProbeResult(found=Found.UNKNOWN, detail=f"an operation on it has not ended: {_shown(last)}")
    if (last.revision, standing.digest) == before:
        return ProbeResult(found=Found.NOT_DONE, detail=f"it still stands at {_shown(last)}")
    if last.revision > before[0] and last.status == "deployed" and standing.digest == after:
        return ProbeResult(
            found=Found.DONE, detail=f"it stands at {_shown(last)}", result={"revision": last.revision}
        )
    return ProbeResult(found=Found.UNKNOWN, detail=f"it stands elsewhere: {_shown(last)}")


def _shown(revision: HelmRevision) -> str:
    said = f", {revision.description}" if revision.description else ""
    return f"revision {revision.revision} ({revision.status}{said})"
