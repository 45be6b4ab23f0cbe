"""Starting and following a run from a terminal that has no credential of the product's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.prefect_runs import PrefectRuns
from deployments.starting import follow, start
from runbook.installation import Installation
from runbook.requests import ClearCachesRequest, Mode
from runbook.settings import Settings
from tests.deployments.cli.story import POLICY
from tests.runbook.clients.scripted import Said, Scripted, Seen, scripted

RUN = {
    "id": "0f1e2d3c-0000-4000-8000-000000000001",
    "name": "clear",
    "state": {"type": "COMPLETED", "name": "Done", "message": "", "timestamp": "2026-03-01T12:00:00Z"},
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    """An installation as a person's terminal sees it: ledger and policy, and no GitHub credential."""
    settings = Settings.from_environment({"RUNBOOK_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}"})
    assert not settings.has_github_credential
    opened = Installation.open(replace(settings, policy_file=POLICY))
    yield opened
    opened.ledger.close()


@pytest.fixture
def prefect() -> Iterator[Scripted]:
    """A Prefect server with one deployment, whose run has ended."""

    def answer(seen: Seen) -> Said:
        return Said(200, {"id": "d"} if "/deployments/name/" in seen.path else RUN)

    with scripted(answer) as server:
        yield server


def test_a_run_is_started_and_followed_without_the_products_credential(
    here: Installation, prefect: Scripted
) -> None:
    request = ClearCachesRequest.model_validate(
        {"repository": "acme/voice-agent", "mode": Mode.APPLY, "everything": True}
    )
    with PrefectRuns(prefect.url) as runs:
        run = start(here, runs, "clear-caches", request, requester="alice")
        seen = list(follow(here, runs, run.id, clock=here.clock, until=lambda progress: False))
    assert [(one.state.state, one.plan, one.total) for one in seen] == [("Done", None, 0)]
