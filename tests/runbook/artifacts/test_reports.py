"""What each tool's report is read as."""

import json
from typing import Any

import pytest

from runbook.artifacts.bounded import Unreadable
from runbook.artifacts.findings import FindingLevel, VulnerabilitySeverity
from runbook.scrub import PLACEHOLDER
from tests.runbook.artifacts.build import (
    COBERTURA,
    JUNIT,
    LCOV,
    NPM_AUDIT,
    PIP_AUDIT,
    SARIF,
    TRIVY,
    report,
    sarif_result,
)


def test_failed_and_broken_tests_of_a_junit_report_are_named_with_their_place() -> None:
    found = report(JUNIT, "junit.xml")
    first, second = found.failed_tests
    assert first.identity == "tests.test_call.TestHold::test_music[loud]"
    assert (first.message, first.file, first.line) == (
        "AssertionError: assert 1 == 2",
        "tests/test_call.py",
        41,
    )
    assert (second.identity, second.message) == ("pytest::tests.test_gone", "collection failure")
    assert (first.report, first.report_line, second.report_line) == ("junit.xml", 3, 6)
    assert (found.tests_run, found.notes) == (4, ())


def test_a_single_suite_and_nested_suites_are_junit_as_well() -> None:
    case = '<testcase classname="C" name="t"><failure message="m"/></testcase>'
    nested = f"<testsuite name='a'><testsuite name='b'><testsuite>{case}</testsuite></testsuite></testsuite>"
    (test,) = report(nested, "TEST-a.xml").failed_tests
    assert test.identity == "C::t"


@pytest.mark.parametrize(
    ("content", "name", "percent"),
    [
        (COBERTURA, "coverage.xml", 81.25),
        (LCOV, "coverage/lcov.info", 75.0),
        (LCOV, "a.lcov", 75.0),
        ('<!DOCTYPE coverage SYSTEM "coverage-04.dtd"><coverage line-rate="1"/>', "cobertura.xml", 100.0),
    ],
)
def test_coverage_is_read_as_percent_of_lines(content: str, name: str, percent: float) -> None:
    (found,) = report(content, name).coverage
    assert found.line_percent == percent


@pytest.mark.parametrize("rate", ["nan", "inf", "1.2", "-1", "much", ""])
def test_a_line_rate_that_cannot_be_is_refused(rate: str) -> None:
    with pytest.raises(Unreadable):
        report(f'<coverage line-rate="{rate}"/>', "coverage.xml")


@pytest.mark.parametrize("content", [PIP_AUDIT, PIP_AUDIT["dependencies"]])
def test_pip_audit_names_package_version_and_fix(content: Any) -> None:
    (hole,) = report(content, "pip-audit.json").vulnerabilities
    assert (hole.id, hole.package, hole.installed, hole.fixed) == (
        "CVE-2024-34064",
        "jinja2",
        "3.1.2",
        "3.1.4",
    )
    assert hole.severity is VulnerabilitySeverity.UNKNOWN


def test_trivy_names_severity_and_the_worst_comes_first() -> None:
    found = report(TRIVY, "trivy.json")
    assert [(one.id, one.package, one.fixed, one.severity) for one in found.vulnerabilities] == [
        ("CVE-2", "openssl", "3.0.2", VulnerabilitySeverity.CRITICAL),
        ("CVE-1", "zlib", "", VulnerabilitySeverity.LOW),
    ]
    assert [(one.rule, one.level, one.line) for one in found.code_findings] == [
        ("aws-key", FindingLevel.ERROR, 3),
        ("DS002", FindingLevel.WARNING, None),
    ]
    assert "AKIA" not in found.model_dump_json()


def test_npm_audit_names_each_hole_at_the_package_that_has_it() -> None:
    (hole,) = report(NPM_AUDIT, "npm-audit.json").vulnerabilities
    assert (hole.id, hole.package, hole.installed, hole.fixed) == ("GHSA-x", "b", "<2.0.0", "2.0.0")
    assert hole.severity is VulnerabilitySeverity.MEDIUM


def test_every_run_of_a_sarif_file_is_read_and_only_open_results_count() -> None:
    found = report(SARIF, "scan.sarif").code_findings
    assert [(one.tool, one.rule, one.level, one.security) for one in found] == [
        ("Trivy", "CVE-9", FindingLevel.ERROR, True),
        ("ruff", "F401", FindingLevel.WARNING, False),
        ("ruff", "E501", FindingLevel.NOTE, False),
    ]
    assert (found[0].message, found[0].file, found[0].line) == ("says CVE-9", "app/main.py", 7)


def test_findings_that_differ_in_spaces_only_are_one() -> None:
    results = [sarif_result("R", message={"text": f"a{space}b"}) for space in (" ", "\t", "\n  ")]
    found = report({"version": "2.1.0", "runs": [{"results": results}]}, "scan.sarif")
    assert ([one.message for one in found.code_findings], found.left_out) == (["a b"], 0)


def test_a_byte_order_mark_is_no_obstacle() -> None:
    text = json.dumps(PIP_AUDIT)
    for encoding in ("utf-8-sig", "utf-16"):
        assert report(text.encode(encoding), "audit.json").vulnerabilities


@pytest.mark.parametrize(
    ("content", "name"),
    [("<project/>", "pom.xml"), ({"name": "x"}, "package.json"), ("3", "a.json"), ("", "lcov.info")],
)
def test_a_file_of_another_kind_says_nothing(content: Any, name: str) -> None:
    found = report(content, name)
    assert (found.empty, found.notes) == (True, ())


def test_what_a_report_says_is_kept_without_secrets_and_control_codes() -> None:
    token = "ghp_" + "a" * 36
    failure = f'<failure message="got {token}&#x202e; and&#10;more"/>'
    (test,) = report(
        f'<testsuite><testcase name="t">{failure}</testcase></testsuite>', "junit.xml"
    ).failed_tests
    assert test.message == f"got {PLACEHOLDER} and more"
