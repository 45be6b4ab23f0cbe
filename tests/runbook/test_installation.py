"""What a process's installation tells the gate."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import sandbox
from runbook.clock import VirtualClock
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import StoredPlan
from runbook.engine.states import PlanState, RequesterKind
from runbook.errors import Transient
from runbook.installation import Installation
from runbook.policy import load_policy
from runbook.settings import Settings
from tests.runbook.engine.test_kill_matrix import SAMPLES, SCENARIO


def test_the_account_of_the_token_never_counts_whatever_the_policy_names(tmp_path: Path) -> None:
    """A policy that names the bot, and a token that is alice's: her comments are the product's own."""
    with sandbox.running(SCENARIO) as box:
        environment = {
            "HOME": str(tmp_path),
            "GITHUB_API_URL": box.url,
            "GITHUB_TOKEN": box.token_of("alice"),
            "RUNBOOK_POLICY": str(Path(__file__).parents[2] / "runbook.toml"),
        }
        here = Installation.open(Settings.from_environment(environment))
        assert load_policy(here.settings.policy_file).product_login == "runbook-bot"
        stored = _waiting(here, box)
        assert here.gate_context(stored).product_logins == {"runbook-bot", "alice"}


@pytest.mark.parametrize("named", [True, False])
def test_while_github_is_away_the_gate_goes_on_only_if_the_policy_names_the_products_account(
    tmp_path: Path, named: bool
) -> None:
    """Whose token it is, nobody can tell then: no comment counts, and the approval page may."""
    with sandbox.running(SCENARIO) as box:
        policy = tmp_path / "runbook.toml"
        text = (Path(__file__).parents[2] / "runbook.toml").read_text()
        policy.write_text(text if named else re.sub("(?m)^product_login.*$", "", text))
        environment = {
            "HOME": str(tmp_path),
            "GITHUB_API_URL": box.url,
            "GITHUB_TOKEN": box.token_of("alice"),
            "RUNBOOK_POLICY": str(policy),
        }
        here = Installation.open(
            Settings.from_environment(environment), clock=VirtualClock(datetime.now(UTC))
        )
        stored = _waiting(here, box)
        box.fail("500_before", method="GET", path_regex="/user$", times=50)
        if not named:
            with pytest.raises(Transient):
                here.gate_context(stored)
            return
        context = here.gate_context(stored)
        assert isinstance(context.away, Transient)
        assert context.product_logins == {"runbook-bot"} == here.known_product_logins
        box.server.faults.clear()
        assert here.gate_context(stored).away is None
        assert here.known_product_logins == {"runbook-bot", "alice"}


def _waiting(here: Installation, box: sandbox.Box) -> StoredPlan:
    """Return a plan that waits, with nothing of the ledger behind it."""
    effect = SAMPLES["delete-cache-entries"].effect(box)
    plan = Plan.of(procedure="clear-caches", repository="acme/voice-agent", effects=[effect])
    return StoredPlan(
        id="p",
        digest=plan.digest,
        execution_id="e",
        plan=plan,
        view=PlanView(title="t", why="w", remedy="r", blast_radius="b", if_nobody_acts="n"),
        state=PlanState.WAITING,
        reason="",
        asks=0,
        issues_repository=None,
        issue_number=None,
        issue_url="",
        comment_id=None,
        created_at=here.clock.now(),
        expires_at=here.clock.now(),
        requester=None,
        requester_kind=RequesterKind.UNNAMED,
        has_incident=False,
    )
