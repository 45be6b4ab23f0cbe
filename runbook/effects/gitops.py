"""Effects on Argo CD and Flux: their sync is paused, so that it does not bring a bad version back."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from runbook.clients.kubernetes_answers import Modified
from runbook.clients.kubernetes_client import MOST_WRITES
from runbook.decisions.gitops import Owner, Tool, auto_sync, why_not_pausable
from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult, register
from runbook.errors import Conflict, NotFound
from runbook.world import World

_VERSION = "/metadata/resourceVersion"


@register("pause-gitops-sync")
class PauseGitOpsSync(Effect):
    """Switch one object's own sync off; its undo puts back exactly what was there.

    Argo CD's ``spec.syncPolicy.automated`` is taken away (its ``enabled`` is not known to older versions), Flux's
    ``spec.suspend`` set. What was there is a parameter and not read while it is applied: an answer that got lost must
    not lose it.

    Args:
        tool: Argo CD or Flux.
        owner_kind: ``Application``, ``Kustomization`` or ``HelmRelease``.
        namespace: The object's namespace.
        name: The object's name.
        uid: Tells it apart from one of the same name that is made anew.
        was: What was there: the ``automated`` block; ``suspend``, or None where it was not set.
    """

    effect_class = EffectClass.PROBEABLE
    tool: Tool
    owner_kind: str
    namespace: str
    name: str
    uid: str
    was: JsonValue

    @classmethod
    def of(cls, owner: Owner, found: dict[str, Any]) -> "PauseGitOpsSync":
        """Plan the pause of an owner that syncs by itself.

        Args:
            owner: The owner.
            found: Its object, as the API gave it.

        Raises:
            Conflict: Something else would switch the sync on again.
        """
        if said := why_not_pausable(owner, found):
            raise Conflict(
                f"The sync of {owner} cannot be paused: {said}.",
                unchanged="Nothing was changed.",
                next_step="pause it where it is defined, or revert the source in git and let it sync",
            )
        return cls(
            tool=owner.tool,
            owner_kind=owner.kind,
            namespace=owner.namespace,
            name=owner.name,
            uid=str(found.get("metadata", {}).get("uid", "")),
            was=_setting(owner, found),
        )

    @property
    def owner(self) -> Owner:
        """The object."""
        return Owner(tool=self.tool, kind=self.owner_kind, namespace=self.namespace, name=self.name)

    @property
    def target(self) -> str:
        """The object."""
        return f"sync:{self.namespace}/{self.owner_kind}/{self.name}"

    def describe(self) -> str:
        """Name the object."""
        return f"pause the sync of {self.owner}"

    def command_line(self) -> tuple[str, ...]:
        """Give kubectl's line, which needs neither tool's own program."""
        group, _, plural = self.owner.resource
        if self.tool is Tool.FLUX:
            kind, patch = "merge", json.dumps({"spec": {"suspend": True}})
        else:
            kind, patch = "json", json.dumps([{"op": "remove", "path": "/spec/syncPolicy/automated"}])
        return (
            *("kubectl", "patch", f"{plural}.{group}", self.name, "--namespace", self.namespace),
            *("--type", kind, "--patch", patch),
        )

    def precondition(self, world: World) -> Precondition:
        """Ask that it is the same object with the same setting."""
        try:
            found = self._read(world)
        except NotFound as error:
            return Precondition(holds=False, detail=error.message)
        said = self._why_not(found)
        return Precondition(holds=not said, detail=said or auto_sync(self.owner, found).reason)

    def probe(self, world: World) -> ProbeResult:
        """Look whether it syncs by itself."""
        try:
            found = self._read(world)
        except NotFound as error:
            return ProbeResult(found=Found.UNKNOWN, detail=error.message)
        sync = auto_sync(self.owner, found)
        return ProbeResult(found=Found.NOT_DONE if sync.automatic else Found.DONE, detail=sync.reason)

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Switch it off, unless anybody changed its sync since this was planned.

        Raises:
            Conflict: Somebody changed it, or it is written without end.
        """
        self._write(world, self._pause)
        return {"was": self.was}

    def undo(self, world: World, result: dict[str, Any]) -> None:
        """Put back exactly what was there, if it is still as this left it.

        Raises:
            Conflict: It is written without end.
        """
        self._write(world, self._put_back)

    def probe_undo(self, world: World, result: dict[str, Any]) -> ProbeResult:
        """Look whether it is still as this left it; what somebody set since is theirs and stays."""
        try:
            found = self._read(world)
        except NotFound as error:
            return ProbeResult(found=Found.DONE, detail=error.message)
        if self._is_ours(found):
            return ProbeResult(found=Found.NOT_DONE, detail=f"the sync of {self.owner} is still paused")
        return ProbeResult(found=Found.DONE, detail=f"{self.owner} is no longer as it was left")

    def _read(self, world: World) -> dict[str, Any]:
        group, version, plural = self.owner.resource
        return world.kubernetes.custom_object(group, version, self.namespace, plural, self.name)

    def _write(self, world: World, change_of: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        """Change the object as it is read, unless it is written in between; then read and judge it anew.

        Argo CD notes its status on the Application itself, every moment; such a write leaves the sync as it was.

        Args:
            world: The clients.
            change_of: Gives the operation for the object that was read, None where there is nothing to do; raises
                where it must stay as it is.
        """
        group, version, plural = self.owner.resource
        for left in reversed(range(MOST_WRITES)):
            found = self._read(world)
            change = change_of(found)
            if change is None:
                return
            guard = {"op": "replace", "path": _VERSION, "value": found["metadata"]["resourceVersion"]}
            try:
                world.kubernetes.patch_custom_object(
                    group, version, self.namespace, plural, self.name, [guard, change]
                )
                return
            except Modified:
                if not left:
                    raise

    def _pause(self, found: dict[str, Any]) -> dict[str, Any]:
        if said := self._why_not(found):
            raise Conflict(
                f"The sync of {self.owner} was not paused: {said}.",
                unchanged="It was left as it is.",
                next_step="look at it, then plan anew",
            )
        if self.tool is Tool.FLUX:
            return {"op": "add", "path": "/spec/suspend", "value": True}
        return {"op": "remove", "path": "/spec/syncPolicy/automated"}

    def _put_back(self, found: dict[str, Any]) -> dict[str, Any] | None:
        if not self._is_ours(found):
            return None
        if self.tool is Tool.FLUX:
            if self.was is None:
                return {"op": "remove", "path": "/spec/suspend"}
            return {"op": "replace", "path": "/spec/suspend", "value": self.was}
        if isinstance(found["spec"].get("syncPolicy"), dict):
            return {"op": "add", "path": "/spec/syncPolicy/automated", "value": self.was}
        return {"op": "add", "path": "/spec/syncPolicy", "value": {"automated": self.was}}

    def _why_not(self, found: dict[str, Any]) -> str:
        if found["metadata"].get("uid", "") != self.uid:
            return "it was deleted and made anew since this was planned"
        if _setting(self.owner, found) != self.was:
            return "somebody changed its sync since this was planned"
        return ""

    def _is_ours(self, found: dict[str, Any]) -> bool:
        paused = True if self.tool is Tool.FLUX else None
        return found["metadata"].get("uid", "") == self.uid and _setting(self.owner, found) == paused


def _setting(owner: Owner, found: dict[str, Any]) -> JsonValue:
    """Return what says whether it syncs by itself, exactly as it stands there; None where it is not set."""
    spec = found.get("spec")
    holder = spec if owner.tool is Tool.FLUX else spec.get("syncPolicy") if isinstance(spec, dict) else None
    if not isinstance(holder, dict):
        return None
    value: JsonValue = holder.get("suspend" if owner.tool is Tool.FLUX else "automated")
    return value
