"""From the hits of a scan to jobs and their steps, and which of them failed: pure functions of the hits."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import groupby

from runbook.triage.catalogue import Role
from runbook.triage.intents import intents_of
from runbook.triage.scan import Hit, Scan

UNNAMED_STEP = "UNKNOWN STEP"
"""What ``gh run view --log`` prints where it cannot tell the step."""

NAME_CHARACTERS = 200
"""Longest name of a step that is read of a log: whoever wrote the log decides how long it is."""

_WENT_ON_STEPS = 3
_COMPARED_CHARACTERS = 150
# What jobs do after a failure as well (if: always()).
_AFTERWARDS = re.compile(
    r"(?i)upload|report|summar|publish|comment|notif|slack|discord|teams|clean|stop|down\b|logout|logs?\b|dump"
    r"|artifact|codecov|coverage|tear|archive|debug|collect|print|show|save|status|result|always|fail|post\b"
    r"|echo|complete job|delete|remove|kill|cat "
)
_TRAVIS_AFTERWARDS = ("after_failure", "after_success", "after_script", "after_deploy")


class Failing(Enum):
    """How a step is known to have failed, the surest first."""

    EXIT = 0
    """Its process ended with a code other than zero."""
    RUNNER = 1
    """The runner ended it: cancelled, out of time, lost."""
    LOUD = 2
    """It printed an error annotation, as an action does that fails (and a problem matcher that does not)."""
    NO = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a job's log between two beginnings of steps, with the hits on it."""

    name: str
    post: bool
    hits: tuple[Hit, ...]
    failing: Failing
    exit_code: int | None

    @property
    def signs(self) -> tuple[Hit, ...]:
        """The hits that speak for a class, without those on the step's own script and inputs.

        The runner prints these in a group before it starts: what a script may say is not what it said.
        """
        begin, end = self._script_lines()
        return tuple(hit for hit in self.hits if not hit.signature.is_marker and not begin <= hit.line <= end)

    @property
    def end_line(self) -> int:
        """The line on which it is known to have failed; its last hit where it is not."""
        for hit in self.hits:
            if hit.signature.id.startswith("step.exit"):
                return hit.line
        return max((hit.line for hit in self.hits if hit.loud), default=self.hits[-1].line)

    def _script_lines(self) -> tuple[int, int]:
        begun = [hit.line for hit in self.hits if hit.signature.id == "step.begin"]
        ended = [hit.line for hit in self.hits if begun and hit.signature.id == "group.end"]
        return (begun[0], ended[0]) if begun and ended else (0, -1)

    @property
    def intents(self) -> frozenset[object]:
        """What the step is there to find, by its name."""
        return frozenset(intents_of(self.name))


@dataclass(frozen=True, slots=True)
class JobLog:
    """One job's part of one log."""

    file: str
    name: str
    steps: tuple[Step, ...]
    began_at: datetime | None
    complete: bool
    ended_well: bool

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All of the job's hits, by line."""
        return tuple(hit for step in self.steps for hit in step.hits)

    def failed_steps(self, names: Iterable[str] = ()) -> tuple[Step, ...]:
        """Return the steps that failed: those that ``names`` names, else the surest kind there is, in order.

        Args:
            names: Steps known (from the API) to have failed, of this job or of others.
        """
        failing = [step for step in self.steps if step.failing is not Failing.NO and not self.ended_well]
        wanted = {_plain(name) for name in names}
        named = [step for step in failing or self.steps if step.name and _plain(step.name) in wanted]
        if named:
            return tuple(named)
        final = self._not_gone_on_after(failing)
        # An action that annotates an error and lets the job go on has not failed it; an exit code may have.
        failing = final or [step for step in failing if step.failing is not Failing.LOUD]
        surest = min((step.failing.value for step in failing), default=Failing.NO.value)
        return tuple(step for step in failing if step.failing.value == surest)

    def _not_gone_on_after(self, failing: list[Step]) -> list[Step]:
        """Leave out the steps after which the job did so much that they were allowed to fail (``continue-on-error``).

        One pass from the end, for a log may have thousands of steps that fail.
        """
        candidates = {id(step) for step in failing}
        final: list[Step] = []
        later: list[str] = []  # one more than tells: a step's own name does not count
        for step in reversed(self.steps):
            if id(step) in candidates and sum(name != step.name for name in later) < _WENT_ON_STEPS:
                final.append(step)
            if len(later) <= _WENT_ON_STEPS and step.name not in later and _goes_on(step):
                later.append(step.name)
        return final[::-1]


def _goes_on(step: Step) -> bool:
    return not (step.post or not step.name or _AFTERWARDS.search(step.name))


def jobs_of(scan: Scan) -> tuple[JobLog, ...]:
    """Cut one scan into its jobs, each into its steps."""
    by_job: dict[str, list[Hit]] = {}
    for hit in scan.hits:
        by_job.setdefault(hit.job or scan.job, []).append(hit)
    return tuple(_job(scan, name, hits) for name, hits in by_job.items())


def _job(scan: Scan, name: str, hits: Sequence[Hit]) -> JobLog:
    ids = {hit.signature.id for hit in hits}
    steps = tuple(_step(list(group)) for _, group in groupby(_numbered(hits), key=lambda pair: pair[0]))
    begun = next((hit.at for hit in hits if hit.at), scan.first_at)
    return JobLog(
        file=scan.file,
        name=name,
        steps=steps,
        began_at=parse_time(begun),
        complete="job.end" in ids,
        ended_well="job.ended-well" in ids or any(step.post and _saved_a_cache(step) for step in steps),
    )


def _saved_a_cache(step: Step) -> bool:
    # The cache actions' post steps run after success alone (post-if: success()).
    return any(hit.signature.id == "cache.saved" for hit in step.hits)


def _numbered(hits: Sequence[Hit]) -> Iterable[tuple[int, Hit]]:
    # "Post job cleanup." begins a step as well, but the scan (which knows no meaning) does not see it as one.
    posts = 0
    for hit in hits:
        posts += hit.signature.id == "step.post"
        yield hit.region * 1_000_000 + posts, hit


def _step(numbered: Sequence[tuple[int, Hit]]) -> Step:
    hits = tuple(hit for _, hit in numbered)
    exits = [hit for hit in hits if hit.signature.id.startswith("step.exit")]
    codes = [int(hit.value) for hit in exits if hit.value.lstrip("-").isdigit()]
    return Step(
        name=_name(hits),
        post=any(hit.signature.id == "step.post" or hit.value.startswith(_TRAVIS_AFTERWARDS) for hit in hits),
        hits=hits,
        failing=_failing(hits, exited=bool(exits)),
        exit_code=codes[0] if codes else None,
    )


def _failing(hits: Sequence[Hit], *, exited: bool) -> Failing:
    if exited:
        return Failing.EXIT
    if any(hit.signature.id.startswith(("runner.", "travis.")) and _decisive(hit) for hit in hits):
        return Failing.RUNNER
    return Failing.LOUD if any(hit.loud for hit in hits) else Failing.NO


def _decisive(hit: Hit) -> bool:
    return hit.loud or (hit.signature.role is not Role.ECHO and hit.signature.weight >= 0.9)


def _name(hits: Sequence[Hit]) -> str:
    first = hits[0]
    if first.step and first.step != UNNAMED_STEP:
        return first.step[:NAME_CHARACTERS]
    if first.signature.begins_step:
        return (first.value or first.text.removeprefix("##[group]"))[:NAME_CHARACTERS]
    return ""


def _plain(name: str) -> str:
    # GitHub's API names a step in full, a log's step was cut, and either may have lost its "Run ".
    return name[:NAME_CHARACTERS].removeprefix("Run ").strip()[:_COMPARED_CHARACTERS].casefold()


def parse_time(text: str) -> datetime | None:
    """Read a log line's time stamp (UTC); None where there is none."""
    if not text:
        return None
    # GitHub prints seven decimals, one more than Python reads on 3.10 and older forms; seconds are enough here.
    try:
        return datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        return None
