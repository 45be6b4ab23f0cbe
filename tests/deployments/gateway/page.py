"""The approval page in an application of its own, over a plan that waits on a desk."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyotp
from fastapi import FastAPI
from pydantic import SecretStr

from deployments.gateway.approval_page import ApprovalDesk, approval_router
from runbook.engine.executions import Requester
from runbook.engine.page_decisions import PageDecisions
from runbook.engine.plan import Plan, PlanView, Table
from runbook.engine.plans import StoredPlan
from runbook.engine.states import RequesterKind
from runbook.one_time_codes import Seeds, enrol, new_seed, read_seeds
from runbook.policy.approvals import ApprovalRule
from tests.runbook.engine.conftest import REPOSITORY
from tests.runbook.engine.desk import PRODUCT, RULE, Desk, open_desk

PEOPLE = ("alice", "bob", "dave", "mallory", PRODUCT)
ORIGIN = "http://testserver"

LONG_VIEW = PlanView(
    title="Clear two corrupt dependency caches, then re-run the failed jobs of CI Test",
    why="The restored cache of job test failed its checksum on main (run 9000000001). Its two entries are the only "
    "ones that job restores.",
    remedy="clear_implicated_caches+rerun_failed_jobs",
    failure_class="cache_corruption",
    blast_radius="The next run on main builds its dependencies anew: 4 minutes longer, once. Nothing is deployed.",
    if_nobody_acts="main stays red, and the 3 pull requests that wait for CI Test cannot be merged.",
    history="helped 7 of 8 times before",
    tables=(
        Table(
            title="Cache entries that would be deleted",
            columns=("Key", "Ref", "Size", "Last used"),
            rows=(
                (f"Linux-pip-{'0123456789abcdef' * 4}", "refs/heads/main", "412 MiB", "2026-03-02 08:41"),
                ("Linux-pip-ab", "refs/heads/main", "96 MiB", "2026-03-02 08:12"),
            ),
        ),
    ),
)


@dataclass
class Page:
    """The page, its people and what was woken.

    Args:
        desk: The engine and GitHub's stand-in.
        file: The seeds' file.
        seeds: What is on people's phones.
        app: The application.
        woken: The executions that were woken, in order.
        rule: The rule in force; tests change it.
    """

    desk: Desk
    file: Path
    seeds: dict[str, SecretStr]
    woken: list[str] = field(default_factory=list)
    rule: ApprovalRule = RULE
    app: FastAPI = field(default_factory=FastAPI)

    def show_at_length(self) -> StoredPlan:
        """Let a plan wait that has as much to say as a real one, and words that are too long for a phone."""
        engine = self.desk.engine
        engine.executions.begin(
            "long",
            procedure="clear-caches",
            repository=REPOSITORY,
            subject="caches",
            request={},
            requester=Requester(RequesterKind.PERSON, "dave"),
        )
        stored = engine.plans.store(
            "long",
            Plan.of(
                procedure="clear-caches",
                repository=REPOSITORY,
                effects=[self.desk.clear(), self.desk.clear("pip-ab"), self.desk.rerun()],
            ),
            view=LONG_VIEW,
            expires_after_seconds=3600,
        )
        return engine.plans.placed(
            stored.id,
            issues_repository="acme/incident_log",
            issue_number=1,
            issue_url="https://github.test/acme/incident_log/issues/1",
        )

    def code(self, login: str = "alice") -> str:
        """What the person's phone shows."""
        return pyotp.TOTP(self.seeds[login].get_secret_value()).at(self.desk.clock.now())

    def read(self) -> Seeds:
        """Read the seeds' file, as the gateway does."""
        return read_seeds(self.file)

    def wake(self, execution_id: str) -> None:
        """Note that an execution was woken."""
        self.woken.append(execution_id)

    def get(self, digits: str) -> httpx.Response:
        """Load the page."""
        return self.ask("GET", digits)

    def token(self, plan: StoredPlan) -> str:
        """The token of a freshly loaded form."""
        found = re.search(r'name="token" value="([^"]+)"', self.get(plan.digest).text)
        assert found is not None
        return found[1]

    def send(
        self, plan: StoredPlan, *, headers: dict[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        """Load the form and send it, as alice who approves where nothing else is said."""
        login = fields.get("login", "alice")
        known = {"token": self.token(plan), "decision": "approve", "reason": "", "login": login}
        known["code"] = fields.get("code") or self.code(login.casefold())
        return self.ask(
            "POST",
            plan.digest,
            data={**known, **fields},
            headers={"Origin": ORIGIN} if headers is None else headers,
        )

    def ask(self, method: str, digits: str, **request: Any) -> httpx.Response:
        """Send a request without cookies; an error inside the application is the test's."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
                return await client.request(method, f"/approve/{digits}", **request)

        return asyncio.run(send())


@contextmanager
def open_page(tmp_path: Path, *, enrolled: bool = True) -> Iterator[Page]:
    """Open the page on a fresh ledger and a fresh GitHub."""
    with open_desk(tmp_path) as desk:
        page = Page(desk=desk, file=tmp_path / "seeds.toml", seeds={name: new_seed() for name in PEOPLE})
        for name, seed in page.seeds.items():
            enrol(page.file, name, seed)
        works_with = ApprovalDesk(
            plans=desk.engine.plans,
            decisions=PageDecisions(desk.engine.ledger, clock=desk.clock),
            rule=lambda plan: page.rule,
            product_logins=lambda: frozenset({PRODUCT}),
            seeds=page.read if enrolled else None,
            wake=page.wake,
            clock=desk.clock,
        )
        page.app.include_router(approval_router(works_with))
        yield page
