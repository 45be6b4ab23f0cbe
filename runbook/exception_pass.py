"""One pass over what is left abnormal on purpose (R6): end what is due, look for what is barred, say it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from runbook.barred_images import look_for_barred_images
from runbook.decisions.exceptions import ExceptionAction, ExceptionState, decide_exception
from runbook.effects.incident_issues import PostComment, ReopenIssue
from runbook.engine.effects import Effect
from runbook.engine.exception_rows import StandingException, Telling
from runbook.errors import Denied, NeedsPerson, Permanent, RunbookError, Transient
from runbook.installation import Installation
from runbook.report.exceptions import exception_told_markdown

Write = Callable[[StandingException, str, Effect], None]
"""Makes a record write for an exception, once per name."""


@dataclass
class ExceptionPass:
    """One pass, and what it did.

    One exception that cannot be attended to now keeps no other waiting.

    Args:
        here: The installation.
        write: Makes a record write: plainly, or as a task.
        keep: Called before each exception: says that whoever makes the pass is alive.
        not_now: What the world and ``write`` may raise where something cannot be done now.
        done: What was done, or would be.
        failed: What could not be done.
    """

    here: Installation
    write: Write
    keep: Callable[[], None]
    not_now: tuple[type[Exception], ...] = (RunbookError,)
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def plan(self) -> None:
        """Say what would be done about what is due."""
        now = self.here.clock.now()
        for exception in self.here.engine.exceptions.due(now):
            decision = decide_exception(exception.facts, now=now)
            self.done.append(f"{decision.action} {_named(exception)}: {decision.reason}")

    def apply(self) -> None:
        """Restore, expire and escalate what is due, look for what is barred, and say it on the issues."""
        exceptions = self.here.engine.exceptions
        for exception in exceptions.due(self.here.clock.now()):
            self._try(exception, self._end_due)
        self._look_for_barred()
        for exception in exceptions.untold():
            self._try(exception, self._tell)

    def _try(self, exception: StandingException, act: Callable[[StandingException], None]) -> None:
        self.keep()
        try:
            act(exception)
        except Transient as later:  # another procedure is at work on it, or a server is away
            self.done.append(f"{_named(exception)} is left for the next pass: {later.message}")
        except self.not_now as error:
            self.failed.append(f"{_named(exception)}: {error}")

    def _end_due(self, exception: StandingException) -> None:
        exceptions = self.here.engine.exceptions
        decision = decide_exception(exception.facts, now=self.here.clock.now())
        match decision.action:
            case ExceptionAction.RESTORE:
                ended = self.here.engine.restore(exception.id, reason=decision.reason)
                self.done.append(f"{_named(exception)} is {ended.state}: {ended.note}")
            case ExceptionAction.EXPIRE:
                exceptions.end(exception.id, ExceptionState.ENDED, decision.reason)
                self.done.append(f"{_named(exception)} is over: {decision.reason}")
            case ExceptionAction.ESCALATE:
                exceptions.escalate(exception.id)
                self.done.append(f"{_named(exception)} is overdue")
            case ExceptionAction.LEAVE:
                return

    def _look_for_barred(self) -> None:
        exceptions = self.here.engine.exceptions
        bars = exceptions.watched()
        if not bars or not self.here.policy.services:
            return
        look = look_for_barred_images(self.here.policy.services, self.here.kubernetes, bars)
        self.done += look.not_seen
        for sighting in look.sightings:
            if exceptions.seen(sighting.bar_id, sighting.where, self.here.clock.now()):
                self.done.append(f"{sighting.barred} is barred and was seen: {sighting.where}")

    def _tell(self, exception: StandingException) -> None:
        """Say it on its issue; where that was deleted, or may not be written to, the ledger's own record has to do."""
        what = exception.untold
        if what is None:
            return
        try:
            self._write(exception, what)
        except (Permanent, Denied, NeedsPerson) as error:
            self.done.append(
                f"{_named(exception)} is {what}, and its issue could not say so: {error.message}"
            )
        self.here.engine.exceptions.told(exception.id, what)

    def _write(self, exception: StandingException, what: Telling) -> None:
        place = self._place(exception)
        if place is None:
            self.done.append(f"{_named(exception)} is {what}, and has no issue to say so on")
            return
        repository, number = place
        name = what.value
        if what is Telling.SEEN_AGAIN and exception.seen_at is not None:
            name = f"{what}-{exception.seen_at:%Y-%m-%d}"
            self.write(exception, f"reopen-{name}", ReopenIssue(repository=repository, issue=number))
        body = exception_told_markdown(exception, what, on_call=self.here.policy.on_call)
        key = f"exception-{exception.id}-{exception.execution_id}/{name}"
        self.write(exception, name, PostComment(repository=repository, issue=number, key=key, body=body))

    def _place(self, exception: StandingException) -> tuple[str, int] | None:
        """Return where people read of it: its incident's issue, else the one that its plan was approved on."""
        if exception.incident_id is not None:
            incident = self.here.engine.incidents.get(exception.incident_id)
            if incident.issue_number is not None:
                return incident.issues_repository, incident.issue_number
        plan = self.here.engine.plans.latest(exception.execution_id)
        if plan is None or plan.issues_repository is None or plan.issue_number is None:
            return None
        return plan.issues_repository, plan.issue_number


def within(exception: StandingException) -> str:
    """Return what the names of its record writes are unique within."""
    return f"exception-{exception.id}"


def _named(exception: StandingException) -> str:
    return f"exception {exception.id} ({exception.kind} of {exception.subject})"
