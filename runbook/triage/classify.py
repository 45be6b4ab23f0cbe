"""What failed, how surely, by which line: the verdict of triage over the scans of one or several job logs."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pydantic import Field

from runbook.models import Frozen
from runbook.scrub import scrub
from runbook.triage import wording
from runbook.triage.catalogue import Catalogue
from runbook.triage.classes import FailureClass
from runbook.triage.deciding import Guess, Verdict, decide_job
from runbook.triage.jobs import JobLog, Step, jobs_of
from runbook.triage.logs import LogSource
from runbook.triage.scan import Hit, Scan, scan

ANNOUNCED_FROM = 0.5
"""A class is announced from this confidence on; below it the answer is *unknown*, with the guesses named."""

SHOWN_CHARACTERS = 400
"""Longest text of one line of evidence."""

MAX_EVIDENCE = 12
_QUOTED_CHARACTERS = 160


class EvidenceLine(Frozen):
    """One line of a log; 1-based, its text without time stamp and ANSI, scrubbed, cut to a readable length."""

    file: str
    line: int
    text: str


class Classification(Frozen):
    """What the logs of one attempt say.

    Args:
        failure_class: What kind of failure it is; *unknown* and *passing* are answers too.
        confidence: How sure that is, 0 to 1.
        first_cause: The line from which the rest follows; None where none can be named.
        evidence: The lines that the class rests on, in the order of the log.
        summary: What happened, in a sentence.
        proposal: What to do, in a sentence.
        cache_keys: Keys of the caches that the failed job restored; those of the broken one where it is known.
        fingerprint: The same for the same failure, whatever the numbers, hashes and paths in its text.
        failing_step: The step that failed, as far as the log names it; "" otherwise.
        exit_code: With which its process ended; None where the log does not say.
        rate_limit_reset_at: When a limit ends, where the log names the time.
    """

    failure_class: FailureClass
    confidence: float = Field(ge=0, le=1)
    first_cause: EvidenceLine | None
    evidence: tuple[EvidenceLine, ...]
    summary: str
    proposal: str
    cache_keys: tuple[str, ...]
    fingerprint: str
    failing_step: str
    exit_code: int | None
    rate_limit_reset_at: datetime | None = None


def classify(
    sources: Iterable[LogSource], *, catalogue: Catalogue, failing_steps: tuple[str, ...] = ()
) -> Classification:
    """Read logs once each and say what failed.

    Args:
        sources: The logs, in bounded memory.
        catalogue: The signatures.
        failing_steps: Names of the steps that the API says failed.

    Raises:
        NotText: One of them is no log.
        RunbookError: The sources' own errors (gone, broken, too long).
    """
    return classify_scans([scan(source, catalogue) for source in sources], failing_steps=failing_steps)


def classify_scans(scans: Sequence[Scan], *, failing_steps: tuple[str, ...] = ()) -> Classification:
    """Say what failed: a pure function of the hits.

    Args:
        scans: One per log; of several failed jobs, the surest and earliest decides.
        failing_steps: Names of the steps that the API says failed.
    """
    verdicts = [decide_job(job, failing_steps) for one in scans for job in jobs_of(one)]
    failed = [verdict for verdict in verdicts if verdict.failed]
    if not failed:
        return _unexplained(failing_steps) if failing_steps or not scans else _passing()
    verdict = min(failed, key=_precedence)
    best = verdict.best
    if best is None or best.score < ANNOUNCED_FROM:
        return _unknown(verdict)
    return _announced(verdict, best)


def _precedence(verdict: Verdict) -> tuple[int, float]:
    """Order the failed jobs: a cancelled one follows another's failure, an unknown one explains nothing."""
    best = verdict.best
    if best is None or best.score < ANNOUNCED_FROM:
        return 2, 0.0
    return int(best.failure_class is FailureClass.CANCELLED), -best.score


def _announced(verdict: Verdict, best: Guess) -> Classification:
    first = best.first
    step = verdict.step
    cause = _shown(verdict.job, first)
    return Classification(
        failure_class=best.failure_class,
        confidence=round(min(best.score, 0.99), 2),
        first_cause=cause,
        evidence=_evidence(verdict, best),
        summary=_sentence(best.failure_class, verdict, cause),
        proposal=first.signature.proposal or wording.PROPOSAL[best.failure_class],
        cache_keys=_cache_keys(verdict.job, best),
        fingerprint=_fingerprint(best.failure_class, cause.text),
        failing_step=step.name if step else "",
        exit_code=step.exit_code if step else None,
        rate_limit_reset_at=_reset_at(best) if best.failure_class is FailureClass.RATE_LIMIT else None,
    )


def _unknown(verdict: Verdict) -> Classification:
    step = verdict.step
    guesses = [f"{g.failure_class.replace('_', ' ')} ({g.score:.0%})" for g in verdict.guesses[:3]]
    summary = f"{wording.WHAT[FailureClass.UNKNOWN]}{_where(verdict.job, step)}."
    if guesses:
        summary += f" Best guesses: {', '.join(guesses)}."
    best = verdict.best
    return Classification(
        failure_class=FailureClass.UNKNOWN,
        confidence=round(best.score, 2) if best else 0.0,
        first_cause=None,
        evidence=_evidence(verdict, best),
        summary=scrub(summary),
        proposal=wording.PROPOSAL[FailureClass.UNKNOWN],
        cache_keys=_cache_keys(verdict.job, best),
        fingerprint=_fingerprint(FailureClass.UNKNOWN, step.name if step else ""),
        failing_step=step.name if step else "",
        exit_code=step.exit_code if step else None,
    )


def classify_without_log(
    failure_class: FailureClass, confidence: float, *, summary: str, proposal: str, failing_step: str = ""
) -> Classification:
    """Say what failed where no line of a log does.

    Args:
        failure_class: What kind of failure it is.
        confidence: How sure that is, 0 to 1.
        summary: What happened, in a sentence.
        proposal: What to do, in a sentence.
        failing_step: The step that failed, if it is known.
    """
    return Classification(
        failure_class=failure_class,
        confidence=confidence,
        first_cause=None,
        evidence=(),
        summary=scrub(summary),
        proposal=proposal,
        cache_keys=(),
        fingerprint=_fingerprint(failure_class, failing_step),
        failing_step=failing_step,
        exit_code=None,
    )


def _unexplained(failing_steps: tuple[str, ...]) -> Classification:
    """What failed left no trace in the logs, or there is no log."""
    step = failing_steps[0] if failing_steps else ""
    return classify_without_log(
        FailureClass.UNKNOWN,
        0.0,
        summary=f"{wording.WHAT[FailureClass.UNKNOWN]}{f' of step {step!r}' if step else ''}.",
        proposal=wording.PROPOSAL[FailureClass.UNKNOWN],
        failing_step=step,
    )


def _passing() -> Classification:
    return classify_without_log(
        FailureClass.PASSING,
        0.9,
        summary=f"{wording.WHAT[FailureClass.PASSING]}.",
        proposal=wording.PROPOSAL[FailureClass.PASSING],
    )


def _sentence(failure_class: FailureClass, verdict: Verdict, cause: EvidenceLine) -> str:
    quoted = " ".join(cause.text.split())
    if len(quoted) > _QUOTED_CHARACTERS:
        quoted = quoted[: _QUOTED_CHARACTERS - 1] + "…"
    return f"{wording.WHAT[failure_class]}{scrub(_where(verdict.job, verdict.step))}: {quoted}"


def _where(job: JobLog, step: Step | None) -> str:
    parts = [
        f" in step {step.name!r}" if step and step.name else "",
        f" of job {job.name!r}" if job.name else "",
    ]
    if step and step.exit_code is not None:
        parts.append(f" (exit code {step.exit_code})")
    return "".join(parts)


def _evidence(verdict: Verdict, best: Guess | None) -> tuple[EvidenceLine, ...]:
    if best is None:
        hits = [hit for hit in verdict.step.hits if hit.loud][:MAX_EVIDENCE] if verdict.step else []
    else:
        hits = _most_telling(best)
    seen = {hit.line: hit for hit in hits}
    return tuple(_shown(verdict.job, seen[line]) for line in sorted(seen))


def _most_telling(best: Guess) -> list[Hit]:
    """Return the cause and, of each signature, the first lines; then as many more as may be shown."""
    chosen = [best.first]
    counts: dict[str, int] = {}
    for hit in best.hits:
        counts[hit.signature.id] = counts.get(hit.signature.id, 0) + 1
        if counts[hit.signature.id] <= 3:
            chosen.append(hit)
    return chosen[:MAX_EVIDENCE]


def _shown(job: JobLog, hit: Hit) -> EvidenceLine:
    text = scrub(hit.text)
    if len(text) > SHOWN_CHARACTERS:
        text = text[: SHOWN_CHARACTERS - 1] + "…"
    return EvidenceLine(file=job.file, line=hit.line, text=text)


def _cache_keys(job: JobLog, best: Guess | None) -> tuple[str, ...]:
    """Return the restored keys: of the step that showed a broken cache, else the failing tool's, else all."""
    restored = _keys(job.hits, "cache.hit", "cache.restored")
    if best is None or best.failure_class is not FailureClass.CACHE_CORRUPTION:
        return restored
    first = best.first
    for step in job.steps:
        if first in step.hits:
            own = _keys(step.hits, "cache.hit", "cache.restored") or _keys(step.hits, "cache.wanted")
            if own:
                return own
    tool = first.signature.id.partition(".")[0]
    return tuple(key for key in restored if tool in key.casefold()) or restored


def _keys(hits: Iterable[Hit], *ids: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(hit.value for hit in hits if hit.signature.id in ids and hit.value))


_RESET = re.compile(
    r"(?i)\b(?:reset|retry|try again|available)\w*\b.{0,40}?"
    r"(?P<at>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d+)?(?: ?(?:UTC|Z|\+00:?00))"
)


def _reset_at(best: Guess) -> datetime | None:
    for hit in best.hits:
        if found := _RESET.search(hit.text):
            try:
                return datetime.fromisoformat(found["at"].replace(" ", "T")).replace(tzinfo=UTC)
            except ValueError:
                continue
    return None


_MASKS = (
    (re.compile(r"https?://\S+"), "URL"),
    (re.compile(r"\b0x[0-9a-fA-F]+"), "HEX"),
    (re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+){2,}[\\/]?"), "PATH"),
    (re.compile(r"\b[0-9a-fA-F-]*(?:[0-9][a-fA-F]|[a-fA-F][0-9])[0-9a-fA-F-]{5,}\b"), "HEX"),
    (re.compile(r"\d+(?:\.\d+)*"), "N"),
    (re.compile(r"\s+"), " "),
)


def masked(cause: str) -> str:
    """Return a line without what differs each time it is printed: times, numbers, paths, digests."""
    for pattern, name in _MASKS:
        cause = pattern.sub(name, cause)
    return cause.strip()


def _fingerprint(failure_class: FailureClass, cause: str) -> str:
    return hashlib.sha256(f"{failure_class}\n{masked(cause)}".encode("utf-8", "replace")).hexdigest()[:32]
