"""Whether services stay well after a rollback, for as long as the policy wants (RB-07, RB-10, RB-11).

A service must be well, not merely better: its pods ready, its health endpoint answering, its restarts stable, its logs
without a failure that was not there before, its metrics within the policy's bounds. What only flickers is borne with
as often in a row as the policy says; a restart or a new failure in a log is not.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from runbook.decisions.metric_bounds import breach, increase
from runbook.models import Frozen
from runbook.policy.estate import MetricThreshold


class PodsSeen(Frozen):
    """A service's pods at one moment.

    Args:
        wanted: How many should be ready.
        ready: How many are.
        restarts: By pod: how often its containers were started again. A pod that was replaced takes its count along.
        reasons: Why containers wait or ended, each once.
    """

    wanted: int
    ready: int
    restarts: dict[str, int] = {}
    reasons: tuple[str, ...] = ()

    @property
    def total_restarts(self) -> int:
        """All pods' together."""
        return sum(self.restarts.values())


class HealthSeen(Frozen):
    """What a service's health endpoint said.

    Args:
        status: The HTTP status; None where there was no answer.
        error: Why there was none.
    """

    status: int | None
    error: str = ""

    @property
    def well(self) -> bool:
        """Whether that is an answer of the 200s."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return f"answers {self.status}" if self.status is not None else f"does not answer ({self.error})"


class Sample(Frozen):
    """One service at one moment.

    Args:
        at: When.
        pods: Its pods.
        health: What its health endpoint said; None where it was not asked.
        log_failures: Failures that the triage signatures find in its pods' logs, each once.
        figures: For each of the service's thresholds the figure, or None, from ``metric_bounds.read_metrics``; none
            at all where the metrics endpoint did not answer.
    """

    at: datetime
    pods: PodsSeen
    health: HealthSeen | None = None
    log_failures: tuple[str, ...] = ()
    figures: tuple[float | None, ...] = ()


class Watched(Frozen):
    """What one service is judged by.

    Args:
        service: Its name.
        soak_seconds: How long it must stay well.
        thresholds: The policy's bounds for its metrics.
        before: How it was before the rollback; None where it could not be looked at.
        samples: How it was since its rollout settled, oldest first.
    """

    service: str
    soak_seconds: float
    thresholds: tuple[MetricThreshold, ...] = ()
    before: Sample | None = None
    samples: tuple[Sample, ...]


class SoakState(StrEnum):
    """How the watching stands."""

    WELL_SO_FAR = "well_so_far"
    SOAKED = "soaked"
    NOT_WELL = "not_well"
    MENDED = "mended"
    """All that is not well was down before and is up: to put it back would bring the outage back."""


class Trouble(StrEnum):
    """Why a service is not well."""

    RESTARTS = "restarts"
    LOG_FAILURE = "log_failure"
    NOT_READY = "not_ready"
    HEALTH = "health"
    METRIC = "metric"


class SoakVerdict(Frozen):
    """How the watching stands, and why.

    Args:
        state: So far.
        reason: In words.
        watched_seconds: How long the service has been watched.
        trouble: What is not well; None where all is.
        worse_than_before: Whether it was well in that respect before the rollback, or nobody knows.
    """

    state: SoakState
    reason: str
    watched_seconds: float
    trouble: Trouble | None = None
    worse_than_before: bool = False


def judge_soak(watched: Watched, *, health_failures: int) -> SoakVerdict:
    """Say whether a service is well so far, has stayed so for long enough, or is not well.

    Args:
        watched: The service and its samples.
        health_failures: How many samples in a row may find its pods not ready, its health endpoint not well or a
            metric out of bounds.
    """
    if not watched.samples:
        return SoakVerdict(state=SoakState.WELL_SO_FAR, reason="not looked at yet", watched_seconds=0)
    first, last = watched.samples[0], watched.samples[-1]
    seconds = (last.at - first.at).total_seconds()
    found = _restarted(watched) or _new_log_failure(watched) or _flickering(watched, health_failures)
    ended = seconds >= watched.soak_seconds
    found = found or _rates(watched, seconds, ended=ended)
    if found is not None:
        trouble, reason = found
        worse = _was_well(watched, trouble)
        before = "" if worse else ", as before the rollback"
        return SoakVerdict(
            state=SoakState.NOT_WELL,
            reason=f"{watched.service}: {reason}{before}",
            watched_seconds=seconds,
            trouble=trouble,
            worse_than_before=worse,
        )
    # What flickers in the very last sample has not shown yet which way it goes.
    if ended and not any(_row(watched, of) for of in _FLICKERS):
        bad = sum(any(_bad(watched, sample, of) for of in _FLICKERS) for sample in watched.samples)
        flickered = f"; {bad} of {len(watched.samples)} looks found it not well" if bad else ""
        reason = f"{watched.service} stayed well for {seconds:.0f} s{flickered}"
        return SoakVerdict(state=SoakState.SOAKED, reason=reason, watched_seconds=seconds)
    reason = f"{watched.service} is well for {seconds:.0f} of {watched.soak_seconds:.0f} s"
    return SoakVerdict(state=SoakState.WELL_SO_FAR, reason=reason, watched_seconds=seconds)


def judge_set(watched: Sequence[Watched], *, health_failures: int) -> SoakVerdict:
    """Say of a whole set what holds for it: one service that is not well is enough, and all must have soaked.

    Args:
        watched: The services; at least one.
        health_failures: As for :func:`judge_soak`.
    """
    verdicts = [judge_soak(one, health_failures=health_failures) for one in watched]
    unwell = [
        (one, verdict)
        for one, verdict in zip(watched, verdicts, strict=True)
        if verdict.state is SoakState.NOT_WELL
    ]
    if unwell:
        to_put_back = [verdict for one, verdict in unwell if not _mended(one)]
        if to_put_back:
            return next((one for one in to_put_back if one.worse_than_before), to_put_back[0])
        # Whether another one gets worse is still to be seen.
        seen = max(verdict.watched_seconds for verdict in verdicts)
        ended = seen >= max(one.soak_seconds for one in watched)
        state = SoakState.MENDED if ended else SoakState.WELL_SO_FAR
        return unwell[0][1].model_copy(update={"state": state})
    waited_for = [one for one in verdicts if one.state is SoakState.WELL_SO_FAR]
    if waited_for:
        return min(waited_for, key=lambda one: one.watched_seconds)
    return verdicts[0].model_copy(update={"reason": "; ".join(one.reason for one in verdicts)})


def _restarted(watched: Watched) -> tuple[Trouble, str] | None:
    for earlier, later in pairwise(watched.samples):
        for pod, restarts in later.pods.restarts.items():
            if restarts > earlier.pods.restarts.get(pod, 0):
                why = f" ({', '.join(later.pods.reasons)})" if later.pods.reasons else ""
                return Trouble.RESTARTS, f"pod {pod} was restarted after its rollout had settled{why}"
    return None


def _new_log_failure(watched: Watched) -> tuple[Trouble, str] | None:
    known = set(watched.before.log_failures) if watched.before else set()
    for sample in watched.samples:
        new = [failure for failure in sample.log_failures if failure not in known]
        if new:
            return Trouble.LOG_FAILURE, f"its log has a failure that was not there before: {new[0]}"
    return None


# --- what may flicker ---


def _unready(watched: Watched, sample: Sample) -> str:
    # What an autoscaler adds meanwhile need not be ready at once.
    wanted = min(sample.pods.wanted, watched.samples[0].pods.wanted)
    if sample.pods.ready >= wanted:
        return ""
    why = f" ({', '.join(sample.pods.reasons)})" if sample.pods.reasons else ""
    return f"{sample.pods.ready} of {sample.pods.wanted} pods are ready{why}"


def _unwell(_watched: Watched, sample: Sample) -> str:
    return "" if sample.health is None or sample.health.well else f"its health endpoint {sample.health}"


def _out_of_bounds(watched: Watched, sample: Sample) -> str:
    for threshold, figure in zip(watched.thresholds, _figures(watched, sample), strict=True):
        if figure is None:
            return f"its metrics do not tell {threshold.name}"
        if not threshold.per_second and (said := breach(threshold, figure)):
            return said
    return ""


def _figures(watched: Watched, sample: Sample) -> tuple[float | None, ...]:
    return sample.figures or tuple(None for _ in watched.thresholds)


_FLICKERS = {Trouble.NOT_READY: _unready, Trouble.HEALTH: _unwell, Trouble.METRIC: _out_of_bounds}


def _bad(watched: Watched, sample: Sample, of: Trouble) -> str:
    return _FLICKERS[of](watched, sample)


def _row(watched: Watched, of: Trouble) -> int:
    """Count the samples in a row, up to the last, that are bad in one respect."""
    row = 0
    for sample in reversed(watched.samples):
        if not _bad(watched, sample, of):
            break
        row += 1
    return row


def _flickering(watched: Watched, borne: int) -> tuple[Trouble, str] | None:
    for of in _FLICKERS:
        row = 0
        for sample in watched.samples:
            said = _bad(watched, sample, of)
            row = row + 1 if said else 0
            if row > borne:
                times = f", {row} times in a row" if row > 1 else ""
                return of, f"{said}{times}"
    return None


# --- metrics ---


def _rates(watched: Watched, seconds: float, *, ended: bool) -> tuple[Trouble, str] | None:
    """Judge how fast counters grow: over the whole time, or before, once the bound cannot be kept any more."""
    for place, threshold in enumerate(watched.thresholds):
        if not threshold.per_second:
            continue
        grown = increase([_figures(watched, sample)[place] for sample in watched.samples])
        over = seconds if ended else watched.soak_seconds
        rate = grown / over if over else 0.0
        judged = threshold if ended else threshold.model_copy(update={"at_least": None})
        if said := breach(judged, rate, " a second"):
            return Trouble.METRIC, said
    return None


# --- before and after ---


def _was_well(watched: Watched, trouble: Trouble) -> bool:
    """Tell whether a service was well in one respect before the rollback; what nobody looked at counts as well."""
    before = watched.before
    if before is None:
        return True
    was_bad: dict[Trouble, Callable[[], bool]] = {
        Trouble.RESTARTS: lambda: before.pods.total_restarts > 0,
        Trouble.LOG_FAILURE: lambda: False,
        Trouble.NOT_READY: lambda: before.pods.ready < before.pods.wanted,
        Trouble.HEALTH: lambda: before.health is not None and not before.health.well,
        Trouble.METRIC: lambda: before.figures != () and _out_of_bounds(watched, before) != "",
    }
    return not was_bad[trouble]()


def _mended(watched: Watched) -> bool:
    """Tell whether a service was down before the rollback and is up since, whatever else is not well about it.

    To put it back would be an outage; a person is to look at the rest.

    Args:
        watched: The service and its samples.
    """
    return (
        watched.before is not None
        and not _up(watched.before)
        and bool(watched.samples)
        and _up(watched.samples[-1])
    )


def _up(sample: Sample) -> bool:
    return sample.pods.ready >= sample.pods.wanted and (sample.health is None or sample.health.well)


def compare(before: Sample | None, after: Sample) -> str:
    """Say in one line how a service was before and how it is now, for the report.

    Args:
        before: Before the rollback; None where it could not be looked at.
        after: Now.
    """
    return f"before: {_in_words(before) if before else 'not known'}; now: {_in_words(after)}"


def _in_words(sample: Sample) -> str:
    pods = sample.pods
    parts = [f"{pods.ready} of {pods.wanted} pods ready", f"{pods.total_restarts} restarts"]
    parts += [", ".join(pods.reasons)] if pods.reasons else []
    parts += [f"health endpoint {sample.health}"] if sample.health else []
    parts += [f"failures in its log: {', '.join(sample.log_failures)}"] if sample.log_failures else []
    return ", ".join(parts)
