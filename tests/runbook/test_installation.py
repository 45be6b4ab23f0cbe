"""What a process's installation tells the gate."""

from pathlib import Path

import sandbox
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import StoredPlan
from runbook.engine.states import PlanState, RequesterKind
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
        effect = SAMPLES["delete-cache-entries"].effect(box)
        plan = Plan.of(procedure="clear-caches", repository="acme/voice-agent", effects=[effect])
        stored = StoredPlan(
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
        assert here.gate_context(stored).product_logins == {"runbook-bot", "alice"}
