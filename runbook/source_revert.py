"""What a rollback adds to its plan for the source: the pull request that takes the bad commit back.

Without it the next deploy brings the bad version back.
"""

import re

from runbook.clients.github_client import GitHubClient
from runbook.decisions.source_revert import NoRevert, decide_revert
from runbook.effects.incident_issues import MOST_TITLE_CHARACTERS
from runbook.effects.pull_requests import CreateRevertCommit, OpenPullRequest
from runbook.scrub import neutralise_markdown, neutralise_references, scrub
from runbook.source_facts import CommitDetails

_MOST_SUBJECT_CHARACTERS = 200
_MOST_FILES_NAMED = 50
# "[skip ci]" and its like in a commit's message keep workflows from running.
_OPENING = re.compile(r"\[")
_UNSEEN_BREAK = "\u200b"


def revert_branch(sha: str, execution_id: str) -> str:
    """Name the branch of an execution's revert: the same each time it is asked."""
    return f"runbook/revert-{sha[:7]}-{re.sub(r'[^0-9A-Za-z]', '', execution_id)[:8]}"


def revert_title(message: str) -> str:
    """Return the title that takes a commit back, from the commit's own message, which is anybody's words."""
    subject = scrub(message.strip().split("\n", 1)[0])
    plain = _OPENING.sub(f"[{_UNSEEN_BREAK}", neutralise_references(subject))
    if len(plain) > _MOST_SUBJECT_CHARACTERS:
        plain = f"{plain[: _MOST_SUBJECT_CHARACTERS - 1]}…"
    return f'Revert "{plain}"'[:MOST_TITLE_CHARACTERS]


def propose_revert(
    github: GitHubClient,
    repository: str,
    sha: str,
    *,
    base_branch: str,
    execution_id: str,
    why: str,
    incident_url: str = "",
    beside: bool = True,
) -> tuple[CreateRevertCommit, OpenPullRequest] | NoRevert:
    """Read a commit and its branch, and return what takes it back there, or why nothing does.

    Args:
        github: The product's own client; only reads.
        repository: ``owner/name``.
        sha: The commit.
        base_branch: The branch that is to lose it.
        execution_id: Whose plan it is.
        why: Why, in plain words; stands in commit and pull request, made safe there.
        incident_url: The incident's issue, for the pull request.
        beside: Whether its refusal leaves the rest of the plan to go on.

    Raises:
        Conflict: There is no such commit or branch.
        Permanent: A tree is larger than GitHub tells at once.
        Denied, Transient: It cannot be read (now).
    """
    commit = github.get_commit(repository, sha)
    tip = github.get_commit(repository, base_branch)
    before = github.get_commit(repository, commit.parents[0]) if commit.parents else None
    decision = decide_revert(
        commit,
        before=github.tree(repository, before.tree) if before else {},
        after=github.tree(repository, commit.tree),
        tip=github.tree(repository, tip.tree),
    )
    if isinstance(decision, NoRevert):
        return decision
    branch, title = revert_branch(commit.commit.sha, execution_id), revert_title(commit.commit.message)
    made = CreateRevertCommit(
        repository=repository,
        branch=branch,
        base_branch=base_branch,
        base_sha=tip.commit.sha,
        changes=decision.changes,
        message=f"{title}\n\nThis reverts commit {commit.commit.sha}.\n\n{neutralise_references(scrub(why))}",
        reverted_sha=commit.commit.sha,
        of_merge=decision.of_merge,
        beside=beside,
    )
    opened = OpenPullRequest(
        repository=repository,
        head=branch,
        base=base_branch,
        title=title,
        body=_body(commit, why, incident_url, [change.path for change in decision.changes]),
        key=f"{execution_id}/{branch}",
        beside=beside,
    )
    return made, opened


def _body(commit: CommitDetails, why: str, incident_url: str, paths: list[str]) -> str:
    author = neutralise_markdown(scrub(commit.commit.author))
    files = [f"- {neutralise_markdown(scrub(path))}" for path in paths[:_MOST_FILES_NAMED]]
    if len(paths) > _MOST_FILES_NAMED:
        files.append(f"- and {len(paths) - _MOST_FILES_NAMED} more")
    parts = (
        neutralise_markdown(scrub(why)),
        f"Incident: {incident_url}" if incident_url else "",
        f"This takes back commit {commit.commit.sha} of {author}. Until it is merged, the next deploy brings that "
        "commit's version back.",
        "Each file goes back to what it was before that commit:",
        "\n".join(files),
    )
    return "\n\n".join(part for part in parts if part)
