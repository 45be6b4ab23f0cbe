"""May a plan be applied without a person (R11)? By the policy's class, within caps, and while nobody stopped it."""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from runbook.effects.actions_caches import DeleteCacheEntries, DeleteCacheEntry
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.effects import Effect
from runbook.models import Frozen, LabelEvent
from runbook.policy import Caps, Remedy, RemedyPolicy

_HARMLESS = (RerunFailedJobs, DeleteCacheEntries, DeleteCacheEntry)
"""Effects after which nothing is abnormal that somebody would have to put right: no exception ever (DESIGN)."""


class SwitchDecision(Frozen):
    """Whether the kill switch is thrown, and what that rests on."""

    stopped: bool
    reason: str


def decide_switch(
    events: Iterable[LabelEvent],
    *,
    label: str,
    labels: Sequence[str],
    may_release: Callable[[LabelEvent], bool],
) -> SwitchDecision:
    """Decide whether the switch is thrown: anyone may put the label on, only entitled people take it off.

    A label that somebody else took off still stops; so does one that is there and that no event tells of.

    Args:
        events: What happened to the labels of the switch's issue, oldest first.
        label: The switch's label; GitHub ignores case.
        labels: The issue's labels now.
        may_release: Whether whoever took it off may.
    """
    wanted = label.casefold()
    why = ""
    for event in events:
        if event.label.casefold() != wanted:
            continue
        if event.added:
            why = f"{event.login} put the label {label!r} on"
        elif why and may_release(event):
            why = ""
        elif why:
            why = (
                f"the label {label!r} was taken off by {event.login}, who may not release it: "
                "somebody entitled puts it on and takes it off again"
            )
    if not why and wanted in {name.casefold() for name in labels}:
        why = f"the label {label!r} is there"
    if why:
        return SwitchDecision(stopped=True, reason=f"the kill switch is thrown: {why}")
    return SwitchDecision(stopped=False, reason=f"nobody has put the label {label!r} on")


class NotAutomatic(StrEnum):
    """Why a plan needs a person although the policy lets its class be remedied without one."""

    OTHER_REQUESTER = "it was not triage that asked for it"
    OTHER_EFFECT = "it holds an effect that only a person may let happen"
    LIMIT_NOT_KNOWN = "nobody knows when the rate limit ends"
    TURNED_DOWN = "the same plan was turned down, or undone, before"
    FROM_PULL_REQUEST = "it would delete caches of other branches because of what a pull request's log says"
    DEPLOYS = "it would run a deployment again, whatever was deployed since"
    CAPPED = "as many remedies as the policy allows in 24 hours were applied without a person"


class AutomaticFacts(Frozen):
    """What the decision rests on, beside the policy.

    Args:
        by_triage: Whether triage itself made the plan.
        turned_down: Whether the same plan was rejected, or undone, before.
        from_pull_request: Whether the log that it rests on is a pull request's, written by code that nobody merged.
        deploys: Whether it runs a workflow again that deploys.
        reset_known: Whether it is known when a rate limit ends.
        used_today: For each of the plan's targets, how many remedies without a person it had in 24 hours.
    """

    by_triage: bool
    turned_down: bool
    from_pull_request: bool
    deploys: bool
    reset_known: bool
    used_today: dict[str, int]


class AutomaticDecision(Frozen):
    """Whether a plan needs no person, and why (not).

    ``targets`` and ``cap`` are what the gate counts once more as it lets the plan pass: others may pass beside it.
    ``reason`` is empty where the policy does not want it remedied without a person: nothing needs saying then.
    """

    automatic: bool
    reason: str
    targets: tuple[str, ...] = ()
    cap: int = 0


MANUAL = AutomaticDecision(automatic=False, reason="")


def decide_automatic(
    facts: AutomaticFacts,
    effects: Sequence[Effect],
    *,
    remedy: RemedyPolicy,
    caps: Caps,
    read_switch: Callable[[], SwitchDecision],
) -> AutomaticDecision:
    """Decide whether a plan may be applied without a person.

    Args:
        facts: What is known of the plan.
        effects: Its effects.
        remedy: What the policy says about its class of failure.
        caps: The policy's limits.
        read_switch: Reads the kill switch; asked last, where nothing else speaks against it.
    """
    if not remedy.automatic:
        return MANUAL
    waits = Remedy.WAIT_FOR_RATE_LIMIT_RESET in remedy.propose
    if not facts.by_triage:
        return _needs_person(NotAutomatic.OTHER_REQUESTER)
    if facts.turned_down:
        return _needs_person(NotAutomatic.TURNED_DOWN)
    if facts.from_pull_request and any(_deletes_of_others(effect) for effect in effects):
        return _needs_person(NotAutomatic.FROM_PULL_REQUEST)
    if facts.deploys:
        return _needs_person(NotAutomatic.DEPLOYS)
    if not all(isinstance(effect, _HARMLESS) for effect in effects):
        return _needs_person(NotAutomatic.OTHER_EFFECT)
    if waits and not facts.reset_known:
        return _needs_person(NotAutomatic.LIMIT_NOT_KNOWN)
    cap = caps.automatic_remedies_per_target_per_day
    spent = sorted(target for target, used in facts.used_today.items() if used >= cap)
    if spent:
        return _needs_person(f"{NotAutomatic.CAPPED} ({', '.join(spent)}: {cap})")
    switch = read_switch()
    if switch.stopped:
        return _needs_person(switch.reason)
    return AutomaticDecision(
        automatic=True,
        reason="the policy lets it be applied without a person",
        targets=tuple(sorted(facts.used_today)),
        cap=cap,
    )


def remedied_targets(effects: Iterable[Effect]) -> frozenset[str]:
    """Name what a plan remedies, as its cap counts it: workflows, not their single runs; and caches.

    Args:
        effects: The plan's effects.
    """
    return frozenset(
        f"workflow:{effect.repository}:{effect.workflow_file}"
        if isinstance(effect, RerunFailedJobs)
        else effect.target
        for effect in effects
    )


def _deletes_of_others(effect: Effect) -> bool:
    """Whether it deletes caches that not only pull requests restore from."""
    return isinstance(effect, DeleteCacheEntries | DeleteCacheEntry) and not effect.ref.startswith(
        "refs/pull/"
    )


def _needs_person(why: str) -> AutomaticDecision:
    return AutomaticDecision(automatic=False, reason=str(why))
