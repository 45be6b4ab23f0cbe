"""What an effect is: one write to an outside system, declared once."""

from abc import abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from runbook.errors import UsageError
from runbook.models import Frozen
from runbook.world import World


class EffectClass(StrEnum):
    """What may be done after doubt."""

    IDEMPOTENT = "idempotent"
    """May be sent again."""
    PROBEABLE = "probeable"
    """Claimed, sent, confirmed; after doubt only a probe decides."""
    NOTIFICATION = "notification"
    """May repeat after a crash, and says so."""


class Found(StrEnum):
    """What a probe saw."""

    DONE = "done"
    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


class ProbeResult(Frozen):
    """Whether the world is already as the effect would make it.

    ``result`` is what ``apply`` would have returned, as far as the probe can tell.
    """

    found: Found
    detail: str
    result: dict[str, Any] = {}


class Precondition(Frozen):
    """Whether an effect may still be applied as it was planned."""

    holds: bool
    detail: str


class Effect(Frozen):
    """One write; its fields are its parameters and the facts it was planned on.

    A subclass is enrolled by :func:`register`; from then on the engine can load it from the journal and the
    kill tests include it.
    """

    kind: ClassVar[str]
    effect_class: ClassVar[EffectClass]
    no_undo: ClassVar[str] = ""
    """Why it cannot be undone, as a sentence; empty where ``undo`` works."""

    @property
    @abstractmethod
    def target(self) -> str:
        """What it acts on, as the leases name it: ``cache:acme/voice-agent``."""

    @abstractmethod
    def describe(self) -> str:
        """Say what it does, in one line."""

    @abstractmethod
    def command_line(self) -> tuple[str, ...]:
        """Return the equivalent command as a list of arguments."""

    @abstractmethod
    def precondition(self, world: World) -> Precondition:
        """Read whether the world is still as it was when this was planned."""

    @abstractmethod
    def probe(self, world: World) -> ProbeResult:
        """Read whether the world is already as this would make it."""

    @abstractmethod
    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Send it, once.

        Args:
            world: The clients.
            repeated: It may have been sent before; a notification says so in what it writes.

        Returns:
            Facts that the journal keeps, and that ``undo`` is given.

        Raises:
            Transient, Permanent, Denied: Nothing was changed.
            Ambiguous: It may have taken effect.
        """

    def may_be_refused(self) -> bool:
        """Tell whether its refusal leaves the rest of its plan to go on: it stands beside the plan's purpose."""
        return False

    def undo(self, world: World, result: dict[str, Any]) -> None:
        """Take it back, naming explicitly what is put back.

        Raises:
            Transient, Permanent, Denied: Nothing was changed.
            Ambiguous: It may have taken effect.
        """
        raise NotImplementedError(self.no_undo)

    def probe_undo(self, world: World, result: dict[str, Any]) -> ProbeResult:
        """Read whether the effect is already taken back."""
        raise NotImplementedError(self.no_undo)

    def params(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return self.model_dump(mode="json")


E = TypeVar("E", bound=Effect)
_registry: dict[str, type[Effect]] = {}


def register(kind: str) -> Callable[[type[E]], type[E]]:
    """Enrol a subclass of :class:`Effect` under its name in the journal."""

    def enrol(effect: type[E]) -> type[E]:
        if kind in _registry:
            raise ValueError(f"two effects are called {kind}")
        effect.kind = kind
        _registry[kind] = effect
        return effect

    return enrol


def registered() -> dict[str, type[Effect]]:
    """Return every enrolled effect by its name."""
    return dict(_registry)


def load_effect(kind: str, params: dict[str, Any]) -> Effect:
    """Rebuild an effect from the journal.

    Raises:
        UsageError: This program does not know the kind: the ledger was written by another version.
    """
    if kind not in _registry:
        raise UsageError(
            f"The journal names an effect {kind!r} that this program does not know.",
            unchanged="Nothing was sent.",
            next_step="run the program version that planned it",
        )
    return _registry[kind].model_validate(params)
