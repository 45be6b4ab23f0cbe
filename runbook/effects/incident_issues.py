"""Record writes: the product's own issues, their comments, their end and their going on.

They are notifications: after a crash one may be there twice, and the second says so. A marker in the text,
which GitHub does not show, lets a probe find what an interrupted process wrote; it counts only in texts by the
product's own account, since anybody can copy a marker.
"""

from typing import Any

from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult, register
from runbook.errors import NotFound
from runbook.models import Issue, IssueComment
from runbook.world import World

_HOLDS = Precondition(holds=True, detail="a record has no precondition")
_NO_UNDO = "a record stays"
_REPEATED = "_(Repeated after an interruption: this may be here twice.)_\n\n"


MOST_TITLE_CHARACTERS = 256
"""GitHub refuses an issue with a longer title."""


def marker(key: str) -> str:
    """Return the hidden line that lets a later process find a text again."""
    return f"<!-- runbook:{key} -->"


class _RecordWrite(Effect):
    no_undo = _NO_UNDO
    repository: str

    @property
    def target(self) -> str:
        """The repository's issues; no lease guards them."""
        return f"issues:{self.repository}"

    def precondition(self, world: World) -> Precondition:
        """Hold always."""
        return _HOLDS


@register("open-issue")
class OpenIssue(_RecordWrite):
    """Open an issue of the product's own.

    ``key`` marks it; ``body`` is ready to be shown: scrubbed, and neutralised where it quotes.
    """

    effect_class = EffectClass.NOTIFICATION
    key: str
    title: str
    body: str
    labels: tuple[str, ...]

    def describe(self) -> str:
        """Name title and place."""
        return f"open issue “{self.title}” in {self.repository}"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line, without the long text."""
        return ("gh", "issue", "create", "--repo", self.repository, "--title", self.title, "--body-file", "-")

    def probe(self, world: World) -> ProbeResult:
        """Look for the marker among the issues with our labels."""
        for issue in world.github.list_issues(
            self.repository, labels=self.labels, state="all", creator=world.product_login
        ):
            if marker(self.key) in issue.body:
                return ProbeResult(found=Found.DONE, detail=f"issue #{issue.number}", result=_issue(issue))
        return ProbeResult(found=Found.NOT_DONE, detail="no issue carries the marker")

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Open it."""
        body = f"{_REPEATED if repeated else ''}{self.body}\n\n{marker(self.key)}"
        created = world.github.create_issue(
            self.repository, title=_title(self.title), body=body, labels=self.labels
        )
        return _issue(created)


@register("post-comment")
class PostComment(_RecordWrite):
    """Post a comment on an issue of the product's own."""

    effect_class = EffectClass.NOTIFICATION
    key: str
    issue: int
    body: str

    def describe(self) -> str:
        """Name the issue."""
        return f"comment on {self.repository}#{self.issue}"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line, without the long text."""
        return ("gh", "issue", "comment", str(self.issue), "--repo", self.repository, "--body-file", "-")

    def probe(self, world: World) -> ProbeResult:
        """Look for the marker among the comments."""
        for comment in world.github.list_comments(self.repository, self.issue):
            own = comment.login.casefold() == world.product_login.casefold()
            if own and marker(self.key) in comment.body:
                return ProbeResult(found=Found.DONE, detail=comment.html_url, result=_comment(comment))
        return ProbeResult(found=Found.NOT_DONE, detail="no comment carries the marker")

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Post it."""
        body = f"{_REPEATED if repeated else ''}{self.body}\n\n{marker(self.key)}"
        return _comment(world.github.create_comment(self.repository, self.issue, body=body))


@register("close-issue")
class CloseIssue(_RecordWrite):
    """Close an issue of the product's own."""

    effect_class = EffectClass.IDEMPOTENT
    issue: int

    def describe(self) -> str:
        """Name the issue."""
        return f"close {self.repository}#{self.issue}"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line."""
        return ("gh", "issue", "close", str(self.issue), "--repo", self.repository)

    def probe(self, world: World) -> ProbeResult:
        """Look at its state; one that was deleted is as good as closed."""
        try:
            issue = world.github.get_issue(self.repository, self.issue)
        except NotFound:
            return ProbeResult(found=Found.DONE, detail="the issue is gone")
        found = Found.DONE if issue.state == "closed" else Found.NOT_DONE
        return ProbeResult(found=found, detail=f"it is {issue.state}")

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Close it."""
        world.github.update_issue(self.repository, self.issue, state="closed")
        return {}


@register("reopen-issue")
class ReopenIssue(_RecordWrite):
    """Open an issue of the product's own again: what it was about goes on."""

    effect_class = EffectClass.IDEMPOTENT
    issue: int

    def describe(self) -> str:
        """Name the issue."""
        return f"reopen {self.repository}#{self.issue}"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line."""
        return ("gh", "issue", "reopen", str(self.issue), "--repo", self.repository)

    def probe(self, world: World) -> ProbeResult:
        """Look at its state."""
        issue = world.github.get_issue(self.repository, self.issue)
        found = Found.DONE if issue.state == "open" else Found.NOT_DONE
        return ProbeResult(found=found, detail=f"it is {issue.state}")

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Open it."""
        world.github.update_issue(self.repository, self.issue, state="open")
        return {}


@register("raise-severity")
class RaiseSeverity(_RecordWrite):
    """Name an incident's issue after the most urgent failure in it: its title, and its one severity label.

    Labels that people put on it stay.
    """

    effect_class = EffectClass.IDEMPOTENT
    issue: int
    title: str
    label: str
    other_labels: tuple[str, ...]

    def describe(self) -> str:
        """Name issue and label."""
        return f"label {self.repository}#{self.issue} {self.label}"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line."""
        others = ",".join(self.other_labels)
        line = ("gh", "issue", "edit", str(self.issue), "--repo", self.repository, "--title", self.title)
        return (*line, "--add-label", self.label, "--remove-label", others)

    def probe(self, world: World) -> ProbeResult:
        """Look at its title and labels."""
        issue = world.github.get_issue(self.repository, self.issue)
        done = issue.title == _title(self.title) and set(issue.labels) == set(self._labels(issue))
        return ProbeResult(found=Found.DONE if done else Found.NOT_DONE, detail=", ".join(issue.labels))

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Set both."""
        issue = world.github.get_issue(self.repository, self.issue)
        world.github.update_issue(
            self.repository, self.issue, title=_title(self.title), labels=self._labels(issue)
        )
        return {}

    def _labels(self, issue: Issue) -> tuple[str, ...]:
        others = {label.casefold() for label in (*self.other_labels, self.label)}
        return (*(label for label in issue.labels if label.casefold() not in others), self.label)


def _title(title: str) -> str:
    return title if len(title) <= MOST_TITLE_CHARACTERS else f"{title[: MOST_TITLE_CHARACTERS - 1]}…"


def _issue(issue: Issue) -> dict[str, Any]:
    return {"number": issue.number, "url": issue.html_url}


def _comment(comment: IssueComment) -> dict[str, Any]:
    return {"comment": comment.id, "url": comment.html_url}
