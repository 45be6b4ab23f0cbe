"""Whole drills, on a Prefect server and a sandbox of their own, as a user starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployments.test_drill import EXAMPLE

SECONDS = 400
SOAK_SECONDS = 5


@pytest.mark.integration
@pytest.mark.parametrize("procedure", ["clear-caches", "rollback-image"])
def test_a_drill_under_the_example_policy_ends_verified_whatever_the_terminal_holds(
    procedure: str, tmp_path: Path
) -> None:
    path = "health_path = "
    short = EXAMPLE.read_text().replace(path, f"soak_seconds = {SOAK_SECONDS}\n{path}")
    (tmp_path / "policy.toml").write_text(short)
    users_own = {
        "GITHUB_TOKEN": "users-own",
        "GITHUB_API_URL": "https://github.invalid",
        "KUBECONFIG": str(tmp_path / "users-own"),
        "RUNBOOK_LEDGER_URL": f"sqlite:///{tmp_path / 'users-own.db'}",
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
    }
    command = [sys.executable, "-c", "from deployments.cli import main; main()", "drill", procedure]
    ended = subprocess.run(
        [*command, "--policy", "policy.toml", "--json"],
        cwd=tmp_path,
        env={**os.environ, **users_own},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout)
    assert told["ok"]
    assert told["wrong"] == []
    assert all(told["checks"].values())
    assert [one["login"] for one in told["approvals"]] == ["alice"]
    assert {one["state"] for one in told["effects"]} == {"confirmed"}
    report = Path(told["report"])
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["policy.toml", report.name])
    assert ": verified." in report.read_text()
