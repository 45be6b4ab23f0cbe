"""The product's own pull requests."""

from runbook.clients.github_calls import Calls, repository_path
from runbook.clients.github_facts import parse
from runbook.clients.github_source_facts import own_pull_request
from runbook.source_facts import OwnPullRequest


class PullRequestCalls(Calls):
    """Finding, opening and closing them."""

    def pull_requests_from(self, repository: str, *, branch: str) -> tuple[OwnPullRequest, ...]:
        """Return every pull request from a branch of the repository itself, closed ones too, newest first.

        Args:
            repository: ``owner/name``.
            branch: The branch that is to be merged.
        """
        owner = repository.partition("/")[0]
        entries = self._pages(
            f"{repository_path(repository)}/pulls",
            purpose=f"list the pull requests from {branch} of {repository}",
            field=None,
            query={"head": f"{owner}:{branch}", "state": "all"},
        )
        return tuple(parse("pull request", own_pull_request, entry) for entry in entries)

    def get_pull_request(self, repository: str, number: int) -> OwnPullRequest:
        """Return one pull request.

        Raises:
            NotFound: There is none of that number.
        """
        data = self._get(
            f"{repository_path(repository)}/pulls/{number}",
            purpose=f"read pull request {number} of {repository}",
        )
        return parse("pull request", own_pull_request, data)

    def create_pull_request(
        self, repository: str, *, head: str, base: str, title: str, body: str
    ) -> OwnPullRequest:
        """Open a pull request.

        Args:
            repository: ``owner/name``.
            head: The branch that is to be merged.
            base: The branch that it is to be merged into.
            title: Ready to be shown.
            body: Ready to be shown.

        Raises:
            Conflict: A branch is not there, there is nothing to merge, or one from that branch is open already.
        """
        return self._write(
            "POST",
            f"{repository_path(repository)}/pulls",
            purpose=f"open a pull request from {head} in {repository}",
            kind="pull request",
            build=own_pull_request,
            body={"title": title, "head": head, "base": base, "body": body},
            expect=(201,),
        )

    def close_pull_request(self, repository: str, number: int) -> None:
        """Close a pull request without merging it."""
        self._write(
            "PATCH",
            f"{repository_path(repository)}/pulls/{number}",
            purpose=f"close pull request {number} of {repository}",
            kind="pull request",
            build=own_pull_request,
            body={"state": "closed"},
        )
