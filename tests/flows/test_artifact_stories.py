"""IR-03, IR-14, IR-15, IR-20 to IR-22: the reports that a failed run left are read, and shown in its incident."""

import pytest

from runbook.requests import Mode, TriageRequest
from sandbox.github.scenario import add_repository
from tests.flows.theatre import Theatre
from tests.runbook.artifacts.build import COBERTURA, JUNIT

REPOSITORY = "acme/reports"
SARIF = """
{"version": "2.1.0", "runs": [
  {"tool": {"driver": {"name": "CodeQL"}},
   "results": [{"ruleId": "py/sql-injection", "level": "error", "message": {"text": "Query built from input"},
     "locations": [{"physicalLocation": {"artifactLocation": {"uri": "voice/db.py"}, "region": {"startLine": 7}}}]}]},
  {"tool": {"driver": {"name": "Bandit"}},
   "results": [{"ruleId": "B602", "level": "warning", "message": {"text": "Shell is used"},
     "locations": [{"physicalLocation": {"artifactLocation": {"uri": "voice/run.py"}, "region": {"startLine": 3}}}]}]}
]}
"""
TRIVY = """
{"SchemaVersion": 2, "Results": [{"Target": "app", "Vulnerabilities": [
  {"VulnerabilityID": "CVE-2026-0001", "PkgName": "openssl", "InstalledVersion": "3.0.1", "FixedVersion": "3.0.2",
   "Severity": "CRITICAL"}]}]}
"""
PIP_AUDIT = """
{"dependencies": [{"name": "jinja2", "version": "3.0.0",
  "vulns": [{"id": "PYSEC-2026-7", "fix_versions": ["3.1.6"], "description": "Sandbox escape"}]}]}
"""


@pytest.mark.executes("IR-03", "IR-14", "IR-15", "IR-20", "IR-21", "IR-22")
def test_the_reports_of_a_failed_run_are_shown_in_its_assessment(theatre: Theatre) -> None:
    steps = ["Set up job", {"Run pytest": "failure"}]
    job = {"name": "test", "seconds": 10, "conclusion": "failure", "steps": steps, "log": "quiet\n"}
    green = {"name": "test", "seconds": 10, "conclusion": "success"}
    reports = [
        {"name": "test-results", "files": {"junit.xml": JUNIT}},
        {"name": "coverage", "files": {"coverage.xml": COBERTURA}},
        {"name": "codeql.sarif", "files": {"codeql.sarif": SARIF}},
        {"name": "trivy", "files": {"trivy.json": TRIVY}},
        {"name": "pip-audit", "files": {"audit.json": PIP_AUDIT}},
    ]
    before = [{"name": "coverage", "files": {"coverage.xml": '<coverage line-rate="0.99"/>'}}]
    repository = {
        "roles": {"runbook-bot": "write", "alice": "admin"},
        "workflows": [{"file": "ci-test.yml", "name": "CI Test"}],
        "runs": [
            {"workflow": "ci-test.yml", "ago": "30m", "jobs": [job], "artifacts": reports},
            {"workflow": "ci-test.yml", "ago": "2h", "jobs": [green], "artifacts": before},
        ],
    }
    add_repository(theatre.box.state, REPOSITORY, repository)
    with theatre.policy_file.open("a") as policy:
        policy.write(f'[[repositories]]\nname = "{REPOSITORY}"\n')
    run_id = next(iter(theatre.state_of(REPOSITORY).runs))
    request = TriageRequest(repository=REPOSITORY, run_id=run_id, mode=Mode.PLAN)
    run = theatre.start("triage-failed-run", request)
    ended = theatre.until("the end", lambda: theatre.ended(run.id))
    assert ended.type == "COMPLETED", ended.message
    said = theatre.prefect.artifact(run.id, "assessment") or ""
    for part in (
        "**Failed tests**",
        "CVE-2026-0001",
        "3.0.2",
        "PYSEC-2026-7",
        "3.1.6",
        "Query built from input",
        "Shell is used",
        "voice/db.py",
        "Coverage",
    ):
        assert part in said.replace("\\", ""), part
