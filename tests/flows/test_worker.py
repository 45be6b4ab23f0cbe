"""R13 against a real Prefect server: what a stranger with API access can make our worker do."""

from pathlib import Path
from typing import Any

from runbook.requests import Mode, TriageRequest
from tests.flows.theatre import Theatre


def _deployment(theatre: Theatre, marker: Path, *, entry_point: str, name: str) -> str:
    """Make a deployment as anybody with API access can: with a shell, an environment and a command of its own."""
    shell = {"prefect.deployments.steps.run_shell_script": {"script": f"touch {marker}-pulled"}}
    flow = theatre.post("/flows/", {"name": "triage-failed-run"})
    made = theatre.post(
        "/deployments/",
        {
            "name": name,
            "flow_id": flow["id"],
            "entrypoint": entry_point,
            "work_pool_name": "runbook",
            "pull_steps": [shell],
            "path": str(marker.parent),
            "enforce_parameter_schema": False,
        },
    )
    return str(made["id"])


def _run(theatre: Theatre, deployment: str, parameters: dict[str, Any]) -> Any:
    created = theatre.post(
        f"/deployments/{deployment}/create_flow_run",
        {"parameters": parameters, "state": {"type": "SCHEDULED"}},
    )
    return theatre.until("the end", lambda: theatre.ended(created["id"]))


def test_a_flow_that_is_none_of_ours_is_not_run(theatre: Theatre, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    evil = tmp_path / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({f'{marker}-ran'!r}).touch()\ndef flow(): pass\n")
    deployment = _deployment(theatre, marker, entry_point=f"{evil}:flow", name="evil")
    ended = _run(theatre, deployment, {})
    assert ended.type == "CRASHED"
    assert "none of this installation's procedures" in ended.message
    assert [path.name for path in tmp_path.iterdir()] == ["evil.py"]


def test_of_a_strangers_deployment_of_our_flow_only_the_flow_is_run(theatre: Theatre, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    entry_point = "flows.triage_failed_run.triage_failed_run"
    deployment = _deployment(theatre, marker, entry_point=entry_point, name="with-a-shell")
    repository = theatre.own_repository()
    run_id = next(iter(theatre.state_of(repository).runs))
    request = TriageRequest(repository=repository, run_id=run_id, mode=Mode.PLAN)
    ended = _run(theatre, deployment, {"request": request.canonical()})
    assert (ended.type, ended.state) == ("COMPLETED", "Planned")
    assert list(tmp_path.iterdir()) == []
    said = theatre.until("the log", lambda: theatre.logged(ended.id, "Ignored"))
    assert "pull_steps, path" in said
