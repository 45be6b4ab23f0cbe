"""A revert as a pull request, made without a checkout: the commit on a branch of its own, then the pull request.

Only the branch and the pull request are visible; a tree or commit that nothing leads to is nobody's concern.
"""

from typing import Any

from runbook.decisions.source_revert import changed_tree
from runbook.effects.incident_issues import marker
from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult, register
from runbook.errors import Conflict
from runbook.models import Frozen
from runbook.source_facts import OwnPullRequest, TreeChange
from runbook.world import World

_BESIDE = Precondition(
    holds=True, detail="it stands beside the plan: where it no longer fits, it is refused by itself"
)


class _OnBranch(Effect):
    """What is done to one branch; ``beside`` says that its refusal leaves the rest of the plan to go on."""

    effect_class = EffectClass.PROBEABLE
    repository: str
    beside: bool = False

    def may_be_refused(self) -> bool:
        """As ``beside`` says."""
        return self.beside


class NewCommit(Frozen):
    """What :class:`CreateRevertCommit` made: the commit, on its branch."""

    commit: str
    branch: str


@register("create-revert-commit")
class CreateRevertCommit(_OnBranch):
    """Make a commit that takes another one back, on a branch of its own.

    Args:
        branch: Its name, of nobody else's.
        base_branch: The branch that is to get the commit, by a pull request.
        base_sha: What that branch pointed at when this was planned: the new commit's parent.
        changes: What is different from there.
        message: Ready to be shown: scrubbed, and without a reference that GitHub acts upon.
        reverted_sha: The commit that is taken back.
        of_merge: That one merged others.
    """

    branch: str
    base_branch: str
    base_sha: str
    changes: tuple[TreeChange, ...]
    message: str
    reverted_sha: str
    of_merge: bool = False

    @property
    def target(self) -> str:
        """The branch."""
        return branch_target(self.repository, self.branch)

    def describe(self) -> str:
        """Name the commit and the branch."""
        return f"revert {self.reverted_sha[:7]} of {self.repository} on the new branch {self.branch}"

    def command_line(self) -> tuple[str, ...]:
        """Give git's lines, to be run in a clone: one is not enough."""
        mainline = "--mainline 1 " if self.of_merge else ""
        steps = (
            "git fetch origin",
            f"git switch --create {self.branch} {self.base_sha}",
            f"git revert --no-edit {mainline}{self.reverted_sha}",
            f"git push origin {self.branch}",
        )
        return ("sh", "-c", " && ".join(steps))

    def precondition(self, world: World) -> Precondition:
        """Ask that the branch is still nobody's."""
        if self.beside:
            return _BESIDE
        head = world.github.branch_head(self.repository, self.branch)
        if head is None:
            return Precondition(holds=True, detail=f"there is no branch {self.branch}")
        return Precondition(holds=False, detail=f"the branch {self.branch} is at {head[:7]} already")

    def probe(self, world: World) -> ProbeResult:
        """Look whether the branch is there, and whether what it points at is this commit."""
        github = world.github
        head = github.branch_head(self.repository, self.branch)
        if head is None:
            return ProbeResult(found=Found.NOT_DONE, detail=f"there is no branch {self.branch}")
        commit = github.get_commit(self.repository, head)
        if commit.parents == (self.base_sha,):
            base = github.get_commit(self.repository, self.base_sha)
            wanted = changed_tree(github.tree(self.repository, base.tree), self.changes)
            if github.tree(self.repository, commit.tree) == wanted:
                result = NewCommit(commit=head, branch=self.branch)
                return ProbeResult(found=Found.DONE, detail=f"it is {head[:7]}", result=result.model_dump())
        return ProbeResult(
            found=Found.UNKNOWN, detail=f"the branch {self.branch} is at {head[:7]}, another commit"
        )

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Make tree, commit and branch."""
        github = world.github
        base = github.get_commit(self.repository, self.base_sha)
        tree = github.create_tree(self.repository, base_tree=base.tree, changes=self.changes)
        sha = github.create_commit(self.repository, message=self.message, tree=tree, parent=self.base_sha)
        github.create_branch(self.repository, self.branch, sha=sha)
        return NewCommit(commit=sha, branch=self.branch).model_dump()

    def undo(self, world: World, result: dict[str, Any]) -> None:
        """Delete the branch, if it still points at the commit that was made."""
        made = NewCommit.model_validate(result)
        head = world.github.branch_head(self.repository, made.branch)
        if head != made.commit:
            raise Conflict(
                f"The branch {made.branch} of {self.repository} is at {(head or 'nothing')[:7]}, not at "
                f"{made.commit[:7]}.",
                unchanged="It was left as it is.",
                next_step="see who works on it, then delete it or keep it",
            )
        # Git's own lease has no place in this interface: between the look and this, a push could come.
        world.github.delete_branch(self.repository, made.branch)

    def probe_undo(self, world: World, result: dict[str, Any]) -> ProbeResult:
        """Look whether the branch is gone."""
        head = world.github.branch_head(self.repository, NewCommit.model_validate(result).branch)
        if head is None:
            return ProbeResult(found=Found.DONE, detail="the branch is gone")
        return ProbeResult(found=Found.NOT_DONE, detail=f"the branch is at {head[:7]}")


@register("open-pull-request")
class OpenPullRequest(_OnBranch):
    """Open a pull request from a branch of the repository itself.

    Args:
        head: The branch that is to be merged.
        base: The branch that it is to be merged into.
        title: Ready to be shown, as ``body``.
        body: Scrubbed, and neutralised where it quotes.
        key: Marks it, so that it is found again.
    """

    head: str
    base: str
    title: str
    body: str
    key: str

    @property
    def target(self) -> str:
        """The branch that it comes from."""
        return branch_target(self.repository, self.head)

    def describe(self) -> str:
        """Name title and branches."""
        return f"open the pull request “{self.title}” from {self.head} to {self.base} in {self.repository}"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line, without the long text."""
        branches = ("--head", self.head, "--base", self.base)
        return (
            *("gh", "pr", "create", "--repo", self.repository, *branches),
            *("--title", self.title, "--body-file", "-"),
        )

    def precondition(self, world: World) -> Precondition:
        """Ask nothing: the branch is made by an effect before this one."""
        return _BESIDE if self.beside else Precondition(holds=True, detail="its branch is made before it")

    def probe(self, world: World) -> ProbeResult:
        """Look for the marker in the product's own pull requests from that branch."""
        for found in world.github.pull_requests_from(self.repository, branch=self.head):
            own = found.author.casefold() == world.product_login.casefold()
            if own and marker(self.key) in found.body:
                return ProbeResult(found=Found.DONE, detail=found.html_url, result=_opened(found))
        return ProbeResult(found=Found.NOT_DONE, detail="no pull request carries the marker")

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Open it."""
        if world.github.branch_head(self.repository, self.head) is None:
            raise Conflict(
                f"There is no branch {self.head} in {self.repository}: its commit was not made.",
                unchanged="No pull request was opened.",
                next_step="revert the commit by hand, or the bad version comes back with the next deploy",
            )
        opened = world.github.create_pull_request(
            self.repository,
            head=self.head,
            base=self.base,
            title=self.title,
            body=f"{self.body}\n\n{marker(self.key)}",
        )
        return _opened(opened)

    def undo(self, world: World, result: dict[str, Any]) -> None:
        """Close it, unless it was merged."""
        number = int(result["number"])
        if world.github.get_pull_request(self.repository, number).merged:
            raise Conflict(
                f"Pull request {self.repository}#{number} was merged.",
                unchanged="It was left as it is.",
                next_step="decide whether the revert is to stay in the source",
            )
        world.github.close_pull_request(self.repository, number)

    def probe_undo(self, world: World, result: dict[str, Any]) -> ProbeResult:
        """Look whether it is closed without being merged."""
        found = world.github.get_pull_request(self.repository, int(result["number"]))
        closed = found.state == "closed" and not found.merged
        state = "merged" if found.merged else found.state
        return ProbeResult(found=Found.DONE if closed else Found.NOT_DONE, detail=f"it is {state}")


def branch_target(repository: str, branch: str) -> str:
    """Name a branch as leases do."""
    return f"branch:{repository}:{branch}"


def _opened(found: OwnPullRequest) -> dict[str, Any]:
    return {"number": found.number, "url": found.html_url}
