"""The pull request that takes the bad version's source back: without it the next deploy brings the version back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.run import IssuePlace, Run
from flows.waking import flow_run_id
from runbook.decisions.source_revert import NoSoleCommit, sole_commit
from runbook.engine.effects import Effect
from runbook.policy.estate import Service
from runbook.source_facts import Comparison
from tasks.source_revert import read_revert


@dataclass(frozen=True)
class Reverts:
    """What is proposed about the source, and what is said of it."""

    effects: tuple[Effect, ...]
    said: str


def revert_effects(
    run: Run,
    services: Sequence[Service],
    between: Mapping[str, Comparison | None],
    *,
    place: IssuePlace | None,
) -> Reverts:
    """Offer a pull request that reverts the commit of the bad version; refused by itself, it stops no rollback.

    Args:
        run: The procedure.
        services: The set.
        between: By service: what lies between the commit that it goes back to and the one that it leaves.
        place: The incident's issue.
    """
    if not run.here.policy.image_rollback.revert_pull_request:
        return _none("the policy wants none")
    wanted = sole_commit({one.name: one.repository for one in services}, between)
    if isinstance(wanted, NoSoleCommit):
        return _none(wanted.reason)
    names = ", ".join(service.name for service in services)
    found = read_revert(
        wanted.repository,
        wanted.sha,
        branch=run.here.policy.repository(wanted.repository).default_branch,
        execution_id=flow_run_id(),
        why=f"{names} goes back from the image that was built from this commit.",
        incident_url=place.url if place is not None else "",
    )
    if isinstance(found, str):
        return _none(found)
    return Reverts(
        found, f"A pull request that reverts commit {wanted.sha[:12]} is opened along, for people to merge"
    )


def _none(why: str) -> Reverts:
    return Reverts((), f"No revert of its source is offered: {why}")
