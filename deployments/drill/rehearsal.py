"""What a rehearsal of one procedure consists of, and the part of its scenario that all procedures share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deployments.demo.stage import Stage
from deployments.drill.cast import Cast
from runbook.errors import UsageError
from runbook.policy import Policy
from runbook.requests import ProcedureRequest

Scenario = dict[str, Any]
"""What ``python -m sandbox --scenario`` reads; sandbox/README.md has the format."""


@dataclass(frozen=True)
class Rehearsal:
    """One procedure, ready to be rehearsed.

    Args:
        procedure: Its name.
        repository: Where, as the policy spells it.
        cast: Who plays.
        scenario: What the sandbox starts from.
        request: What is asked.
        broken: What is wrong in the scenario, for people.
        wait: The waits of the policy that the drill does not shorten, for people.
        wait_seconds: How long they take at most.
        untouched: What must hold on the stage for as long as nobody has approved, by what it says.
        restored: What must hold on it at the end.
    """

    procedure: str
    repository: str
    cast: Cast
    scenario: Scenario
    request: ProcedureRequest
    broken: str
    wait: str
    wait_seconds: float
    untouched: Callable[[Stage], dict[str, bool]]
    restored: Callable[[Stage], dict[str, bool]]


def require_no_freeze(
    policy: Policy, now: datetime, *, procedure: str, repository: str, wait_seconds: float
) -> None:
    """Check that no freeze would hold the procedure back, now or before the drill can be over.

    Raises:
        UsageError: One would: the run would wait for its end, as it must.
    """
    for moment in (now, now + timedelta(seconds=wait_seconds)):
        frozen = policy.freeze(moment, procedure=procedure, repository=repository)
        if frozen is not None:
            raise UsageError(
                f"The policy freezes {procedure} in {repository} from {frozen.start.isoformat()} until "
                f"{frozen.end.isoformat()} ({frozen.name}): approved plans wait, in a drill too.",
                unchanged="Nothing was started.",
                next_step="rehearse it outside that time, or under a copy of the policy without the freeze",
            )


def base_scenario(policy: Policy, cast: Cast, *, repository: str) -> Scenario:
    """Make the part that every rehearsal needs: the people, and the policy's repositories with their workflows.

    Args:
        policy: The policy.
        cast: Who plays.
        repository: The one that the procedure is about, as the policy spells it.
    """
    people = (cast.bot, cast.requester, *cast.approvers)
    scenario: Scenario = {
        "bot": cast.bot,
        "repository": repository,
        "users": {login: {} for login in people},
        "repositories": {},
    }
    roles = {
        cast.bot: "write",
        cast.requester: "admin",  # it sets up the webhook, as a repository's owner does
        **dict.fromkeys(cast.approvers, cast.permission.value),
    }
    for name in _every(policy):
        scenario["repositories"][name] = {
            "private": True,
            "roles": roles,
            "commits": [{"id": "start", "message": "Start", "author": cast.requester, "ago": "100d"}],
        }
    for one in policy.repositories:
        content = repository_in(scenario, one.name)
        content["default_branch"] = one.default_branch
        content["workflows"] = [{"file": workflow.file, "name": workflow.file} for workflow in one.workflows]
    return scenario


def repository_in(scenario: Scenario, name: str) -> dict[str, Any]:
    """Return what a scenario says about a repository, however its name is spelt."""
    repositories: dict[str, dict[str, Any]] = scenario["repositories"]
    return next(content for known, content in repositories.items() if known.casefold() == name.casefold())


def _every(policy: Policy) -> Iterable[str]:
    """Return every repository once, as it is spelt first."""
    names = [one.name for one in policy.repositories]
    names += [one.incidents_repository for one in policy.repositories]
    return {name.casefold(): name for name in reversed(names)}.values()
