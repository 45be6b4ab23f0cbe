"""What reports may add to what the logs say, as a table: a class where there is none, never another one."""

import pytest

from runbook.artifacts.findings import (
    CodeFinding,
    FailedTest,
    FindingLevel,
    Findings,
    Vulnerability,
    VulnerabilitySeverity,
)
from runbook.artifacts.support import with_findings
from runbook.triage.classes import FailureClass as Class
from runbook.triage.classify import Classification, classify_without_log

TESTS = Findings(
    failed_tests=tuple(
        FailedTest(suite="tests.test_call", name=name, message="boom", report="junit/a.xml", report_line=7)
        for name in ("test_b", "test_a", "test_c", "test_d")
    )
)
LOW = Findings(
    vulnerabilities=(Vulnerability(id="CVE-1", package="zlib", severity=VulnerabilitySeverity.LOW),)
)
CRITICAL = Findings(
    vulnerabilities=(
        Vulnerability(
            id="CVE-2",
            package="openssl",
            installed="3.0.1",
            fixed="3.0.2",
            severity=VulnerabilitySeverity.CRITICAL,
        ),
    )
)
LINT = Findings(code_findings=(CodeFinding(tool="ruff", rule="F401", level=FindingLevel.ERROR, file="a.py"),))
ALL = Findings(
    failed_tests=TESTS.failed_tests,
    vulnerabilities=CRITICAL.vulnerabilities,
    code_findings=LINT.code_findings,
)


def by_logs(failure_class: Class, confidence: float = 0.8) -> Classification:
    """Return what the logs say."""
    found = classify_without_log(failure_class, confidence, summary="The log says so.", proposal="Do it.")
    return found.model_copy(update={"fingerprint": "as it was"})


@pytest.mark.parametrize(
    ("logs", "findings", "step", "becomes"),
    [
        (Class.UNKNOWN, TESTS, "Run pytest", Class.TEST_FAILURE),
        (Class.UNKNOWN, TESTS, "Run it all", Class.TEST_FAILURE),
        (Class.UNKNOWN, TESTS, "", Class.TEST_FAILURE),
        (Class.UNKNOWN, TESTS, "Build image", Class.TEST_FAILURE),
        (Class.UNKNOWN, CRITICAL, "Run trivy", Class.SECURITY_SCAN),
        (Class.UNKNOWN, LOW, "Run trivy", Class.SECURITY_SCAN),
        (Class.UNKNOWN, CRITICAL, "", Class.SECURITY_SCAN),
        (Class.UNKNOWN, LOW, "", Class.UNKNOWN),
        (Class.UNKNOWN, CRITICAL, "Build image", Class.UNKNOWN),
        (Class.UNKNOWN, LINT, "Run ruff", Class.LINT_OR_FORMAT),
        (Class.UNKNOWN, LINT, "", Class.UNKNOWN),
        (Class.UNKNOWN, ALL, "Run pytest", Class.TEST_FAILURE),
        (Class.UNKNOWN, ALL, "Run trivy", Class.SECURITY_SCAN),
        (Class.UNKNOWN, Findings(tests_run=9), "Run pytest", Class.UNKNOWN),
        (Class.CACHE_CORRUPTION, TESTS, "Run pytest", Class.CACHE_CORRUPTION),
        (Class.TIMEOUT, ALL, "Run trivy", Class.TIMEOUT),
        (Class.TEST_FAILURE, TESTS, "Run pytest", Class.TEST_FAILURE),
    ],
)
def test_a_report_names_the_class_only_where_the_logs_name_none(
    logs: Class, findings: Findings, step: str, becomes: Class
) -> None:
    found = with_findings(by_logs(logs), findings, failing_steps=(step,) if step else ())
    assert found.failure_class is becomes
    if logs is not Class.UNKNOWN:
        assert found.fingerprint == "as it was"
    if becomes not in (Class.UNKNOWN, logs):
        assert found.fingerprint != "as it was"
        assert found.confidence >= 0.5


def test_reports_of_the_same_class_make_it_surer_and_name_the_tests() -> None:
    found = with_findings(by_logs(Class.TEST_FAILURE, 0.6), TESTS, failing_steps=("Run pytest",))
    assert 0.6 < found.confidence < 1
    assert found.summary == (
        "The log says so. Failed tests: tests.test_call::test_b, tests.test_call::test_a, tests.test_call::test_c"
        " and 1 more."
    )


def test_reports_of_another_class_change_nothing() -> None:
    found = by_logs(Class.CACHE_CORRUPTION)
    assert with_findings(found, TESTS, failing_steps=("Run pytest",)) == found


def test_where_the_logs_name_nothing_the_report_is_the_evidence() -> None:
    found = with_findings(by_logs(Class.UNKNOWN), TESTS, failing_steps=())
    assert found.first_cause is not None
    assert (found.first_cause.file, found.first_cause.line) == ("junit/a.xml", 7)
    assert found.first_cause.text == "tests.test_call::test_b: boom"
    assert len(found.evidence) == 4


def test_a_hole_is_named_with_its_fix() -> None:
    found = with_findings(by_logs(Class.UNKNOWN), CRITICAL, failing_steps=("Trivy scan",))
    assert found.summary.endswith("Scanners name: CVE-2 in openssl 3.0.1 (critical, fixed in 3.0.2).")


def test_the_same_tests_are_the_same_incident_in_whatever_order_and_others_are_another() -> None:
    def fingerprint(findings: Findings) -> str:
        return with_findings(by_logs(Class.UNKNOWN), findings, failing_steps=()).fingerprint

    turned = Findings(failed_tests=TESTS.failed_tests[::-1])
    fewer = Findings(failed_tests=TESTS.failed_tests[1:])
    assert fingerprint(TESTS) == fingerprint(turned)
    assert fingerprint(TESTS) != fingerprint(fewer)
