"""Which class of failure a step's hits speak for, how surely, and which line came first. Pure.

Each class gathers what its signatures weigh; a step's purpose and the order of the lines settle what could be
either. Then the first line of the winning class, not the loudest, is the cause.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from runbook.triage.catalogue import Role
from runbook.triage.classes import FailureClass
from runbook.triage.jobs import Failing, JobLog, Step, parse_time
from runbook.triage.scan import Hit

ECHO_SHARE = 0.6
"""How much of its weight a line counts that only repeats."""

INTENT_SHARE = 0.45
"""How much of what a class lacks to certainty its step's purpose adds."""

ELSEWHERE_SHARE = 0.75
"""How much a line counts that stands in another step than the one that failed."""

CAUSE_SLACK = 0.25
"""A first cause may weigh so much less than the heaviest line of its class."""

OUTPUT_SHARE = 0.5
"""How much a line counts that a program under test may have printed: its runner says that tests failed."""

SURE_FROM = 0.82
TESTED_SHARE = 0.6
"""How much a less sure sign from outside counts in a step that tests: refusals are what programs are tested for."""

WEAK_BELOW = 0.7
FAR_LINES = 400
FAR_SHARE = 0.5
"""A weak line counts so much where the step went on for so many lines after it."""

MAX_FAILED_STEPS = 20
"""Failed steps that are looked into: a job ends with its first one, unless its log was made to say otherwise."""

OUTSIDE_LINES = 8
"""So near to a resolver's first complaint, what kept it from its registry is the reason, not the requirement."""

_OUTSIDE = (
    FailureClass.INFRASTRUCTURE,
    FailureClass.RATE_LIMIT,
    FailureClass.AUTHENTICATION_OR_SECRET,
    FailureClass.PERMISSION,
)
_OUTSIDE_FROM = 0.6

_LIMIT_STEP_SECONDS = 300.0
_LIMIT_SLACK_SECONDS = (-2.0, 20.0)

_TOLD_BY_RUNNER = ("runner.", "travis.", "actions.")
_NO_TESTS_OUTPUT = (*_TOLD_BY_RUNNER, "machine.", "go.test-timeout")


@dataclass(frozen=True, slots=True)
class Guess:
    """One class that a step may have failed with."""

    failure_class: FailureClass
    score: float
    hits: tuple[Hit, ...]

    @property
    def first(self) -> Hit:
        """The first line that names the cause; where none does, the first verdict or echo."""
        return _first(self.hits)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one job's log says."""

    job: JobLog
    step: Step | None
    guesses: tuple[Guess, ...]

    @property
    def best(self) -> Guess | None:
        """The guess with the most weight."""
        return self.guesses[0] if self.guesses else None

    @property
    def failed(self) -> bool:
        """Whether anything of the job is known to have failed."""
        return self.step is not None or bool(self.guesses)


def decide_job(job: JobLog, failing_steps: Iterable[str]) -> Verdict:
    """Decide what failed a job.

    Args:
        job: Its hits, by step.
        failing_steps: Names of steps known to have failed.
    """
    failed = job.failed_steps(failing_steps)
    if not failed:
        return _without_failed_step(job)
    # Of several failed steps the first is the cause, unless nothing is known about it.
    verdicts = (Verdict(job, step, _guesses(job, step)) for step in failed[:MAX_FAILED_STEPS])
    first = next(verdicts)
    return next((one for one in chain((first,), verdicts) if one.best and one.best.score >= 0.5), first)


def _without_failed_step(job: JobLog) -> Verdict:
    signs = [hit for step in job.steps for hit in step.signs]
    if job.complete or job.ended_well:
        flaky = [
            h for h in signs if _class(h) is FailureClass.FLAKY_TEST and h.signature.role is Role.VERDICT
        ]
        return Verdict(job, None, weigh(flaky, intents=frozenset()))
    # A piece of a log: nothing says that it failed but the lines themselves, so only strong ones count.
    guesses = _for_an_outside_reason(weigh(signs, intents=frozenset()))
    return Verdict(job, None, guesses if guesses and guesses[0].score >= 0.6 else ())


def _guesses(job: JobLog, step: Step) -> tuple[Guess, ...]:
    intents = step.intents
    inside = (
        ()
        if step.post and step.failing is Failing.EXIT
        else weigh(step.signs, intents=intents, end_line=step.end_line)
    )
    if step.failing is Failing.RUNNER and inside:
        inside = _ended_by_runner(job, inside)
    inside = _for_an_outside_reason(inside)
    if inside and inside[0].score >= 0.5:
        return tuple(_reaching_back(job, step, guess) for guess in inside)
    before = [h for s in job.steps for h in s.signs if not s.post and h.line <= step.end_line]
    return weigh(before, intents=intents, end_line=step.end_line, share=ELSEWHERE_SHARE) or inside


def weigh(
    hits: Sequence[Hit], *, intents: Collection[object], end_line: int = 0, share: float = 1.0
) -> tuple[Guess, ...]:
    """Gather the hits by class, the heaviest class first.

    Args:
        hits: Hits that speak for classes.
        intents: Classes that the step is there to find.
        end_line: Where the step failed; 0 where that is not known.
        share: What each hit counts, at most 1.
    """
    tested = any(_class(h) is FailureClass.TEST_FAILURE and h.signature.role is Role.VERDICT for h in hits)
    tests = FailureClass.TEST_FAILURE in intents
    weights: dict[FailureClass, dict[str, float]] = {}
    for hit in hits:
        weight = hit.signature.weight * share
        if hit.signature.role is Role.ECHO:
            weight *= ECHO_SHARE
        if weight < WEAK_BELOW and end_line - hit.line > FAR_LINES:
            weight *= FAR_SHARE
        if _may_be_output(hit):
            if tested:
                weight *= OUTPUT_SHARE
            elif tests and hit.signature.weight < SURE_FROM and _class(hit) in _OUTSIDE:
                weight *= TESTED_SHARE
        own = weights.setdefault(_class(hit), {})
        own[hit.signature.id] = max(own.get(hit.signature.id, 0.0), weight)
    guesses = []
    for failure_class, own in weights.items():
        doubt = 1.0
        for weight in own.values():
            doubt *= 1 - weight
        if failure_class in intents:
            doubt *= 1 - INTENT_SHARE
        guesses.append(Guess(failure_class, 1 - doubt, tuple(h for h in hits if _class(h) is failure_class)))
    return tuple(sorted(guesses, key=lambda guess: (-guess.score, guess.first.line)))


def _may_be_output(hit: Hit) -> bool:
    return _class(hit) not in (
        FailureClass.TEST_FAILURE,
        FailureClass.FLAKY_TEST,
    ) and not hit.signature.id.startswith(_NO_TESTS_OUTPUT)


def _class(hit: Hit) -> FailureClass:
    return hit.signature.failure_class or FailureClass.UNKNOWN


def _first(hits: Sequence[Hit]) -> Hit:
    for role in (Role.CAUSE, Role.VERDICT, Role.ECHO):
        own = [hit for hit in hits if hit.signature.role is role]
        if own:
            heaviest = max(hit.signature.weight for hit in own)
            return next(hit for hit in own if hit.signature.weight >= heaviest - CAUSE_SLACK)
    raise ValueError("a guess has at least one hit")


def _reaching_back(job: JobLog, step: Step, guess: Guess) -> Guess:
    """Let an earlier step name the cause, where the job went on in spite of it.

    A broken cache shows first where it was restored; a step that may fail says first what ends a later one.
    """
    cause = guess.first
    earlier = tuple(
        hit
        for other in job.steps
        for hit in other.signs
        if hit.line < step.hits[0].line
        and _class(hit) is guess.failure_class
        and (
            guess.failure_class is FailureClass.CACHE_CORRUPTION
            or (hit.signature is cause.signature and hit.text == cause.text)
        )
    )
    return Guess(guess.failure_class, guess.score, earlier + guess.hits)


def _for_an_outside_reason(guesses: tuple[Guess, ...]) -> tuple[Guess, ...]:
    """Prefer what kept a resolver from its registry to what the resolver concluded from it.

    "No matching distribution" after a time-out, "could not resolve" because of a 503 or a 401: the requirement is
    as good as it was yesterday.
    """
    if not guesses or guesses[0].failure_class is not FailureClass.DEPENDENCY_RESOLUTION:
        return guesses
    concluded = guesses[0]
    near_lines = {
        line
        for hit in concluded.hits
        if hit.signature.role is not Role.ECHO
        for line in range(hit.line - OUTSIDE_LINES, hit.line + OUTSIDE_LINES + 1)
    }
    for guess in guesses[1:]:
        near = tuple(
            hit for hit in guess.hits if hit.signature.weight >= _OUTSIDE_FROM and hit.line in near_lines
        )
        if guess.failure_class in _OUTSIDE and near:
            reason = Guess(guess.failure_class, max(guess.score, concluded.score), near)
            return (reason, *(other for other in guesses if other is not guess))
    return guesses


def _ended_by_runner(job: JobLog, guesses: tuple[Guess, ...]) -> tuple[Guess, ...]:
    """Tell a time limit from somebody's cancelling, and a failure that came before the latter."""
    for guess in guesses:
        if guess.failure_class is FailureClass.TIMEOUT and _told_by_runner(guess):
            return (guess, *(other for other in guesses if other is not guess))
    told = next((guess for guess in guesses if guess.failure_class is FailureClass.CANCELLED), None)
    if told is None:
        return guesses
    others = tuple(guess for guess in guesses if guess is not told)
    failed_before = tuple(g for g in others if any(h.signature.role is Role.VERDICT for h in g.hits))
    if _at_a_limit(job, told.first):
        return (*failed_before, Guess(FailureClass.TIMEOUT, 0.75, told.hits), told)
    failed_before = failed_before or tuple(g for g in others if g.score >= 0.8)
    return (*failed_before, told)


def _told_by_runner(guess: Guess) -> bool:
    return any(
        hit.signature.id.startswith(_TOLD_BY_RUNNER) and hit.signature.weight >= 0.9 for hit in guess.hits
    )


def _at_a_limit(job: JobLog, hit: Hit) -> bool:
    """Whether a job was cancelled just when whole five minutes had passed since its first line.

    GitHub's words are the same for ``timeout-minutes`` and for a person's click; limits are round numbers, and
    the runner is told within seconds.
    """
    ended: datetime | None = parse_time(hit.at)
    if ended is None or job.began_at is None:
        return False
    seconds = (ended - job.began_at).total_seconds()
    early, late = _LIMIT_SLACK_SECONDS
    beyond = (seconds - early) % _LIMIT_STEP_SECONDS
    return seconds >= _LIMIT_STEP_SECONDS + early and beyond <= late - early
