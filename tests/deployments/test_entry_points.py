"""R13: what our worker runs, and what of a deployment it ignores."""

import logging
import sys

import pytest

from deployments import worker
from deployments.entry_points import allowed_entry_points, allowed_flow, ignored_wishes, shipped_deployments
from runbook.errors import Denied


def test_the_flows_of_the_shipped_deployments_are_allowed() -> None:
    assert "flows.triage_failed_run.triage_failed_run" in allowed_entry_points()
    for entry_point in allowed_entry_points():
        assert allowed_flow(entry_point).name == entry_point.rpartition(".")[2].replace("_", "-")


def test_shipped_deployments_are_named_as_prefect_names_them() -> None:
    shipped = shipped_deployments()
    assert {"sweep/default", "clear-caches/weekly-prune"} <= set(shipped)
    flows = {allowed_flow(entry_point).name for entry_point in allowed_entry_points()}
    assert {name.partition("/")[0] for name in shipped} == flows


@pytest.mark.parametrize(
    "entry_point",
    [
        None,
        "",
        "os.system",
        "flows.triage_failed_run",
        "flows.triage_failed_run.read_run",
        "flows/triage_failed_run.py:triage_failed_run",
        "/srv/evil.py:flow",
        " flows.sweep.sweep",
        "antigravity.geohash",
    ],
)
def test_any_other_entry_point_is_refused_before_anything_of_it_is_imported(entry_point: str | None) -> None:
    with pytest.raises(Denied, match="does not run"):
        allowed_flow(entry_point)
    assert "antigravity" not in sys.modules


def test_what_a_deployment_asks_for_in_vain_is_named() -> None:
    deployment = {
        "pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "id"}}],
        "path": "/srv",
        "job_variables": {"env": {"A": "b"}, "command": "sh"},
    }
    said = ignored_wishes(deployment, {"working_dir": "/"})
    assert said == (
        "pull_steps",
        "path",
        "job variable command",
        "job variable env",
        "job variable working_dir",
    )
    assert ignored_wishes({"pull_steps": [], "path": None, "job_variables": {}}, {}) == ()


def test_a_stock_worker_takes_over_where_prefects_private_modules_have_moved(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Replaced(Exception):
        """The process would be another program from here on."""

    def replace(program: str, arguments: list[str]) -> None:
        raise Replaced(program, arguments)

    monkeypatch.delitem(sys.modules, "deployments.forking_worker", raising=False)
    monkeypatch.setitem(sys.modules, "prefect.runner._flow_run_executor", None)
    monkeypatch.setattr("os.execv", replace)
    with caplog.at_level(logging.ERROR), pytest.raises(Replaced) as raised:
        worker.main(["runbook-7"])
    program, arguments = raised.value.args
    assert program == sys.executable
    assert arguments[1:] == [
        *("-m", "prefect", "worker", "start", "--pool", "runbook", "--type", "process"),
        *("--name", "runbook-7"),
    ]
    assert "A stock process worker takes over" in caplog.text


def test_a_broken_installation_of_ours_lets_no_stock_worker_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would run whatever entry point a deployment names."""
    monkeypatch.delitem(sys.modules, "deployments.forking_worker", raising=False)
    monkeypatch.setitem(sys.modules, "deployments.forked_run", None)
    monkeypatch.setattr("os.execv", lambda *_: pytest.fail("a stock worker took over"))
    with pytest.raises(ImportError, match="forked_run"):
        worker.main(["runbook-7"])
