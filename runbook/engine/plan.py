"""Plans: the frozen, ordered list of effects a procedure intends, and its digest."""

from datetime import datetime
from typing import Any

from pydantic import field_validator

from runbook.canonical import digest
from runbook.engine.effects import Effect, EffectClass, load_effect
from runbook.models import Frozen


class PlannedEffect(Frozen):
    """One effect as data: what the journal and the digest hold."""

    kind: str
    effect_class: EffectClass
    target: str
    params: dict[str, Any]

    @classmethod
    def of(cls, effect: Effect) -> "PlannedEffect":
        """Freeze an effect."""
        return cls(
            kind=effect.kind,
            effect_class=effect.effect_class,
            target=effect.target,
            params=effect.params(),
        )

    def load(self) -> Effect:
        """Rebuild the effect."""
        return load_effect(self.kind, self.params)


class Plan(Frozen):
    """What a procedure intends, and nothing that changes by itself.

    The facts an effect was planned on (the attempt, the cache's key) are among its parameters, so the digest
    covers preconditions too.
    """

    procedure: str
    repository: str
    effects: tuple[PlannedEffect, ...]

    @field_validator("effects")
    @classmethod
    def _not_empty(cls, effects: tuple[PlannedEffect, ...]) -> tuple[PlannedEffect, ...]:
        if not effects:
            raise ValueError("a plan without effects is not a plan")
        return effects

    @classmethod
    def of(cls, *, procedure: str, repository: str, effects: list[Effect]) -> "Plan":
        """Freeze effects, in the order in which they will be applied."""
        return cls(
            procedure=procedure,
            repository=repository,
            effects=tuple(PlannedEffect.of(effect) for effect in effects),
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """Everything it acts on, sorted."""
        return tuple(sorted({effect.target for effect in self.effects}))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return digest({**self.model_dump(mode="json"), "targets": list(self.targets)})


class Table(Frozen):
    """A table that people review: every cell is text from outside until it is rendered."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class PlanView(Frozen):
    """What a plan shows beside its effects; prose and counts, outside the digest.

    ``remedy`` names the kind of remedy for the scorecard (``clear_implicated_caches+rerun_failed_jobs``),
    ``not_before`` is when the rate limit ends that it waits for, approved or not; None where it waits for none.
    ``before`` is what verification compares with: the world as it was when this was planned; not shown.
    ``from_pull_request`` says that it rests on the log of a pull request, whose code nobody merged.
    """

    title: str
    why: str
    remedy: str
    failure_class: str = ""
    blast_radius: str
    if_nobody_acts: str
    history: str = ""
    not_before: datetime | None = None
    from_pull_request: bool = False
    tables: tuple[Table, ...] = ()
    before: dict[str, Any] = {}
