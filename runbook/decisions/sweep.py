"""What the sweeper does about an open execution: a pure function of it and of its run's state (R4)."""

from datetime import datetime, timedelta
from enum import StrEnum

from runbook.models import Frozen


class RunState(StrEnum):
    """A flow run's state type, as Prefect names it, and *missing* where the run was deleted."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    FAILED = "FAILED"
    COMPLETED = "COMPLETED"
    MISSING = "MISSING"


class SweepAction(StrEnum):
    """What to do."""

    LEAVE = "leave"
    REVIVE = "revive"
    """Let Prefect run it again from the top; the ledger knows where it was."""
    RESUME = "resume"
    """Wake a suspended run, so that it ends or goes on by itself."""
    CANCEL = "cancel"
    """Undo what it confirmed; it was cancelled or taken away."""
    EXPIRE = "expire"
    """Its plan expired and its run is gone."""
    GIVE_UP = "give_up"
    """It was revived often enough: undo, and call a person."""


class SweepFacts(Frozen):
    """What is known of an open execution and its run.

    Args:
        run: The run's state.
        run_state_since: Since when.
        run_says: What the run said last, in Prefect's words: where it died, of what.
        process_dead: The process that carried it out is provably gone.
        heartbeat_at: When it last said that it is alive.
        revivals: How often the sweeper revived it.
        plan_expires_at: When its waiting plan expires; None where no plan waits.
    """

    run: RunState
    run_state_since: datetime
    process_dead: bool
    heartbeat_at: datetime
    revivals: int
    plan_expires_at: datetime | None
    run_says: str = ""


class SweepRules(Frozen):
    """The limits of reviving.

    Args:
        grace_seconds: How long a fresh end is left alone: a worker's late report would overwrite a revival.
        silent_seconds: Without a heartbeat for so long, a running run counts as dead.
        max_revivals: After so many, the execution is settled.
    """

    grace_seconds: float
    silent_seconds: float
    max_revivals: int


class SweepDecision(Frozen):
    """What to do and why."""

    action: SweepAction
    reason: str


def decide_sweep(facts: SweepFacts, *, rules: SweepRules, now: datetime) -> SweepDecision:
    """Decide what to do about one open execution.

    Args:
        facts: What is known.
        rules: The limits.
        now: The time.
    """
    expired = facts.plan_expires_at is not None and now >= facts.plan_expires_at
    match facts.run:
        case RunState.MISSING:
            return SweepDecision(action=SweepAction.CANCEL, reason="its run was deleted")
        case RunState.CANCELLED:
            return SweepDecision(action=SweepAction.CANCEL, reason="its run was cancelled")
        case RunState.COMPLETED:
            return SweepDecision(action=SweepAction.CANCEL, reason="its run was ended from outside")
        case RunState.PAUSED:
            if expired:
                return SweepDecision(action=SweepAction.RESUME, reason="its plan expired")
            if facts.plan_expires_at is None and (facts.process_dead or _silent(facts, rules, now)):
                # Somebody suspended it in Prefect while it was at work: no approval will ever wake it.
                return SweepDecision(action=SweepAction.RESUME, reason="sleeps, and no plan of it waits")
            return SweepDecision(action=SweepAction.LEAVE, reason="waits for approval")
        case RunState.CRASHED | RunState.FAILED:
            if expired:
                return SweepDecision(action=SweepAction.EXPIRE, reason="its plan expired")
            return _revive(facts, rules, now, since=facts.run_state_since, reason="its run died")
        case RunState.RUNNING | RunState.CANCELLING:
            if not (facts.process_dead or _silent(facts, rules, now)):
                return SweepDecision(action=SweepAction.LEAVE, reason="is at work")
            if facts.run is RunState.CANCELLING:
                return SweepDecision(action=SweepAction.CANCEL, reason="its run was cancelled and is gone")
            last_sign = max(facts.heartbeat_at, facts.run_state_since)
            return _revive(
                facts, rules, now, since=last_sign, reason="its process is gone and nobody said so"
            )
        case RunState.PENDING if now - facts.run_state_since >= timedelta(seconds=rules.silent_seconds):
            return _revive(
                facts, rules, now, since=facts.run_state_since, reason="its worker never started it"
            )
        case RunState.SCHEDULED | RunState.PENDING:
            return SweepDecision(action=SweepAction.LEAVE, reason="is about to run")


def _silent(facts: SweepFacts, rules: SweepRules, now: datetime) -> bool:
    return now - facts.heartbeat_at >= timedelta(seconds=rules.silent_seconds)


def _revive(
    facts: SweepFacts, rules: SweepRules, now: datetime, *, since: datetime, reason: str
) -> SweepDecision:
    if facts.revivals >= rules.max_revivals:
        said = f" ({facts.run_says})" if facts.run_says else ""
        return SweepDecision(
            action=SweepAction.GIVE_UP, reason=f"{reason}{said}, after {facts.revivals} revivals"
        )
    # Each revival waits twice as long as the one before: what is down may need time.
    wait = timedelta(seconds=rules.grace_seconds * 2**facts.revivals)
    if now - since < wait:
        return SweepDecision(action=SweepAction.LEAVE, reason=f"{reason}; left alone for a moment")
    return SweepDecision(action=SweepAction.REVIVE, reason=reason)
