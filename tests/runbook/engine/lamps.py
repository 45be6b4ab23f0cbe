"""An outside system small enough to see through: lamps, and what goes wrong with them next.

Effects on GitHub are tested against its stand-in; these are for the rules that hold for any effect, with
answers that no stand-in would give (a probe that cannot tell, an undo that is refused).
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult
from runbook.errors import RunbookError
from runbook.world import World


@dataclass
class Lamps:
    """What is lit, what was sent, and the faults that wait.

    Args:
        lit: The lamps that are on.
        sent: Every request that arrived, in order: ``on hall``, ``off hall``; ``again`` where it says so.
        blind: Probes cannot tell.
        slow_probes: So many probes still show what was before.
    """

    lit: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    blind: bool = False
    slow_probes: int = 0
    faults: list[tuple[str, RunbookError, bool]] = field(default_factory=list)

    def fail(self, verb: str, error: RunbookError, *, times: int = 1, effect_first: bool = False) -> None:
        """Answer the next requests of a verb (``on``, ``off``, ``look``) so, with or without their effect."""
        self.faults += [(verb, error, effect_first)] * times

    def switch(self, verb: str, name: str, *, repeated: bool = False) -> None:
        """Serve one request."""
        self.sent.append(f"{verb} {name}{' again' if repeated else ''}")
        fault = self._fault(verb)
        if fault is None or fault[2]:
            (self.lit.add if verb == "on" else self.lit.discard)(name)
        if fault is not None:
            raise fault[1]

    def look(self, name: str, *, wanted: bool) -> ProbeResult:
        """Tell whether a lamp is as wanted."""
        if fault := self._fault("look"):
            raise fault[1]
        if self.blind:
            return ProbeResult(found=Found.UNKNOWN, detail="the room is locked")
        if self.slow_probes:
            self.slow_probes -= 1
            return ProbeResult(found=Found.NOT_DONE, detail="not yet")
        done = (name in self.lit) is wanted
        return ProbeResult(
            found=Found.DONE if done else Found.NOT_DONE, detail="looked", result={"lamp": name}
        )

    def _fault(self, verb: str) -> tuple[str, RunbookError, bool] | None:
        for fault in self.faults:
            if fault[0] == verb:
                self.faults.remove(fault)
                return fault
        return None


@dataclass(frozen=True)
class LampWorld(World):
    """A world with lamps."""

    lamps: Lamps


def lamps_of(world: World) -> Lamps:
    """Return the world's lamps."""
    assert isinstance(world, LampWorld)
    return world.lamps


class LightLamp(Effect):
    """Switch a lamp on; probeable, and undone by switching it off."""

    kind: ClassVar[str] = "light-lamp"
    effect_class: ClassVar[EffectClass] = EffectClass.PROBEABLE
    name: str

    @property
    def target(self) -> str:
        """The lamp."""
        return f"lamp:{self.name}"

    def describe(self) -> str:
        """Name it."""
        return f"light {self.name}"

    def command_line(self) -> tuple[str, ...]:
        """Give a line."""
        return ("lamp", "on", self.name)

    def precondition(self, world: World) -> Precondition:
        """Hold always."""
        return Precondition(holds=True, detail="lamps are patient")

    def probe(self, world: World) -> ProbeResult:
        """Look whether it is on."""
        return lamps_of(world).look(self.name, wanted=True)

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Switch it on."""
        lamps_of(world).switch("on", self.name, repeated=repeated)
        return {"lamp": self.name}

    def undo(self, world: World, result: dict[str, Any]) -> None:
        """Switch it off."""
        lamps_of(world).switch("off", result["lamp"])

    def probe_undo(self, world: World, result: dict[str, Any]) -> ProbeResult:
        """Look whether it is off."""
        return lamps_of(world).look(result["lamp"], wanted=False)


class LightLampAgain(LightLamp):
    """The same, but repeating it is harmless."""

    kind: ClassVar[str] = "light-lamp-again"
    effect_class: ClassVar[EffectClass] = EffectClass.IDEMPOTENT


class RingBell(LightLamp):
    """A notification: it may repeat, and cannot be taken back."""

    kind: ClassVar[str] = "ring-bell"
    effect_class: ClassVar[EffectClass] = EffectClass.NOTIFICATION
    no_undo: ClassVar[str] = "what was heard was heard"


class BurnMatch(LightLamp):
    """Probeable, and cannot be taken back."""

    kind: ClassVar[str] = "burn-match"
    no_undo: ClassVar[str] = "a burnt match stays burnt"


class LightLampBeside(LightLamp):
    """Probeable, and stands beside its plan's purpose: the rest goes on without it."""

    kind: ClassVar[str] = "light-lamp-beside"

    def may_be_refused(self) -> bool:
        """Say so."""
        return True


KINDS: tuple[type[LightLamp], ...] = (LightLamp, LightLampAgain, RingBell, BurnMatch, LightLampBeside)
