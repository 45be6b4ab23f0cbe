"""An engine at work on GitHub's stand-in, with people who comment: for the gate and the real effects."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr

import sandbox
from runbook.clients.github_client import GitHubClient, Timeouts
from runbook.clients.helm_client import HelmClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import VirtualClock
from runbook.decisions.approval import GateDecision
from runbook.effects.actions_caches import DeleteCacheEntries
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.effects.incident_issues import PostComment
from runbook.engine.effects import Effect
from runbook.engine.engine import Engine
from runbook.engine.entries import JournalEntry
from runbook.engine.executions import Requester
from runbook.engine.gate import GateContext
from runbook.engine.ledger import Ledger
from runbook.engine.plan import Plan
from runbook.engine.plans import StoredPlan
from runbook.engine.states import RequesterKind
from runbook.models import IssueComment, Permission
from runbook.policy import Timings
from runbook.policy.approvals import ApprovalRule
from runbook.world import World
from tests.runbook.effects.source_revert_samples import COMMITS
from tests.runbook.engine.conftest import REPOSITORY, START, TIMINGS, VIEW
from tests.runbook.engine.databases import new_ledger_url
from tests.runbook.engine.passing import let_pass

MAIN = "refs/heads/main"
PRODUCT = "runbook-bot"
INCIDENTS = "acme/incident_log"
RULE = ApprovalRule(
    quorum=1,
    approvers=("alice", "bob", "carol"),
    minimum_permission=Permission.WRITE,
    expires_after_seconds=3600,
    prefect_resume_counts=False,
)
PEOPLE: dict[str, str] = {
    PRODUCT: "write",
    "alice": "admin",
    "bob": "write",
    "carol": "triage",
    "dave": "admin",
    "mallory": "admin",
}
SCENARIO: dict[str, Any] = {
    "bot": PRODUCT,
    "repository": REPOSITORY,
    "users": {**{login: {} for login in PEOPLE}, "alice": {"tokens": [{}, {"app": "chat-bridge"}]}},
    "repositories": {
        REPOSITORY: {
            "roles": PEOPLE,
            "workflows": [{"file": "ci-test.yml", "name": "CI Test"}],
            "commits": COMMITS,
            "caches": [
                {"key": key, "ref": MAIN, "size": 10} for key in ("pip-a", "pip-a", "pip-ab", "pip-b")
            ],
            "runs": [
                {
                    "workflow": "ci-test.yml",
                    "ago": "30m",
                    "jobs": [
                        {
                            "name": "test",
                            "seconds": 10,
                            "conclusion": "failure",
                            "rerun": {"seconds": 900, "conclusion": "success"},
                        }
                    ],
                }
            ],
        },
        # Another name that differs in a character which SQL's LIKE takes for a wildcard.
        "acme/incident-log": {"roles": PEOPLE, "issues": [{"title": "Other", "author": PRODUCT}]},
        INCIDENTS: {"roles": PEOPLE, "issues": [{"title": "Incident", "author": PRODUCT}]},
    },
}


@dataclass
class Desk:
    """The engine, the stand-in, and the people around it.

    Args:
        box: The stand-in.
        engine: The engine, as the product's account.
        clock: The time of both.
        stack: Closes what was opened.
    """

    box: sandbox.Box
    engine: Engine
    clock: VirtualClock
    stack: ExitStack

    @property
    def run_id(self) -> int:
        """The failed run."""
        return next(iter(self.box.repository.runs))

    def cache_ids(self, key: str) -> tuple[int, ...]:
        """The ids of the caches with exactly this key."""
        return tuple(sorted(one.id for one in self.box.repository.caches.values() if one.key == key))

    def clear(self, key: str = "pip-a") -> DeleteCacheEntries:
        """The deletion of every entry of a key."""
        return DeleteCacheEntries(repository=REPOSITORY, key=key, ref=MAIN, cache_ids=self.cache_ids(key))

    def rerun(self) -> RerunFailedJobs:
        """The re-run of the failed run."""
        return RerunFailedJobs(
            repository=REPOSITORY, run_id=self.run_id, failed_attempt=1, workflow_file="ci-test.yml"
        )

    def person(self, login: str, *, app: str | None = None) -> GitHubClient:
        """GitHub through a person's token, or that of an app that acts for them."""
        token = SecretStr(self.box.token_of(login, app=app))
        client = GitHubClient(token=token, api_url=self.box.url, clock=self.clock)
        return self.stack.enter_context(client)

    def say(self, login: str, body: str, *, app: str | None = None, issues: str = INCIDENTS) -> IssueComment:
        """Comment on the plan's issue, a second later."""
        self.clock.sleep(1)
        return self.person(login, app=app).create_comment(issues, 1, body=body)

    def edit(self, login: str, comment: IssueComment, body: str) -> None:
        """Edit a comment, a second later, as whoever may."""
        self.clock.sleep(1)
        self._comment_call("PATCH", login, comment, {"body": body})

    def delete(self, login: str, comment_id: int) -> None:
        """Delete a comment."""
        self._comment_call("DELETE", login, comment_id, None)

    def show(
        self,
        *wanted: Effect,
        execution_id: str = "e1",
        requester: Requester | None = None,
        issues: str = INCIDENTS,
        passed: bool = False,
    ) -> StoredPlan:
        """Store a plan and show it on an issue, as a procedure does; let it pass its gate where that is asked."""
        engine = self.engine
        requester = requester or Requester(RequesterKind.PERSON, "dave")
        if engine.executions.get(execution_id) is None:
            engine.executions.begin(
                execution_id,
                procedure="clear-caches",
                repository=REPOSITORY,
                subject="caches",
                request={},
                requester=requester,
            )
        effects = list(wanted) or [self.clear(), self.rerun()]
        plan = engine.plans.store(
            execution_id,
            Plan.of(procedure="clear-caches", repository=REPOSITORY, effects=effects),
            view=VIEW,
            expires_after_seconds=3600,
        )
        engine.plans.placed(plan.id, issues_repository=issues, issue_number=1, issue_url="u")
        comment = PostComment(repository=issues, issue=1, key=plan.id, body=f"Plan {plan.short_digest}")
        entry = engine.record(execution_id, f"plan-{plan.id}", comment)
        assert entry.result is not None
        shown = engine.plans.shown(plan.id, comment_id=int(entry.result["comment"]))
        return let_pass(engine, shown) if passed else shown

    def entries(self, plan: StoredPlan) -> tuple[JournalEntry, ...]:
        """The plan's journal."""
        return self.engine.entries.of_plan(plan.id)

    def gate(self, plan: StoredPlan, *, rule: ApprovalRule = RULE, **context: Any) -> GateDecision:
        """Ask the gate, as a flow that has just woken does."""
        known = {"policy_digest": "p1", "product_logins": frozenset({PRODUCT})}
        plan = self.engine.plans.get(plan.id)
        return self.engine.gate.pass_or_wait(
            plan, self.entries(plan), GateContext(rule=rule, **{**known, **context})
        )

    def writes(self) -> list[tuple[str, str]]:
        """Every write that took effect and is no record: method and path."""
        return [
            (request["method"], request["path"])
            for request in self.box.requests
            if request["applied"] and request["method"] != "GET" and "/issues" not in request["path"]
        ]

    def _comment_call(
        self, method: str, login: str, comment: IssueComment | int, body: dict[str, str] | None
    ) -> None:
        number = comment if isinstance(comment, int) else comment.id
        answer = requests.request(
            method,
            f"{self.box.url}/repos/{INCIDENTS}/issues/comments/{number}",
            headers={"Authorization": f"Bearer {self.box.token_of(login)}"},
            json=body,
            timeout=10,
        )
        assert answer.ok, answer.text


@contextmanager
def open_desk(
    tmp_path: Path, scenario: dict[str, Any] | None = None, *, timings: Timings = TIMINGS
) -> Iterator[Desk]:
    """Open a desk on a fresh ledger and a fresh stand-in, in virtual time."""
    clock = VirtualClock(START)
    with ExitStack() as stack:
        box = stack.enter_context(sandbox.running(scenario or SCENARIO, clock=clock))
        timeouts = Timeouts(connect_seconds=5, read_seconds=0.4)
        github = stack.enter_context(
            GitHubClient(token=SecretStr(box.token), api_url=box.url, clock=clock, timeouts=timeouts)
        )
        ledger = Ledger(new_ledger_url(tmp_path))
        stack.callback(ledger.close)
        cluster = box.kubernetes if "kubernetes" in (scenario or SCENARIO) else None
        kubeconfig = cluster.kubeconfig if cluster else None
        world = World(
            github=github,
            kubernetes=KubernetesClient(kubeconfig, clock=clock),
            helm=HelmClient(kubeconfig, program=str(cluster.helm) if cluster else "helm"),
            product_login=PRODUCT,
            clock=clock,
        )
        engine = Engine(ledger, world=world, timings=timings)
        yield Desk(box=box, engine=engine, clock=clock, stack=stack)
