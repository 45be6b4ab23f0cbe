"""What the gateway hands to its approval page: the policy and the seeds as they are now, and nothing of GitHub's."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from deployments.gateway.approval_page import ApprovalDesk, approval_router, desk_of
from runbook.errors import PolicyError
from runbook.installation import Installation
from runbook.one_time_codes import SEEDS_VARIABLE, enrol, new_seed
from runbook.settings import Settings
from tests.deployments.gateway.page import Page
from tests.runbook.engine.desk import Desk, open_desk

POLICY = Path(__file__).parents[3] / "runbook.toml"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine with plans."""
    with open_desk(tmp_path) as opened:
        yield opened


@pytest.fixture
def here(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """An installation on the same ledger; where its GitHub is, nobody answers."""
    monkeypatch.setenv(SEEDS_VARIABLE, str(tmp_path / "seeds.toml"))
    (tmp_path / "runbook.toml").write_text(POLICY.read_text())
    environment = {
        "RUNBOOK_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
        "RUNBOOK_POLICY": str(tmp_path / "runbook.toml"),
        "GITHUB_API_URL": "http://127.0.0.1:9",
        "GITHUB_TOKEN": "none-of-them",
    }
    opened = Installation.open(Settings.from_environment(environment), clock=desk.clock)
    yield opened
    opened.ledger.close()


def no_wake(execution_id: str) -> None:
    """Wake nobody."""


def change_approvers(here: Installation, approvers: str) -> None:
    """Edit the policy's first list of approvers."""
    file = here.settings.policy_file
    text, count = re.subn(
        r"(?m)^approvers = \[[^\]]*\]", f"approvers = {approvers}", file.read_text(), count=1
    )
    assert count == 1
    file.write_text(text)


def test_the_policy_of_now_says_who_may_approve_without_asking_github(here: Installation, desk: Desk) -> None:
    plan = desk.show()
    works_with = desk_of(here, wake=no_wake)
    assert works_with.product_logins() == {"runbook-bot"}
    assert not works_with.rule(plan).names("zoe")
    change_approvers(here, '["zoe"]')
    assert works_with.rule(plan).names("zoe")


def test_a_policy_that_cannot_be_read_decides_nothing(here: Installation, desk: Desk) -> None:
    plan = desk.show()
    works_with = desk_of(here, wake=no_wake)
    here.settings.policy_file.write_text("nonsense")
    with pytest.raises(PolicyError):
        works_with.rule(plan)
    page = served(here, desk, works_with)
    assert page.get(plan.digest).status_code == 503


def test_whoever_is_enrolled_while_the_gateway_runs_can_decide_at_once(
    here: Installation, desk: Desk, tmp_path: Path
) -> None:
    plan = desk.show()
    change_approvers(here, '["zoe", "yan"]')
    page = served(here, desk, desk_of(here, wake=no_wake))
    page.seeds["zoe"] = new_seed()
    enrol(page.file, "yan", new_seed())
    assert page.send(plan, login="zoe").status_code == 403
    enrol(page.file, "zoe", page.seeds["zoe"])
    assert page.send(plan, login="zoe").status_code == 200


def test_without_a_seeds_file_nobody_can_decide(
    here: Installation, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SEEDS_VARIABLE)
    assert desk_of(here, wake=no_wake).seeds is None


def served(here: Installation, desk: Desk, works_with: ApprovalDesk) -> Page:
    """Serve a desk's page."""
    app = FastAPI()
    app.include_router(approval_router(works_with))
    return Page(desk=desk, file=here.settings.policy_file.with_name("seeds.toml"), seeds={}, app=app)
