"""Reads what an automatic remedy rests on: the ledger's count, and the kill switch on GitHub (R11)."""

from datetime import datetime

from runbook.clients.github_client import GitHubClient
from runbook.decisions.automatic import (
    MANUAL,
    AutomaticDecision,
    AutomaticFacts,
    SwitchDecision,
    decide_automatic,
    decide_switch,
    remedied_targets,
)
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.automatic import DAY, remedied_without_person, was_turned_down
from runbook.engine.ledger import Ledger
from runbook.engine.plans import StoredPlan
from runbook.engine.states import RequesterKind
from runbook.errors import RunbookError
from runbook.models import LabelEvent
from runbook.policy import Policy, WorkflowKind
from runbook.triage.classes import FailureClass

TRIAGE = "triage-failed-run"


def automatic_remedy(
    plan: StoredPlan,
    *,
    policy: Policy,
    ledger: Ledger,
    github: GitHubClient,
    product_logins: frozenset[str],
    now: datetime,
) -> AutomaticDecision:
    """Decide whether a plan may be applied without a person, by the policy, the ledger and the kill switch.

    Args:
        plan: The plan.
        policy: The policy in force.
        ledger: Where the day's remedies without a person are counted.
        github: Where the kill switch is.
        product_logins: The accounts the product acts as, lower case; they release no switch.
        now: The time.
    """
    if plan.plan.procedure != TRIAGE or plan.view.failure_class not in set(FailureClass):
        return MANUAL
    remedy = policy.remedy(FailureClass(plan.view.failure_class))
    if not remedy.automatic:
        return MANUAL
    effects = [planned.load() for planned in plan.plan.effects]
    with ledger.read() as session:
        used = remedied_without_person(session, since=now - DAY, other_than=plan.id)
    return decide_automatic(
        AutomaticFacts(
            by_triage=plan.requester_kind is RequesterKind.PRODUCT,
            turned_down=was_turned_down(ledger, plan),
            from_pull_request=plan.view.from_pull_request,
            deploys=any(
                policy.repository(effect.repository).workflow(effect.workflow_file).kind
                is WorkflowKind.DEPLOY
                for effect in effects
                if isinstance(effect, RerunFailedJobs)
            ),
            reset_known=plan.view.not_before is not None,
            used_today={target: used[target] for target in sorted(remedied_targets(effects))},
        ),
        effects,
        remedy=remedy,
        caps=policy.caps,
        read_switch=lambda: read_switch(github, policy, product_logins=product_logins),
    )


def read_switch(github: GitHubClient, policy: Policy, *, product_logins: frozenset[str]) -> SwitchDecision:
    """Read the kill switch; whatever keeps it from being read means stop.

    Args:
        github: Where it is.
        policy: Names its issue and label, and who may release it: the approvers, with the permission that
            approving takes.
        product_logins: The accounts the product acts as, lower case.
    """
    switch = policy.kill_switch
    if switch is None:
        return SwitchDecision(stopped=True, reason="the policy names no kill switch")
    approvers = {login.casefold() for login in policy.approvals.approvers} - product_logins

    def may_release(event: LabelEvent) -> bool:
        if event.via_app or event.login.casefold() not in approvers:
            return False
        held = github.permission_of(switch.repository, event.login)
        return held.rank >= policy.approvals.minimum_permission.rank

    try:
        return decide_switch(
            github.list_label_events(switch.repository, switch.issue),
            label=switch.label,
            labels=github.get_issue(switch.repository, switch.issue).labels,
            may_release=may_release,
        )
    except RunbookError as error:
        return SwitchDecision(stopped=True, reason=f"the kill switch cannot be read: {error.message}")
