"""Issues, their comments and labels: where incidents are recorded and approvals are given."""

from collections.abc import Iterable

from runbook.clients.github_calls import Calls, quoted, repository_path
from runbook.clients.github_facts import issue, issue_comment, label_event, parse
from runbook.errors import Conflict, NotFound
from runbook.models import Issue, IssueComment, LabelEvent


class IssueCalls(Calls):
    """Reads and writes under ``/issues`` and ``/labels``."""

    def create_issue(
        self,
        repository: str,
        *,
        title: str,
        body: str,
        labels: Iterable[str] = (),
    ) -> Issue:
        """Open an issue.

        Raises:
            Gone: The repository has issues switched off.
        """
        return self._write(
            "POST",
            f"{repository_path(repository)}/issues",
            kind="issue",
            build=issue,
            purpose=f"open an issue in {repository}",
            body={"title": title, "body": body, "labels": list(labels)},
            expect=(201,),
        )

    def get_issue(self, repository: str, number: int) -> Issue:
        """Return an issue.

        Raises:
            NotFound: There is none of that number; ``Gone``, if it was deleted.
        """
        data = self._get(
            f"{repository_path(repository)}/issues/{number}", purpose=f"read issue {number} of {repository}"
        )
        return parse("issue", issue, data)

    def update_issue(
        self,
        repository: str,
        number: int,
        *,
        title: str | None = None,
        state: str | None = None,
        labels: Iterable[str] | None = None,
    ) -> Issue:
        """Change what is given of an issue; ``labels`` replaces all, ``state`` is ``open`` or ``closed``."""
        changes: dict[str, object] = {
            name: value
            for name, value in (
                ("title", title),
                ("state", state),
                ("labels", None if labels is None else list(labels)),
            )
            if value is not None
        }
        return self._write(
            "PATCH",
            f"{repository_path(repository)}/issues/{number}",
            kind="issue",
            build=issue,
            purpose=f"change issue {number} of {repository}",
            body=changes,
        )

    def list_issues(
        self, repository: str, *, labels: Iterable[str] = (), state: str = "open", creator: str | None = None
    ) -> tuple[Issue, ...]:
        """Return issues (no pull requests), newest first.

        Args:
            repository: ``owner/name``.
            labels: All of which they carry.
            state: ``open``, ``closed`` or ``all``.
            creator: The login of who opened them.
        """
        entries = self._pages(
            f"{repository_path(repository)}/issues",
            purpose=f"list the issues of {repository}",
            field=None,
            query={"labels": ",".join(labels) or None, "state": state, "creator": creator},
        )
        return tuple(parse("issue", issue, entry) for entry in entries if "pull_request" not in entry)

    def create_comment(self, repository: str, number: int, *, body: str) -> IssueComment:
        """Post a comment."""
        return self._write(
            "POST",
            f"{repository_path(repository)}/issues/{number}/comments",
            kind="comment",
            build=issue_comment,
            purpose=f"comment on issue {number} of {repository}",
            body={"body": body},
            expect=(201,),
        )

    def list_comments(
        self, repository: str, number: int, *, after_id: int | None = None
    ) -> tuple[IssueComment, ...]:
        """Return an issue's comments as they are now, oldest first.

        Args:
            repository: ``owner/name``.
            number: The issue.
            after_id: Only comments with a greater id. (GitHub has no such filter: all pages are read.)
        """
        entries = self._pages(
            f"{repository_path(repository)}/issues/{number}/comments",
            purpose=f"list the comments of issue {number} of {repository}",
            field=None,
            remember=True,
        )
        comments = (parse("comment", issue_comment, entry) for entry in entries)
        return tuple(comment for comment in comments if after_id is None or comment.id > after_id)

    def list_label_events(self, repository: str, number: int) -> tuple[LabelEvent, ...]:
        """Return who put labels on an issue and took them off, oldest first, as its events are now.

        Args:
            repository: ``owner/name``.
            number: The issue.
        """
        entries = self._pages(
            f"{repository_path(repository)}/issues/{number}/events",
            purpose=f"read what happened to issue {number} of {repository}",
            field=None,
            remember=True,
        )
        return tuple(
            parse("label event", label_event, entry)
            for entry in entries
            if entry.get("event") in ("labeled", "unlabeled")
        )

    def ensure_label(self, repository: str, *, name: str, color: str, description: str) -> None:
        """Create a label where there is none of that name; one that people have made stays as it is.

        Args:
            repository: ``owner/name``.
            name: The label.
            color: Six hex digits.
            description: Up to 100 characters.
        """
        base = f"{repository_path(repository)}/labels"
        try:
            self._get(f"{base}/{quoted(name)}", purpose=f"read the label {name!r} of {repository}")
        except NotFound:
            self._create_label(base, repository, {"name": name, "color": color, "description": description})

    def _create_label(self, base: str, repository: str, label: dict[str, object]) -> None:
        try:
            self._write(
                "POST",
                base,
                kind="label",
                build=lambda found: found["name"],
                purpose=f"create the label {label['name']!r} of {repository}",
                body=label,
                expect=(201,),
            )
        except Conflict as error:
            # Somebody else created it just now: which is what was wanted.
            if "already_exists" not in error.message:
                raise
