"""The artifacts of one failed attempt: which are read, and what they say."""

import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from glob import escape

from runbook.artifacts.archive import ArchiveLimits, spooled
from runbook.artifacts.findings import Findings, joined
from runbook.artifacts.reading import read_archive
from runbook.clients.github_client import GitHubClient
from runbook.errors import Denied, Permanent, Transient
from runbook.models import Artifact, Frozen, WorkflowRun

MOST_ARTIFACTS = 8
"""Artifacts of one run that are downloaded."""

USUAL_NAMES = re.compile(
    r"(?i)junit|(?:test|pytest|jest|surefire|xunit|vitest|unit|e2e)[\w. -]*(?:results?|reports?)"
    r"|(?:results?|reports?)[\w. -]*test|coverage|lcov|sarif|trivy|(?:pip|npm)[-_. ]?audit|\baudit|vulnerabilit"
    r"|(?:security|scan)[\w. -]*(?:results?|reports?)"
)
"""What workflows call the artifacts that hold reports, where the policy names none."""

MOST_SECONDS = 60.0
"""Time for all reports of a run: who writes them to be slow to read must not hold the triage up."""

_CLOCKS_DIFFER = timedelta(minutes=1)


class Choice(Frozen):
    """The artifacts to read, and why others that look like reports are not."""

    chosen: tuple[Artifact, ...]
    notes: tuple[str, ...]


def choose_artifacts(
    artifacts: Sequence[Artifact], run: WorkflowRun, *, wanted: tuple[str, ...], limits: ArchiveLimits
) -> Choice:
    """Choose what is read of a run's artifacts.

    Args:
        artifacts: Those of all its attempts.
        run: The attempt that failed.
        wanted: Names or globs from the policy; the usual names where it has none.
        limits: A larger one is not read.
    """
    named = [one for one in artifacts if _wanted(one.name, wanted) and _made_by(one, run)]
    newest = list({one.name: one for one in sorted(named, key=lambda one: one.id)}.values())
    notes: list[str] = []
    chosen: list[Artifact] = []
    for one in newest:
        if one.expired:
            notes.append(f"artifact {one.name} has expired")
        elif one.size_in_bytes > limits.bytes:
            notes.append(f"artifact {one.name} was not read: it is larger than {limits.bytes // 1024**2} MiB")
        else:
            chosen.append(one)
    if len(chosen) > MOST_ARTIFACTS:
        notes.append(f"{len(chosen) - MOST_ARTIFACTS} more artifacts were not read")
    return Choice(chosen=tuple(chosen[:MOST_ARTIFACTS]), notes=tuple(notes))


def read_artifacts(
    github: GitHubClient,
    run: WorkflowRun,
    *,
    wanted: tuple[str, ...],
    report: Callable[[str], None],
    limits: ArchiveLimits | None = None,
) -> Findings:
    """Read the reports that an attempt left (IR-03); what cannot be read is noted, never fatal.

    Args:
        github: Who reads.
        run: The attempt that failed.
        wanted: Names or globs of its artifacts; the usual names where empty.
        report: Told each artifact's name before it is downloaded.
        limits: How much of each is read.
    """
    limits = limits or ArchiveLimits()
    try:
        listed = github.list_artifacts(run.repository, run.id)
    except (Denied, Permanent, Transient) as error:
        note = f"the run's artifacts could not be listed: {error.message}"
        return Findings(notes=(note,), incomplete=_passes(error))
    choice = choose_artifacts(listed, run, wanted=wanted, limits=limits)
    parts = [Findings(notes=choice.notes)]
    until = time.monotonic() + MOST_SECONDS  # the processor's time, which no virtual clock shortens
    for number, one in enumerate(choice.chosen):
        if time.monotonic() > until:
            left = len(choice.chosen) - number
            note = f"{left} more artifacts were not read: it took too long"
            parts.append(Findings(notes=(note,), incomplete=True))
            break
        report(one.name)
        parts.append(_read(github, run, one, limits, in_time=lambda: time.monotonic() <= until))
    return joined(parts)


def with_coverage_before(github: GitHubClient, run: WorkflowRun, findings: Findings) -> Findings:
    """Compare an attempt's coverage with that of the last green run of its branch; nothing is read without any.

    Args:
        github: Who reads.
        run: The attempt that failed.
        findings: What its reports say.
    """
    if not findings.coverage:
        return findings
    try:
        green = github.green_run_before(run)
    except (Denied, Permanent, Transient) as error:
        note = f"the coverage before could not be looked for: {error.message}"
        return findings.model_copy(update={"notes": (*findings.notes, note)})
    if green is None:
        return findings
    artifacts = tuple(dict.fromkeys(escape(one.report.partition("/")[0]) for one in findings.coverage))
    before = read_artifacts(github, green, wanted=artifacts, report=lambda _name: None)
    known = {one.report: one.line_percent for one in before.coverage}
    compared = tuple(
        one.model_copy(update={"before_percent": known.get(one.report)}) for one in findings.coverage
    )
    return findings.model_copy(update={"coverage": compared})


def _read(
    github: GitHubClient,
    run: WorkflowRun,
    one: Artifact,
    limits: ArchiveLimits,
    *,
    in_time: Callable[[], bool],
) -> Findings:
    try:
        with spooled(github.stream_artifact(run.repository, one.id, largest_bytes=limits.bytes)) as file:
            found = read_archive(file, one.name, limits=limits, in_time=in_time)
            return found if in_time() else found.model_copy(update={"incomplete": True})
    except (Denied, Permanent, Transient) as error:
        # The logs were read already: what the reports would add is not worth a failed triage.
        note = f"artifact {one.name} was not read: {error.message}"
        return Findings(notes=(note,), incomplete=_passes(error))


def _passes(error: Denied | Permanent | Transient) -> bool:
    """Whether asking again later may well be answered."""
    return isinstance(error, Transient)


def _wanted(name: str, wanted: tuple[str, ...]) -> bool:
    if wanted:
        return any(fnmatchcase(name, pattern) for pattern in wanted)
    return USUAL_NAMES.search(name) is not None


def _made_by(one: Artifact, run: WorkflowRun) -> bool:
    """Whether this attempt made it: GitHub lists those of all attempts, and an earlier one's tests are old news."""
    if one.created_at is None:
        return True
    ended = run.updated_at + _CLOCKS_DIFFER if run.status == "completed" else None
    return run.run_started_at - _CLOCKS_DIFFER <= one.created_at and (
        ended is None or one.created_at <= ended
    )
