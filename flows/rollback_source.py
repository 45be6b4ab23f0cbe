"""The pull request that takes the bad version's source back: without it the next deploy brings the version back."""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.rollback_moves import Way
from flows.run import IssuePlace, Run
from flows.waking import flow_run_id
from runbook.engine.effects import Effect
from runbook.policy.estate import Service
from tasks.source_revert import read_revert


@dataclass(frozen=True)
class Reverts:
    """What is proposed about the source, and what is said of it."""

    effects: tuple[Effect, ...]
    said: str


def revert_effects(
    run: Run, services: Sequence[Service], ways: Sequence[Way], *, place: IssuePlace | None
) -> Reverts:
    """Offer a pull request that reverts the commit of the bad version; refused by itself, it stops no rollback.

    Args:
        run: The procedure.
        services: The set.
        ways: Where each part of it goes.
        place: The incident's issue.
    """
    commits = {
        commit
        for way in ways
        for service in services
        if service.name in way.move.services
        and (commit := way.evidence[service.name][way.current.name].commit)
    }
    if not run.here.policy.image_rollback.revert_pull_request:
        return _none("the policy wants none")
    if not commits:
        return _none("nobody knows the commit that it was built from")
    if len(commits) > 1:
        return _none(f"it was built from {len(commits)} commits")
    names = ", ".join(service.name for service in services)
    commit = commits.pop()
    found = read_revert(
        run.repository.name,
        commit,
        branch=run.repository.default_branch,
        execution_id=flow_run_id(),
        why=f"{names} goes back from the image that was built from this commit.",
        incident_url=place.url if place is not None else "",
    )
    if isinstance(found, str):
        return _none(found)
    return Reverts(
        found, f"A pull request that reverts commit {commit[:12]} is opened along, for people to merge"
    )


def _none(why: str) -> Reverts:
    return Reverts((), f"No revert of its source is offered: {why}")
