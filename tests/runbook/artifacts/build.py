"""Reports and archives as tools write them, and as nobody should."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from runbook.artifacts.findings import Findings
from runbook.artifacts.reading import read_archive, read_report

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4">
<testcase classname="tests.test_call.TestHold" name="test_music[loud]" file="tests/test_call.py" line="41" time="x">
<failure message="AssertionError: assert 1 == 2">def test_music(): ...</failure></testcase>
<testcase classname="tests.test_call" name="test_ring" time="0.1" />
<testcase classname="" name="tests.test_gone"><error message="collection failure">gone</error></testcase>
<testcase classname="tests.test_call" name="test_later"><skipped message="not yet" /></testcase>
</testsuite></testsuites>"""

COBERTURA = (
    '<?xml version="1.0" ?><coverage version="7.6" line-rate="0.8125" branch-rate="0"><packages/></coverage>'
)

LCOV = "TN:\nSF:a.js\nDA:1,1\nLF:10\nLH:9\nend_of_record\nSF:b.js\nLF:30\nLH:21\nend_of_record\n"

PIP_AUDIT: dict[str, Any] = {
    "dependencies": [
        {
            "name": "jinja2",
            "version": "3.1.2",
            "vulns": [
                {
                    "id": "GHSA-h75v-3vvj-5mfj",
                    "aliases": ["CVE-2024-34064"],
                    "fix_versions": ["3.1.4"],
                    "description": "XSS",
                }
            ],
        },
        {"name": "own", "skip_reason": "not on PyPI"},
        {"name": "ok", "version": "1", "vulns": []},
    ],
    "fixes": [],
}

TRIVY: dict[str, Any] = {
    "SchemaVersion": 2,
    "ArtifactName": "acme/voice-agent",
    "Results": [
        {"Target": "app", "Class": "lang-pkgs", "Vulnerabilities": None},
        {
            "Target": "debian 12",
            "Vulnerabilities": [
                {"VulnerabilityID": "CVE-1", "PkgName": "zlib", "InstalledVersion": "1.2", "Severity": "LOW"},
                {
                    "VulnerabilityID": "CVE-2",
                    "PkgName": "openssl",
                    "InstalledVersion": "3.0.1",
                    "FixedVersion": "3.0.2",
                    "Severity": "CRITICAL",
                    "CVSS": {"nvd": {"V3Score": 9.8}},
                },
            ],
            "Secrets": [{"RuleID": "aws-key", "Severity": "HIGH", "StartLine": 3, "Match": "AKIA0000"}],
            "Misconfigurations": [
                {"ID": "DS002", "Title": "root user", "Severity": "MEDIUM", "Status": "FAIL"},
                {"ID": "DS001", "Title": "fine", "Severity": "HIGH", "Status": "PASS"},
            ],
        },
    ],
}

NPM_AUDIT: dict[str, Any] = {
    "auditReportVersion": 2,
    "vulnerabilities": {
        "a": {"name": "a", "severity": "high", "via": ["b"], "fixAvailable": False},
        "b": {
            "name": "b",
            "via": [
                {
                    "source": 1,
                    "url": "https://github.com/advisories/GHSA-x",
                    "severity": "moderate",
                    "range": "<2.0.0",
                }
            ],
            "fixAvailable": {"name": "b", "version": "2.0.0", "isSemVerMajor": True},
        },
    },
}


def sarif_result(rule: str, **more: Any) -> dict[str, Any]:
    """Return one result of a SARIF run."""
    place = {"artifactLocation": {"uri": "app/main.py"}, "region": {"startLine": 7}}
    return {
        "ruleId": rule,
        "message": {"text": f"says {rule}"},
        "locations": [{"physicalLocation": place}],
        **more,
    }


SARIF: dict[str, Any] = {
    "version": "2.1.0",
    "runs": [
        {
            "tool": {
                "driver": {
                    "name": "Trivy",
                    "rules": [
                        {
                            "id": "CVE-9",
                            "defaultConfiguration": {"level": "error"},
                            "properties": {"security-severity": "9.8", "tags": ["vulnerability", "security"]},
                        }
                    ],
                }
            },
            "results": [sarif_result("CVE-9"), sarif_result("CVE-8", suppressions=[{"kind": "inSource"}])],
        },
        {
            "tool": {"driver": {"name": "ruff"}},
            "results": [
                sarif_result("E501", level="note"),
                sarif_result("F401"),
                sarif_result("OK", kind="pass"),
            ],
        },
    ],
}


def report(content: str | bytes | dict[str, Any] | list[Any], name: str) -> Findings:
    """Read one report."""
    return read_report(io.BytesIO(encoded(content)), name)


def encoded(content: str | bytes | dict[str, Any] | list[Any]) -> bytes:
    """Return a file's bytes."""
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else json.dumps(content)).encode()


def archive(files: Mapping[str, Any], *, method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    """Zip files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name, encoded(content))
    buffer.seek(0)
    return buffer


def artifact(files: Mapping[str, Any]) -> Findings:
    """Read an artifact of such files."""
    return read_archive(archive(files), "reports")
